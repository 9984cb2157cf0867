"""Records of a target: lists that miss and repeat nothing, filters and files."""

import asyncio
import base64
import csv
import io
import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import httpx
import openpyxl
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from libs.storage.client import Mongo
from libs.storage.target_keys import TargetKeys
from services.gateway.records import records as module
from services.gateway.stores.records import RECORDS_INDEX
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error, create_template

NOW = datetime(2025, 3, 31, 14, 5, tzinfo=UTC)
FIELDS = [
    {"source": "sku", "target": "sku"},
    {"source": "name", "target": "name"},
    {"source": "price", "target": "price", "transform": "decimal:2"},
    {"source": "stock", "target": "stock", "transform": "integer"},
    {"source": "active", "target": "active", "transform": "boolean"},
    {"source": "born", "target": "born", "transform": "date:YYYY-MM-DD"},
]


async def template(organization: Organization, resource: str, **changes: object) -> str:
    body = {"target_resource": resource, "field_mapping": FIELDS, "default_values": {"source": "erp"}, **changes}
    return (await create_template(organization.http, **body))["id"]


def record(tenant_id: str, number: int, **changes: object) -> dict[str, Any]:
    """One as the writer makes it."""
    return {
        "_id": ObjectId(f"{number:024x}"),
        "tenant_id": tenant_id,
        "sku": f"S{number:04}",
        "name": f"name {number % 7}",
        "price": Decimal128(f"{number}.50"),
        "stock": Int64(number),
        "active": number % 2 == 0,
        "born": NOW.replace(hour=0, minute=0, day=1 + number % 28),
        "source": "erp",
        "is_deleted": False,
        "deleted_at": None,
        "created_at": NOW,
        "updated_at": NOW,
        "_import": {"run_id": "r" * 24, "row": Int64(number), "version": 1, "created_at": NOW, "updated_at": NOW},
        **changes,
    }


async def get(http: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(http: httpx.AsyncClient, resource: str, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The records of all pages."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = await get(http, f"/records/{resource}", **query, **after)
        assert len(page["data"]) <= query.get("limit", 100)
        found += page["data"]
        if page["next_after"] is None:
            return found
        after = {"after": page["next_after"]}


async def skus(http: httpx.AsyncClient, resource: str, **query: Any) -> list[str]:  # noqa: ANN401
    return [each["fields"]["sku"] for each in await listed(http, resource, **query)]


async def test_a_record_as_it_is_stored(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    await mongo.target[resource].insert_one(record(acme.id, 7, extra={"Colour": "red", "n": Decimal128("1.0")}))
    (found,) = await listed(acme.http, resource)
    assert found == {
        "id": f"{7:024x}",
        "tenant_id": acme.id,
        "fields": {
            "sku": "S0007",
            "name": "name 0",
            "price": "7.50",
            "stock": 7,
            "active": False,
            "born": "2025-03-08T00:00:00Z",
            "source": "erp",
        },
        "extra": {"Colour": "red", "n": "1.0"},
        "is_deleted": False,
        "deleted_at": None,
        "run_id": "r" * 24,
        "row": 7,
        "version": 1,
        "created_at": "2025-03-31T14:05:00Z",
        "updated_at": "2025-03-31T14:05:00Z",
    }
    assert await get(acme.http, f"/records/{resource}/{found['id']}") == found


async def test_pages_have_everything_once_whatever_ids_are(acme: Organization, mongo: Mongo, resource: str) -> None:
    """Other applications have ids of any type; a list goes over all of them."""
    await template(acme, resource)
    ids: list[Any] = [*(ObjectId() for _ in range(40)), *range(20), *(f"id {n}" for n in range(20)), 1.5, UUID(int=3)]
    ids += [NOW, {"a": 1, "b": "x"}, b"bytes", Decimal128("3.14"), DatetimeMS(10**17), True]
    random.Random(1).shuffle(ids)
    for number, identifier in enumerate(ids):
        await mongo.target[resource].insert_one(record(acme.id, number, _id=identifier))
    expected = sorted(f"S{number:04}" for number in range(len(ids)))
    for limit in (1, 7, 1_000):
        assert sorted(await skus(acme.http, resource, limit=limit)) == expected
    for one in (ids[0], "id 3", 4, UUID(int=3)):
        shown = await get(acme.http, f"/records/{resource}/{one}")
        assert shown["id"] == str(one)


async def test_what_is_inserted_meanwhile_is_in_no_ones_way(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    records = mongo.target[resource]
    await records.insert_many([record(acme.id, number * 10) for number in range(1, 10)])
    first = await get(acme.http, f"/records/{resource}", limit=4)
    await records.delete_one({"_id": ObjectId(f"{50:024x}")})
    await records.insert_one(record(acme.id, 5))
    await records.insert_one(record(acme.id, 75))
    second = await get(acme.http, f"/records/{resource}", limit=10, after=first["next_after"])
    rows = [each["row"] for each in first["data"] + second["data"]]
    assert rows == [10, 20, 30, 40, 60, 70, 75, 80, 90]


async def test_large_records_make_short_pages(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    await mongo.target[resource].insert_many([record(acme.id, n, name="x" * 1_500_000) for n in range(6)])
    page = await get(acme.http, f"/records/{resource}")
    assert 1 <= len(page["data"]) <= 3
    assert await skus(acme.http, resource) == [f"S{n:04}" for n in range(6)]


FILTERS: list[tuple[list[str], Callable[[int], bool]]] = [
    (["sku:eq:S0007"], lambda n: n == 7),
    (["sku:in:S0007,S0009"], lambda n: n in (7, 9)),
    (["sku:prefix:S000"], lambda n: n < 10),
    (["name:ne:name 0"], lambda n: n % 7 != 0),
    (["price:gt:30.50"], lambda n: n > 30),
    (["price:gte:30.5", "price:lt:33.5"], lambda n: n in (30, 31, 32)),
    (["stock:lte:3"], lambda n: n <= 3),
    (["active:eq:true"], lambda n: n % 2 == 0),
    (["born:eq:2025-03-01"], lambda n: n % 28 == 0),
    (["born:gte:2025-03-28T00:00:00+00:00"], lambda n: n % 28 == 27),
    (["source:eq:erp", "active:eq:false", "stock:lt:5"], lambda n: n in (1, 3)),
    (["name:exists:false"], lambda _: False),
    (["_row:eq:7"], lambda n: n == 7),
    ([f"_run_id:eq:{'r' * 24}", "_created_at:gt:2025-03-31", "stock:eq:2"], lambda n: n == 2),
    (["name:eq:{$ne: null}"], lambda _: False),
]


async def test_filters(acme: Organization, mongo: Mongo, resource: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK", 10)
    monkeypatch.setattr(module, "MOST_LOOKED", 20)
    await template(acme, resource)
    await mongo.target[resource].insert_many([record(acme.id, number) for number in range(60)])
    for filters, holds in FILTERS:
        expected = [f"S{number:04}" for number in range(60) if holds(number)]
        for limit in (2, 100):
            assert await skus(acme.http, resource, filter=filters, limit=limit) == expected, filters
        answer = await acme.http.get(f"/records/{resource}/export", params={"filter": filters, "format": "ndjson"})
        assert [json.loads(line)["fields"]["sku"] for line in answer.text.splitlines()] == expected


async def test_a_page_is_given_up_in_time(
    acme: Organization, mongo: Mongo, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of records that are hard to find a page may be empty; the next one goes on from there."""
    monkeypatch.setattr(module, "FIRST_LOOK", 5)
    monkeypatch.setattr(module, "MOST_LOOKED", 5)
    monkeypatch.setattr(module, "PAGE_SECONDS", -1.0)
    await template(acme, resource)
    await mongo.target[resource].insert_many([record(acme.id, number) for number in range(20)])
    page = await get(acme.http, f"/records/{resource}", filter="stock:eq:18")
    assert page["data"] == []
    assert page["next_after"] is not None
    assert await skus(acme.http, resource, filter="stock:eq:18") == ["S0018"]


async def test_by_a_key_a_record_is_found_at_once(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource, import_mode="upsert", upsert_key="sku")
    records = mongo.target[resource]
    numbers = range(1, 400)
    await records.insert_many([record(acme.id, number) for number in numbers])
    keys = TargetKeys(mongo)
    (key,) = await keys.of(acme.id, resource)
    await keys.require(acme.id, resource, [key.names])
    await keys.renew(acme.id, resource, [ObjectId(f"{number:024x}") for number in numbers])
    await records.update_one({"sku": "S0009"}, {"$set": {"is_deleted": True}})
    await mongo.target.command({"profile": 2, "filter": {"ns": f"{mongo.target.name}.{resource}"}})
    assert await skus(acme.http, resource, filter="sku:eq:S0300") == ["S0300"]
    assert await skus(acme.http, resource, filter=["sku:in:S0009,S0300,S0007,none"], limit=1) == ["S0007", "S0300"]
    assert await skus(acme.http, resource, filter=["sku:eq:S0300", "stock:eq:1"]) == []
    await mongo.target.command({"profile": 0, "filter": "unset"})
    looks = await mongo.target["system.profile"].find({"op": {"$in": ["query", "getmore"]}}).to_list()
    assert looks
    assert max(look["docsExamined"] for look in looks) <= 4
    assert await skus(acme.http, resource, filter="sku:eq:S0009", include_deleted=True) == ["S0009"]
    # What nobody has adopted yet is not among what the keys know.
    await records.insert_one({"_id": "new", "tenant_id": acme.id, "sku": "S9999", "is_deleted": False})
    assert await skus(acme.http, resource, filter="sku:eq:S9999") == ["S9999"]


async def test_every_query_goes_by_an_index(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    await mongo.target[resource].insert_many([record(acme.id, number) for number in range(2_000)])
    await mongo.target[resource].insert_many([record("f" * 24, number + 5_000) for number in range(3_000)])
    for database in (mongo.target, mongo.state):
        await database.command({"profile": 2, "filter": {"appName": "rowdock"}})
    await listed(acme.http, resource, limit=1_000, filter="stock:gt:1990")
    await get(acme.http, f"/records/{resource}/{7:024x}")
    for file_format in ("csv", "xlsx"):
        await acme.http.get(f"/records/{resource}/export", params={"format": file_format})
    seen: list[dict[str, Any]] = []
    for database in (mongo.target, mongo.state):
        await database.command({"profile": 0, "filter": "unset"})
        seen += await database["system.profile"].find({"op": {"$in": ["query", "getmore", "command"]}}).to_list()
    of_records = [look for look in seen if look["ns"].endswith(f".{resource}")]
    assert of_records
    plans = {look.get("planSummary", "") for look in seen}
    assert not [plan for plan in plans if "COLLSCAN" in plan], plans
    assert max(look.get("docsExamined", 0) for look in of_records) <= 2_000, "records of others were read"
    assert not [look for look in of_records if look.get("hasSortStage")]


async def test_nobody_pays_for_lists_that_nobody_asks_for(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    assert await listed(acme.http, resource) == []
    assert not await mongo.target.list_collection_names(filter={"name": resource})
    await mongo.target[resource].insert_one(record(acme.id, 1))
    assert RECORDS_INDEX not in await mongo.target[resource].index_information()
    assert len(await listed(acme.http, resource)) == 1
    assert RECORDS_INDEX in await mongo.target[resource].index_information()
    await mongo.target[resource].drop_index(RECORDS_INDEX)
    assert len(await listed(acme.http, resource)) == 1
    assert RECORDS_INDEX in await mongo.target[resource].index_information()


async def test_deleted_records(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource)
    gone = record(acme.id, 2, is_deleted=True, deleted_at=NOW)
    await mongo.target[resource].insert_many([record(acme.id, 1), gone])
    assert await skus(acme.http, resource) == ["S0001"]
    assert await skus(acme.http, resource, include_deleted=True) == ["S0001", "S0002"]
    shown = await get(acme.http, f"/records/{resource}/{2:024x}")
    assert (shown["is_deleted"], shown["deleted_at"]) == (True, "2025-03-31T14:05:00Z")


async def test_resources(
    acme: Organization, new_organization: Callable[[], Awaitable[Organization]], resource: str
) -> None:
    other = await new_organization()
    names = [f"{resource}_{letter}" for letter in "cab"]
    for name in names:
        await template(acme, name)
    await template(other, f"{resource}_d")
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await get(acme.http, "/records", limit=2, after=after)
        found += [each["resource"] for each in page["data"]]
        after = page["next_after"]
    assert found == sorted(names)
    assert (await get(other.http, "/records"))["data"] == [{"resource": f"{resource}_d"}]
    assert_error(await acme.http.get("/records", params={"after": "a;b"}), 400, "INVALID_PARAMETER", "query.after")


async def test_files(acme: Organization, mongo: Mongo, resource: str) -> None:
    await template(acme, resource, include_unmatched_columns=True)
    dangerous = '=HYPERLINK("http://x")'
    await mongo.target[resource].insert_many(
        [record(acme.id, n, name=dangerous, extra={"c": "@x"}, other="not in a table") for n in range(1_200)]
    )
    expected = await listed(acme.http, resource, limit=1_000)
    address = f"/records/{resource}/export"
    lines = await acme.http.get(address, params={"format": "ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == expected
    answer = await acme.http.get(address)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{resource}.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(table) == len(expected)
    assert list(table[0]) == [
        *("_id", "_tenant_id", "_run_id", "_row", "_created_at", "_updated_at", "_is_deleted", "_deleted_at"),
        *("sku", "name", "price", "stock", "active", "born", "source", "_extra"),
    ]
    assert table[7] == {
        "_id": f"{7:024x}",
        "_tenant_id": acme.id,
        "_run_id": "r" * 24,
        "_row": "7",
        "_created_at": "2025-03-31T14:05:00Z",
        "_updated_at": "2025-03-31T14:05:00Z",
        "_is_deleted": "false",
        "_deleted_at": "",
        "sku": "S0007",
        "name": f"'{dangerous}",
        "price": "7.50",
        "stock": "7",
        "active": "false",
        "born": "2025-03-08T00:00:00Z",
        "source": "erp",
        "_extra": '{"c": "@x"}',
    }
    book = await acme.http.get(address, params={"format": "xlsx", "limit": 1_000})
    sheet = await asyncio.to_thread(lambda: openpyxl.load_workbook(io.BytesIO(book.content))["rows"])
    cells = list(sheet.iter_rows())
    assert [cell.value for cell in cells[0]] == list(table[0])
    assert len(cells) == 1_001
    assert {cell.data_type for row in cells for cell in row} <= {"s", "n", "inlineStr"}
    assert [cell.value for cell in cells[8]][9:13] == [dangerous, 7.5, 7, "false"]
    head = await acme.http.head(address)
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "text/csv; charset=utf-8")


def deep_place(tenant_id: str) -> str:
    """A place that nobody was given: its id is deeper than the database can compare."""
    deep: dict[str, Any] = {}
    for _ in range(180):
        deep = {"": deep}
    return base64.urlsafe_b64encode(bson.encode({"t": tenant_id, "i": deep})).decode().rstrip("=")


async def test_keys_that_nobody_has_imported_by_yet(acme: Organization, mongo: Mongo, resource: str) -> None:
    """There is no index of keys where only another application has inserted records."""
    await template(acme, resource, import_mode="upsert", upsert_key="sku")
    await mongo.target[resource].insert_many([record(acme.id, number, _import=None) for number in range(5)])
    assert await skus(acme.http, resource, filter="sku:eq:S0003") == ["S0003"]


async def test_what_is_refused(acme: Organization, mongo: Mongo, resource: str) -> None:
    http = acme.http
    assert_error(await http.get(f"/records/{resource}"), 404, "RESOURCE_NOT_FOUND")
    await template(acme, resource)
    address = f"/records/{resource}"
    unknown = assert_error(await http.get(address, params={"filter": "skuu:eq:1"}), 422, "INVALID_REQUEST", "filter[0]")
    assert "did you mean 'sku'?" in unknown["detail"]
    for path in (address, f"{address}/export"):
        assert_error(await http.get(path, params={"filter": ["sku:eq:1", "x"]}), 422, "INVALID_REQUEST", "filter[1]")
        for after in ("x", "A" * 2_000, deep_place(acme.id)):
            assert_error(await http.get(path, params={"after": after}), 422, "INVALID_REQUEST", "after")
        assert_error(await http.get(path, params={"sku": "x"}), 400, "INVALID_PARAMETER", "query.sku")
    assert_error(await http.get(address, params={"limit": 1_001}), 400, "INVALID_PARAMETER", "query.limit")
    await mongo.target[resource].insert_one(record(acme.id, 1))
    for identifier in ("0", "x" * 500, "%00", "$ne", f"{2:024x}"):
        assert_error(await http.get(f"{address}/{identifier}"), 404, "RECORD_NOT_FOUND")
