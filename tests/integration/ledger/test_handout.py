"""Which batches are announced, on a real server: windows, shares, and what is lost or done twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from libs.contracts.events import BatchParsed, BatchReady
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.topics import BATCH_READY, LARGE_BATCH_PARSED, LARGE_BATCH_READY
from libs.ledger import Ledger, ParseEnd, Shares
from libs.ledger.handout import OLDEST_RUNS
from libs.storage.client import Mongo
from libs.storage.documents import BatchDocument, BatchResult, RunDocument
from tests.integration.ledger.runs import (
    LEASE,
    OWNER,
    PLAN,
    collections,
    current,
    move,
    move_all,
    new_batch,
    new_run,
    outbox,
    states,
)

pytestmark = pytest.mark.servers
SHARES = Shares(run=3, tenant=5, all=8)
PARSED, VALIDATED = BatchState.PARSED, BatchState.VALIDATED


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "test", shares=SHARES)


async def stored(
    ledger: Ledger, batches: int, *, tenant: str = "tenant", lane: Lane = Lane.LARGE
) -> tuple[RunDocument, list[Message]]:
    """A run whose file is read, with batches of one row; and what was announced of it."""
    submitted = new_run(auto_execute=True).model_copy(update={"tenant_id": tenant, "lane": lane})
    await ledger.runs.submit(submitted)
    run = await ledger.parsing.begin(submitted.id, OWNER, LEASE)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, PLAN)
    announced = await ledger.parsing.add_batches(run, [new_batch(run, seq, 1) for seq in range(batches)], LEASE)
    assert announced is not None
    assert await ledger.parsing.close(run, ParseEnd(batches, batches, "digest"))
    return await current(ledger, run), announced


async def check(mongo: Mongo, ledger: Ledger, run: RunDocument, seq: int) -> BatchDocument:
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), PARSED)
    assert batch is not None
    assert await move(mongo, ledger, batch, VALIDATED, BatchResult(ok=1))
    return batch


def numbers(messages: Sequence[Message], run: RunDocument) -> list[int]:
    """Which batches of a run the messages are about."""
    events = [each.event for each in messages if isinstance(each.event, BatchParsed | BatchReady)]
    return [event.seq for event in events if event.run_id == run.id]


async def in_flight(ledger: Ledger, state: BatchState) -> Counter[str]:
    entries = collections(ledger).batches.find({"announced": state.value, "state": state.value})
    return Counter([entry["run_id"] async for entry in entries])


async def test_a_window_of_a_run_is_announced_and_filled_up_in_file_order(mongo: Mongo, ledger: Ledger) -> None:
    run, announced = await stored(ledger, 7)
    assert numbers(announced, run) == [0, 1, 2]
    assert {each.topic for each in announced} == {LARGE_BATCH_PARSED}
    assert await ledger.handout.fill(PARSED, Lane.LARGE) == []
    await check(mongo, ledger, run, 1)
    assert await ledger.handout.fill(PARSED, Lane.SMALL) == [], "another lane"
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), run) == [3]
    for seq in (0, 2):
        await check(mongo, ledger, run, seq)
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), run) == [4, 5]
    await check(mongo, ledger, run, 3)
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), run) == [6]
    assert (await current(ledger, run)).held_back, "a hint, until somebody finds none"
    await check(mongo, ledger, run, 4)
    assert await ledger.handout.fill(PARSED, Lane.LARGE) == []
    assert not (await current(ledger, run)).held_back


async def test_the_first_window_is_announced_in_the_transaction_that_begins_to_write(
    mongo: Mongo, ledger: Ledger
) -> None:
    run, _ = await stored(ledger, 5)
    await move_all(mongo, ledger, run, PARSED, VALIDATED)
    await ledger.maybe_advance(run.id)
    run = await current(ledger, run)
    assert (run.status, run.held_back) == (RunStatus.EXECUTING, True)
    assert {each["seq"] for each in await outbox(mongo, run, LARGE_BATCH_READY.name)} == {0, 1, 2}
    assert not await outbox(mongo, run, BATCH_READY.name)
    await move_all(mongo, ledger, run, VALIDATED, BatchState.WRITTEN)
    await ledger.maybe_advance(run.id)
    run = await current(ledger, run)
    assert (run.status, run.held_back) == (RunStatus.COMPLETED, False)
    assert not await in_flight(ledger, VALIDATED)


async def test_tenants_share_first_then_their_runs(mongo: Mongo, ledger: Ledger) -> None:
    first, announced = await stored(ledger, 9, tenant="a")
    assert len(announced) == 3
    second, announced = await stored(ledger, 9, tenant="a")
    assert len(announced) == 2, "what the tenant's share leaves"
    _, announced = await stored(ledger, 9, tenant="a")
    assert announced == []
    other, announced = await stored(ledger, 9, tenant="b")
    assert len(announced) == 3
    for seq in range(3):
        await check(mongo, ledger, first, seq)
    told = await ledger.handout.fill(PARSED, Lane.LARGE)
    flying = await in_flight(ledger, PARSED)
    assert len(told) == 3
    assert flying[other.id] == 3, "its window is full"
    assert sorted(count for run_id, count in flying.items() if run_id != other.id) == [1, 2, 2]
    assert flying[second.id] == 2


async def test_the_whole_window_goes_first_to_who_has_least(mongo: Mongo, ledger: Ledger) -> None:
    runs = [(await stored(ledger, 4, tenant=name))[0] for name in "aabb"]
    assert (await in_flight(ledger, PARSED)).total() == SHARES.all
    late, announced = await stored(ledger, 2, tenant="c")
    assert announced == [], "everything is full"
    await check(mongo, ledger, runs[0], 0)
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), late) == [0]


async def test_fills_side_by_side_announce_no_batch_twice_and_the_window_does_not_grow(
    mongo: Mongo, ledger: Ledger
) -> None:
    run, _ = await stored(ledger, 30)
    fillers = [Ledger(mongo, "test", shares=SHARES) for _ in range(4)]
    seen: Counter[int] = Counter([0, 1, 2])
    for seq in range(30):
        await check(mongo, ledger, run, seq)
        told = await asyncio.gather(*(filler.handout.fill(PARSED, Lane.LARGE) for filler in fillers))
        seen.update(number for messages in told for number in numbers(messages, run))
        assert (await in_flight(ledger, PARSED))[run.id] < SHARES.run + len(fillers)
    assert seen == Counter(range(30))


async def test_what_is_announced_and_lost_is_announced_again(mongo: Mongo, ledger: Ledger) -> None:
    run, _ = await stored(ledger, 6)
    await check(mongo, ledger, run, 0)
    assert numbers(await ledger.handout.again(run, PARSED), run) == [1, 2, 3]
    assert numbers(await ledger.handout.again(run, PARSED), run) == [1, 2, 3]


async def test_batches_of_the_release_before_are_announced_when_they_are_forgotten(ledger: Ledger) -> None:
    """It knows neither lanes nor windows: its batches and runs lack all of it."""
    run, _ = await stored(ledger, 4, lane=Lane.SMALL)
    lacking = {"announced": "", "lane": "", "held_back": ""}
    await collections(ledger).batches.update_many({}, {"$unset": lacking})
    await collections(ledger).runs.update_many({}, {"$unset": lacking})
    assert await ledger.handout.fill(PARSED, Lane.SMALL) == []
    assert numbers(await ledger.handout.again(await current(ledger, run), PARSED), run) == [0, 1, 2]


async def test_a_batch_that_the_release_before_moved_on_is_not_taken_for_announced(
    mongo: Mongo, ledger: Ledger
) -> None:
    run, _ = await stored(ledger, 2)
    await collections(ledger).batches.update_many(
        {"run_id": run.id}, {"$set": {"state": VALIDATED.value, "result.ok": 1}}
    )
    assert not await in_flight(ledger, VALIDATED)
    await ledger.maybe_advance(run.id)
    assert len(await outbox(mongo, run, LARGE_BATCH_READY.name)) == 2


async def test_a_cancelled_run_frees_its_places(ledger: Ledger) -> None:
    first, _ = await stored(ledger, 9)
    second, announced = await stored(ledger, 9)
    assert len(announced) == 2
    await ledger.stop(first.id, RunStatus.CANCELLED, "CANCELLED", "")
    assert set(await states(ledger, first)) == {"cancelled"}
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), second) == [2]


async def test_runs_that_hold_nothing_back_do_not_hide_those_that_do(ledger: Ledger) -> None:
    for _ in range(OLDEST_RUNS + 1):
        hinted, _ = await stored(ledger, 1)
        await collections(ledger).batches.delete_many({"run_id": hinted.id})
    waiting, _ = await stored(ledger, 4)
    await collections(ledger).batches.update_many({"run_id": waiting.id}, {"$unset": {"announced": ""}})
    await collections(ledger).runs.update_many({}, {"$set": {"held_back": True}})
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), waiting) == [0, 1, 2]


async def test_a_window_is_filled_up_when_several_places_are_free(mongo: Mongo) -> None:
    ledger = Ledger(mongo, "test", shares=Shares(run=16, tenant=32, all=96))
    run, announced = await stored(ledger, 30)
    assert len(announced) == 16
    found = [
        await ledger.handout.left_in_flight(await check(mongo, ledger, run, seq), PARSED) for seq in (3, 0, 15, 7, 8)
    ]
    assert found == [(13, False), (13, False), (13, False), (12, True), (11, True)]
    assert numbers(await ledger.handout.fill(PARSED, Lane.LARGE), run) == [16, 17, 18, 19, 20]


@pytest.mark.parametrize(("window", "left"), [(1, [(0, True)]), (2, [(1, True), (0, True)]), (3, [(2, True)])])
async def test_small_windows_are_filled_up_whenever_a_batch_ends(
    mongo: Mongo, window: int, left: list[tuple[int, bool]]
) -> None:
    ledger = Ledger(mongo, "test", shares=Shares(run=window, tenant=32, all=96))
    run, _ = await stored(ledger, 9)
    for seq, expected in enumerate(left):
        assert await ledger.handout.left_in_flight(await check(mongo, ledger, run, seq), PARSED) == expected


async def test_only_the_last_batch_in_flight_may_end_a_run(mongo: Mongo, ledger: Ledger) -> None:
    run, _ = await stored(ledger, 3)
    other, _ = await stored(ledger, 2)
    for seq, left in ((2, 2), (0, 1), (1, 0)):
        assert await ledger.handout.left_in_flight(await check(mongo, ledger, run, seq), PARSED) == (left, True)
    assert (await in_flight(ledger, PARSED))[other.id] == 2, "of another run"


async def test_a_batch_that_nobody_has_announced_may_be_the_last_one(mongo: Mongo, ledger: Ledger) -> None:
    """Release 0.1 announces without saying so."""
    run, _ = await stored(ledger, 2)
    await collections(ledger).batches.update_many({}, {"$unset": {"announced": "", "lane": ""}})
    assert await ledger.handout.left_in_flight(await check(mongo, ledger, run, 0), PARSED) == (0, True)


async def test_what_is_in_flight_is_read_from_its_index_alone(mongo: Mongo, ledger: Ledger) -> None:
    for _ in range(3):
        run, _ = await stored(ledger, 30)
        for seq in range(30):
            await check(mongo, ledger, run, seq)
    _, announced = await stored(ledger, 4)
    await mongo.state.command("profile", 2)
    await ledger.handout.fill(PARSED, Lane.LARGE)
    await mongo.state.command("profile", 0)
    looked = await mongo.state["system.profile"].find_one(
        {"command.find": "batches", "command.filter.announced": {"$exists": True}}
    )
    assert looked is not None
    assert (looked["docsExamined"], looked["keysExamined"]) == (0, len(announced))
