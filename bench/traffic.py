"""Clients that import ten rows again and again, and what became of each of their imports."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from bench.imports import RowsLostError, upload_and_execute
from deploy.local.gateway_client import GatewayClient

PATIENCE_SECONDS = 900
"""How long the end of imports that are under way is waited for."""
MOST_AT_ONCE = 64
"""Of imports that begin at a rate; when so many are under way the next one waits, and its time runs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An import that came to its end.

    Attributes:
        began: when it was to begin.
        seconds: from then until its client knew the end.
        run: as the gateway shows it.
    """

    began: datetime
    seconds: float
    run: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of imports: how many there were, their median, 95th percentile and the longest."""

    count: int
    median: float
    p95: float
    longest: float

    @classmethod
    def of(cls, finished: Sequence[Finished]) -> Self:
        """Of imports that have ended; all zero where there is none."""
        seconds = sorted(one.seconds for one in finished)
        return cls(len(seconds), *(round(percentile(seconds, share), 3) for share in (0.5, 0.95, 1.0)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed; 0 where there is none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


class Traffic:
    """Imports in the background, from the start of the block to its end, which waits for those under way.

    Args:
        connect: makes the client of each thread.
        template_id: of a template that does not execute by itself.
        file: what is imported.
        clients: so many at once, each one import after the other.
        per_second: instead of that, so many imports begin each second whatever became of the earlier ones.
    """

    def __init__(
        self,
        connect: Callable[[], GatewayClient],
        template_id: str,
        file: Path,
        *,
        clients: int = 0,
        per_second: float = 0,
    ) -> None:
        self._connect = connect
        self._template_id = template_id
        self._content, self._name = file.read_bytes(), file.name
        self._interval = 1 / per_second if per_second else 0.0
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._next = 0.0
        self._finished: list[Finished] = []
        self._failures: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(MOST_AT_ONCE if per_second else clients)
        ]

    def __enter__(self) -> Self:
        self._next = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if kind is not None:
            return  # nobody asks for the outcome any more
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self._failures.append(RowsLostError(f"{self._name} was not imported within {PATIENCE_SECONDS} s"))

    def finished(self) -> list[Finished]:
        """The imports that have ended so far, in the order of their end."""
        return list(self._finished)

    def failures(self) -> list[Exception]:
        """What clients met instead of an end."""
        return list(self._failures)

    def outcome(self) -> list[Finished]:
        """As ``finished``; raises the first of ``failures``."""
        for failure in self._failures:
            raise failure
        return self.finished()

    def _work(self) -> None:
        with self._connect() as gateway:
            while (clock := self._begin()) is not None:
                began = datetime.now(UTC) - timedelta(seconds=time.monotonic() - clock)
                try:
                    run = upload_and_execute(gateway, self._template_id, self._content, self._name)
                except Exception as failure:  # noqa: BLE001 - whatever it is, whoever asks for the outcome gets it
                    self._failures.append(failure)
                    self._over.wait(1)
                else:
                    self._finished.append(Finished(began, time.monotonic() - clock, run))

    def _begin(self) -> float | None:
        """The moment at which this thread's next import is to begin, once it has come; ``None`` at the end."""
        if not self._interval:
            return None if self._over.is_set() else time.monotonic()
        with self._turn:
            moment, self._next = self._next, self._next + self._interval
        return None if self._over.wait(max(0.0, moment - time.monotonic())) else moment
