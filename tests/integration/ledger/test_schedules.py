"""The promise of the ledger under random schedules; a failing seed is named and can be repeated alone."""

import asyncio
from collections import Counter

import pytest

from libs.contracts.states import RunStatus
from libs.storage.client import Mongo
from tests.integration.ledger.schedules import Schedule

pytestmark = pytest.mark.servers
SEEDS = range(60)
SIDE_BY_SIDE = 6


async def test_every_row_ends_in_one_place_whatever_happens(mongo: Mongo) -> None:
    seeds = iter(SEEDS)
    ends: Counter[RunStatus] = Counter()

    async def play() -> None:
        for seed in seeds:
            schedule = Schedule(mongo, seed)
            try:
                await schedule.play()
                ends[await schedule.judge()] += 1
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise

    await asyncio.gather(*(play() for _ in range(SIDE_BY_SIDE)))
    assert ends.total() == len(SEEDS)
    assert min(ends[status] for status in (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED)) >= 1, ends
