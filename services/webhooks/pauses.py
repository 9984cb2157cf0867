"""Receivers to which this process sends nothing for the moment."""

import time
from collections.abc import Callable

MAX_REMEMBERED = 1_000
"""Those that are not remembered are found paused when a delivery of theirs is looked at."""


class Pauses:
    """Ids of endpoints, each for some seconds.

    Args:
        clock: seconds, ever rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, endpoint_id: str, seconds: float) -> None:
        """Send nothing to an endpoint for ``seconds``."""
        if len(self._until) >= MAX_REMEMBERED and endpoint_id not in self._until:
            del self._until[min(self._until, key=self._until.__getitem__)]
        self._until[endpoint_id] = self._clock() + seconds

    def lift(self, endpoint_id: str) -> None:
        """Send to an endpoint again."""
        self._until.pop(endpoint_id, None)

    def ids(self) -> list[str]:
        """Those that are paused now."""
        now = self._clock()
        for endpoint_id in [each for each, until in self._until.items() if until <= now]:
            del self._until[endpoint_id]
        return list(self._until)
