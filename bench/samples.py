"""What a running stack uses and what waits in it, sampled again and again; whether it grows; small curves of text."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean, linear_regression
from typing import Any, Self

import psutil
from pymongo import MongoClient

from bench.processes import pids
from deploy.local.stack import Stack

EVERY_SECONDS = 10.0
OVERDUE = timedelta(minutes=1)
MIB = 1024**2
OPEN_BATCHES = ("parsed", "checked", "validated")
IN_FLIGHT = {"announced": {"$type": "string"}, "$expr": {"$eq": ["$announced", "$state"]}}
"""Batches that are announced in the state that they are in."""
CURVE_COLUMNS = 60
BARS = "▁▂▃▄▅▆▇█"

Sample = Mapping[str, float]


def look(stack: Stack, database: MongoClient[dict[str, Any]]) -> dict[str, float]:
    """One sample.

    Returns:
        ``memory <process>`` in MiB and ``descriptors <process>``, both with the process's children; how many documents
        are in the ``outbox``, ``open batches``, ``announced batches`` of them, ``deliveries pending`` and
        ``deliveries overdue``, those that were due a minute ago.
    """
    found: dict[str, float] = {}
    for name, pid in pids(stack).items():
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            found[f"memory {name}"] = round(sum(one.memory_info().rss for one in family) / MIB, 1)
            found[f"descriptors {name}"] = sum(one.num_fds() for one in family)
    state = database[stack.database]
    overdue = {"state": "pending", "next_attempt_at": {"$lt": datetime.now(UTC) - OVERDUE}}
    return found | {
        "outbox": state["outbox"].count_documents({}),
        "open batches": state["batches"].count_documents({"state": {"$in": OPEN_BATCHES}}),
        "announced batches": state["batches"].count_documents(IN_FLIGHT),
        "deliveries pending": state["webhook_deliveries"].count_documents({"state": "pending"}),
        "deliveries overdue": state["webhook_deliveries"].count_documents(overdue),
    }


class Sampler:
    """Takes a sample again and again in the background, from the start of the block to its end.

    Args:
        take: takes one.
        every_seconds: so often.

    Attributes:
        samples: seconds since the start of the block, and what was found.
    """

    def __init__(self, take: Callable[[], Sample], every_seconds: float = EVERY_SECONDS) -> None:
        self.samples: list[tuple[float, Sample]] = []
        self._take = take
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * EVERY_SECONDS)

    def series(self, after_seconds: float = 0) -> dict[str, list[tuple[float, float]]]:
        """Seconds and value of everything that was sampled, by name."""
        found: dict[str, list[tuple[float, float]]] = {}
        for seconds, sample in list(self.samples):
            if seconds >= after_seconds:
                for name, value in sample.items():
                    found.setdefault(name, []).append((seconds, value))
        return found

    def _work(self) -> None:
        began = time.monotonic()
        while not self._over.wait(max(0.0, self._every_seconds * len(self.samples) - (time.monotonic() - began))):
            self.samples.append((round(time.monotonic() - began, 1), self._take()))


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much something grew from the first to the last moment, after the line that fits it best.

    Attributes:
        mean: of all values.
        gained: the end of the line less its begin.
    """

    mean: float
    gained: float

    @classmethod
    def of(cls, series: Sequence[tuple[float, float]]) -> Self:
        """Of seconds and values."""
        moments, values = [moment for moment, _ in series], [value for _, value in series]
        if len(set(moments)) < 2:
            return cls(fmean(values) if values else 0.0, 0.0)
        slope = linear_regression(moments, values).slope
        return cls(fmean(values), slope * (moments[-1] - moments[0]))


def curve(values: Sequence[float]) -> str:
    """Values as a line of bars from 0 to the largest; more than fit are averaged."""
    columns = min(CURVE_COLUMNS, len(values))
    parts = [values[len(values) * at // columns : len(values) * (at + 1) // columns] for at in range(columns)]
    top = max(values, default=0.0)
    return "".join(BARS[round(fmean(part) / top * (len(BARS) - 1)) if top else 0] for part in parts)
