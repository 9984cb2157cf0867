"""Imports in the words of Rowporter."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from libs.contracts.rejections import RowError
from libs.contracts.states import RunStatus
from libs.ledger import Totals
from libs.storage.documents import RunDocument
from services.gateway.http.request_shape import Json
from services.gateway.http.rowporter.casing import CamelView, Moment
from services.gateway.http.rowporter.ids import import_id, template_id
from services.gateway.http.rowporter.parameters import ImportStatus
from services.gateway.http.rowporter.template_models import ColumnView, Pagination
from services.gateway.http.rowporter.template_view import present_columns
from services.gateway.runs.notices import EndNotice
from services.gateway.stores.runs import ListedRun

STATUSES: Mapping[RunStatus, ImportStatus] = {
    RunStatus.PENDING: "PENDING",
    RunStatus.VALIDATING: "PENDING",
    RunStatus.VALIDATED: "PENDING",
    RunStatus.EXECUTING: "PENDING",
    RunStatus.COMPLETED: "COMPLETED",
    RunStatus.FAILED: "FAILED",
    RunStatus.CANCELLED: "FAILED",
    RunStatus.REVERTING: "COMPLETED",
    RunStatus.REVERTED: "COMPLETED",
}
"""Of an import that was completed and then taken back it is still told what it has done."""


class ImportHead(CamelView):
    """What every answer tells of an import.

    ``validRows`` and ``errorRows`` add up to ``totalRows`` once the file is checked. ``webhookStatus`` is that of the
    message about the end: ``PENDING``, ``DELIVERED``, ``FAILED``, ``DISABLED``, or null without a receiver.
    """

    id: str
    template_id: str
    file_name: str
    file_type: str | None
    file_size: int
    total_rows: int
    valid_rows: int
    error_rows: int
    status: ImportStatus
    metadata: Any
    webhook_status: str | None
    created_at: Moment
    completed_at: Moment | None


class ListedImport(ImportHead):
    """An import in a list."""

    template_name: str


class ImportPage(CamelView):
    """Imports, the newest first."""

    data: list[ListedImport]
    pagination: Pagination


class TemplateOfImport(CamelView):
    """The template as it was when the import began."""

    id: str
    name: str
    columns: list[ColumnView]


class ImportProblem(CamelView):
    """What is wrong with a row of the file, counted from 1 behind its header; ``key`` is null where it is the row as a
    whole."""

    row: int
    key: str | None
    code: str
    message: str


class RowporterImport(ImportHead):
    """An import, as far as it is.

    ``columnMapping`` has the columns of the file that fill a column of the template, by their headers. Additions are
    ``error``, why the import has failed as a whole, and ``errors``, the first of its rows, at most 1,000 unless the
    operator has set another number.
    """

    template: TemplateOfImport
    column_mapping: dict[str, str]
    external_user_id: str | None
    webhook_attempts: int
    webhook_delivered_at: Moment | None
    error: str | None
    errors: list[ImportProblem]


def present_listed(run: ListedRun, notice: EndNotice | None) -> ListedImport:
    """A run in a list."""
    file_type = None if run.plan is None else run.plan.file_type
    return ListedImport(**_head(run, None, notice), file_type=file_type, template_name=run.template.name)


def present_import(
    run: RunDocument, totals: Totals | None, errors: Sequence[tuple[int, RowError]], notice: EndNotice | None
) -> RowporterImport:
    """A run with the first errors of its rows."""
    template = run.template
    return RowporterImport(
        **_head(run, totals, notice),
        file_type=template.source.file_type if run.plan is None else run.plan.file_type,
        template=TemplateOfImport(
            id=template_id(run.template_id),
            name=template.name,
            columns=present_columns(template.fields, run.wording, run.template_version),
        ),
        column_mapping=_mapping(run),
        external_user_id=run.external_user_id,
        webhook_attempts=0 if notice is None else notice.attempts,
        webhook_delivered_at=None if notice is None else notice.delivered_at,
        error=None if run.failure is None else run.failure["message"],
        errors=[
            ImportProblem(row=row, key=error.field, code=error.code, message=error.message) for row, error in errors
        ],
    )


def _head(run: RunDocument | ListedRun, totals: Totals | None, notice: EndNotice | None) -> Json:
    rows, failed = run.parse.rows, 0
    if run.counts is not None:
        rows, failed = run.counts.rows, run.counts.rejected
    elif totals is not None:
        rows, failed = totals.rows, totals.result.rejected
    return {
        "id": import_id(run.id),
        "template_id": template_id(run.template_id),
        "file_name": run.file.name,
        "file_size": run.file.size,
        "total_rows": rows,
        "valid_rows": rows - failed,
        "error_rows": failed,
        "status": STATUSES[run.status],
        "metadata": None if run.metadata is None else json.loads(run.metadata),
        "webhook_status": None if notice is None else notice.state.value.upper(),
        "created_at": run.created_at,
        "completed_at": run.finished_at if run.completed_at is None else run.completed_at,
    }


def _mapping(run: RunDocument) -> dict[str, str]:
    """Header and key of each column that is read, as it is known by now."""
    if run.plan is None:
        return {header: key for header, key in run.column_mapping or () if key is not None}
    columns = run.plan.columns
    return {columns[index]: key for key, index in run.plan.mapping.items() if index is not None}
