"""How long to wait before each look at what tells nothing of itself."""

import time
from collections.abc import Iterator

FIRST_SECONDS, MAX_SECONDS, GROWTH = 0.03, 0.5, 1.25


def pauses(
    seconds: float, first: float = FIRST_SECONDS, most: float = MAX_SECONDS, growth: float = GROWTH
) -> Iterator[float]:
    """Pauses in seconds, each longer than the one before, until ``seconds`` are over.

    Args:
        seconds: bounds all of them, but for the last one.
        first: the first one.
        most: no one is longer.
        growth: how much longer each is.
    """
    deadline, pause = time.monotonic() + seconds, first
    while time.monotonic() < deadline:
        yield pause
        pause = min(pause * growth, most)
