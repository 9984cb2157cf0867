"""What can be changed has a strong tag: it is not sent twice, and nothing is changed that somebody else has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.ledger import Ledger
from libs.storage.client import Mongo
from services.gateway.http.etags import TAGGED
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.creating import COLUMNS, PRODUCER, World, completed_with_a_rejected_row, in_brief
from tests.integration.gateway.steps import (
    create_importer,
    create_rowporter_template,
    create_source,
    create_template,
    template_body,
)


@dataclass(frozen=True)
class Thing:
    """Something that can be changed.

    Attributes:
        make: its path, after it was made.
        changes: requests that change it each time they are made, by method and path behind its own.
        last: that which ends it, if anything does.
    """

    make: Callable[[World], Awaitable[str]]
    changes: tuple[tuple[str, str, Any, Any], ...]
    last: tuple[str, str] | None = None


async def template(world: World) -> str:
    return f"/imports/templates/{(await create_template(world.organization.http))['id']}"


async def importer(world: World) -> str:
    return f"/api/v1/importers/{(await create_importer(world.organization.http))['id']}"


async def rowporter_template(world: World) -> str:
    return f"/api/v1/templates/{(await create_rowporter_template(world.organization.http))['id']}"


async def branding(world: World) -> str:
    del world
    return "/api/v1/organization/branding"


async def api_key(world: World) -> str:
    made = await world.organization.http.post("/api/v1/api-keys", json={"name": "made"})
    return f"/api/v1/api-keys/{made.json()['id']}"


async def producer(world: World) -> str:
    made = await world.organization.http.post("/api/v1/request-producers", json=PRODUCER)
    return f"/api/v1/request-producers/{made.json()['id']}"


async def webhook_endpoint(world: World) -> str:
    made = await world.organization.http.post("/api/v1/webhook-endpoints", json={"url": "https://example.com/hooks"})
    return f"/api/v1/webhook-endpoints/{made.json()['id']}"


async def rejected_row(world: World) -> str:
    _, record = await completed_with_a_rejected_row(world)
    return f"/imports/rejected/{record}"


async def source(world: World) -> str:
    http = world.organization.http
    return f"/api/v1/sources/{(await create_source(http, (await create_template(http))['id']))['id']}"


THINGS: dict[str, Thing] = {
    "template": Thing(template, (("PUT", "", template_body(name="one"), template_body(name="two")),), ("DELETE", "")),
    "importer": Thing(importer, (("PUT", "", {"name": "one"}, {"name": "two"}),), ("DELETE", "")),
    "template of Rowporter": Thing(
        rowporter_template,
        (("PATCH", "", {"name": "one", "columns": COLUMNS}, {"name": "two"}),),
        ("DELETE", ""),
    ),
    "branding": Thing(branding, (("PUT", "", {"primaryColor": "#111111"}, {"primaryColor": "#222222"}),)),
    "API key": Thing(api_key, (("POST", "/rotate", {}, {}),), ("DELETE", "")),
    "producer": Thing(producer, (("DELETE", "", None, None),)),
    "webhook endpoint": Thing(
        webhook_endpoint, (("PATCH", "", {"description": "one"}, {"description": "two"}),), ("DELETE", "")
    ),
    "secret of a webhook endpoint": Thing(webhook_endpoint, (("POST", "/rotate-secret", {}, {}),)),
    "webhook endpoint switched on": Thing(webhook_endpoint, (("POST", "/enable", {}, {}),)),
    "source": Thing(source, (("PATCH", "", {"name": "one"}, {"name": "two"}),), ("DELETE", "")),
    "rejected row": Thing(
        rejected_row,
        (("PUT", "", {"corrected_data": {"sku": "A1"}}, {"corrected_data": {"sku": "A2"}}),),
        ("POST", "/discard"),
    ),
}


@pytest.fixture
def world(acme: Organization, ledger: Ledger, mongo: Mongo) -> World:
    return World(acme, ledger, mongo)


def test_whatever_can_be_changed_has_a_tag(app: Litestar) -> None:
    changing = {
        handler.operation_id: TAGGED in handler.opt
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if handler.http_methods & {"PUT", "PATCH", "DELETE"}
    }
    assert changing
    assert all(changing.values()), changing


def strong(answer: httpx.Response) -> str:
    tag = answer.headers["etag"]
    assert tag.startswith('"')
    return tag


@pytest.mark.parametrize("name", THINGS)
async def test_what_the_client_has_is_not_sent_again(world: World, name: str) -> None:
    http, path = world.organization.http, await THINGS[name].make(world)
    first = await http.get(path)
    tag = strong(first)
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = await http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await http.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)
    unreadable = await http.get(path, headers={"If-None-Match": "tag"})
    assert unreadable.status_code == 400


@pytest.mark.parametrize("name", THINGS)
async def test_nothing_is_changed_that_somebody_else_has_changed(world: World, name: str) -> None:
    thing, http = THINGS[name], world.organization.http
    path = await thing.make(world)
    seen = strong(await http.get(path))
    for method, suffix, one, two in thing.changes:
        changed = await http.request(method, path + suffix, json=one, headers={"If-Match": f'"x", {seen}'})
        assert changed.is_success, changed.text
        strong(changed)
        now = await http.get(path)
        assert now.headers["etag"] != seen
        for outdated in (seen, f"W/{now.headers['etag']}", '"x"'):
            refused = await http.request(method, path + suffix, json=two, headers={"If-Match": outdated})
            assert refused.status_code == 412, refused.text
            assert refused.json().get("code", in_brief(refused)) == "PRECONDITION_FAILED"
        assert (await http.get(path)).content == now.content
    if thing.last is not None:
        method, suffix = thing.last
        assert (await http.request(method, path + suffix, headers={"If-Match": seen})).status_code == 412
        assert (await http.get(path)).content == now.content
        now_tag = now.headers["etag"]
        assert (await http.request(method, path + suffix, headers={"If-Match": now_tag})).is_success


@pytest.mark.parametrize("name", THINGS)
async def test_of_changes_at_the_same_time_one_is_made(world: World, name: str) -> None:
    thing, http = THINGS[name], world.organization.http
    path = await thing.make(world)
    seen = strong(await http.get(path))
    [(method, suffix, one, two)] = thing.changes
    answers = await asyncio.gather(
        *(http.request(method, path + suffix, json=each, headers={"If-Match": seen}) for each in (one, two) * 4)
    )
    assert sorted(answer.status_code for answer in answers)[1:] == [412] * 7
    assert sum(answer.is_success for answer in answers) == 1


@pytest.mark.parametrize("name", THINGS)
async def test_without_a_tag_the_newest_version_is_changed(world: World, name: str) -> None:
    thing, http = THINGS[name], world.organization.http
    path = await thing.make(world)
    for method, suffix, one, two in thing.changes:
        for body, headers in ((one, {}), (two, {"If-Match": "*"})):
            assert (await http.request(method, path + suffix, json=body, headers=headers)).is_success


async def test_what_is_sent_compressed_has_a_tag_of_its_own(world: World) -> None:
    http = world.organization.http
    wide = template_body(description="x" * 2_000)
    path = f"/imports/templates/{(await http.post('/imports/templates', json=wide)).raise_for_status().json()['id']}"
    seen: dict[str, str] = {}
    for coding in ("identity", "gzip"):
        answer = await http.get(path, headers={"Accept-Encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        seen[coding] = strong(answer)
    assert seen["identity"] != seen["gzip"]
    for coding, tag in seen.items():
        for known in seen.values():
            again = await http.get(path, headers={"Accept-Encoding": coding, "If-None-Match": known})
            assert (again.status_code, again.headers["etag"]) == (304 if known == tag else 200, tag)
            assert "Accept-Encoding" in again.headers["vary"]
    for coding in seen:
        tag = strong(await http.get(path, headers={"Accept-Encoding": coding}))
        changed = await http.put(path, json={**wide, "name": coding}, headers={"If-Match": tag})
        assert changed.status_code == 200, changed.text


async def test_a_header_that_cannot_be_read(http: httpx.AsyncClient) -> None:
    answer = await http.put("/api/v1/organization/branding", json={}, headers={"If-Match": 'a"'})
    assert answer.status_code == 400
    answer = await http.put("/imports/templates/none", json={}, headers={"If-Match": ", ".join(['"x"'] * 200)})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "header.If-Match")
