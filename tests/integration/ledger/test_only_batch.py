"""A run with a single batch moves on in the transaction that moves the batch; every other run does not."""

from typing import Any

import pytest

from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, MovedRun
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchResult, RunDocument
from tests.integration.ledger.runs import collections, current, events, parsed, states

pytestmark = pytest.mark.servers

PREVIEW = [{"sku": "$a.b"}]
"""A value that the server must not take for the name of a field."""


class GivenUpError(Exception):
    """The worker dies before its commit."""


async def end(
    mongo: Mongo,
    ledger: Ledger,
    run: RunDocument,
    source: BatchState,
    target: BatchState,
    *,
    seq: int = 0,
    fails: bool = False,
    **result: Any,  # noqa: ANN401
) -> MovedRun | None:
    """Move a batch and, where that is all there is, its run."""
    batch = await ledger.batches.claim(batch_id(run.id, 0, seq), source)
    assert batch is not None

    async def body(session: Session) -> MovedRun | None:
        found = BatchResult(ok=batch.rows, **result)
        assert await ledger.batches.move(session, batch, target, found, preview=PREVIEW)
        moved = await ledger.advance_with_only_batch(session, run)
        if fails:
            raise GivenUpError
        return moved

    moved = await mongo.transaction(body)
    if moved is not None:
        await ledger.advanced(run, moved)
    return moved


@pytest.mark.parametrize("auto_execute", [False, True])
async def test_it_goes_the_same_way_as_every_run(mongo: Mongo, ledger: Ledger, auto_execute: bool) -> None:
    run = await parsed(ledger, [3], auto_execute=auto_execute)
    assert await end(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED) is not None
    if not auto_execute:
        assert (await current(ledger, run)).preview_rows == PREVIEW
        assert await ledger.runs.request_execution(await current(ledger, run)) is not None
    executing = await current(ledger, run)
    assert executing.status is RunStatus.EXECUTING
    assert await end(mongo, ledger, executing, BatchState.VALIDATED, BatchState.WRITTEN, created=3) is not None
    ended = await current(ledger, run)
    assert ended.status is RunStatus.COMPLETED
    assert ended.counts is not None
    assert (ended.counts.rows, ended.counts.created) == (3, 3)
    told = [(event["status"], event["version"]) for event in await events(mongo, run)]
    assert told == [("validating", 2), ("validated", 3), ("executing", 4), ("completed", 5)]
    assert [change.version for change in ended.history] == [2, 3, 4, 5]
    assert run.id not in await collections(ledger).payloads.runs()


async def test_without_the_commit_neither_has_moved(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    with pytest.raises(GivenUpError):
        await end(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED, fails=True)
    assert (await current(ledger, run)).status is RunStatus.VALIDATING
    assert await states(ledger, run) == {"parsed": 1}
    assert [event["status"] for event in await events(mongo, run)] == ["validating"]


async def test_a_run_with_more_batches_is_left_to_whoever_sees_them_all(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3, 2])
    for seq in range(2):
        assert await end(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED, seq=seq) is None
    assert (await current(ledger, run)).status is RunStatus.VALIDATING


async def test_a_run_that_is_to_stop_does_not_move_on(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, 0, 0), BatchState.PARSED)
    assert batch is not None
    await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "")

    async def body(session: Session) -> MovedRun | None:
        assert await ledger.batches.move(session, batch, BatchState.VALIDATED, BatchResult(ok=3))
        return await ledger.advance_with_only_batch(session, run)

    assert await mongo.transaction(body) is None
    await ledger.maybe_advance(run.id)
    assert (await current(ledger, run)).status is RunStatus.CANCELLED


async def test_what_does_not_add_up_is_left_to_the_one_who_fails_the_run(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    assert await end(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED, rejected=1) is None
    await ledger.maybe_advance(run.id)
    ended = await current(ledger, run)
    assert ended.status is RunStatus.FAILED
    assert ended.failure is not None
    assert ended.failure["code"] == "INTEGRITY"
