"""Work that may take seconds and is asked for by a request: in threads, and shared between organizations."""

import asyncio
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError

AT_ONCE: Final = 4
"""Threads of all organizations together; each organization has one at a time."""
MAX_WAITING: Final = 16
"""Requests of one organization that may have no answer yet."""
Result = TypeVar("Result")


class Turns:
    """Reads and judges what requests bring, without holding up the event loop or another organization."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "judging")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._asked: Counter[str] = Counter()

    async def run(self, principal: Principal, work: Callable[[], Result]) -> Result:
        """What ``work`` returns or raises, in the turn of the organization.

        Raises:
            BusyError: ``TEMPLATES_WAITING``; too many of its requests wait already.
        """
        tenant = principal.home
        lock = self._locks.setdefault(tenant, asyncio.Lock())
        with self._asking(tenant):
            async with lock:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def _asking(self, tenant: str) -> Generator[None]:
        if self._asked[tenant] >= MAX_WAITING:
            message = "too many templates of this organization are being judged at the moment; try again"
            raise BusyError("TEMPLATES_WAITING", message)
        self._asked[tenant] += 1
        try:
            yield
        finally:
            self._asked[tenant] -= 1
            if not self._asked[tenant]:
                del self._asked[tenant]
