"""The same request with the same ``Idempotency-Key`` has one effect and one answer, whichever gateway gets it, and
whatever dies."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.http.idempotency import IDEMPOTENT
from tests.integration.gateway.conftest import SECRET_KEY, SOURCES, Organization
from tests.integration.gateway.creating import CREATING, NOT_CREATING, World, answered, in_brief
from tests.integration.gateway.test_rate_limits_across_processes import SERVE, Gateway, start

TIMES = 10
KEYS = "idempotency_keys"


@pytest.fixture(scope="module")
async def two(mongo: Mongo, mongo_settings: MongoSettings) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateway processes on one database."""
    del mongo
    environment = {
        "ROWDOCK_RATE_LIMITS": "free=0/0",
        "ROWDOCK_STRANGERS_PER_MINUTE": "0",
        "ROWDOCK_WAIT_SECONDS": "0.3",
        "ROWDOCK_SECRET_KEY": SECRET_KEY,
        "ROWDOCK_SOURCES_DIRECTORY": SOURCES.name,
    }
    started = await asyncio.gather(*(start(mongo_settings, SERVE, **environment) for _ in range(2)))
    yield started[0], started[1]
    for gateway in started:
        await gateway.http.aclose()
        gateway.process.terminate()
        await gateway.process.wait()


@pytest.fixture
def world(acme: Organization, ledger: Ledger, mongo: Mongo) -> World:
    return World(acme, ledger, mongo)


def posts(app: Litestar) -> dict[str, Any]:
    """The operations by POST, with the ``opt`` of their handlers."""
    return {
        handler.operation_id: handler.opt
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if "POST" in handler.http_methods
    }


def test_every_request_that_creates_something_may_be_repeated(app: Litestar) -> None:
    declared = posts(app)
    assert {name for name, opt in declared.items() if IDEMPOTENT in opt} == set(CREATING)
    assert set(declared) - set(CREATING) == set(NOT_CREATING)


@pytest.mark.parametrize("operation", CREATING)
async def test_ten_times_at_once_on_two_gateways(world: World, two: tuple[Gateway, Gateway], operation: str) -> None:
    creating, key = CREATING[operation], world.organization.key
    request = await creating.prepare(world)
    before = await creating.effects(world)
    answers = await asyncio.gather(*(answered(two[at % 2].http, request, key, "k-1") for at in range(TIMES)))
    assert await creating.effects(world) == before + 1
    assert answers[0].is_success, answers[0].text
    assert len({(each.status_code, each.content, each.headers.get("location")) for each in answers}) == 1
    assert len({each.headers["content-type"] for each in answers}) == 1
    assert sum(each.headers.get("idempotent-replayed") == "true" for each in answers) == TIMES - 1


@pytest.mark.parametrize("operation", CREATING)
async def test_another_request_with_the_key_is_refused(world: World, operation: str) -> None:
    creating, http, key = CREATING[operation], world.organization.http, world.organization.key
    request = await creating.prepare(world)
    assert (await answered(http, request, key, "k-2")).is_success
    after = await creating.effects(world)
    others = [{**request, "params": {"tenant_id": world.organization.id}}]
    if creating.other is not None:
        others.append({**request, **creating.other})
    for other in others:
        refused = await answered(http, other, key, "k-2")
        assert refused.status_code in {422, 400}, refused.text
        if refused.status_code == 422:
            assert refused.json().get("code", in_brief(refused)) == "IDEMPOTENCY_KEY_REUSED"
    assert await creating.effects(world) == after


async def crashed(mongo: Mongo, organization: Organization, lease: timedelta) -> None:
    """Leave what a gateway leaves that died between the effect and the record of its answer."""
    left = {"$set": {"lease_until": datetime.now(UTC) + lease, "token": "of the dead"}, "$unset": {"answer": ""}}
    changed = await mongo.state[KEYS].update_one({"tenant_id": organization.id}, left)
    assert changed.modified_count == 1


@pytest.mark.parametrize("operation", CREATING)
async def test_what_a_crash_has_left_is_found_and_answered(world: World, operation: str) -> None:
    creating, http, key = CREATING[operation], world.organization.http, world.organization.key
    request = await creating.prepare(world)
    before = await creating.effects(world)
    first = await answered(http, request, key, "k-3")
    await crashed(world.mongo, world.organization, timedelta(seconds=-1))
    again = await answered(http, request, key, "k-3")
    assert again.is_success, again.text
    assert await creating.effects(world) == before + 1
    for member in ("id", "webhook_secret", "name"):
        assert again.json().get(member) == first.json().get(member)
    third = await answered(http, request, key, "k-3")
    assert (third.content, third.headers["idempotent-replayed"]) == (again.content, "true")


async def test_the_secret_of_a_key_that_nobody_has_seen_is_replaced(world: World, app: Litestar) -> None:
    request = await CREATING["createApiKey"].prepare(world)
    lost = await answered(world.organization.http, request, world.organization.key, "k")
    await crashed(world.mongo, world.organization, timedelta(seconds=-1))
    seen = await answered(world.organization.http, request, world.organization.key, "k")
    assert (lost.json()["id"], lost.json()["key"] != seen.json()["key"]) == (seen.json()["id"], True)
    for answer, status in ((lost, 401), (seen, 200)):
        headers = {"Authorization": f"Bearer {answer.json()['key']}"}
        asked = await world.organization.http.get("/imports/templates", headers=headers)
        assert asked.status_code == status
    stored = await world.mongo.state[KEYS].find_one({"tenant_id": world.organization.id})
    assert stored is not None
    assert seen.json()["key"].encode() not in stored["answer"]["body"]
    del app


async def test_a_key_in_use_is_refused_until_its_lease_is_over(world: World) -> None:
    request = await CREATING["createTemplate"].prepare(world)
    headers = {"Idempotency-Key": "k"}
    http = world.organization.http
    assert (await http.request(**request, headers=headers)).status_code == 201
    await crashed(world.mongo, world.organization, timedelta(seconds=30))
    busy = await http.request(**request, headers=headers)
    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (409, "IDEMPOTENCY_KEY_IN_USE", "1")


async def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    request = await CREATING["createTemplate"].prepare(world)
    http, key = world.organization.http, world.organization.key
    refused = await answered(http, {**request, "json": {"name": "no more"}}, key, "k")
    assert refused.status_code == 422
    assert await world.count(KEYS) == 0
    assert (await answered(http, request, key, "k")).status_code == 201


async def test_keys_are_of_their_caller(world: World, two: tuple[Gateway, Gateway]) -> None:
    request = await CREATING["createTemplate"].prepare(world)
    http, key = world.organization.http, world.organization.key
    other = (await http.post("/api/v1/api-keys", json={"name": "other"})).json()["key"]
    answers = [await answered(two[0].http, request, each, "k") for each in (key, other)]
    assert len({each.json()["id"] for each in answers}) == 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ä"])
async def test_what_is_no_key(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post("/imports/templates", json={}, headers={"Idempotency-Key": key.encode()})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, "header.Idempotency-Key")
