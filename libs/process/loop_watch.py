"""Finds what keeps an event loop busy: for tests and for looking at a process, off otherwise (docs/adr/0032).

A thread asks every few milliseconds how much processor time the loop's thread has used since the loop came round the
last time. Processor time: on a busy machine a loop may come late without any fault of its own. The garbage collector
runs on whatever allocates next; its time is told as its own, not as that of the place that it happened to stop.
"""

import asyncio
import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final, Literal

import structlog

from libs.telemetry.metrics import Metrics

logger = structlog.get_logger()

BLOCKED: Final = "loop.blocked"
"""The event in the log."""
COLLECTOR: Final = "garbage collector"
"""The whole stack of a block that is the collector's."""
_BY_COLLECTOR: Final = (COLLECTOR,)
_LOOKS: Final = 5
"""How often the thread looks within the time that is allowed."""
_MAX_FRAMES: Final = 25


@dataclass(frozen=True, slots=True)
class Block:
    """A time in which a loop did not come round.

    Attributes:
        milliseconds: processor time that its thread used, without the collector's where a place is named.
        stack: ``file:line function`` of what ran when the time was over, outermost first; or ``COLLECTOR`` alone.
    """

    milliseconds: float
    stack: tuple[str, ...]


class LoopWatch:
    """Watches the running loop of the thread that makes it.

    Args:
        limit_ms: processor time, in milliseconds, after which a loop counts as blocked.
        report: called for each block, in the watching thread.
    """

    def __init__(self, limit_ms: float, report: Callable[[Block], None]) -> None:
        self._limit = limit_ms / 1000
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._pause = self._limit / _LOOKS
        self._round = 0
        self._used = time.thread_time()
        self._collected = 0.0
        self._collecting_since: float | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        gc.callbacks.append(self._collecting)
        self._come_round()
        self._watcher.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        if self._beat is not None:
            self._beat.cancel()
        self._watcher.join()
        gc.callbacks.remove(self._collecting)

    def _come_round(self) -> None:
        self._round += 1
        self._used = time.thread_time()
        self._collected = 0.0
        self._beat = self._loop.call_later(self._pause, self._come_round)

    def _collecting(self, phase: Literal["start", "stop"], _info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_since = time.thread_time()
        elif self._collecting_since is not None:
            self._collected += time.thread_time() - self._collecting_since
            self._collecting_since = None

    def _collector_used(self, now: float) -> float:
        since = self._collecting_since
        return self._collected + (now - since if since is not None else 0.0)

    def _watch(self) -> None:
        found: Block | None = None
        seen = 0
        rested = True
        while not self._over.wait(self._pause):
            if found is not None and seen != self._round:
                self._report(found)
                found = None
            if not self._loop.is_running():
                rested = True
                continue
            if rested:  # what the thread did between two runs of the loop was not the loop's
                self._used, rested = time.clock_gettime(self._clock), False
                self._collected = 0.0
            now = time.clock_gettime(self._clock)
            used = now - self._used
            if used > self._limit:
                known = found.stack if found is not None and seen == self._round else _BY_COLLECTOR
                collector = self._collector_used(now)
                if known == _BY_COLLECTOR and used - collector > self._limit:
                    known = self._stack()
                milliseconds = (used if known == _BY_COLLECTOR else used - collector) * 1000
                found, seen = Block(milliseconds, known), self._round
        if found is not None:
            self._report(found)

    def _stack(self) -> tuple[str, ...]:
        frame: FrameType | None = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        frames = traceback.extract_stack(frame)[-_MAX_FRAMES:]
        return tuple(f"{each.filename}:{each.lineno} {each.name}" for each in frames)


@contextmanager
def watching_loop(limit_ms: float, metrics: Metrics) -> Generator[None]:
    """Log and count what blocks the running loop, for the length of a block; nothing where ``limit_ms`` is 0."""
    if not limit_ms:
        yield
        return

    def report(block: Block) -> None:
        metrics.loop_blocks.inc()
        logger.warning(BLOCKED, milliseconds=round(block.milliseconds), stack=block.stack)

    watch = LoopWatch(limit_ms, report)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
