"""How far a run is, how fast it goes, and what whoever follows it has missed. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from libs.contracts.states import TERMINAL_RUN_STATUSES, BatchState, RunStatus
from libs.storage.documents import BatchResult
from services.gateway.stores.progress import WatchedChange, WatchedRun

WINDOW_SECONDS: Final = 15.0
"""The pace is that of so long a time; of less where a stage has just begun."""
SHORTEST_SECONDS: Final = 0.5
"""Of less than this no pace can be told."""
_ID_DIGITS: Final = 12


class Stage(StrEnum):
    """What a run is about, more finely than its status says."""

    QUEUED = "queued"
    READING = "reading"
    """The file is being read; what has been read is checked meanwhile."""
    CHECKING = "checking"
    """All of it is read."""
    CHECKED = "checked"
    """It waits to be executed."""
    WRITING = "writing"
    REVERTING = "reverting"
    ENDED = "ended"


_STAGES: Final[Mapping[RunStatus, Stage]] = {
    RunStatus.PENDING: Stage.QUEUED,
    RunStatus.VALIDATING: Stage.READING,
    RunStatus.VALIDATED: Stage.CHECKED,
    RunStatus.EXECUTING: Stage.WRITING,
    RunStatus.REVERTING: Stage.REVERTING,
}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Progress:
    """How far a run is, at one moment.

    Attributes:
        run: the run.
        now: that moment, by the clock of the database.
        parsed: rows that are read.
        checked: rows that have passed or failed their checks, or are skipped for the sake of others.
        written: rows through their writing, whatever became of them.
        reverted: rows that are taken back.
        rejected, warnings: rows with errors, and rows that are imported with warnings.
        rows_per_second: of its stage, in the last seconds; ``None`` where nothing moves.
        seconds_left: until the stage is over at this pace; ``None`` where that cannot be told.
    """

    run: WatchedRun
    now: datetime
    parsed: int = 0
    checked: int = 0
    written: int = 0
    reverted: int = 0
    rejected: int = 0
    warnings: int = 0
    rows_per_second: float | None = None
    seconds_left: float | None = None

    @classmethod
    def of(cls, run: WatchedRun, now: datetime, groups: Iterable[Mapping[str, Any]]) -> "Progress":
        """Of a run and its batches, in groups of ``state``, ``rows`` and the members of their results."""
        rows = dict.fromkeys(BatchState, 0)
        result = BatchResult()
        for group in groups:
            rows[BatchState(group["state"])] += group["rows"]
            result = result.plus(group)
        through = rows[BatchState.WRITTEN] + rows[BatchState.REVERTED]
        return cls(
            run=run,
            now=now,
            parsed=sum(rows.values()),
            checked=result.ok + result.rejected + result.duplicate_keys,
            written=through,
            reverted=rows[BatchState.REVERTED],
            rejected=result.rejected if run.counts is None or not ended(run) else run.counts.rejected,
            warnings=result.warnings if run.counts is None else run.counts.warnings,
        )

    @property
    def stage(self) -> Stage:
        """What the run is about."""
        if self.run.status is RunStatus.VALIDATING and self.run.parse.closed:
            return Stage.CHECKING
        return _STAGES.get(self.run.status, Stage.ENDED)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return ended(self.run)

    @property
    def completed_at(self) -> datetime | None:
        """When the run was completed, if it was."""
        return self.run.finished_at if self.run.status is RunStatus.COMPLETED else self.run.completed_at

    @property
    def total(self) -> int | None:
        """All rows; ``None`` while the file is being read."""
        if self.run.counts is not None:
            return self.run.counts.rows
        return self.run.parse.rows if self.run.parse.closed else None

    @property
    def done(self) -> int | None:
        """Rows that the stage has behind it; ``None`` where it has to do with no rows."""
        match self.stage:
            case Stage.READING | Stage.CHECKING:
                return self.checked
            case Stage.WRITING:
                return self.written
            case Stage.REVERTING:
                return self.reverted
            case _:
                return None

    def stage_of(self, change: WatchedChange) -> Stage:
        """What the run was about after a change of its status."""
        return _STAGES.get(change.status, Stage.ENDED)

    @property
    def event_id(self) -> str:
        """Names this state: the same in every process, another one whenever anything has moved."""
        if self.ended:
            return end_id(self.run.version)
        return f"{self.run.version}.{self.parsed}.{self.checked}.{self.written}.{self.reverted}"

    def missed_since(self, version: int) -> list[WatchedChange]:
        """The changes of status behind one of which somebody knows."""
        return [change for change in self.run.history if change.version > version]


def ended(run: WatchedRun) -> bool:
    """Whether a run is at its end; one that is completed may still be reverted, and is followed anew then."""
    return run.status in TERMINAL_RUN_STATUSES


def reached_id(change: WatchedChange) -> str:
    """Names the event that tells of a change of status."""
    return f"{change.version}.reached"


def end_id(version: int) -> str:
    """Names the last event of a run that has ended in this version."""
    return f"{version}.end"


def version_in(event_id: str) -> int | None:
    """The version of the run in the id of an event; ``None`` where it is none of ours."""
    digits, dot, rest = event_id.partition(".")
    known = dot and rest and digits.isascii() and digits.isdecimal() and len(digits) <= _ID_DIGITS
    return int(digits) if known else None


class Pace:
    """Rows a second, by what was done at some moments of one stage."""

    def __init__(self) -> None:
        self._stage: tuple[int, Stage] | None = None
        self._seen = deque[tuple[datetime, int]]()

    def at(self, progress: Progress) -> tuple[float | None, float | None]:
        """Rows a second, and the seconds that are left of the stage at that pace."""
        stage, done, now = (progress.run.version, progress.stage), progress.done, progress.now
        if done is None:
            self._stage = None
            return None, None
        # Reading and checking are one for this: the same rows are counted.
        if self._stage is None or self._stage[0] != stage[0]:
            self._seen.clear()
            if progress.run.history:
                self._seen.append((progress.run.history[-1].at, 0))
        self._stage = stage
        self._seen.append((now, done))
        while len(self._seen) > 2 and (now - self._seen[1][0]).total_seconds() >= WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        seconds = (now - since).total_seconds()
        if seconds < SHORTEST_SECONDS or done <= before:
            return None, None
        speed = (done - before) / seconds
        total = progress.total
        left = None if total is None else max(0.0, (total - done) / speed)
        return round(speed, 1), None if left is None else round(left, 1)
