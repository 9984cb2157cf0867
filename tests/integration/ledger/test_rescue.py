"""Silent runs on a real server: given out to one caller of a service, ever more seldom."""

import asyncio

import pytest

from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.ledger.runs import (
    collections,
    current,
    move_all,
    parsed,
    submitted,
    validated,
)

pytestmark = pytest.mark.servers


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
    assert await silent(Ledger(mongo, "another"), 10) == [run.id]
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


async def test_a_run_that_moves_on_while_it_is_looked_at_stays_readable(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await parsed(ledger, [1], auto_execute=True)
    await age(ledger, 11)
    looked = ledger.rescue._ledger_moved

    async def moves_on(run_id: str, within_seconds: float) -> bool:
        await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED)
        await ledger.maybe_advance(run_id)
        return await looked(run_id, within_seconds)

    monkeypatch.setattr(ledger.rescue, "_ledger_moved", moves_on)
    assert await silent(ledger, 10) == []
    assert (await current(ledger, run)).rescue == {}


async def test_half_an_entry_of_the_release_before_is_read(ledger: Ledger) -> None:
    run = await parsed(ledger, [1])
    await age(ledger, 11)
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"rescue": {"test": {"count": 0}}}})
    assert (await current(ledger, run)).rescue["test"].after is None
    assert await silent(ledger, 10) == [run.id]
