"""What a later run changes of records that an earlier one has left: told by their bytes, refused and noted as ever."""

from typing import Any

import pytest
from pymongo import ASCENDING

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.writer.batches import rejections, written

pytestmark = pytest.mark.servers
FIELDS: list[dict[str, Any]] = [{"name": "sku"}, {"name": "name"}, {"name": "size", "type": "number", "integer": True}]
UPSERT: dict[str, Any] = {"fields": FIELDS, "mode": "upsert", "upsert_key": "sku"}
BEFORE = [{"sku": f"s{number}", "name": f"name {number}", "size": number} for number in range(1, 6)]


async def records(mongo: Mongo) -> dict[str, dict[str, Any]]:
    return {record["sku"]: record async for record in mongo.target["records"].find()}


async def restored(mongo: Mongo, run_id: str) -> dict[int, dict[str, Any]]:
    """What the before-images of a run would put back, by row, but for what is noted on every record."""
    images = {image["row"]: image["restore"] async for image in mongo.state["undo"].find({"run_id": run_id})}
    noted = {"_import", "updated_at"}
    assert all(noted <= image.keys() for image in images.values())
    return {row: {name: image[name] for name in image.keys() - noted} for row, image in images.items()}


async def test_changed_unchanged_new_and_foreign_records_of_one_batch(mongo: Mongo, ledger: Ledger) -> None:
    first = await written(mongo, ledger, BEFORE, **UPSERT)
    await mongo.target["records"].update_one({"sku": "s3"}, {"$set": {"size": 3.5}, "$unset": {"name": ""}})
    before = await records(mongo)
    rows = [
        {"sku": "s5", "name": "another", "size": 5},
        {"sku": "s2", "name": "name 2", "size": 2},
        {"sku": "s3", "name": "name 3", "size": 3},
        {"sku": "s9", "name": "new", "size": None},
        {"sku": "s1", "name": None, "size": 7},
    ]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert run.status is RunStatus.COMPLETED
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated, run.counts.skipped) == (1, 3, 1)
    after = await records(mongo)
    assert {sku: (record["name"], record["size"]) for sku, record in after.items()} == {
        "s1": (None, 7),
        "s2": ("name 2", 2),
        "s3": ("name 3", 3),
        "s4": ("name 4", 4),
        "s5": ("another", 5),
        "s9": ("new", None),
    }
    assert await restored(mongo, run.id) == {1: {"name": "name 5"}, 3: {"size": 3.5}, 5: {"name": "name 1", "size": 1}}
    for sku, row in (("s5", 1), ("s3", 3), ("s1", 5)):
        origin, old = after[sku]["_import"], before[sku]["_import"]
        assert (origin["run_id"], origin["row"], origin["version"]) == (run.id, row, 2)
        assert (old["run_id"], origin["created_at"]) == (first.id, old["created_at"])
        assert origin["updated_at"] == after[sku]["updated_at"] > before[sku]["updated_at"]
    assert (after["s2"], after["s4"]) == (before["s2"], before["s4"])


async def test_a_rule_of_the_collection_refuses_one_change(mongo: Mongo, ledger: Ledger) -> None:
    await written(mongo, ledger, BEFORE, **UPSERT)
    rule = {"$jsonSchema": {"properties": {"size": {"maximum": 9}}}}
    await mongo.target.command("collMod", "records", validator=rule)
    rows = [{**row, "size": size} for row, size in zip(BEFORE, (8, 10, 8, 11, 8), strict=True)]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert {row: found[:2] for row, found in (await rejections(mongo, run)).items()} == {
        2: ("size", "TARGET_SCHEMA"),
        4: ("size", "TARGET_SCHEMA"),
    }
    assert [record["size"] for _, record in sorted((await records(mongo)).items())] == [8, 2, 8, 4, 8]
    assert await restored(mongo, run.id) == {1: {"size": 1}, 3: {"size": 3}, 5: {"size": 5}}


async def test_a_unique_index_that_others_made_refuses_one_change(mongo: Mongo, ledger: Ledger) -> None:
    await written(mongo, ledger, BEFORE, **UPSERT)
    await mongo.target["records"].create_index([("name", ASCENDING)], name="theirs", unique=True)
    rows = [{**BEFORE[0], "name": "free"}, {**BEFORE[1], "name": "name 5"}, {**BEFORE[2], "size": 33}]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert {row: found[1] for row, found in (await rejections(mongo, run)).items()} == {2: "DUPLICATE_KEY"}
    found = await records(mongo)
    assert [found[sku]["name"] for sku in ("s1", "s2", "s3")] == ["free", "name 2", "name 3"]
    assert await restored(mongo, run.id) == {1: {"name": "name 1"}, 3: {"size": 3}}


async def test_changes_are_made_in_the_order_of_the_file(mongo: Mongo, ledger: Ledger) -> None:
    """A value that one row gives up is free for a later one, whichever of the two records has to be read."""
    for theirs in ("s1", "s2"):
        await mongo.target["records"].drop()
        await written(mongo, ledger, BEFORE[:2], **UPSERT)
        await mongo.target["records"].create_index([("name", ASCENDING)], name="theirs", unique=True)
        await mongo.target["records"].update_one({"sku": theirs}, {"$set": {"size": 1.5}})
        run = await written(mongo, ledger, [{**BEFORE[0], "name": "free"}, {**BEFORE[1], "name": "name 1"}], **UPSERT)
        assert await rejections(mongo, run) == {}
        assert [record["name"] for _, record in sorted((await records(mongo)).items())] == ["free", "name 1"]
