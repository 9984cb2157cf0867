"""Keys bind the records of their tenant, whoever else writes: other tenants, other applications, other writers."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from libs.contracts.record_keys import entry_values
from libs.contracts.states import RunStatus
from libs.contracts.templates import combination
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.storage.target_keys import TargetKeys
from tests.integration.writer.batches import executing, rejections, write, written
from tests.unit.writer.messages import exists

pytestmark = pytest.mark.servers
TENANT = "tenant"
FIELDS: list[dict[str, Any]] = [{"name": "sku"}, {"name": "phone"}]
APPEND: dict[str, Any] = {"fields": FIELDS}
UPSERT: dict[str, Any] = {"fields": FIELDS, "mode": "upsert", "upsert_key": "sku"}
WRITERS = 8


async def held(mongo: Mongo, *records: dict[str, Any]) -> None:
    common = {"tenant_id": TENANT, "is_deleted": False}
    await mongo.target["records"].insert_many([{**common, **record} for record in records])


async def records(mongo: Mongo) -> dict[Any, dict[str, Any]]:
    return {record["sku"]: record async for record in mongo.target["records"].find({"tenant_id": TENANT})}


async def entries(mongo: Mongo, sku: str) -> list[list[Any]]:
    return [entry_values(entry) for entry in (await records(mongo))[sku]["_keys"]]


def rows(skus: Sequence[int], phone: str) -> list[dict[str, Any]]:
    return [{"sku": str(sku), "phone": phone} for sku in skus]


@pytest.mark.parametrize("overlap", [1.0, 0.5], ids=["the same keys", "half of them"])
async def test_writers_side_by_side_leave_no_key_twice(mongo: Mongo, ledger: Ledger, overlap: float) -> None:
    """Each in another order, so that none of them is first at every key."""
    own = 120
    step = round(own * (1 - overlap))
    batches = [list(range(step * writer, step * writer + own)) for writer in range(WRITERS)]
    turned = [batch[at * 7 % own :] + batch[: at * 7 % own] for at, batch in enumerate(batches)]
    runs = [await executing(mongo, ledger, rows(batch, "1"), **UPSERT) for batch in turned]
    ended: list[RunDocument] = await asyncio.gather(*(write(mongo, ledger, run) for run in runs))
    assert [run.status for run in ended] == [RunStatus.COMPLETED] * WRITERS
    counts = [run.counts for run in ended if run.counts is not None]
    assert {count.created + count.updated + count.skipped + count.rejected for count in counts} == {own}
    stored = Counter([record["sku"] async for record in mongo.target["records"].find()])
    assert set(stored.values()) == {1}
    assert set(stored) == {str(sku) for batch in batches for sku in batch}
    assert sum(count.created for count in counts) == len(stored)
    assert sum(count.rejected for count in counts) == 0


async def test_writers_side_by_side_that_change_what_others_create(mongo: Mongo, ledger: Ledger) -> None:
    runs = [await executing(mongo, ledger, rows(range(60), str(number)), **UPSERT) for number in range(WRITERS)]
    ended: list[RunDocument] = await asyncio.gather(*(write(mongo, ledger, run) for run in runs))
    counts = [run.counts for run in ended if run.counts is not None]
    assert (sum(each.created for each in counts), sum(each.updated for each in counts)) == (60, 60 * (WRITERS - 1))
    found = await mongo.target["records"].find().to_list()
    assert len(found) == 60
    assert {record["_import"]["version"] for record in found} == {WRITERS}


async def test_what_another_tenant_asks_for_binds_nobody_else(mongo: Mongo, ledger: Ledger) -> None:
    await TargetKeys(mongo).require("another", "records", [("phone",)])
    await held(mongo, {"sku": "x", "phone": "5", "tenant_id": "another"})
    run = await written(mongo, ledger, [{"sku": "a", "phone": "5"}, {"sku": "b", "phone": "5"}], **APPEND)
    assert await rejections(mongo, run) == {}
    assert all("_keys" not in record for record in (await records(mongo)).values())


async def test_records_that_other_applications_insert_are_found(mongo: Mongo, ledger: Ledger) -> None:
    await written(mongo, ledger, rows(range(2), "1"), **UPSERT)
    await held(mongo, {"sku": "x", "phone": "1"}, {"sku": "0", "phone": "a second one"})
    run = await written(mongo, ledger, [{"sku": "x", "phone": "2"}, {"sku": "0", "phone": "2"}], **UPSERT)
    assert run.counts is not None
    assert (run.counts.updated, run.counts.created) == (2, 0)
    assert await entries(mongo, "x") == [["x"]]
    phones = await mongo.target["records"].distinct("phone", {"sku": "0"})
    assert set(phones) == {"2", "a second one"}, "the record that has the key is the one that it finds"


@pytest.mark.parametrize("template", [APPEND, UPSERT], ids=["append", "upsert"])
async def test_a_field_that_another_application_changes(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    """Its record says still that it has the old value, and gives it up when somebody asks for that."""
    await written(mongo, ledger, rows(range(2), "1"), **UPSERT)
    await mongo.target["records"].update_one({"sku": "0"}, {"$set": {"sku": "moved"}})
    run = await written(mongo, ledger, [{"sku": "0", "phone": "2"}, {"sku": "1", "phone": "1"}], **template)
    assert run.counts is not None
    assert run.counts.created == 1
    assert {sku: record["phone"] for sku, record in (await records(mongo)).items()} == {
        "moved": "1",
        "0": "2",
        "1": "1",
    }
    assert await entries(mongo, "moved") == [["moved"]]
    again = await written(mongo, ledger, [{"sku": "moved", "phone": "3"}], **UPSERT)
    assert again.counts is not None
    assert again.counts.updated == 1


async def test_a_change_of_a_field_changes_its_entry(mongo: Mongo, ledger: Ledger) -> None:
    await TargetKeys(mongo).register(TENANT, "records", [("phone",), combination("sku", "phone")])
    await written(mongo, ledger, rows(range(2), "1")[:1], **UPSERT)
    await written(mongo, ledger, [{"sku": "0", "phone": "2"}], **UPSERT)
    assert await entries(mongo, "0") == [["2"], ["2", "0"], ["0"]]
    run = await written(mongo, ledger, [{"sku": "1", "phone": "2"}, {"sku": "2", "phone": "1"}], **APPEND)
    assert await rejections(mongo, run) == {1: ("phone", "DUPLICATE_KEY", exists("phone '2'"))}
    await written(mongo, ledger, [{"sku": "0", "phone": None}], **UPSERT)
    assert await entries(mongo, "0") == [["0"]]


async def test_what_a_writer_of_the_release_before_has_made(mongo: Mongo, ledger: Ledger) -> None:
    """It gives records no entries; the index of its release still stands and refuses their values."""
    live = {"is_deleted": False, "sku": {"$type": ["string", "number", "date", "bool"]}}
    index = [("tenant_id", 1), ("sku", 1)]
    await mongo.target["records"].create_index(index, unique=True, partialFilterExpression=live, name="upsert_sku")
    await written(mongo, ledger, rows(range(2), "1"), **UPSERT)
    await held(mongo, {"sku": "old", "phone": "1", "_import": {"run_id": "r", "row": 1, "version": 1}})
    run = await written(mongo, ledger, [{"sku": "old", "phone": "2"}, {"sku": "new"}], **UPSERT)
    assert run.counts is not None
    assert (run.counts.updated, run.counts.created, run.counts.rejected) == (1, 1, 0)
    assert await entries(mongo, "old") == [["old"]]


async def test_a_key_that_is_registered_while_a_run_is_written(mongo: Mongo, ledger: Ledger) -> None:
    """The first batch knew of no key; the records of the second carry it all the same."""
    first, second = [await executing(mongo, ledger, rows(range(at, at + 2), "1"), **APPEND) for at in (0, 2)]
    await write(mongo, ledger, first)
    await TargetKeys(mongo).register(TENANT, "records", [("sku",)])
    await write(mongo, ledger, second)
    assert [await entries(mongo, str(sku)) for sku in range(4)] == [[[str(sku)]] for sku in range(4)]


async def test_records_that_break_a_key_already_fail_the_run(mongo: Mongo, ledger: Ledger) -> None:
    await held(mongo, {"sku": "x"}, {"sku": "x"})
    run = await write(mongo, ledger, await executing(mongo, ledger, rows(range(2), "1"), **UPSERT))
    assert run.status is RunStatus.FAILED
    assert run.stop is not None
    assert run.stop.code == "KEYS_NOT_UNIQUE"
    assert "'sku'" in run.stop.message
    assert await TargetKeys(mongo).of(TENANT, "records") == ()
    assert await mongo.target["records"].count_documents({"_import": {"$exists": True}}) == 0


async def test_a_collection_that_was_dropped_gets_its_index_again(mongo: Mongo, ledger: Ledger) -> None:
    await written(mongo, ledger, rows(range(2), "1"), **UPSERT)
    await mongo.target["records"].drop()
    await written(mongo, ledger, rows(range(2), "1"), **UPSERT)
    indexes = await mongo.target["records"].index_information()
    assert indexes["rowdock_keys"]["unique"]
