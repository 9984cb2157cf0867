"""Runs and rejected records as clients see them."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import BaseModel

from libs.contracts.events import RunCounts
from libs.contracts.states import ACTIVE_RUN_STATUSES, RunStatus
from libs.storage.documents import RejectedRecord, RunDocument
from libs.storage.ledger import Totals

MAX_RUN_ERRORS = 100
UNCHANGED = "UNCHANGED"


class FailureView(BaseModel):
    code: str
    message: str


class PlanView(BaseModel):
    """How the file is read; ``mapping`` names each field's column, null where the file has none."""

    encoding: str
    delimiter: str
    has_header: bool
    columns: list[str]
    mapping: dict[str, str | None]
    notes: list[str]


class ProgressView(BaseModel):
    """How far an active run is: batches and rows by the furthest stage they have passed."""

    batches: int
    rows_parsed: int
    rows_validated: int
    rows_written: int
    parsing_finished: bool


class RowErrorView(BaseModel):
    row: int
    field: str | None = None
    column: str | None = None
    code: str | None = None
    message: str | None = None
    value: Any = None


class RunView(BaseModel):
    """One import.

    ``total_rows = written_count + rejected_count + skipped_count`` once the run is at its end;
    ``skipped`` holds the reasons, among them ``UNCHANGED`` (``unchanged_count``). ``valid_rows`` are those that
    would be or were written, or were found unchanged. ``errors`` are the first ones only (at most 100);
    all of them are at ``/imports/rejected?run_id=``.
    """

    id: str
    template_id: str
    template_name: str
    template_version: int
    status: RunStatus
    target_resource: str
    import_mode: str
    auto_execute: bool
    file_name: str
    file_size: int
    file_sha256: str
    total_rows: int
    valid_rows: int
    written_count: int
    created_count: int
    updated_count: int
    deleted_count: int
    unchanged_count: int
    rejected_count: int
    skipped_count: int
    skipped: dict[str, int]
    warning_count: int
    preview_rows: list[dict[str, Any]]
    errors: list[RowErrorView]
    error: FailureView | None
    plan: PlanView | None
    progress: ProgressView | None
    created_at: datetime
    updated_at: datetime
    validated_at: datetime | None
    executing_at: datetime | None
    completed_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RunView]
    next_after: str | None


class RejectedView(BaseModel):
    """A rejected row: ``data`` by header; ``cells`` as read, perhaps more or fewer than ``columns``."""

    id: str
    run_id: str
    row: int
    state: str
    data: dict[str, str | None]
    columns: list[str]
    cells: list[str | None]
    errors: list[dict[str, Any]]
    created_at: datetime


class RejectedPage(BaseModel):
    """In the order of the file; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RejectedView]
    next_after: int | None


def present_run(run: RunDocument, *, totals: Totals | None = None, rejected: Sequence[RejectedRecord] = ()) -> RunView:
    """A run, with its progress where ``totals`` of its ledger are given and its first errors."""
    counts = run.counts or RunCounts(rows=run.parse.rows)
    unchanged = counts.skip_reasons.get(UNCHANGED, 0)
    return RunView(
        id=run.id,
        template_id=run.template_id,
        template_name=run.template.name,
        template_version=run.template_version,
        status=run.status,
        target_resource=run.template.target_resource,
        import_mode=run.template.mode.value,
        auto_execute=run.template.auto_execute,
        file_name=run.file.name,
        file_size=run.file.size,
        file_sha256=run.file.sha256,
        total_rows=counts.rows,
        valid_rows=counts.rows - counts.rejected - counts.skipped + unchanged if run.counts else 0,
        written_count=counts.written,
        created_count=counts.created,
        updated_count=counts.updated,
        deleted_count=counts.deleted,
        unchanged_count=unchanged,
        rejected_count=counts.rejected,
        skipped_count=counts.skipped,
        skipped=counts.skip_reasons,
        warning_count=counts.warnings,
        preview_rows=run.preview_rows,
        errors=_first_errors(rejected),
        error=FailureView(**run.failure) if run.failure else None,
        plan=_present_plan(run),
        progress=_present_progress(run, totals) if totals else None,
        created_at=run.created_at,
        updated_at=run.updated_at,
        validated_at=run.validated_at,
        executing_at=run.executing_at,
        completed_at=run.finished_at if run.status is RunStatus.COMPLETED else None,
        finished_at=run.finished_at,
    )


def is_active(run: RunDocument) -> bool:
    """Whether the run may still change, and so has progress to show."""
    return run.status in ACTIVE_RUN_STATUSES


def _first_errors(rejected: Sequence[RejectedRecord]) -> list[RowErrorView]:
    errors = ({"row": record.row, **error} for record in rejected for error in record.errors)
    return [RowErrorView.model_validate(error) for error in islice(errors, MAX_RUN_ERRORS)]


def _present_plan(run: RunDocument) -> PlanView | None:
    if (plan := run.plan) is None:
        return None
    return PlanView(
        encoding=plan.encoding,
        delimiter=plan.delimiter,
        has_header=plan.has_header,
        columns=list(plan.columns),
        mapping={name: None if index is None else plan.columns[index] for name, index in plan.mapping.items()},
        notes=list(plan.notes),
    )


def _present_progress(run: RunDocument, totals: Totals) -> ProgressView:
    result = totals.result
    return ProgressView(
        batches=totals.batches,
        rows_parsed=totals.rows,
        rows_validated=result.ok + result.rejected + result.duplicate_keys,
        rows_written=result.created + result.updated + result.deleted,
        parsing_finished=run.parse.closed,
    )


def present_rejected(record: RejectedRecord, run: RunDocument) -> RejectedView:
    """A rejected row; cells beyond the last column are in ``cells`` only."""
    columns = list(run.plan.columns) if run.plan else []
    padded = [*record.cells, *[None] * (len(columns) - len(record.cells))]
    return RejectedView(
        id=record.id,
        run_id=record.run_id,
        row=record.row,
        state=record.state,
        data=dict(zip(columns, padded, strict=False)),
        columns=columns,
        cells=record.cells,
        errors=record.errors,
        created_at=record.created_at,
    )
