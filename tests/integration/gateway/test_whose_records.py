"""Whose records are shown, and those that one run has written."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bson import ObjectId

from libs.batches.tables import pack_bits
from libs.contracts.ids import record_id
from libs.contracts.states import BatchState
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import BatchResult, UndoEntry
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error
from tests.integration.gateway.test_records import get, listed, record, skus, template
from tests.integration.gateway.test_rows import executing, moved, parsed
from tests.integration.ledger.runs import current


async def test_nothing_of_another_organization(
    acme: Organization, new_organization: Callable[[], Awaitable[Organization]], mongo: Mongo, resource: str
) -> None:
    other = await new_organization()
    for each in (acme, other):
        await template(each, resource)
    await mongo.target[resource].insert_many([record(acme.id, 1), record(other.id, 2), record(acme.id, 3)])
    assert await skus(acme.http, resource, limit=1) == ["S0001", "S0003"]
    assert await skus(other.http, resource) == ["S0002"]
    assert_error(await other.http.get(f"/records/{resource}/{1:024x}"), 404, "RECORD_NOT_FOUND")
    theirs = (await get(acme.http, f"/records/{resource}", limit=1))["next_after"]
    stolen = await other.http.get(f"/records/{resource}", params={"after": theirs})
    assert_error(stolen, 422, "INVALID_REQUEST", "after")
    foreign = await other.http.get(f"/records/{resource}", params={"tenant_id": acme.id})
    assert_error(foreign, 404, "TENANT_NOT_FOUND")


async def test_parents_see_what_is_below(
    acme: Organization, new_organization: Callable[[], Awaitable[Organization]], mongo: Mongo, resource: str
) -> None:
    below = [await new_organization() for _ in range(3)]
    for child in below:
        await mongo.state["organizations"].update_one({"_id": child.id}, {"$set": {"parent_id": acme.id}})
    for organization in (below[0], below[2]):
        await template(organization, resource)
    await mongo.target[resource].insert_many(
        [record(below[n % 3].id if n % 3 != 1 else "f" * 24, n) for n in range(30)]
    )
    children = {"include_children": True}
    expected = sorted((below[n % 3].id, f"S{n:04}") for n in range(30) if n % 3 != 1)
    for limit in (3, 100):
        found = await listed(acme.http, resource, limit=limit, **children)
        assert [(each["tenant_id"], each["fields"]["sku"]) for each in found] == expected
    one = await skus(acme.http, resource, tenant_id=below[2].id)
    assert one == [f"S{n:04}" for n in range(30) if n % 3 == 2]
    shown = await get(acme.http, f"/records/{resource}/{2:024x}", tenant_id=below[2].id)
    assert shown["tenant_id"] == below[2].id
    assert_error(await acme.http.get(f"/records/{resource}"), 404, "RESOURCE_NOT_FOUND")


async def test_records_of_a_run(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    """Created, updated and gone ones, over batches; by pages and as files."""
    run = await parsed(ledger, acme, [[["x"]] * 4, [["x"]] * 3], "sku")
    await executing(mongo, ledger, run)
    updated = pack_bits([2], 1, 4)
    await moved(
        mongo,
        ledger,
        run,
        BatchState.VALIDATED,
        BatchState.WRITTEN,
        BatchResult(ok=4, created=3, updated=1),
        written={"updated": updated},
    )
    run = await current(ledger, run)
    target = mongo.target[run.template.target_resource]
    records = [record(acme.id, row, _id=ObjectId(record_id(run.id, row))) for row in (1, 4, 5, 7)]
    await target.insert_many(
        [*records, record(acme.id, 100, _id="mine"), record("f" * 24, 3, _id=ObjectId(record_id(run.id, 3)))]
    )
    await UndoEntry.get_pymongo_collection().insert_one(
        {"_id": f"{run.id}:2", "tenant_id": acme.id, "run_id": run.id, "row": 2, "record_id": "mine"}
    )
    address = f"/imports/runs/{run.id}/records"
    whole = await get(acme.http, address)
    assert [(each["row"], each["outcome"], each["record"]["row"]) for each in whole["data"]] == [
        (1, "created", 1),
        (2, "updated", 100),
        (4, "created", 4),
        (5, "created", 5),
        (7, "created", 7),
    ]
    assert whole["next_after"] is None
    paged: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await get(acme.http, address, limit=2, after=after)
        paged, after = [*paged, *page["data"]], page["next_after"]
    assert paged == whole["data"]
    lines = await acme.http.get(address, params={"format": "ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == [each["record"] for each in whole["data"]]
    table = await acme.http.get(address, params={"format": "csv", "limit": 3})
    assert [line["_row"] for line in csv.DictReader(io.StringIO(table.text))] == ["1", "100", "4"]
    book = await acme.http.get(address, params={"format": "xlsx"})
    assert book.status_code == 200
    assert table.headers["content-disposition"] == f'attachment; filename="{run.id}-records.csv"'
