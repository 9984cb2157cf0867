"""A sync: the rows of its file are written, then what the file does not hold is deleted, no more than was confirmed."""

import asyncio
from typing import Any

import pytest

from libs.contracts.reasons import SyncReason
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import SyncStage
from tests.integration.ledger.runs import current, events, outbox
from tests.integration.writer.batches import held, rejections, revert_batch, unique
from tests.integration.writer.syncing import SYNC, finished, live, planned, planner, requested, skus, synced

pytestmark = pytest.mark.servers


async def test_what_the_file_does_not_hold_is_deleted(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, "a", "b", "c", "d", phone="1")
    await held(mongo, {"sku": "other", "source": "shop"}, {"sku": "foreign", "source": "erp", "tenant_id": "another"})
    await held(mongo, {"sku": "list", "source": ["erp"]}, {"sku": "gone", "source": "erp", "is_deleted": True})
    await held(mongo, {"source": "erp", "phone": "without a key"})
    rows = [{"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "new", "phone": "3"}]
    run = await synced(mongo, ledger, rows)
    assert run.status is RunStatus.COMPLETED
    assert run.counts is not None
    counts = run.counts
    assert (counts.rows, counts.created, counts.updated, counts.deleted, counts.skipped) == (3, 1, 1, 0, 1)
    assert counts.not_in_file == 3
    assert set(await skus(mongo, tenant_id="tenant", sku={"$exists": True})) == {"a", "b", "new", "other", "list"}
    record = await mongo.target["records"].find_one({"sku": "c"})
    assert record is not None
    assert (record["is_deleted"], record["phone"]) == (True, "1")
    assert record["deleted_at"] == record["updated_at"] == record["_import"]["updated_at"]
    assert (record["_import"]["run_id"], "row" in record["_import"]) == (run.id, False)
    assert await mongo.state["undo"].count_documents({"run_id": run.id, "deletes": True}) == 3
    told = await events(mongo, run)
    assert [event["status"] for event in told][-3:] == ["validated", "executing", "completed"]
    assert told[-1]["counts"]["not_in_file"] == 3
    assert run.syncing is not None
    assert (run.syncing.slot, run.syncing.live, run.syncing.going) == (None, 5, 3)


async def test_a_sync_reads_the_records_of_its_own_organization_only(mongo: Mongo, ledger: Ledger) -> None:
    await live(mongo, "a", "b")
    await held(mongo, *({"sku": f"{at}", "source": "erp", "tenant_id": "another"} for at in range(50)))
    run = await synced(mongo, ledger, [{"sku": "a"}])
    assert run.syncing is not None
    assert (run.syncing.live, run.syncing.going) == (2, 1)
    looked_through = {"source": {"$eq": "erp", "$not": {"$type": "array"}}, "tenant_id": "tenant", "is_deleted": False}
    plan = await mongo.target.command(
        "explain", {"find": "records", "filter": looked_through, "projection": {"sku": 1}}, verbosity="executionStats"
    )
    assert plan["executionStats"]["totalDocsExamined"] == plan["executionStats"]["nReturned"] == 1


async def test_it_asks_before_much_is_deleted(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abcdefghij")
    run = await requested(mongo, ledger, [{"sku": sku} for sku in "abcdefg"])
    run = await planned(mongo, ledger, run)
    assert (run.status, run.syncing and run.syncing.stage) == (RunStatus.VALIDATED, SyncStage.UNCONFIRMED)
    assert run.syncing is not None
    assert (run.syncing.live, run.syncing.going, run.syncing.slot) == (10, 3, None)
    assert run.syncing.reasons == [SyncReason.LARGE_SHARE]
    told = (await events(mongo, run))[-1]
    assert (told["status"], told["error_code"], told["version"]) == ("validated", "DELETES_NOT_CONFIRMED", run.version)
    assert "3 of the 10 records" in told["error_message"]
    assert "confirm_deletes=3" in told["error_message"]
    assert await mongo.state["batch_payloads"].count_documents({"run_id": run.id, "_id": {"$regex": "going$"}}) == 0
    # Nobody begins it: neither a message that comes again, nor the rescue loop.
    await planner(mongo, ledger)(run.id)
    await ledger.maybe_advance(run.id)
    run = await current(ledger, run)
    assert (run.status, run.syncing and run.syncing.stage) == (RunStatus.VALIDATED, SyncStage.UNCONFIRMED)
    assert len(await skus(mongo)) == 10
    # More would go by now than is confirmed.
    await live(mongo, "x")
    assert await ledger.syncs.request(run, confirmed=3) is not None
    run = await planned(mongo, ledger, run)
    assert run.syncing is not None
    assert (run.syncing.stage, run.syncing.reasons) == (SyncStage.UNCONFIRMED, [SyncReason.MORE_THAN_CONFIRMED])
    assert await ledger.syncs.request(run, confirmed=4) is not None
    assert await ledger.syncs.request(run, confirmed=4) is None
    run = await finished(mongo, ledger, await planned(mongo, ledger, run))
    assert run.counts is not None
    assert (run.status, run.counts.not_in_file) == (RunStatus.COMPLETED, 4)
    assert set(await skus(mongo)) == set("abcdefg")


@pytest.mark.parametrize(("confirmed", "status"), [(None, RunStatus.VALIDATED), (0, RunStatus.VALIDATED)])
async def test_an_unended_file_asks(mongo: Mongo, ledger: Ledger, confirmed: int | None, status: RunStatus) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abcdefghij")
    run = await requested(mongo, ledger, [{"sku": sku} for sku in "abcdefghi"])
    await mongo.state["files.chunks"].update_one({}, {"$set": {"data": b"sku\na"}})
    if confirmed is not None:
        run = await planned(mongo, ledger, run)
        assert run.syncing is not None
        assert run.syncing.reasons == [SyncReason.UNFINISHED_FILE]
        await ledger.syncs.request(run, confirmed=confirmed)
    run = await planned(mongo, ledger, run)
    assert (run.status, run.syncing and run.syncing.going) == (status, 1)


async def test_an_empty_file_asks_and_may_be_confirmed(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    run = await requested(mongo, ledger, [])
    run = await planned(mongo, ledger, run, sync_max_deleted_share=1)
    assert run.syncing is not None
    assert run.syncing.reasons == [SyncReason.EMPTY_FILE]
    await ledger.syncs.request(run, confirmed_all=True)
    run = await finished(mongo, ledger, await planned(mongo, ledger, run))
    assert run.counts is not None
    assert (run.status, run.counts.not_in_file, len(await skus(mongo))) == (RunStatus.COMPLETED, 3, 0)


async def test_rows_of_which_nobody_knows_the_record_ask(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abcdefghij")
    run = await requested(mongo, ledger, [{"sku": sku} for sku in "abcdefghi"])
    await mongo.state["batches"].update_one({"run_id": run.id}, {"$set": {"result.unclear_keys": 2}})
    run = await planned(mongo, ledger, run)
    assert run.syncing is not None
    assert (run.syncing.reasons, run.syncing.unclear) == ([SyncReason.UNCLEAR_KEYS], 2)


async def test_rows_that_the_target_refuses_protect_their_record(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc", phone="1")
    await mongo.target.command("collMod", "records", validator={"phone": {"$ne": "bad"}})
    run = await synced(mongo, ledger, [{"sku": "a", "phone": "bad"}, {"sku": "b", "phone": "2"}])
    assert run.counts is not None
    assert (run.counts.rejected, run.counts.updated, run.counts.not_in_file) == (1, 1, 1)
    assert set(await skus(mongo)) == {"a", "b"}


async def test_rows_beyond_the_scope_are_rejected(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, "a", country="SE")
    await held(mongo, {"sku": "shop's", "source": "shop", "country": "SE"})
    rows = [
        {"sku": "a", "country": "SE"},
        {"sku": "shop's", "country": "SE"},
        {"sku": "b", "country": "NO"},
        {"sku": "c"},
        {"sku": "d", "country": "SE"},
    ]
    scope = {"source": "erp", "country": "SE"}
    run = await synced(mongo, ledger, rows, scope_filter=scope)
    found = await rejections(mongo, run)
    assert {row: (field, code) for row, (field, code, _) in found.items()} == {
        2: ("source", "OUT_OF_SCOPE"),
        3: ("country", "OUT_OF_SCOPE"),
        4: ("country", "OUT_OF_SCOPE"),
    }
    assert "has another 'source' than 'erp'" in found[2][2]
    assert run.counts is not None
    assert (run.counts.created, run.counts.rejected, run.counts.not_in_file) == (1, 3, 0)
    assert set(await skus(mongo)) == {"a", "shop's", "d"}


async def test_what_others_do_between_plan_and_deletion(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abcdefg")
    run = await requested(mongo, ledger, [{"sku": "a"}])
    run = await planned(mongo, ledger, run, sync_max_deleted_share=1)
    records = mongo.target["records"]
    await records.update_one({"sku": "b"}, {"$set": {"source": "shop"}})
    await records.update_one({"sku": "c"}, {"$set": {"is_deleted": True}})
    await records.update_one({"sku": "d"}, {"$set": {"sku": "d2"}})
    await records.delete_one({"sku": "e"})
    await records.update_one({"sku": "f"}, {"$set": {"note": "changed"}})
    await live(mongo, "later")
    run = await finished(mongo, ledger, run)
    assert run.counts is not None
    assert (run.status, run.counts.not_in_file) == (RunStatus.COMPLETED, 2)
    assert set(await skus(mongo)) == {"a", "b", "d2", "later"}


async def test_syncs_of_one_resource_come_one_after_the_other(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    first = await requested(mongo, ledger, [{"sku": sku} for sku in "abc"])
    second = await requested(mongo, ledger, [{"sku": sku} for sku in "abcd"])
    await asyncio.gather(planner(mongo, ledger, "1")(first.id), planner(mongo, ledger, "2")(first.id))
    await planner(mongo, ledger, "2")(second.id)
    second = await current(ledger, second)
    assert (second.status, second.syncing and second.syncing.waiting_for) == (RunStatus.VALIDATED, first.id)
    asked = len(await outbox(mongo, second, "imports.execution-requested.v1"))
    first = await finished(mongo, ledger, await current(ledger, first))
    assert first.status is RunStatus.COMPLETED
    assert len(await outbox(mongo, second, "imports.execution-requested.v1")) == asked + 1
    second = await finished(mongo, ledger, await planned(mongo, ledger, second))
    assert second.status is RunStatus.COMPLETED
    assert set(await skus(mongo)) == set("abcd")


async def test_a_run_that_an_earlier_release_has_worked_at_deletes_nothing(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    run = await requested(mongo, ledger, [{"sku": "a"}])
    await mongo.state["batch_payloads"].delete_one({"run_id": run.id, "_id": {"$regex": "held$"}})
    run = await planned(mongo, ledger, run, sync_max_deleted_share=1)
    assert run.stop is not None
    assert (run.status, run.stop.code, len(await skus(mongo))) == (RunStatus.FAILED, "MODE_NOT_SUPPORTED", 3)
    # One whose gateway has begun to execute it without any plan.
    run = await requested(mongo, ledger, [{"sku": "a"}])
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"status": "executing", "syncing": None}})
    run = await finished(mongo, ledger, run)
    assert run.stop is not None
    assert (run.status, run.stop.code, len(await skus(mongo))) == (RunStatus.FAILED, "MODE_NOT_SUPPORTED", 3)


async def test_cancelled_between_the_phases(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    run = await requested(mongo, ledger, [{"sku": "a"}, {"sku": "new"}])
    run = await planned(mongo, ledger, run, sync_max_deleted_share=1)
    await mongo.state["batches"].update_one({"run_id": run.id, "sweeps": True}, {"$set": {"state": "checked"}})
    await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "by request")
    run = await finished(mongo, ledger, run)
    assert (run.status, run.syncing and run.syncing.slot) == (RunStatus.CANCELLED, None)
    assert set(await skus(mongo)) == set("abc")


async def test_a_sync_is_taken_back(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abcdef", phone="1")
    await synced(mongo, ledger, [{"sku": sku} for sku in "abcdefz"])
    before = await mongo.target["records"].find(sort=[("_id", 1)]).to_list()
    rows: list[dict[str, Any]] = [{"sku": "a", "phone": "2"}, {"sku": "new"}]
    run = await synced(mongo, ledger, rows)
    assert run.counts is not None
    assert run.counts.not_in_file == 6
    await mongo.target["records"].update_one({"sku": "f"}, {"$set": {"is_deleted": False}})
    assert await ledger.runs.revertible(run)
    assert await ledger.runs.request_revert(run) is not None
    announced = await outbox(mongo, run, "imports.batch-ready.v1")
    assert [event["seq"] for event in announced if event.get("revert")] == [1, 0]
    for seq in (1, 0):
        await revert_batch(mongo, ledger, run, seq)
    run = await current(ledger, run)
    assert run.status is RunStatus.REVERTED
    assert run.reverted is not None
    assert (run.reverted.returned, run.reverted.restored, run.reverted.removed, run.reverted.kept) == (5, 1, 1, 1)
    after = await mongo.target["records"].find(sort=[("_id", 1)]).to_list()
    assert [each for each in after if each["sku"] != "f"] == [each for each in before if each["sku"] != "f"]


async def test_a_record_that_must_not_be_marked_fails_the_run(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    await mongo.target.command("collMod", "records", validator={"$or": [{"is_deleted": False}, {"sku": {"$ne": "b"}}]})
    run = await synced(mongo, ledger, [{"sku": "a"}])
    assert run.stop is not None
    assert (run.status, run.stop.code) == (RunStatus.FAILED, "DELETE_REFUSED")
    assert set(await skus(mongo)) == set("abc")


async def test_a_template_without_a_usable_scope_deletes_nothing(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await live(mongo, *"abc")
    run = await synced(mongo, ledger, [{"sku": "a"}], scope_filter={"source": None}, default_values={})
    assert run.stop is not None
    assert (run.stop.code, len(await skus(mongo)), SYNC["mode"]) == ("MODE_NOT_SUPPORTED", 3, "sync")
