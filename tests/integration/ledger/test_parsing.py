"""Parsing on a real server: one parser at a time, fenced from what came after it."""

import pytest
from pymongo.errors import BulkWriteError

from libs.contracts.plan import ParsePlan
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.ledger.runs import (
    LEASE,
    OWNER,
    PLAN,
    collections,
    current,
    expire,
    new_batch,
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
