"""How often nobody in particular may ask: by address, in the memory of each gateway."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from services.gateway.access.rates import UNLIMITED, WINDOW_SECONDS, Allowance, Kind

MAX_ADDRESSES = 50_000


@dataclass(slots=True)
class _Window:
    ends: float
    count: int = 0


class Strangers:
    """Counts requests that showed no key, or none that works; in windows like those of ``rates``.

    Args:
        limit: requests of an address in a window; ``UNLIMITED`` for any number.
        clock: seconds, never going back.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._windows = LRUCache[str, _Window](MAX_ADDRESSES)

    def allowance(self, address: str, kind: Kind) -> Allowance | None:
        """What is left to an address, without counting; ``None`` where there is no limit."""
        return self._told(address, kind, counted=False)

    def count(self, address: str, kind: Kind) -> Allowance | None:
        """Count a request of an address; what it is told."""
        return self._told(address, kind, counted=True)

    def _told(self, address: str, kind: Kind, *, counted: bool) -> Allowance | None:
        if self._limit == UNLIMITED:
            return None
        now = self._clock()
        window = self._windows.get(address)
        if window is None or window.ends <= now:
            window = _Window(now + WINDOW_SECONDS)
            if counted:
                self._windows[address] = window
        passed = window.count < self._limit
        window.count += counted and passed
        left = window.ends - now
        return Allowance(kind, self._limit, self._limit - window.count, math.ceil(time.time() + left), left, passed)
