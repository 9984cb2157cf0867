"""Places of a parser on a real server: runs are taken from the ledger, announced or not, and none is forgotten.

Their files are gone, so that a parse ends at once and each run shows when it was begun.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from libs.contracts.lanes import Lane
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.messaging.cancellation import end_tasks
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.storage.files import FileStore
from libs.telemetry.metrics import Metrics
from services.parser.places import Places
from services.parser.settings import ParserSettings
from services.parser.use_cases import ParseRun
from tests.integration.ledger.runs import LEASE, current, new_run, refill

pytestmark = pytest.mark.servers


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "parser")


async def submitted(ledger: Ledger, tenant: str, lane: Lane = Lane.LARGE) -> RunDocument:
    run = new_run().model_copy(update={"tenant_id": tenant, "lane": lane})
    await ledger.runs.submit(run)
    return run


@asynccontextmanager
async def at_work(mongo: Mongo, ledger: Ledger, places: int) -> AsyncIterator[Places]:
    parse_run = ParseRun(ledger, FileStore(mongo), refill(ledger), Metrics("parser"), ParserSettings(), "parser-1")
    large = Places(ledger, parse_run, Lane.LARGE, places)
    working = asyncio.create_task(large.work())
    try:
        yield large
    finally:
        await end_tasks([working])


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await check():
                return
            await asyncio.sleep(0.05)


async def test_every_run_of_the_lane_is_read_and_no_other(mongo: Mongo, ledger: Ledger) -> None:
    large = [await submitted(ledger, tenant) for tenant in "aaaaab"]
    small = await submitted(ledger, "a", Lane.SMALL)

    async def all_read() -> bool:
        return all([(await current(ledger, run)).status is RunStatus.FAILED for run in large])

    async with at_work(mongo, ledger, 3):
        await eventually(all_read)
        large.append(await submitted(ledger, "c"))  # by nobody announced
        await eventually(all_read)
    ended = [await current(ledger, run) for run in large]
    assert {run.parse.attempts for run in ended} == {1}
    assert (await current(ledger, small)).status is RunStatus.PENDING


async def test_who_has_none_at_work_comes_before_who_has(mongo: Mongo, ledger: Ledger) -> None:
    held = [await submitted(ledger, "a") for _ in range(2)]
    for run in held:
        assert await ledger.parsing.begin(run.id, "parser-2", LEASE) is not None
    waiting = await submitted(ledger, "a")
    other = await submitted(ledger, "b")

    async def both_read() -> bool:
        return all([(await current(ledger, run)).status is RunStatus.FAILED for run in (waiting, other)])

    async with at_work(mongo, ledger, 1):
        await eventually(both_read)
    begun = [(await current(ledger, run)).history[-2].at for run in (other, waiting)]
    assert begun == sorted(begun)
    left = [await current(ledger, run) for run in held]
    assert {(run.status, run.parse.attempts) for run in left} == {(RunStatus.PENDING, 1)}
