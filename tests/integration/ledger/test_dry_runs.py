"""Dry runs on a real server: told to nobody, never executed, purged for good whatever is at work on them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import ObjectId

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.rejected_rows import RejectedRows
from libs.contracts.errors import PermanentError
from libs.contracts.ids import batch_id, event_id
from libs.contracts.purposes import RunPurpose
from libs.contracts.rejections import RejectedRow
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, ParseEnd, Stage
from libs.storage.client import Mongo, Session
from libs.storage.documents import (
    LISTED_RUNS,
    PURGED_RUNS,
    TOLD_RUNS,
    BatchDocument,
    BatchResult,
    OutboxEntry,
    RunDocument,
)
from libs.storage.files import FileStore
from tests.integration.ledger.runs import (
    LEASE,
    OWNER,
    PLAN,
    collections,
    current,
    events,
    move_all,
    new_batch,
    new_run,
    outbox,
    submitted,
)

pytestmark = pytest.mark.servers

COLLECTIONS = ("runs", "batches", "batch_payloads", "rejected_records", "outbox", "files.files", "files.chunks", "undo")


async def rows() -> AsyncIterator[bytes]:
    yield b"sku\nA1\n"


async def dry_run(mongo: Mongo, ledger: Ledger, **template: object) -> RunDocument:
    """A submitted dry run with its file, and what the release before had to tell of it."""
    file = await FileStore(mongo).store("rows.csv", rows(), tenant_id="tenant", max_bytes=100)
    run = new_run(**template).model_copy(update={"id": file.id, "file": file, "purpose": RunPurpose.DRY_RUN})
    await ledger.runs.submit(run)
    identifier = event_id("submitted", run.id)
    untold = {"_id": identifier, "service": "gateway", "topic": "imports.run-submitted.v1", "key": run.id}
    await mongo.state[OutboxEntry.Settings.name].insert_one({**untold, "value": "{}", "created_at": run.created_at})
    return run


async def parsing(mongo: Mongo, ledger: Ledger, **template: object) -> RunDocument:
    run = await ledger.parsing.begin((await dry_run(mongo, ledger, **template)).id, OWNER, LEASE)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, PLAN)
    return run


async def parsed(mongo: Mongo, ledger: Ledger, sizes: list[int], **template: object) -> RunDocument:
    run = await parsing(mongo, ledger, **template)
    assert await ledger.parsing.add_batches(run, [new_batch(run, seq, size) for seq, size in enumerate(sizes)], LEASE)
    assert await ledger.parsing.close(run, ParseEnd(len(sizes), sum(sizes), "digest"))
    return await current(ledger, run)


async def claimed(ledger: Ledger, run: RunDocument, seq: int = 0) -> BatchDocument:
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED)
    assert batch is not None
    return batch


async def check(mongo: Mongo, ledger: Ledger, batch: BatchDocument, rejected: int = 0) -> bool:
    """What a validator stores of a batch, in the transaction that moves it."""

    async def body(session: Session) -> bool:
        result = BatchResult(ok=batch.rows - rejected, rejected=rejected)
        moved = await ledger.batches.move(session, batch, BatchState.VALIDATED, result)
        if moved:
            valid = Payload(batch.id, batch.run_id, PayloadKind.VALID, b"")
            await BatchPayloads(mongo).insert(session, [valid])
            rows = [RejectedRow(row, [], ()) for row in range(1, rejected + 1)]
            await RejectedRows(mongo).insert(session, "tenant", batch.run_id, rows)
        return moved

    return await mongo.transaction(body)


async def traces(mongo: Mongo) -> dict[str, int]:
    """How many documents there are, of collections that have any."""
    counts = {name: await mongo.state[name].count_documents({}) for name in COLLECTIONS}
    return {name: count for name, count in counts.items() if count}


# --- told to nobody, never executed -------------------------------------------------------------


async def test_nobody_is_told(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(mongo, ledger, [3])
    assert await check(mongo, ledger, await claimed(ledger, run), rejected=1)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    checked = await current(ledger, run)
    assert checked.status is RunStatus.VALIDATED
    assert checked.counts is not None
    assert (checked.counts.rows, checked.counts.rejected) == (3, 1)
    assert [change.status for change in checked.history] == [RunStatus.VALIDATING, RunStatus.VALIDATED]
    assert not await events(mongo, run)
    assert await mongo.state[OutboxEntry.Settings.name].count_documents({}) == 1, "what there was already"


async def test_one_that_fails_tells_nobody_either(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(mongo, ledger, [3], invalid_rows="block")
    assert await check(mongo, ledger, await claimed(ledger, run), rejected=2)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    failed = await current(ledger, run)
    assert (failed.status, (failed.failure or {}).get("code")) == (RunStatus.FAILED, "INVALID_ROWS")
    assert not await events(mongo, run)


async def test_auto_execute_does_not_reach_it(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(mongo, ledger, [3], auto_execute=True)
    await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    assert await ledger.maybe_advance(run.id) is Stage.WAITING
    checked = await current(ledger, run)
    assert checked.status is RunStatus.VALIDATED
    with pytest.raises(PermanentError, match="FORBIDDEN_TRANSITION"):
        await ledger.runs.request_execution(checked)
    assert not await outbox(mongo, run, "imports.batch-ready.v1")


# --- purged ---------------------------------------------------------------------------------------


async def test_a_purge_leaves_nothing_and_may_be_repeated(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(mongo, ledger, [3, 2])
    assert await check(mongo, ledger, await claimed(ledger, run), rejected=2)
    assert set(await traces(mongo)) == set(COLLECTIONS) - {"undo"}
    await ledger.purge.run(run.id)
    assert await traces(mongo) == {}
    await ledger.purge.run(run.id)


async def test_a_purge_spares_every_other_run(mongo: Mongo, ledger: Ledger) -> None:
    kept = await parsed(mongo, ledger, [3])
    assert await check(mongo, ledger, await claimed(ledger, kept), rejected=1)
    before = await traces(mongo)
    gone = await parsed(mongo, ledger, [3])
    await ledger.purge.run(gone.id)
    assert await traces(mongo) == before
    run = await submitted(ledger)
    await ledger.purge.run(run.id)
    assert (await current(ledger, run)).stop is None


@pytest.mark.parametrize("last", range(6))
async def test_a_purge_that_died_is_finished_by_the_next(mongo: Mongo, ledger: Ledger, last: int) -> None:
    """After any of its steps the run is still there to be found, and a purge from the start removes the rest."""
    run = await parsed(mongo, ledger, [3])
    assert await check(mongo, ledger, await claimed(ledger, run), rejected=1)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("batches", {}),
        ("batch_payloads", {}),
        ("rejected_records", {}),
        ("outbox", {}),
        ("files.files", {"_id": ObjectId(run.id)}),
        ("files.chunks", {"files_id": ObjectId(run.id)}),
    ]
    for collection, query in steps[: last + 1]:
        assert (await mongo.state[collection].delete_many(query)).deleted_count
    assert await ledger.purge.forgotten(-1) == [run.id]
    await ledger.purge.run(run.id)
    assert await traces(mongo) == {}


async def test_only_old_dry_runs_are_forgotten(mongo: Mongo, ledger: Ledger) -> None:
    run = await dry_run(mongo, ledger)
    await submitted(ledger)
    assert await ledger.purge.forgotten(60) == []
    assert await ledger.purge.forgotten(-1) == [run.id]
    plan = await collections(ledger).runs.find({**PURGED_RUNS, "created_at": {"$lt": run.created_at}}).explain()
    assert "dry_runs" in str(plan["queryPlanner"]["winningPlan"])


async def test_runs_of_the_release_before_are_told_apart_by_dry_run(mongo: Mongo, ledger: Ledger) -> None:
    """They have no purpose, whatever ``dry_run`` says."""
    tried, said, unsaid = await dry_run(mongo, ledger), await submitted(ledger), await submitted(ledger)
    purposes = {"$unset": {"purpose": ""}}
    await collections(ledger).runs.update_many({"_id": {"$in": [tried.id, said.id]}}, purposes)
    await collections(ledger).runs.update_one({"_id": unsaid.id}, {"$unset": {"purpose": "", "dry_run": ""}})
    new = [await dry_run(mongo, ledger), await submitted(ledger)]
    for query, expected in (
        (LISTED_RUNS, {said.id, unsaid.id, new[1].id}),
        (TOLD_RUNS, {said.id, unsaid.id, new[1].id}),
        (PURGED_RUNS, {tried.id, new[0].id}),
    ):
        found = await collections(ledger).runs.find({"tenant_id": "tenant", **query}).to_list()
        assert {run["_id"] for run in found} == expected
    assert (await current(ledger, tried)).purpose is RunPurpose.DRY_RUN
    assert (await current(ledger, unsaid)).purpose is RunPurpose.IMPORT


# --- what comes too late ----------------------------------------------------------------------------


async def test_late_messages_find_nothing_and_change_nothing(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(mongo, ledger, [3])
    batch = await claimed(ledger, run)
    await ledger.purge.run(run.id)
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None
    assert await ledger.batches.claim(batch.id, BatchState.PARSED) is None
    assert not await check(mongo, ledger, batch, rejected=1)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    assert await ledger.leases.take_whole_file_check(run.id, OWNER, LEASE) is None
    await ledger.stop(run.id, RunStatus.FAILED, "ROWS_EXPIRED", "the rows are gone")
    assert await ledger.runs.transition(run, RunStatus.VALIDATED) is None
    assert await traces(mongo) == {}


async def test_a_late_parser_stores_nothing(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsing(mongo, ledger)
    await ledger.purge.run(run.id)
    assert not await ledger.parsing.freeze_plan(run, PLAN)
    assert not await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert not await ledger.parsing.extend(run, LEASE)
    assert not await ledger.parsing.close(run, ParseEnd(0, 0, "digest"))
    assert await traces(mongo) == {}


async def test_a_parser_and_validators_at_work_meanwhile_leave_nothing(mongo: Mongo, ledger: Ledger) -> None:
    for _ in range(10):
        run = await parsing(mongo, ledger)
        assert await ledger.parsing.add_batches(run, [new_batch(run, seq, 3) for seq in range(4)], LEASE)
        batches = [await claimed(ledger, run, seq) for seq in range(4)]
        await asyncio.gather(
            ledger.parsing.add_batches(run, [new_batch(run, seq, 3) for seq in range(4, 8)], LEASE),
            *(check(mongo, ledger, batch, rejected=1 if batch.seq == 0 else 0) for batch in batches),
            ledger.purge.run(run.id),
            ledger.purge.run(run.id),
            ledger.stop(run.id, RunStatus.FAILED, "BATCH_FAILED", "for a test"),
        )
        await ledger.purge.run(run.id)
        assert await traces(mongo) == {}
