"""Stops on a real server: what is open is closed, and nothing follows the report."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, Stage
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, RunDocument
from tests.integration.ledger.runs import (
    collections,
    current,
    events,
    executing,
    move,
    move_all,
    parsed,
    states,
)

pytestmark = pytest.mark.servers


async def test_a_stop_passes_over_no_batch_that_moves_meanwhile(mongo: Mongo, ledger: Ledger) -> None:
    """``checked`` comes before ``parsed`` in the index by state: a scan of that would miss what moves there."""

    async def check(batch: BatchDocument, after_seconds: float) -> bool:
        await asyncio.sleep(after_seconds)
        return await move(mongo, ledger, batch, BatchState.CHECKED, BatchResult(ok=1))

    for _ in range(6):
        run = await parsed(ledger, [1] * 12)
        claims = [ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED) for seq in range(12)]
        batches = [batch for batch in await asyncio.gather(*claims) if batch is not None]
        await asyncio.gather(
            *(check(batch, 0.001 * number) for number, batch in enumerate(batches)),
            ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner"),
        )
        assert await states(ledger, run) == {"cancelled": 12}


async def test_a_stop_is_decided_once_and_reported_once(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3, 2])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    assert not await ledger.stops.request(run.id, RunStatus.CANCELLED, "X", "", tenant_id="another tenant")
    decisions = await asyncio.gather(
        *(ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner") for _ in range(4))
    )
    assert sorted(decisions) == [False, False, False, True]
    assert not await ledger.stops.request(run.id, RunStatus.FAILED, "LATE", "")
    stopping = await current(ledger, run)
    assert (stopping.status, stopping.epoch) == (RunStatus.VALIDATING, run.epoch + 1)
    await asyncio.gather(*(ledger.stops.finish(run.id) for _ in range(4)))
    await ledger.stops.finish(run.id)
    await ledger.stop(run.id, RunStatus.FAILED, "LATE", "")
    ended = await current(ledger, run)
    assert (ended.status, ended.failure) == (RunStatus.CANCELLED, {"code": "CANCELLED", "message": "by its owner"})
    assert ended.counts is not None
    assert (ended.counts.rows, ended.counts.skipped) == (5, 5)
    assert [event["status"] for event in await events(mongo, run)] == ["validating", "cancelled"]
    assert await states(ledger, run) == {"cancelled": 2}
    assert not await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=3))
    assert run.id not in await collections(ledger).payloads.runs()


async def test_checked_rows_of_a_stopped_run_go_also_where_nobody_lived_to_delete_them(
    mongo: Mongo, ledger: Ledger
) -> None:
    run = await parsed(ledger, [3])
    await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner")
    left = Payload(batch_id(run.id, run.epoch, 0), run.id, PayloadKind.VALID, b"")
    await mongo.transaction(lambda session: BatchPayloads(mongo).insert(session, [left]))
    assert await ledger.purge.rows_of_ended_runs() == 1
    assert await mongo.state["batch_payloads"].distinct("_id") == [f"{left.batch_id}:parsed"]
    assert await ledger.purge.rows_of_ended_runs() == 0


async def test_finishing_needs_a_decision(ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    await ledger.stops.finish(run.id)
    await ledger.stops.finish("no such run")
    assert (await current(ledger, run)).status is RunStatus.VALIDATING
    assert await states(ledger, run) == {"parsed": 1}


async def test_an_ended_run_cannot_be_stopped(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [2])
    await move_all(mongo, ledger, run, BatchState.VALIDATED, BatchState.WRITTEN)
    await ledger.maybe_advance(run.id)
    assert not await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "")
    ended = await current(ledger, run)
    assert (ended.status, ended.stop, ended.epoch) == (RunStatus.COMPLETED, None, run.epoch)


async def test_a_stop_left_half_done_is_found_and_finished(ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    assert await ledger.stops.request(run.id, RunStatus.FAILED, "BROKEN", "why")
    assert await ledger.stops.unfinished() == [], "whoever decided it may be at it"
    earlier = datetime.now(UTC) - timedelta(seconds=6)
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"stop.at": earlier}})
    assert await ledger.stops.unfinished() == [run.id]
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    assert (await current(ledger, run)).status is RunStatus.FAILED
    assert await ledger.stops.unfinished() == []


async def test_what_was_written_before_a_cancel_is_counted(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [3, 2])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.VALIDATED)
    assert batch is not None
    assert await move(mongo, ledger, batch, BatchState.WRITTEN, BatchResult(ok=3, created=3))
    await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "")
    counts = (await current(ledger, run)).counts
    assert counts is not None
    assert (counts.rows, counts.written, counts.skip_reasons) == (5, 3, {"CANCELLED": 2})
    assert await states(ledger, run) == {"written": 1, "cancelled": 1}


async def test_no_effect_follows_a_reported_cancel(mongo: Mongo, ledger: Ledger) -> None:
    """A batch transaction that is open while the run is stopped is either counted or undone."""
    for _ in range(10):
        run = await executing(mongo, ledger, [1, 1])
        written: list[bool] = []
        begun = asyncio.Event()

        async def write(seq: int, run: RunDocument = run, begun: asyncio.Event = begun) -> bool:
            batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.VALIDATED)
            if batch is None:
                return False

            async def body(session: Session) -> bool:
                moved = await ledger.batches.move(session, batch, BatchState.WRITTEN, BatchResult(ok=1, created=1))
                begun.set()
                if moved:
                    await mongo.target["records"].insert_one({"run": run.id}, session=session)
                return moved

            return await mongo.transaction(body)

        async def cancel(run: RunDocument = run, begun: asyncio.Event = begun) -> int:
            await begun.wait()
            await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "")
            return await mongo.target["records"].count_documents({"run": run.id})

        *written, at_the_report = await asyncio.gather(write(0), write(1), cancel())
        records = await mongo.target["records"].count_documents({"run": run.id})
        counts = (await current(ledger, run)).counts
        assert counts is not None
        assert records == sum(written) == at_the_report == counts.written
        assert counts.written + counts.skipped == counts.rows == 2
