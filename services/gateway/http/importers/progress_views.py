"""How far an import is, as whoever follows it is told."""

from datetime import datetime

from pydantic import BaseModel

from libs.contracts.ids import as_uuid
from services.gateway.http.event_stream import ProgressWords
from services.gateway.http.importers.import_statuses import STATUSES, Status
from services.gateway.runs.progress import Progress, Stage
from services.gateway.stores.progress import WatchedChange


class ImportProgressView(BaseModel):
    """The state of an import.

    ``num_rows`` is how many rows are read so far, ``total_rows`` is null while the file is being read. ``num_errors``
    counts rows with errors, those that are imported with warnings among them. ``rows_done`` are the rows that the stage
    has behind it, ``rows_per_second`` its pace in the last seconds and ``seconds_left`` how long it will take at that
    pace; null where nothing moves or nothing can be told.
    """

    id: str
    importer_id: str
    status: Status
    stage: Stage
    at: datetime
    num_rows: int
    total_rows: int | None
    num_errors: int
    rows_done: int | None
    rows_per_second: float | None
    seconds_left: float | None
    error: str | None
    completed_at: datetime | None


class ImportReachedView(BaseModel):
    """A status that an import has come to; the stage says it more finely."""

    id: str
    status: Status
    stage: Stage
    at: datetime


def present_progress(progress: Progress) -> ImportProgressView:
    """The state of an import."""
    run = progress.run
    return ImportProgressView(
        id=as_uuid(run.id),
        importer_id=as_uuid(run.template_id),
        status=STATUSES[run.status],
        stage=progress.stage,
        at=progress.now,
        num_rows=progress.parsed,
        total_rows=progress.total,
        num_errors=progress.rejected + progress.warnings,
        rows_done=progress.done,
        rows_per_second=progress.rows_per_second,
        seconds_left=progress.seconds_left,
        error=None if run.failure is None else run.failure["message"],
        completed_at=progress.completed_at,
    )


def present_reached(progress: Progress, change: WatchedChange) -> ImportReachedView:
    """A status that an import has come to."""
    return ImportReachedView(
        id=as_uuid(progress.run.id), status=STATUSES[change.status], stage=progress.stage_of(change), at=change.at
    )


PROGRESS = ProgressWords(present_progress, present_reached)
