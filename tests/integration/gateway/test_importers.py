"""Importers and their imports at the gateway: what is theirs alone, changes, pages, errors, one run of each key."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.contracts.ids import as_uuid, of_uuid
from libs.ledger import Ledger
from libs.storage.client import Mongo
from services.gateway.stores import templates as template_store
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import (
    CSV,
    assert_error,
    create_importer,
    create_template,
    importer_body,
    start_import,
    template_body,
    upload,
    validate,
)

URL = "/api/v1/importers"


async def test_each_vocabulary_has_its_own_templates(http: httpx.AsyncClient) -> None:
    """Those of the other one are not listed, found, changed, copied, used or deleted."""
    importer, template = await create_importer(http), await create_template(http)
    assert [each["id"] for each in (await http.get(URL)).json()] == [importer["id"]]
    assert [each["id"] for each in (await http.get("/imports/templates")).json()["data"]] == [template["id"]]
    of_importer, of_template = of_uuid(importer["id"]), as_uuid(template["id"])
    for method, json in (("GET", None), ("PUT", importer_body()), ("DELETE", None)):
        answer = await http.request(method, f"{URL}/{of_template}", json=json)
        assert_error(answer, 404, "IMPORTER_NOT_FOUND")
    for method, json in (("GET", None), ("PUT", template_body()), ("DELETE", None)):
        answer = await http.request(method, f"/imports/templates/{of_importer}", json=json)
        assert_error(answer, 404, "TEMPLATE_NOT_FOUND")
    assert_error(await http.post(f"/imports/templates/{of_importer}/copy"), 404, "TEMPLATE_NOT_FOUND")
    assert_error(await upload(http, str(of_importer)), 404, "TEMPLATE_NOT_FOUND")
    assert_error(await start_import(http, of_template), 404, "IMPORTER_NOT_FOUND")
    assert (await http.get(f"{URL}/{importer['id']}")).json() == importer
    shown = (await http.get(f"/imports/templates/{template['id']}")).json()
    assert shown == template


async def test_imports_of_another_vocabulary_are_not_there(http: httpx.AsyncClient) -> None:
    run = (await upload(http, (await create_template(http))["id"])).json()
    assert_error(await http.get(f"/api/v1/imports/{as_uuid(run['id'])}"), 404, "IMPORT_NOT_FOUND", either=True)


async def test_the_model_s_own_ids_are_understood(http: httpx.AsyncClient) -> None:
    """A receiver of Kafka's events has no other."""
    importer = await create_importer(http)
    started = (await start_import(http, importer["id"])).json()
    for url, identifier in ((URL, importer["id"]), ("/api/v1/imports", started["id"])):
        plain = of_uuid(identifier)
        assert plain is not None
        assert (await http.get(f"{url}/{plain}")).json()["id"] == identifier


async def test_pages_by_skip_and_limit(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        (await create_importer(http, name=f"importer {number}", target_resource="one"))["id"] for number in range(7)
    ]

    async def ids(**query: int) -> list[str]:
        return [each["id"] for each in (await http.get(URL, params=query)).json()]

    assert await ids() == made
    assert await ids(skip=2, limit=3) == made[2:5]
    assert await ids(skip=6, limit=3) == made[6:]
    assert await ids(skip=7) == []
    await http.delete(f"{URL}/{made[0]}")
    assert await ids(limit=2) == made[1:3]
    # A page that is too large is refused: who counts on would miss what is left out.
    [stored] = (await http.get(URL, params={"limit": 1})).json()
    assert stored["id"] == made[1]
    monkeypatch.setattr(template_store, "MAX_WINDOW_BYTES", 3_000)
    error = assert_error(await http.get(URL), 422, "INVALID_REQUEST", "query.limit")
    most = int(error["detail"].split("at most ")[1].split()[0])
    assert 1 <= most < 6
    assert await ids(limit=most) == made[1 : 1 + most]


@pytest.mark.parametrize(
    "query", ["skip=-1", "skip=x", "limit=0", "limit=1001", "limit=", "colour=red", "skip=1&skip=2", "skip=1000001"]
)
async def test_a_query_that_does_not_validate(http: httpx.AsyncClient, query: str) -> None:
    assert_error(await http.get(f"{URL}?{query}"), 422, "INVALID_PARAMETER", f"query.{query.partition('=')[0]}")


async def test_below_the_own_organization(
    mongo: Mongo, new_organization: Callable[[], Awaitable[Organization]]
) -> None:
    parent, child = await new_organization(), await new_organization()
    await mongo.state["organizations"].update_one({"_id": child.id}, {"$set": {"parent_id": parent.id}})
    own, below = await create_importer(parent.http), await create_importer(child.http)
    for_child = await parent.http.post(URL, params={"tenant_id": child.id}, json=importer_body())
    everything = (await parent.http.get(URL, params={"include_children": True})).json()
    assert [each["id"] for each in everything] == [own["id"], below["id"], for_child.json()["id"]]
    assert [each["tenant_id"] for each in everything] == [parent.id, child.id, child.id]
    assert [each["id"] for each in (await child.http.get(URL)).json()] == [below["id"], for_child.json()["id"]]
    # An import is the organization's that has the importer, whichever part comes first.
    form = {"importer_id": (None, below["id"])}
    for parts in ({**form, "file": ("p.csv", CSV)}, {"file": ("p.csv", CSV), **form}):
        started = (await parent.http.post("/api/v1/imports", files=parts)).json()
        assert (await child.http.get(f"/api/v1/imports/{started['id']}")).status_code == 200
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": parent.id}) == 0
    assert_error(await start_import(child.http, own["id"]), 404, "IMPORTER_NOT_FOUND")


async def test_changes_at_the_same_time_all_count(http: httpx.AsyncClient) -> None:
    importer = await create_importer(http)
    changes: list[dict[str, Any]] = [{"description": "new"}, {"dark_mode": True}, {"filter_invalid_rows": True}]
    answers = await asyncio.gather(*(http.put(f"{URL}/{importer['id']}", json=change) for change in changes))
    assert [answer.status_code for answer in answers] == [200] * 3
    shown = (await http.get(f"{URL}/{importer['id']}")).json()
    expected = {**importer, **changes[0], **changes[1], **changes[2], "updated_at": shown["updated_at"]}
    assert shown == expected
    assert shown["updated_at"] > importer["updated_at"]


async def test_key_and_collection_stay(http: httpx.AsyncClient) -> None:
    importer = await create_importer(http, webhook_url="https://example.com/w")
    assert UUID(importer["key"]).version == 4
    assert importer["webhook_secret"].startswith("whsec_")
    sent_back = {**importer, "name": "Other", "key": "mine", "id": as_uuid("a" * 24)}
    changed = (await http.put(f"{URL}/{importer['id']}", json={**sent_back, "webhook_secret": None})).json()
    assert {**changed, "updated_at": importer["updated_at"]} == {**importer, "name": "Other", "webhook_secret": None}


async def test_the_same_key_makes_one_import(http: httpx.AsyncClient, mongo: Mongo, acme: Organization) -> None:
    importer = await create_importer(http)
    first = await start_import(http, importer["id"], CSV, **{"Idempotency-Key": "monthly"})
    again = await start_import(http, importer["id"], CSV, **{"Idempotency-Key": "monthly"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (again.headers["Idempotent-Replayed"], "Idempotent-Replayed" in first.headers) == ("true", False)
    other = await start_import(http, importer["id"], CSV + b"B2,Bolt\n", **{"Idempotency-Key": "monthly"})
    assert_error(other, 422, "IDEMPOTENCY_KEY_REUSED", "header.Idempotency-Key")
    assert await mongo.state["runs"].count_documents({"tenant_id": acme.id}) == 1


@pytest.mark.parametrize(
    ("form", "code", "location", "either"),
    [
        ({}, "INVALID_REQUEST", "body", True),
        ({"surely_unknown": "x"}, "INVALID_REQUEST", "body.surely_unknown", True),
        ({"importer_id": "ID", "mapping": "{"}, "INVALID_REQUEST", "body.mapping", False),
        ({"importer_id": "ID", "mapping": "[]"}, "INVALID_REQUEST", "body.mapping", False),
        ({"importer_id": "ID", "mapping": '{"sku": "colour"}'}, "INVALID_REQUEST", "body.mapping['sku']", False),
    ],
)
async def test_uploads_that_do_not_validate(
    mongo: Mongo,
    acme: Organization,
    form: dict[str, str],
    code: str,
    location: str,
    either: bool,
) -> None:
    importer = await create_importer(acme.http)
    data = {name: text.replace("ID", importer["id"]) for name, text in form.items()}
    answer = await acme.http.post("/api/v1/imports", data=data, files={"file": ("p.csv", CSV)})
    assert_error(answer, 422, code, location, either=either)
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": acme.id}) == 0


async def test_what_a_run_is_called(http: httpx.AsyncClient, ledger: Ledger) -> None:
    importer = await create_importer(http)
    started = await start_import(http, importer["id"])
    assert started.headers["location"] == f"/api/v1/imports/{started.json()['id']}"
    # Nobody has taken the run yet.
    assert started.json()["status"] == "pending"
    seen = (await http.get(started.headers["location"])).json()
    assert (seen["status"], seen["num_rows"], seen["completed_at"]) == ("pending", 0, None)
    run_id = of_uuid(started.json()["id"])
    assert run_id is not None
    await validate(ledger, run_id)
    assert (await http.get(started.headers["location"])).json()["status"] == "processing"
    assert (await http.post(f"/imports/runs/{run_id}/cancel")).status_code == 200
    cancelled = (await http.get(started.headers["location"])).json()
    assert (cancelled["status"], cancelled["completed_at"]) == ("failed", None)
    assert cancelled["error"]
