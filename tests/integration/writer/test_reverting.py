"""A run is taken back: the target is what it was before, but for what others have changed since."""

from typing import Any

import pytest

from libs.contracts.errors import TransientError
from libs.contracts.events import RevertCounts
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from services.writer import reverting
from tests.integration.ledger.runs import current, events
from tests.integration.writer.batches import (
    FIELDS,
    UPSERT,
    held,
    revert_batch,
    reverted,
    unique,
    written,
)

pytestmark = pytest.mark.servers
APPEND: dict[str, Any] = {"fields": FIELDS}
DELETING: dict[str, Any] = {**UPSERT, "delete_column": "gone"}


async def target(mongo: Mongo) -> list[Document]:
    return await mongo.target["records"].find(sort=[("_id", 1)]).to_list()


async def kept(mongo: Mongo, run: RunDocument) -> dict[int, tuple[str, list[str]]]:
    """Row to the reason and fields of each record that was kept."""
    notes = await mongo.state["undo"].find({"run_id": run.id, "kept.reason": {"$type": "string"}}).to_list()
    assert {note["tenant_id"] for note in notes} <= {"tenant"}
    return {note["row"]: (note["kept"]["reason"], note["kept"]["fields"]) for note in notes}


async def test_everything_is_as_it_was(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1", "note": "x"}, {"sku": "b", "phone": "2"}, {"sku": "c", "phone": "3"})
    await written(mongo, ledger, [{"sku": "d", "phone": "4"}], **UPSERT)
    before = await target(mongo)
    rows: list[dict[str, Any]] = [
        {"sku": "a", "phone": "9", "country": "SE"},
        {"sku": "b", "_delete": True},
        {"sku": "c", "phone": "3", "country": "NO"},
        {"sku": "d", "phone": "7"},
        {"sku": "e", "phone": "5"},
        {"sku": "unknown", "_delete": True},
    ]
    run = await written(mongo, ledger, rows, **DELETING)
    assert await target(mongo) != before
    run = await reverted(mongo, ledger, run)
    assert await target(mongo) == before
    assert run.status is RunStatus.REVERTED
    assert run.reverted == RevertCounts(removed=1, restored=3, returned=1, kept=0)
    assert (run.completed_at, await mongo.state["batch_payloads"].count_documents({"run_id": run.id})) != (None, 0)
    assert await mongo.state["batch_payloads"].distinct("_id", {"run_id": run.id}) == [f"{run.id}:0:00000000:parsed"]
    told = await events(mongo, run)
    assert [event["status"] for event in told][-3:] == ["completed", "reverting", "reverted"]
    assert told[-1]["reverted"] == {"removed": 1, "restored": 3, "returned": 1, "kept": 0}
    assert told[-1]["counts"] == told[-3]["counts"]
    assert await kept(mongo, run) == {}


async def test_what_others_changed_is_kept_and_listed(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    skus = "abcdefg"
    await held(mongo, *({"sku": sku, "phone": "1"} for sku in skus))
    rows: list[dict[str, Any]] = [
        *({"sku": sku, "phone": "2"} for sku in skus),
        {"sku": "x"},
        {"sku": "y"},
        {"sku": "z"},
    ]
    rows[5] = {"sku": "f", "_delete": True}
    run = await written(mongo, ledger, rows, **DELETING)
    records = mongo.target["records"]
    await records.update_one({"sku": "a"}, {"$set": {"phone": "3"}})
    await records.update_one({"sku": "b"}, {"$set": {"note": "of another application"}})
    await records.delete_one({"sku": "c"})
    await records.update_one({"sku": "d"}, {"$set": {"is_deleted": True}})
    await written(mongo, ledger, [{"sku": "e", "phone": "4"}], **UPSERT)
    await records.update_one({"sku": "f"}, {"$set": {"is_deleted": False}})
    await records.update_one({"sku": "x"}, {"$set": {"country": "SE", "note": "mine"}})
    await records.delete_one({"sku": "y"})
    others = {record["sku"]: record for record in await target(mongo)}
    run = await reverted(mongo, ledger, run)
    assert await kept(mongo, run) == {
        1: ("CHANGED", ["phone"]),
        3: ("GONE", []),
        4: ("CHANGED", ["is_deleted"]),
        5: ("CHANGED", ["phone"]),
        6: ("CHANGED", ["is_deleted"]),
        8: ("CHANGED", ["country", "note"]),
    }
    assert run.reverted == RevertCounts(removed=1, restored=2, returned=0, kept=6)
    after = {record["sku"]: record for record in await target(mongo)}
    assert {sku: after[sku] == others[sku] for sku in "adefx"} == dict.fromkeys("adefx", True)
    assert (after["b"]["phone"], after["b"]["note"]) == ("1", "of another application")
    assert set(after) == set("abdefgx")


async def test_the_keys_of_restored_records(mongo: Mongo, ledger: Ledger) -> None:
    """A record whose key somebody has taken meanwhile stays as it is; that of another comes back with it."""
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, *({"sku": sku, "phone": sku} for sku in "abcd"))
    rows: list[dict[str, Any]] = [
        {"sku": "a", "_delete": True},
        {"sku": "b", "phone": "new"},
        {"sku": "c", "phone": "newer"},
        {"sku": "d", "_delete": True},
    ]
    run = await written(mongo, ledger, rows, **DELETING)
    await written(mongo, ledger, [{"sku": "a", "phone": "y"}, {"sku": "x", "phone": "b"}], **UPSERT)
    run = await reverted(mongo, ledger, run)
    assert await kept(mongo, run) == {1: ("KEY_TAKEN", ["sku"]), 2: ("KEY_TAKEN", ["phone"])}
    assert run.reverted == RevertCounts(removed=0, restored=1, returned=1, kept=2)
    await unique(mongo, "sku")
    again = await written(mongo, ledger, [{"sku": "d", "phone": "d"}, {"sku": "c", "phone": "c"}], **UPSERT)
    assert again.counts is not None
    assert again.counts.skip_reasons == {"UNCHANGED": 2}


async def test_records_that_gave_a_key_to_one_another(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "c", "phone": "3"})
    await written(mongo, ledger, [{"sku": "x"}], **UPSERT)
    before = await target(mongo)
    rows = [
        {"sku": "a", "phone": "0"},
        {"sku": "b", "phone": "1"},
        {"sku": "c", "phone": "2"},
        {"sku": "d", "phone": "3"},
    ]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert run.counts is not None
    assert run.counts.written == 4
    await reverted(mongo, ledger, run)
    assert await target(mongo) == before


async def test_rules_of_the_target_that_refuse_what_was(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "old"}, {"sku": "b", "phone": "1"})
    run = await written(mongo, ledger, [{"sku": "a", "phone": "2"}, {"sku": "b", "phone": "2"}], **UPSERT)
    await mongo.target.command("collMod", "records", validator={"phone": {"$ne": "old"}})
    run = await reverted(mongo, ledger, run)
    assert await kept(mongo, run) == {1: ("REFUSED", [])}
    assert run.reverted == RevertCounts(restored=1, kept=1)


async def test_a_crash_leaves_all_or_nothing(mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"})
    await written(mongo, ledger, [{"sku": "x"}], **UPSERT)
    before = await target(mongo)
    run = await written(mongo, ledger, [{"sku": "a", "phone": "2"}, {"sku": "b"}], **UPSERT)
    after = await target(mongo)
    assert await ledger.runs.request_revert(run) is not None

    def crash(name: str) -> None:
        if name == "writer.reverted_before_commit":
            raise ConnectionError(name)

    monkeypatch.setattr(reverting, "failpoint", crash)
    with pytest.raises(ConnectionError):
        await revert_batch(mongo, ledger, run)
    assert await target(mongo) == after
    monkeypatch.undo()
    for _ in range(2):
        await revert_batch(mongo, ledger, run)
    assert await target(mongo) == before
    run = await current(ledger, run)
    assert (run.status, run.reverted) == (RunStatus.REVERTED, RevertCounts(removed=1, restored=1))


async def test_what_an_earlier_release_has_written_is_not_reverted(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"})
    run = await written(mongo, ledger, [{"sku": "a", "phone": "2"}], **UPSERT)
    assert await ledger.runs.revertible(run)
    await mongo.state["undo"].update_many({"run_id": run.id}, {"$unset": {"row": ""}})
    assert not await ledger.runs.revertible(run)
    appended = await written(mongo, ledger, [{"sku": "b"}], **APPEND)
    await mongo.state["batch_payloads"].delete_many({"run_id": appended.id})
    assert not await ledger.runs.revertible(appended)


async def test_rows_that_expired_meanwhile_are_kept(mongo: Mongo, ledger: Ledger) -> None:
    run = await written(mongo, ledger, [{"sku": "b"}], **APPEND)
    assert await ledger.runs.request_revert(run) is not None
    await mongo.state["batch_payloads"].delete_many({"run_id": run.id})
    await revert_batch(mongo, ledger, run)
    run = await current(ledger, run)
    assert (run.status, run.reverted) == (RunStatus.REVERTED, RevertCounts(kept=1))
    assert await kept(mongo, run) == {1: ("ROWS_EXPIRED", [])}


async def test_a_key_that_a_later_batch_still_holds_is_waited_for(mongo: Mongo, ledger: Ledger) -> None:
    """Record b got the phone of a; in the run it stands in a batch that is still to be taken back."""
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "a", "phone": "1"})
    run = await written(mongo, ledger, [{"sku": "a", "phone": "0"}], **UPSERT)
    origin = {"run_id": run.id, "row": 7, "version": 1}
    await held(mongo, {"sku": "b", "phone": "1", "_import": origin})
    await written(mongo, ledger, [{"sku": "unrelated"}], **UPSERT)
    keys = await mongo.state["target_keys"].find().to_list()
    entries = [{"s": key["_id"], "a": {"sku": "b", "phone": "1"}[key["names"][0]]} for key in keys]
    await mongo.target["records"].update_one({"sku": "b"}, {"$set": {"_keys": entries}})
    batch = await mongo.state["batches"].find_one({"run_id": run.id})
    assert batch is not None
    later = {**batch, "_id": f"{run.id}:0:00000001", "seq": 1, "row_from": 2, "row_to": 9}
    assert await ledger.runs.request_revert(run) is not None
    await mongo.state["batches"].insert_one(later)
    with pytest.raises(TransientError, match="row 7"):
        await revert_batch(mongo, ledger, run)
    await mongo.state["batches"].update_one({"_id": later["_id"]}, {"$set": {"state": "reverted"}})
    await mongo.target["records"].delete_one({"sku": "b"})
    await revert_batch(mongo, ledger, run)
    record = await mongo.target["records"].find_one({"sku": "a"})
    assert record is not None
    assert record["phone"] == "1"
