"""What is removed because it was kept long enough, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.errors import TransientError
from libs.contracts.ids import batch_id, event_id, rejected_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, ParseEnd, expiry
from libs.storage.client import Mongo
from libs.storage.documents import LISTED_RUNS, RunDocument
from libs.storage.files import FileStore
from libs.telemetry import failpoints
from tests.integration.ledger.runs import OWNER, PLAN, current, move_all, new_batch, new_run

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)
A_YEAR_AGO = NOW - timedelta(days=365)
COLLECTIONS = (
    "runs", "batches", "batch_payloads", "rejected_records", "undo", "webhook_deliveries", "outbox", "files.files",
    "files.chunks",
)  # fmt: skip


async def rows() -> AsyncIterator[bytes]:
    yield b"sku\nA1\n"


async def ended(mongo: Mongo, ledger: Ledger, at: datetime = LONG_AGO, **run: object) -> RunDocument:
    """A run with everything that can belong to one, which was completed at that time and of which all is told."""
    open_run = await executing(mongo, ledger, **run)
    await move_all(mongo, ledger, open_run, BatchState.VALIDATED, BatchState.WRITTEN)
    await ledger.maybe_advance(open_run.id)
    run_id, tenant = open_run.id, open_run.tenant_id
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"finished_at": at}})
    await mongo.state["outbox"].delete_many({"key": {"$regex": f"^{run_id}"}})
    for number in (1, 2):
        record = {"_id": rejected_id(run_id, number), "tenant_id": tenant, "run_id": run_id, "row": number}
        await mongo.state["rejected_records"].insert_one(record)
        await mongo.state["undo"].insert_one({"_id": f"{run_id}:{number}", "run_id": run_id})
        delivery = {"_id": f"{run_id}:{number}", "tenant_id": tenant, "run_id": run_id, "state": "delivered"}
        await mongo.state["webhook_deliveries"].insert_one(delivery)
    completed = await current(ledger, open_run)
    assert completed.status is RunStatus.COMPLETED
    return completed


async def executing(mongo: Mongo, ledger: Ledger, **run: object) -> RunDocument:
    file = await FileStore(mongo).store("rows.csv", rows(), tenant_id="tenant", max_bytes=100)
    new = new_run(auto_execute=True).model_copy(update={"id": file.id, "file": file, **run})
    await ledger.runs.submit(new)
    begun = await ledger.parsing.begin(new.id, OWNER, 60)
    assert begun is not None
    assert await ledger.parsing.freeze_plan(begun, PLAN)
    assert await ledger.parsing.add_batches(begun, [new_batch(begun, seq, 3) for seq in range(2)], 60)
    assert await ledger.parsing.close(begun, ParseEnd(2, 6, "digest"))
    await move_all(mongo, ledger, begun, BatchState.PARSED, BatchState.VALIDATED)
    await ledger.maybe_advance(begun.id)
    return await current(ledger, begun)


async def traces(mongo: Mongo) -> dict[str, int]:
    """How many documents there are, of collections that have any."""
    counts = {name: await mongo.state[name].count_documents({}) for name in COLLECTIONS}
    return {name: count for name, count in counts.items() if count}


async def dies(monkeypatch: pytest.MonkeyPatch, point: str, removal: Awaitable[object]) -> None:
    """A removal whose process dies at ``point``."""
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_points", failpoints._armed(f"{point}:raise"))
        with pytest.raises(TransientError, match=point):
            await removal


async def stale(mongo: Mongo) -> None:
    """As if whoever was removing runs had died long ago."""
    given_up = datetime.now(UTC) - expiry.GIVEN_UP_AFTER - timedelta(seconds=5)
    await mongo.state["runs"].update_many({"expiring_at": {"$ne": None}}, {"$set": {"expiring_at": given_up}})


# --- files ------------------------------------------------------------------------------------------


async def test_the_file_of_an_old_run_goes_and_the_run_says_so(mongo: Mongo, ledger: Ledger) -> None:
    old = await ended(mongo, ledger)
    young = await ended(mongo, ledger, NOW)
    before = await traces(mongo)
    assert await ledger.expiry.remove_files(A_YEAR_AGO, 10) == 1
    after = await traces(mongo)
    assert {name: before[name] - after.get(name, 0) for name in before if before[name] != after.get(name)} == {
        "files.files": 1, "files.chunks": 1,
    }  # fmt: skip
    kept = await current(ledger, old)
    assert kept.file_removed_at is not None
    assert kept == old.model_copy(update={"file_removed_at": kept.file_removed_at})
    assert (await current(ledger, young)).file_removed_at is None
    assert await ledger.expiry.remove_files(A_YEAR_AGO, 10) == 0


async def test_the_file_of_an_open_run_stays_however_old_it_is(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger)
    times = dict.fromkeys(("created_at", "updated_at", "executing_at", "validated_at"), LONG_AGO)
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": times})
    before = await traces(mongo)
    assert await ledger.expiry.remove_files(NOW, 10) == 0
    assert await ledger.expiry.remove_runs(NOW, 10) == 0
    assert not await ledger.expiry.remove(run.id)
    assert await traces(mongo) == before
    # A time that an earlier attempt left says nothing either.
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"finished_at": LONG_AGO}})
    assert await ledger.expiry.remove_files(NOW, 10) == 0
    assert await ledger.expiry.remove_runs(NOW, 10) == 0
    assert await traces(mongo) == before


async def test_a_removal_that_died_is_noted_by_the_next(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await ended(mongo, ledger)
    await dies(monkeypatch, "ledger.file_removed_before_noted", ledger.expiry.remove_files(A_YEAR_AGO, 10))
    assert (await current(ledger, run)).file_removed_at is None
    assert await ledger.expiry.remove_files(A_YEAR_AGO, 10) == 1
    assert (await current(ledger, run)).file_removed_at is not None


# --- runs -------------------------------------------------------------------------------------------


async def test_an_old_run_goes_with_everything_of_it_and_no_other_does(mongo: Mongo, ledger: Ledger) -> None:
    kept = await ended(mongo, ledger, NOW)
    before = await traces(mongo)
    await ended(mongo, ledger)
    await mongo.target["records"].insert_one({"tenant_id": "tenant", "_import": {"run_id": kept.id}})
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 1
    assert await traces(mongo) == before
    assert await mongo.target["records"].count_documents({}) == 1
    assert await current(ledger, kept) == kept
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 0


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
async def test_so_does_one_that_was_stopped(mongo: Mongo, ledger: Ledger, status: RunStatus) -> None:
    run = await executing(mongo, ledger)
    await ledger.stop(run.id, status, "CANCELLED", "for a test")
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"finished_at": LONG_AGO}})
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 0  # its end is still to be told
    await mongo.state["outbox"].delete_many({})
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 1
    assert await traces(mongo) == {}


async def test_a_run_stays_while_something_of_it_is_to_be_told(mongo: Mongo, ledger: Ledger) -> None:
    run = await ended(mongo, ledger)
    last = {"_id": event_id("run", run.id, run.version), "service": "writer", "key": run.id, "value": "{}"}
    await mongo.state["outbox"].insert_one(last)
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 0
    await mongo.state["outbox"].delete_many({})
    pending = {"run_id": run.id, "tenant_id": run.tenant_id}
    await mongo.state["webhook_deliveries"].update_one(pending, {"$set": {"state": "pending"}})
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 0
    await mongo.state["webhook_deliveries"].update_one(pending, {"$set": {"state": "failed"}})
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 1
    assert await traces(mongo) == {}


async def test_what_cannot_go_yet_keeps_nothing_else(mongo: Mongo, ledger: Ledger) -> None:
    waiting = [await ended(mongo, ledger, LONG_AGO - timedelta(days=number)) for number in range(3)]
    for run in waiting:
        pending = {"_id": f"{run.id}:3", "tenant_id": run.tenant_id, "run_id": run.id, "state": "pending"}
        await mongo.state["webhook_deliveries"].insert_one(pending)
    younger = await ended(mongo, ledger)
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 1) == 1
    assert await ledger.runs.get(younger.id) is None
    assert [await ledger.runs.get(run.id) is not None for run in waiting] == [True] * 3


POINTS = ["ledger.run_marked_before_removed", "ledger.batches_purged_before_run", "ledger.parts_purged_before_run"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_removal_that_died_is_finished_by_another_and_seen_by_nobody_meanwhile(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    run = await ended(mongo, ledger)
    await dies(monkeypatch, point, ledger.expiry.remove_runs(A_YEAR_AGO, 10))
    assert await mongo.state["runs"].find_one({"_id": run.id}) is not None
    assert await mongo.state["runs"].find_one({"_id": run.id, **LISTED_RUNS}) is None
    # Whoever began may still be at it.
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 0
    await stale(mongo)
    # Also where runs are kept for longer by now.
    assert await ledger.expiry.remove_runs(NOW - timedelta(days=4_000), 10) == 1
    assert await traces(mongo) == {}


async def test_a_bounded_number_goes_at_once_the_oldest_first(mongo: Mongo, ledger: Ledger) -> None:
    runs = [await ended(mongo, ledger, LONG_AGO + timedelta(days=number)) for number in (3, 1, 2)]
    assert await ledger.expiry.remove_files(A_YEAR_AGO, 2) == 2
    gone = [(await current(ledger, run)).file_removed_at is not None for run in runs]
    assert gone == [False, True, True]
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 2) == 2
    assert [await ledger.runs.get(run.id) is not None for run in runs] == [True, False, False]


async def test_several_may_remove_at_once(mongo: Mongo, ledger: Ledger) -> None:
    kept = await ended(mongo, ledger, NOW)
    before = await traces(mongo)
    for _ in range(5):
        await ended(mongo, ledger)
    await asyncio.gather(
        *(ledger.expiry.remove_runs(A_YEAR_AGO, 10) for _ in range(4)),
        *(ledger.expiry.remove_files(A_YEAR_AGO, 10) for _ in range(4)),
    )
    assert await traces(mongo) == before
    assert await current(ledger, kept) == kept


async def test_an_idempotency_key_is_free_again_from_the_first_moment(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(mongo, ledger, idempotency_key="k")
    await dies(monkeypatch, "ledger.run_marked_before_removed", ledger.expiry.remove_runs(A_YEAR_AGO, 10))
    again = new_run().model_copy(update={"idempotency_key": "k"})
    await ledger.runs.submit(again)
    assert (await current(ledger, again)).idempotency_key == "k"


async def test_late_messages_about_a_removed_run_change_nothing(mongo: Mongo, ledger: Ledger) -> None:
    run = await ended(mongo, ledger)
    assert await ledger.expiry.remove_runs(A_YEAR_AGO, 10) == 1
    assert await ledger.parsing.begin(run.id, OWNER, 60) is None
    assert await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.VALIDATED) is None
    await ledger.maybe_advance(run.id)
    await ledger.stop(run.id, RunStatus.FAILED, "BATCH_FAILED", "for a test")
    assert await traces(mongo) == {}


async def test_every_search_goes_by_an_index(mongo: Mongo, ledger: Ledger) -> None:
    for _ in range(3):
        await ended(mongo, ledger, NOW)
    await ended(mongo, ledger)
    await mongo.state.command("profile", 2)
    await ledger.expiry.remove_files(A_YEAR_AGO, 10)
    await ledger.expiry.remove_runs(A_YEAR_AGO, 10)
    await mongo.state.command("profile", 0)
    plans: dict[Any, Any] = {}
    async for operation in mongo.state["system.profile"].find({"planSummary": {"$exists": True}}):
        plans[operation["ns"], operation["planSummary"]] = operation
    assert len(plans) > 5
    assert [key for key in plans if "COLLSCAN" in key[1]] == []
