"""Places for files that are read side by side; who gets one is decided by the ledger, not by the order of messages.

A message only says that there is something to take. So a run waits for no file before it in a partition, and one that
no message announces is found all the same.
"""

import asyncio
from collections import Counter

import structlog
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.contracts.lanes import Lane
from libs.ledger import Ledger
from libs.messaging.cancellation import end_tasks
from libs.telemetry.error_text import error_text
from services.parser.use_cases import ParseRun

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 1.0
"""How long a place stays empty after a parse that broke, so that what is broken has time to mend."""

logger = structlog.get_logger()


class Places:
    """The places of one lane in this process.

    They look for runs when they are told of one, when one of them is free again and the last look has left some, and
    else once in ``LOOK_SECONDS``. The tenant of whom the fewest files are read comes first, then the oldest run. Where
    there are several places, the last one is for a tenant who has none here.
    """

    def __init__(self, ledger: Ledger, parse_run: ParseRun, lane: Lane, places: int) -> None:
        self._ledger = ledger
        self._parse_run = parse_run
        self.lane = lane
        self._places = places
        self._of_one_tenant = max(1, places - 1)
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._tenants: Counter[str] = Counter()
        self._woken = asyncio.Event()
        self._left_some = False

    def wake(self) -> None:
        """There may be a run to read."""
        self._woken.set()

    async def work(self) -> None:
        """Take runs and read them until cancelled; faults of MongoDB are outlived."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._take()
                except (TransientError, PyMongoError) as error:
                    logger.warning("places.waiting", lane=self.lane, error=error_text(error))
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            await end_tasks(self._at_work.values())

    async def _take(self) -> None:
        self._left_some = True
        if len(self._at_work) >= self._places:
            return
        queues = await self._ledger.parsing.waiting(self.lane)
        while len(self._at_work) < self._places:
            open_queues = [
                queue for queue in queues if queue.run_ids and self._tenants[queue.tenant_id] < self._of_one_tenant
            ]
            if not open_queues:
                self._left_some = any(queue.run_ids for queue in queues)
                return
            queue = min(open_queues, key=lambda queue: (queue.at_work, queue.run_ids[0]))
            run_id = queue.run_ids.pop(0)
            if run_id not in self._at_work:
                queue.at_work += 1
                self._tenants[queue.tenant_id] += 1
                self._at_work[run_id] = asyncio.create_task(self._read(run_id, queue.tenant_id))

    async def _read(self, run_id: str, tenant_id: str) -> None:
        parsed = False
        try:
            parsed = await self._parse_run(run_id)
            if not parsed:
                await asyncio.sleep(LOOK_SECONDS / 10)  # somebody was faster: let it be seen
        except Exception as error:
            logger.exception("places.parse_broke", run_id=run_id, error=error_text(error))
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            del self._at_work[run_id]
            self._tenants[tenant_id] -= 1
            if self._left_some or not parsed:
                self.wake()
