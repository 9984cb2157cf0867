"""What the modes do with the records that exist, on a real server."""

from typing import Any

import pytest

from libs.batches.tables import unpack_bits, unpack_rows
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.writer.batches import (
    TENANT,
    UPSERT,
    executing,
    held,
    rejections,
    unique,
    write,
    written,
)
from tests.unit.writer.messages import exists

pytestmark = pytest.mark.servers
UPDATE: dict[str, Any] = {**UPSERT, "mode": "update"}
DELETING: dict[str, Any] = {**UPSERT, "delete_column": "gone"}


async def test_an_update_changes_records_and_creates_none(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "gone", "is_deleted": True})
    rows = [{"sku": sku, "phone": phone} for sku, phone in [("a", "9"), ("b", "2"), ("c", "3"), ("gone", "4")]]
    run = await written(mongo, ledger, rows, **UPDATE)
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated, run.counts.written) == (0, 1, 1)
    assert run.counts.skip_reasons == {"UNCHANGED": 1, "NOT_FOUND": 2}
    assert await mongo.target["records"].count_documents({}) == 3
    batch = await mongo.state["batches"].find_one({"run_id": run.id})
    assert batch is not None
    assert unpack_rows(batch["skipped_rows"]["NOT_FOUND"]).tolist() == [3, 4]
    assert {name: unpack_bits(bits, 4).tolist() for name, bits in batch["written_rows"].items()} == {
        "updated": [True, False, False, False]
    }
    images = await mongo.state["undo"].find({"run_id": run.id}).to_list()
    assert [image["restore"].get("phone") for image in images] == ["1"]


async def test_a_row_of_an_update_without_a_record_keeps_no_value_from_others(mongo: Mongo, ledger: Ledger) -> None:
    """Row 1 would have had the phone first, and row 3 may not have what another record has: neither is written."""
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "c", "phone": "3"})
    pairs = [("x", "7"), ("a", "7"), ("y", "3"), ("b", "3")]
    run = await written(mongo, ledger, [{"sku": sku, "phone": phone} for sku, phone in pairs], **UPDATE)
    assert await rejections(mongo, run) == {4: ("phone", "DUPLICATE_KEY", exists("phone '3'"))}
    assert run.counts is not None
    assert (run.counts.updated, run.counts.skip_reasons) == (1, {"NOT_FOUND": 2})


async def test_rows_delete_their_records(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "c", "tenant_id": "another"})
    rows: list[dict[str, Any]] = [
        {"sku": "a", "_delete": True},
        {"sku": "b", "phone": "9"},
        {"sku": "c", "_delete": True},
        {"sku": "new", "phone": "3"},
    ]
    run = await written(mongo, ledger, rows, **DELETING)
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated, run.counts.deleted, run.counts.written) == (1, 1, 1, 3)
    assert run.counts.skip_reasons == {"NOT_FOUND": 1}
    batch = await mongo.state["batches"].find_one({"run_id": run.id})
    assert batch is not None
    assert {name: unpack_bits(bits, 4).tolist() for name, bits in batch["written_rows"].items()} == {
        "updated": [False, True, False, False],
        "deleted": [True, False, False, False],
    }
    deleted = await mongo.target["records"].find_one({"sku": "a"})
    assert deleted is not None
    assert (deleted["is_deleted"], deleted["phone"]) == (True, "1")
    assert deleted["deleted_at"] == deleted["_import"]["updated_at"] == deleted["updated_at"]
    assert (deleted["_import"]["run_id"], deleted["_import"]["row"]) == (run.id, 1)
    image = await mongo.state["undo"].find_one({"run_id": run.id, "deletes": True})
    assert image is not None
    assert (image["restore"], image["tenant_id"]) == ({"is_deleted": False}, TENANT)
    assert sorted(image["remove"]) == ["_import", "deleted_at", "updated_at"]
    again = await written(mongo, ledger, [{"sku": "a", "phone": "5"}], **UPSERT)
    assert again.counts is not None
    assert again.counts.created == 1


async def test_a_deleted_record_that_somebody_brings_back_is_found_again(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await written(mongo, ledger, [{"sku": "a", "phone": "1"}], **UPSERT)
    await written(mongo, ledger, [{"sku": "a", "_delete": True}], **DELETING)
    revived = {"$set": {"is_deleted": False, "deleted_at": None}}
    await mongo.target["records"].update_one({"sku": "a", "is_deleted": True}, revived)
    run = await written(mongo, ledger, [{"sku": "a", "phone": "2"}], **UPSERT)
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated) == (0, 1)
    assert await mongo.target["records"].count_documents({"sku": "a"}) == 1


async def test_a_value_that_a_deletion_frees_is_free_for_later_runs(mongo: Mongo, ledger: Ledger) -> None:
    """As the validator finds it, which asks the target before anything is deleted."""
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "a", "phone": "1"})
    rows: list[dict[str, Any]] = [{"sku": "a", "_delete": True}, {"sku": "b", "phone": "1"}]
    run = await written(mongo, ledger, rows, **DELETING)
    assert await rejections(mongo, run) == {2: ("phone", "DUPLICATE_KEY", exists("phone '1'"))}
    run = await written(mongo, ledger, rows, **DELETING)
    assert run.counts is not None
    assert (run.counts.created, run.counts.skip_reasons) == (1, {"NOT_FOUND": 1})


async def test_rules_of_the_target_may_refuse_a_deletion(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a"}, {"sku": "b"})
    validator = {"$or": [{"is_deleted": False}, {"sku": {"$ne": "a"}}]}
    await mongo.target.command("collMod", "records", validator=validator)
    rows: list[dict[str, Any]] = [{"sku": "a", "_delete": True}, {"sku": "b", "_delete": True}]
    run = await written(mongo, ledger, rows, **DELETING)
    assert {row: code for row, (_, code, _) in (await rejections(mongo, run)).items()} == {1: "TARGET_SCHEMA"}
    assert run.counts is not None
    assert (run.counts.deleted, run.counts.rejected) == (1, 1)


async def test_a_batch_that_an_earlier_release_has_checked_deletes_and_updates_nothing(
    mongo: Mongo, ledger: Ledger
) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"})
    run = await executing(mongo, ledger, [{"sku": "a", "phone": "2"}], **DELETING)
    await mongo.state["batch_payloads"].delete_one({"run_id": run.id, "_id": {"$regex": "deletions$"}})
    failed = await write(mongo, ledger, run)
    assert failed.stop is not None
    assert (failed.status, failed.stop.code) == (RunStatus.FAILED, "MODE_NOT_SUPPORTED")
    assert await mongo.target["records"].count_documents({"phone": "1", "is_deleted": False}) == 1
