"""Parsing on a real server: one parser at a time, fenced from what came after it."""

import pytest
from pymongo.errors import BulkWriteError

from libs.contracts.lanes import Lane
from libs.contracts.plan import ParsePlan
from libs.contracts.states import RunStatus
from libs.ledger import Ledger, ParseEnd
from libs.ledger.parsing import RUNS_AT_A_LOOK, WaitingRuns
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from tests.integration.ledger.runs import (
    LEASE,
    OWNER,
    PLAN,
    current,
    expire,
    new_batch,
    new_run,
    parsing,
    states,
)

pytestmark = pytest.mark.servers


async def test_a_live_parser_keeps_its_run(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert (run.status, run.parse.attempts) == (RunStatus.VALIDATING, 1)
    assert await ledger.parsing.begin(run.id, "parser-2", LEASE) is None
    assert await ledger.parsing.begin("no such run", "parser-2", LEASE) is None


async def test_a_restarted_parser_takes_its_own_lease_over(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsing(ledger)
    again = await Ledger(mongo, "test").parsing.begin(run.id, OWNER, LEASE)
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
    assert not await ledger.parsing.close(run, ParseEnd(0, 0, "digest"))
    assert await ledger.parsing.add_batches(second, [new_batch(second, 0, 3)], LEASE)


async def test_a_plan_is_frozen_once(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert not await ledger.parsing.freeze_plan(run, ParsePlan(columns=("other",)))
    assert (await current(ledger, run)).plan == PLAN


async def test_batches_come_with_their_rows(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.stored_digests(run) == {}
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3), new_batch(run, 1, 2)], LEASE)
    assert await ledger.parsing.stored_digests(run) == {0: "digest-0", 1: "digest-1"}
    assert await mongo.state["batch_payloads"].distinct("run_id") == [run.id]
    progress = (await current(ledger, run)).parse
    assert (progress.batches, progress.rows, progress.closed) == (2, 5, False)


async def test_a_batch_stored_already_leaves_nothing_of_the_others(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    with pytest.raises(BulkWriteError):
        await ledger.parsing.add_batches(run, [new_batch(run, 1, 3), new_batch(run, 0, 3)], LEASE)
    assert await ledger.parsing.stored_digests(run) == {0: "digest-0"}
    assert (await current(ledger, run)).parse.rows == 3


async def test_a_stop_fences_the_parser(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "")
    assert not await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert not await ledger.parsing.extend(run, LEASE)
    assert not await ledger.parsing.close(run, ParseEnd(0, 0, "digest"))
    assert not await ledger.parsing.freeze_plan(run, PLAN)
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None
    assert not await states(ledger, run)
    assert await mongo.state["batch_payloads"].distinct("run_id") == []


async def test_a_closed_parse_stays_closed(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, 3)], LEASE)
    assert await ledger.parsing.close(run, ParseEnd(1, 3, "digest"))
    progress = (await current(ledger, run)).parse
    assert (progress.closed, progress.batches, progress.rows, progress.digest) == (True, 1, 3, "digest")
    assert (progress.owner, progress.lease_until) == (None, None)
    assert not await ledger.parsing.close(run, ParseEnd(1, 3, "digest"))
    assert await ledger.parsing.begin(run.id, OWNER, LEASE) is None


async def test_what_waits_to_be_read_is_told_by_tenant_and_lane_oldest_first(mongo: Mongo, ledger: Ledger) -> None:
    runs: list[RunDocument] = []
    for tenant, lane in (("a", Lane.LARGE), ("a", Lane.LARGE), ("b", Lane.LARGE), ("a", Lane.LARGE), ("b", Lane.SMALL)):
        runs.append(new_run().model_copy(update={"tenant_id": tenant, "lane": lane}))
        await ledger.runs.submit(runs[-1])
    assert await ledger.parsing.begin(runs[0].id, OWNER, LEASE) is not None
    large = sorted(await ledger.parsing.waiting(Lane.LARGE), key=lambda waiting: waiting.tenant_id)
    assert large == [WaitingRuns("a", 1, [runs[1].id, runs[3].id]), WaitingRuns("b", 0, [runs[2].id])]
    await ledger.stops.request(runs[1].id, RunStatus.CANCELLED, "CANCELLED", "")
    await expire(ledger, runs[0], "parse.lease_until")
    of_a = next(waiting for waiting in await ledger.parsing.waiting(Lane.LARGE) if waiting.tenant_id == "a")
    assert of_a == WaitingRuns("a", 0, [runs[0].id, runs[3].id])
    # The release before stores no lane.
    await mongo.state["runs"].update_one({"_id": runs[4].id}, {"$unset": {"lane": ""}})
    assert await ledger.parsing.waiting(Lane.SMALL) == [WaitingRuns("b", 0, [runs[4].id])]


async def test_of_many_that_wait_the_oldest_of_each_tenant_are_told(ledger: Ledger) -> None:
    runs = [new_run("a") for _ in range(RUNS_AT_A_LOOK + 2)] + [new_run("b") for _ in range(2)]
    for run in runs:
        await ledger.runs.submit(run)
    for run in (runs[0], runs[-1]):
        assert await ledger.parsing.begin(run.id, OWNER, LEASE) is not None
    told = sorted(await ledger.parsing.waiting(Lane.SMALL), key=lambda waiting: waiting.tenant_id)
    oldest_of_a = [run.id for run in runs[1 : RUNS_AT_A_LOOK + 1]]
    assert told == [WaitingRuns("a", 1, oldest_of_a), WaitingRuns("b", 1, [runs[-2].id])]


async def test_a_parse_that_is_given_back_waits_again_at_once(ledger: Ledger) -> None:
    run = await parsing(ledger)
    assert [each.run_ids for each in await ledger.parsing.waiting(run.lane)] == [[]]
    await ledger.parsing.give_back(run)
    assert [each.run_ids for each in await ledger.parsing.waiting(run.lane)] == [[run.id]]
    assert not await ledger.parsing.close(run, ParseEnd(0, 0, "digest")), "it is no longer the caller's"
