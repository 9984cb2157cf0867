"""How far a run is, as whoever follows it is told."""

from datetime import datetime

from pydantic import BaseModel

from libs.contracts.states import RunStatus
from services.gateway.http.engine.run_views import FailureView
from services.gateway.http.event_stream import ProgressWords
from services.gateway.runs.progress import Progress, Stage
from services.gateway.stores.progress import WatchedChange


class RunProgressView(BaseModel):
    """The state of a run.

    ``total_rows`` is null while the file is being read. ``rows_written`` counts rows that are through their writing,
    whatever became of them, ``rows_reverted`` those that are taken back. ``rows_per_second`` is the pace of the stage
    in the last seconds, ``seconds_left`` how long the stage will take at it; null where nothing moves or nothing can be
    told. ``written_count`` and ``skipped_count`` are there once the run is checked.
    """

    id: str
    status: RunStatus
    stage: Stage
    at: datetime
    total_rows: int | None
    rows_parsed: int
    rows_validated: int
    rows_written: int
    rows_reverted: int
    rejected_count: int
    warning_count: int
    written_count: int
    skipped_count: int
    rows_per_second: float | None
    seconds_left: float | None
    error: FailureView | None
    finished_at: datetime | None


class RunReachedView(BaseModel):
    """A status that a run has come to."""

    id: str
    status: RunStatus
    stage: Stage
    at: datetime


def present_progress(progress: Progress) -> RunProgressView:
    """The state of a run."""
    run, counts = progress.run, progress.run.counts
    return RunProgressView(
        id=run.id,
        status=run.status,
        stage=progress.stage,
        at=progress.now,
        total_rows=progress.total,
        rows_parsed=progress.parsed,
        rows_validated=progress.checked,
        rows_written=progress.written,
        rows_reverted=progress.reverted,
        rejected_count=progress.rejected,
        warning_count=progress.warnings,
        written_count=0 if counts is None else counts.written,
        skipped_count=0 if counts is None else counts.skipped,
        rows_per_second=progress.rows_per_second,
        seconds_left=progress.seconds_left,
        error=None if run.failure is None else FailureView(**run.failure),
        finished_at=run.finished_at,
    )


def present_reached(progress: Progress, change: WatchedChange) -> RunReachedView:
    """A status that a run has come to."""
    return RunReachedView(id=progress.run.id, status=change.status, stage=progress.stage_of(change), at=change.at)


PROGRESS = ProgressWords(present_progress, present_reached)
