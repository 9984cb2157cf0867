"""The ledger on a real server: every compare-and-set, every fence, every way a run may end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import BulkWriteError, DuplicateKeyError

from libs.contracts.errors import PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.plan import ParsePlan
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, Stage
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, OutboxEntry, RunDocument
from tests.integration.ledger.runs import (
    LEASE,
    OWNER,
    PLAN,
    collections,
    current,
    events,
    executing,
    move,
    move_all,
    new_batch,
    new_run,
    outbox,
    parsed,
    parsing,
    states,
    submitted,
    validated,
)

pytestmark = pytest.mark.servers
UNIQUE = [{"name": "sku", "rules": [{"type": "unique"}]}]


async def expire(ledger: Ledger, run: RunDocument, lease: str) -> None:
    """Let the time of a lease pass."""
    await collections(ledger).runs.update_one(
        {"_id": run.id}, {"$set": {lease: datetime.now(UTC) - timedelta(seconds=1)}}
    )


# --- runs ---------------------------------------------------------------------------------------


async def test_submit_creates_the_run_and_tells_the_parser(mongo: Mongo) -> None:
    told: list[str] = []
    ledger = Ledger(mongo, "gateway", lambda: told.append("outbox"))
    run = await submitted(ledger)
    assert (await current(ledger, run)).model_dump(exclude={"created_at", "updated_at"}) == run.model_dump(
        exclude={"created_at", "updated_at"}
    )
    rows = await mongo.state[OutboxEntry.Settings.name].find().to_list()
    assert [(row["service"], row["topic"], row["key"]) for row in rows] == [
        ("gateway", "imports.run-submitted.v1", run.id)
    ]
    assert told == ["outbox"]


async def test_an_idempotency_key_creates_one_run(mongo: Mongo, ledger: Ledger) -> None:
    first, second = (new_run().model_copy(update={"idempotency_key": "once"}) for _ in range(2))
    await ledger.runs.submit(first)
    with pytest.raises(DuplicateKeyError):
        await ledger.runs.submit(second)
    assert await ledger.runs.get(second.id) is None
    assert not await outbox(mongo, second, "imports.run-submitted.v1")


async def test_a_transition_is_a_compare_and_set_with_one_event(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    moved = await ledger.runs.transition(run, RunStatus.VALIDATING, changes={"preview_rows": [{"a": 1}]})
    assert moved is not None
    assert (moved.status, moved.version, moved.preview_rows) == (RunStatus.VALIDATING, 2, [{"a": 1}])
    assert await ledger.runs.transition(run, RunStatus.VALIDATING) is None, "the run has moved meanwhile"
    assert [(event["status"], event["version"]) for event in await events(mongo, run)] == [("validating", 2)]
    assert [(change.status, change.version) for change in (await current(ledger, run)).history] == [
        (RunStatus.VALIDATING, 2)
    ]


async def test_of_many_transitions_at_once_one_happens(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    answers = await asyncio.gather(*(ledger.runs.transition(run, RunStatus.VALIDATING) for _ in range(8)))
    assert len([answer for answer in answers if answer is not None]) == 1
    assert len(await events(mongo, run)) == 1


async def test_a_forbidden_transition_is_refused(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    with pytest.raises(PermanentError) as refused:
        await ledger.runs.transition(run, RunStatus.COMPLETED)
    assert refused.value.code == "FORBIDDEN_TRANSITION"
    assert (await current(ledger, run)).status is RunStatus.PENDING
    assert not await events(mongo, run)


async def test_a_stopped_run_moves_to_its_end_alone(ledger: Ledger) -> None:
    run = await submitted(ledger)
    assert await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner")
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.VALIDATING) is None
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.FAILED) is None
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.CANCELLED) is not None


# --- parsing ------------------------------------------------------------------------------------


async def test_a_live_parser_keeps_its_run(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert (run.status, run.parse.attempts) == (RunStatus.VALIDATING, 1)
    assert await ledger.parsing.begin(run.id, "parser-2", LEASE) is None
    assert await ledger.parsing.begin("no such run", "parser-2", LEASE) is None


async def test_a_restarted_parser_takes_its_own_lease_over(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsing(ledger)
    again = await Ledger(mongo, "test", lambda: None).parsing.begin(run.id, OWNER, LEASE)
    assert again is not None
    assert (again.parse.attempts, again.plan) == (2, PLAN)
    assert not await ledger.parsing.extend(run, LEASE), "the predecessor is fenced"


async def test_a_run_that_comes_twice_to_one_parser_is_parsed_once_at_a_time(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None
    assert await ledger.parsing.extend(run, LEASE), "who was first goes on"
    ledger.parsing.leave(run)
    again = await ledger.parsing.begin(run.id, OWNER, LEASE)
    assert again is not None, "what broke is tried again at once"
    assert again.parse.attempts == 2
    assert not await ledger.parsing.extend(run, LEASE)


async def test_an_expired_lease_is_taken_over(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.extend(run, LEASE)
    await expire(ledger, run, "parse.lease_until")
    second = await ledger.parsing.begin(run.id, "parser-2", LEASE)
    assert second is not None
    assert (second.parse.owner or "").startswith("parser-2")
    assert not await ledger.parsing.extend(run, LEASE)
    assert not await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert not await ledger.parsing.close(run, 0, 0, "digest")
    assert await ledger.parsing.add_batches(second, [new_batch(second, 0, 3)], LEASE)


async def test_a_plan_is_frozen_once(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert not await ledger.parsing.freeze_plan(run, ParsePlan(columns=("other",)))
    assert (await current(ledger, run)).plan == PLAN


async def test_batches_come_with_their_rows(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.stored_digests(run) == {}
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3), new_batch(run, 1, 2)], LEASE)
    assert await ledger.parsing.stored_digests(run) == {0: "digest-0", 1: "digest-1"}
    assert await collections(ledger).payloads.runs() == [run.id]
    progress = (await current(ledger, run)).parse
    assert (progress.batches, progress.rows, progress.closed) == (2, 5, False)


async def test_a_batch_stored_already_leaves_nothing_of_the_others(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    with pytest.raises(BulkWriteError):
        await ledger.parsing.add_batches(run, [new_batch(run, 1, 3), new_batch(run, 0, 3)], LEASE)
    assert await ledger.parsing.stored_digests(run) == {0: "digest-0"}
    assert (await current(ledger, run)).parse.rows == 3


async def test_a_stop_fences_the_parser(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "")
    assert not await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert not await ledger.parsing.extend(run, LEASE)
    assert not await ledger.parsing.close(run, 0, 0, "digest")
    assert not await ledger.parsing.freeze_plan(run, PLAN)
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None
    assert not await states(ledger, run)
    assert await collections(ledger).payloads.runs() == []


async def test_a_closed_parse_stays_closed(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert await ledger.parsing.close(run, 1, 3, "digest")
    progress = (await current(ledger, run)).parse
    assert (progress.closed, progress.batches, progress.rows, progress.digest) == (True, 1, 3, "digest")
    assert (progress.owner, progress.lease_until) == (None, None)
    assert not await ledger.parsing.close(run, 1, 3, "digest")
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None


# --- batches ------------------------------------------------------------------------------------


async def test_a_claim_counts_attempts_until_the_batch_moves(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    identifier = batch_id(run.id, run.epoch, 0)
    for attempts in (1, 2):
        claimed = await ledger.batches.claim(identifier, BatchState.PARSED)
        assert claimed is not None
        assert claimed.attempts == attempts
    batch = await ledger.batches.claim(identifier, BatchState.PARSED)
    assert batch is not None
    assert await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=3))
    assert await ledger.batches.claim(identifier, BatchState.PARSED) is None
    assert await ledger.batches.claim("no such batch", BatchState.PARSED) is None
    moved = await ledger.batches.claim(identifier, BatchState.VALIDATED)
    assert moved is not None
    assert (moved.attempts, moved.result) == (1, BatchResult(ok=3))


async def test_a_batch_moves_once_with_what_it_tells(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    rows = (2).to_bytes(4, "little")
    told: dict[str, Any] = {"preview": [{"sku": "a"}], "skipped": {"UNCHANGED": rows, "DUPLICATE_UPSERT_KEY": b""}}
    assert await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=2, unchanged=1), **told)
    assert not await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=3))
    stored = await collections(ledger).batches.find_one({"_id": batch.id})
    assert stored is not None
    assert (stored["preview"], stored["skipped_rows"]) == ([{"sku": "a"}], {"UNCHANGED": rows})
    assert stored["result"] == BatchResult(ok=2, unchanged=1).model_dump()


async def test_a_batch_does_not_jump(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    with pytest.raises(PermanentError, match="FORBIDDEN_TRANSITION"):
        await move(mongo, ledger, batch, BatchState.WRITTEN, BatchResult())
    assert await states(ledger, run) == {"parsed": 1}


async def test_of_many_effects_of_a_batch_one_commits(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.VALIDATED)
    assert batch is not None

    async def body(session: Session) -> bool:
        moved = await ledger.batches.move(session, batch, BatchState.WRITTEN, BatchResult(ok=3, created=3))
        if moved:
            await mongo.target["records"].insert_many([{"row": row} for row in range(3)], session=session)
        return moved

    answers = await asyncio.gather(*(mongo.transaction(body) for _ in range(4)))
    assert sorted(answers) == [False, False, False, True]
    assert await mongo.target["records"].count_documents({}) == 3


async def test_totals_add_the_ledger_up(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [5, 4, 3])
    results = [BatchResult(ok=4, rejected=1, warnings=2), BatchResult(ok=2, duplicate_keys=2)]
    for seq, result in enumerate(results):
        batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED)
        assert batch is not None
        assert await move(mongo, ledger, batch, BatchState.VALIDATED, result)
    totals = await ledger.totals(run.id)
    assert (totals.batches, totals.rows) == (3, 12)
    assert totals.states == {BatchState.VALIDATED: 2, BatchState.PARSED: 1}
    assert totals.result == BatchResult(ok=6, rejected=1, warnings=2, duplicate_keys=2)
    counts = totals.counts(12, rest="CANCELLED")
    assert (counts.written, counts.rejected, counts.skipped) == (0, 1, 11)
    assert counts.skip_reasons == {"DUPLICATE_UPSERT_KEY": 2, "CANCELLED": 9}
    assert await ledger.batches.sequence_numbers(run.id, BatchState.VALIDATED) == [(0, 0), (0, 1)]
    assert (await ledger.totals("no such run")).batches == 0


# --- advancing ----------------------------------------------------------------------------------


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
    assert not await outbox(mongo, run, "imports.execution-requested.v1")
    assert await ledger.runs.request_execution(run) is not None
    assert await ledger.runs.request_execution(run) is None
    assert len(await outbox(mongo, run, "imports.execution-requested.v1")) == 1
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
    assert len(await outbox(mongo, run, "imports.execution-requested.v1")) == 1


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
    assert len(await outbox(mongo, run, "imports.execution-requested.v1")) == 1


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
    assert await ledger.parsing.close(run, batches, rows, "digest")
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


# --- stopping -----------------------------------------------------------------------------------


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


# --- rescue -------------------------------------------------------------------------------------


async def silent(ledger: Ledger, seconds: float) -> list[str]:
    found = ledger.rescue.silent_runs([RunStatus.VALIDATING, RunStatus.EXECUTING], seconds)
    return [run.id async for run in found]


async def age(ledger: Ledger, seconds: float) -> None:
    """Let ``seconds`` pass for all runs and batches."""
    then = [
        {"$set": {"updated_at": {"$dateSubtract": {"startDate": "$updated_at", "unit": "second", "amount": seconds}}}}
    ]
    await collections(ledger).runs.update_many({}, then)
    await collections(ledger).batches.update_many({}, then)
    after = {"$dateSubtract": {"startDate": "$rescue.test.after", "unit": "second", "amount": seconds}}
    await collections(ledger).runs.update_many(
        {"rescue.test": {"$exists": True}}, [{"$set": {"rescue.test.after": after}}]
    )


async def test_a_silent_run_is_given_out_ever_more_seldom(ledger: Ledger) -> None:
    run = await parsed(ledger, [1])
    assert await silent(ledger, 10) == [], "it has only just moved"
    await age(ledger, 11)
    assert sorted(await asyncio.gather(*(silent(ledger, 10) for _ in range(3)))) == [[], [], [run.id]]
    for wait in (10, 20, 40, 80, 160, 320, 320, 320):
        await age(ledger, wait - 2)
        assert await silent(ledger, 10) == [], f"not before {wait} s"
        await age(ledger, 3)
        assert await silent(ledger, 10) == [run.id], f"after {wait} s"


async def test_each_service_looks_after_its_own(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [1])
    await age(ledger, 11)
    assert await silent(ledger, 10) == [run.id]
    assert await silent(Ledger(mongo, "another", lambda: None), 10) == [run.id]
    assert await silent(ledger, 10) == []


async def test_who_moves_is_not_silent(ledger: Ledger) -> None:
    run = await parsed(ledger, [1])
    await age(ledger, 11)
    await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert await silent(ledger, 10) == []
    await age(ledger, 11)
    assert await silent(ledger, 10) == [run.id]


async def test_other_statuses_and_stopped_runs_are_not_given_out(mongo: Mongo, ledger: Ledger) -> None:
    await submitted(ledger)
    await validated(mongo, ledger, [1])
    stopped = await parsed(ledger, [1])
    assert await ledger.stops.request(stopped.id, RunStatus.CANCELLED, "CANCELLED", "")
    await age(ledger, 60)
    assert await silent(ledger, 10) == []


async def test_a_run_that_moved_begins_anew(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [1], auto_execute=True)
    for wait in (11, 11, 21):
        await age(ledger, wait)
        assert await silent(ledger, 10) == [run.id]
    await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED)
    await ledger.maybe_advance(run.id)
    assert (await current(ledger, run)).rescue == {}
    await age(ledger, 11)
    assert await silent(ledger, 10) == [run.id]
