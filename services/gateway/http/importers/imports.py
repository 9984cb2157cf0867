"""Imports in the words of the importers API."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from libs.contracts.ids import as_uuid
from libs.contracts.rejections import RowError
from libs.contracts.states import RunStatus
from libs.storage.documents import RunDocument
from services.gateway.http.envelope import ErrorView
from services.gateway.http.importers.errors import present_importers_error
from services.gateway.http.importers.import_statuses import STATUSES, Status
from services.gateway.http.importers.importer_models import VOCABULARY
from services.gateway.http.importers.progress_views import PROGRESS
from services.gateway.http.request_shape import Json
from services.gateway.http.shared_imports import AnswerModel, ImportsVocabulary, Look
from services.gateway.runs.runs import RunFindings


class ImportStarted(BaseModel):
    """An import that goes on by itself."""

    id: str
    importer_id: str
    status: Status
    created_at: datetime


class ImportRowError(BaseModel):
    """What is wrong with a row of the file, counted from 1 behind its header; ``field`` is null where it is the row as
    a whole."""

    row: int
    field: str | None
    message: str


class ImportView(ImportStarted):
    """An import, as far as it is.

    ``num_errors`` counts the rows with errors, those that were imported with warnings among them. ``errors`` are the
    first ones, at most 1,000 unless the operator has set another number, in the order of the file. ``error`` says why
    an import has failed as a whole.
    """

    num_rows: int
    num_errors: int
    errors: list[ImportRowError]
    completed_at: datetime | None
    error: str | None


async def start(look: Look) -> ImportStarted:
    """The answer to an upload."""
    return ImportStarted(**_head(look.run))


async def look(look: Look) -> ImportView:
    """A run with its first errors, whether the rows were imported or not."""
    found = await look.runs.findings(look.principal, look.run)
    errors: Sequence[tuple[int, RowError]] = found.errors
    if look.run.counts is not None and look.run.counts.warnings:
        kept = await look.rows.first_warnings(look.principal, look.run, look.max_errors)
        errors = sorted([*errors, *kept], key=lambda each: each[0])[: look.max_errors]
    return present_import(found, errors)


def present_import(found: RunFindings, errors: Sequence[tuple[int, RowError]]) -> ImportView:
    """A run, with ``errors`` of its rows."""
    run = found.run
    rows, failed = run.parse.rows, 0
    if run.counts is not None:
        rows, failed = run.counts.rows, run.counts.rejected + run.counts.warnings
    elif found.totals is not None:
        rows, failed = found.totals.rows, found.totals.result.rejected + found.totals.result.warnings
    completed = run.finished_at if run.status is RunStatus.COMPLETED else run.completed_at
    return ImportView(
        **_head(run),
        num_rows=rows,
        num_errors=failed,
        errors=[ImportRowError(row=row, field=error.field, message=error.message) for row, error in errors],
        completed_at=completed,
        error=None if run.failure is None else run.failure["message"],
    )


def _head(run: RunDocument) -> Json:
    return {
        "id": as_uuid(run.id),
        "importer_id": as_uuid(run.template_id),
        "status": STATUSES[run.status],
        "created_at": run.created_at,
    }


_STARTED = {
    "id": "6764a1b2-c3d4-8e5f-8000-0006071829ff",
    "importer_id": "6764a1b2-c3d4-8e5f-8000-00060718293a",
    "status": "processing",
    "created_at": "2024-01-01T00:00:00Z",
}
_SHOWN = {
    **_STARTED,
    "status": "completed",
    "num_rows": 100,
    "num_errors": 2,
    "errors": [{"row": 5, "field": "email", "message": "Invalid email format"}],
    "completed_at": "2024-01-01T00:01:00Z",
    "error": None,
}
IMPORTS = ImportsVocabulary(
    name=VOCABULARY,
    configuration="importer",
    chooser="importer_id",
    present_error=present_importers_error,
    started=start,
    shown=look,
    started_model=AnswerModel(ImportStarted, _STARTED),
    shown_model=AnswerModel(ImportView, _SHOWN),
    error_model=ErrorView,
    progress=PROGRESS,
)
