"""How far an import is, as whoever follows it is told."""

from services.gateway.http.event_stream import ProgressWords
from services.gateway.http.rowporter.casing import CamelView, Moment
from services.gateway.http.rowporter.ids import import_id, template_id
from services.gateway.http.rowporter.import_views import STATUSES
from services.gateway.http.rowporter.parameters import ImportStatus
from services.gateway.runs.progress import Progress, Stage
from services.gateway.stores.progress import WatchedChange


class RowporterProgress(CamelView):
    """The state of an import.

    ``readRows`` is how many rows are read so far, ``totalRows`` is null while the file is being read. ``rowsDone`` are
    the rows that the stage has behind it, ``rowsPerSecond`` its pace in the last seconds and ``secondsLeft`` how long
    it will take at that pace; null where nothing moves or nothing can be told.
    """

    id: str
    template_id: str
    status: ImportStatus
    stage: Stage
    at: Moment
    read_rows: int
    total_rows: int | None
    error_rows: int
    rows_done: int | None
    rows_per_second: float | None
    seconds_left: float | None
    error: str | None
    completed_at: Moment | None


class RowporterReached(CamelView):
    """A status that an import has come to; the stage says it more finely."""

    id: str
    status: ImportStatus
    stage: Stage
    at: Moment


def present_progress(progress: Progress) -> RowporterProgress:
    """The state of an import."""
    run = progress.run
    return RowporterProgress(
        id=import_id(run.id),
        template_id=template_id(run.template_id),
        status=STATUSES[run.status],
        stage=progress.stage,
        at=progress.now,
        read_rows=progress.parsed,
        total_rows=progress.total,
        error_rows=progress.rejected,
        rows_done=progress.done,
        rows_per_second=progress.rows_per_second,
        seconds_left=progress.seconds_left,
        error=None if run.failure is None else run.failure["message"],
        completed_at=progress.completed_at or run.finished_at,
    )


def present_reached(progress: Progress, change: WatchedChange) -> RowporterReached:
    """A status that an import has come to."""
    return RowporterReached(
        id=import_id(progress.run.id), status=STATUSES[change.status], stage=progress.stage_of(change), at=change.at
    )


PROGRESS = ProgressWords(present_progress, present_reached)
