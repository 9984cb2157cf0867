"""Completion on a real server: derived from the batches, never before they are all there."""

import asyncio
from typing import Any

import pytest

from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, ParseEnd, Stage
from libs.storage.client import Mongo
from libs.storage.documents import BatchResult, RunDocument
from tests.integration.ledger.runs import (
    LEASE,
    collections,
    current,
    events,
    executing,
    expire,
    move,
    move_all,
    new_batch,
    outbox,
    parsed,
    parsing,
    states,
    submitted,
    validated,
)

pytestmark = pytest.mark.servers
UNIQUE = [{"name": "sku", "rules": [{"type": "unique"}]}]


async def test_a_run_waits_while_work_is_open(mongo: Mongo, ledger: Ledger) -> None:
    assert await ledger.maybe_advance("no such run") is Stage.TERMINAL
    run = await submitted(ledger)
    assert await ledger.maybe_advance(run.id) is Stage.WAITING
    run = await parsing(ledger)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED)
    assert await ledger.maybe_advance(run.id) is Stage.WAITING, "the parser may still cut batches"
    run = await parsed(ledger, [3])
    assert await ledger.maybe_advance(run.id) is Stage.WAITING
    run = await executing(mongo, ledger, [3])
    assert await ledger.maybe_advance(run.id) is Stage.WAITING


async def test_from_checked_over_somebodys_decision_to_completed(mongo: Mongo, ledger: Ledger) -> None:
    run = await validated(mongo, ledger, [3, 2])
    assert run.status is RunStatus.VALIDATED
    assert run.counts is not None
    assert run.counts.rows == 5
    assert await ledger.maybe_advance(run.id) is Stage.WAITING
    assert not await outbox(mongo, run, "imports.batch-ready.v1")
    assert await ledger.runs.request_execution(run) is not None
    assert await ledger.runs.request_execution(run) is None
    assert len(await outbox(mongo, run, "imports.batch-ready.v1")) == 2
    await move_all(mongo, ledger, run, BatchState.VALIDATED, BatchState.WRITTEN)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    ended = await current(ledger, run)
    assert ended.status is RunStatus.COMPLETED
    assert ended.counts is not None
    assert (ended.counts.rows, ended.counts.written, ended.counts.created) == (5, 5, 5)
    assert None not in (ended.validated_at, ended.executing_at, ended.finished_at)
    assert [event["status"] for event in await events(mongo, run)] == [
        "validating",
        "validated",
        "executing",
        "completed",
    ]
    assert [event["version"] for event in await events(mongo, run)] == [2, 3, 4, 5]
    assert run.id not in await collections(ledger).payloads.runs()


async def test_auto_execute_goes_on_by_itself(mongo: Mongo, ledger: Ledger) -> None:
    run = await validated(mongo, ledger, [3], auto_execute=True)
    assert run.status is RunStatus.EXECUTING
    assert len(await outbox(mongo, run, "imports.batch-ready.v1")) == 1


async def test_auto_execute_survives_a_crash_after_validated(ledger: Ledger) -> None:
    run = await parsed(ledger, [], auto_execute=True)
    assert await ledger.runs.transition(run, RunStatus.VALIDATED)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    assert (await current(ledger, run)).status is RunStatus.EXECUTING


async def test_a_file_without_rows_ends_too(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [], auto_execute=True)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    ended = await current(ledger, run)
    assert ended.status is RunStatus.COMPLETED
    assert ended.counts is not None
    assert ended.counts.rows == 0
    assert len(await events(mongo, run)) == 4


@pytest.mark.parametrize("auto_execute", [False, True])
async def test_whoever_ends_the_last_batch_one_event_tells(mongo: Mongo, ledger: Ledger, auto_execute: bool) -> None:
    run = await parsed(ledger, [1] * 4, auto_execute=auto_execute)

    async def end(seq: int, source: BatchState, target: BatchState) -> None:
        batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), source)
        assert batch is not None
        result = BatchResult(ok=1, created=int(target is BatchState.WRITTEN))
        assert await move(mongo, ledger, batch, target, result)
        await ledger.maybe_advance(run.id)

    await asyncio.gather(*(end(seq, BatchState.PARSED, BatchState.VALIDATED) for seq in range(4)))
    waiting = await current(ledger, run)
    if not auto_execute:
        assert await ledger.runs.request_execution(waiting) is not None
    await asyncio.gather(*(end(seq, BatchState.VALIDATED, BatchState.WRITTEN) for seq in range(4)))
    assert [event["status"] for event in await events(mongo, run)] == [
        "validating",
        "validated",
        "executing",
        "completed",
    ]
    assert len(await outbox(mongo, run, "imports.batch-ready.v1")) == 4


async def test_the_whole_file_is_checked_before_a_run_is_validated(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3, 2], fields=UNIQUE)
    await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.CHECKED)
    assert await ledger.maybe_advance(run.id) is Stage.WHOLE_FILE_CHECK
    assert await ledger.leases.take_whole_file_check(run.id, "one", LEASE) is not None
    await move_all(mongo, ledger, run, BatchState.CHECKED, BatchState.VALIDATED)
    assert await ledger.maybe_advance(run.id) is Stage.ADVANCED
    await expire(ledger, run, "barrier.until")
    assert await ledger.leases.take_whole_file_check(run.id, "one", LEASE) is None, "it is over"


async def test_a_template_that_lets_no_invalid_row_pass(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3, 2], invalid_rows="block", auto_execute=True)
    for seq, result in enumerate([BatchResult(ok=2, rejected=1), BatchResult(ok=2)]):
        batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED)
        assert batch is not None
        assert await move(mongo, ledger, batch, BatchState.VALIDATED, result)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    ended = await current(ledger, run)
    assert ended.status is RunStatus.FAILED
    assert ended.failure is not None
    assert ended.failure["code"] == "INVALID_ROWS"
    assert "1 of 5 rows" in ended.failure["message"]
    assert ended.counts is not None
    assert (ended.counts.rejected, ended.counts.skip_reasons) == (1, {"INVALID_ROWS": 4})
    assert (await events(mongo, run))[-1]["error_code"] == "INVALID_ROWS"
    assert await states(ledger, run) == {"failed": 2}


@pytest.mark.parametrize(
    ("batches", "rows", "result"),
    [
        pytest.param(2, 3, BatchResult(ok=3), id="a batch is missing"),
        pytest.param(1, 4, BatchResult(ok=3), id="a row is missing"),
        pytest.param(1, 3, BatchResult(ok=2), id="a row is not accounted for"),
        pytest.param(1, 3, BatchResult(ok=3, rejected=1), id="a row is in two places"),
    ],
)
async def test_a_check_that_loses_a_row_fails_loudly(
    mongo: Mongo, ledger: Ledger, batches: int, rows: int, result: BatchResult
) -> None:
    run = await parsing(ledger, auto_execute=True)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert await ledger.parsing.close(run, ParseEnd(batches, rows, "digest"))
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    assert await move(mongo, ledger, batch, BatchState.VALIDATED, result)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    ended = await current(ledger, run)
    assert (ended.status, (ended.failure or {})["code"]) == (RunStatus.FAILED, "INTEGRITY")


@pytest.mark.parametrize(
    "result", [BatchResult(ok=3, created=2), BatchResult(ok=3, created=3, rejected=1)], ids=["lost", "twice"]
)
async def test_a_write_that_loses_a_row_fails_loudly(mongo: Mongo, ledger: Ledger, result: BatchResult) -> None:
    run = await executing(mongo, ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.VALIDATED)
    assert batch is not None
    assert await move(mongo, ledger, batch, BatchState.WRITTEN, result)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    ended = await current(ledger, run)
    assert (ended.status, (ended.failure or {})["code"]) == (RunStatus.FAILED, "INTEGRITY")
    assert "fault of Rowdock" in (ended.failure or {})["message"]


async def test_totals_are_one_moment_while_batches_move(ledger: Ledger) -> None:
    """A sum that counts a moving batch twice, or never, would fail a run that is sound."""
    batches = 6_000
    run = await parsing(ledger, fields=UNIQUE)
    template = (await _entry(ledger, run)) | {"state": "checked"}
    await collections(ledger).batches.delete_many({})
    copies = [{**template, "_id": f"{run.id}:{seq}", "seq": seq} for seq in range(batches)]
    await collections(ledger).batches.insert_many(copies)

    async def pass_the_barrier() -> None:
        # From the highest down: what moves now is counted already, and appears again ahead of the scan.
        for end in range(batches, 0, -200):
            chosen = {"run_id": run.id, "seq": {"$lt": batches - end + 200}, "state": "checked"}
            await collections(ledger).batches.update_many(chosen, {"$set": {"state": "validated"}})

    moving = asyncio.create_task(pass_the_barrier())
    counted: set[int] = set()
    while not moving.done():
        counted.add((await ledger.totals(run.id)).batches)
    await moving
    assert counted == {batches}


async def _entry(ledger: Ledger, run: RunDocument) -> dict[str, Any]:
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 1)], LEASE)
    entry = await collections(ledger).batches.find_one({"run_id": run.id})
    assert entry is not None
    return entry
