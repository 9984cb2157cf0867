"""Runs and rejected records as clients see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from libs.contracts.events import RunCounts
from libs.contracts.plan import ColumnReading, ParsePlan
from libs.contracts.reasons import SkipReason
from libs.contracts.rejections import RejectedState, RowError
from libs.contracts.states import RunStatus
from libs.contracts.templates import DateOrder, DecimalStyle, FieldType, Percent
from libs.ledger import Totals
from libs.storage.documents import RunDocument
from services.gateway.http.engine.correction_views import CorrectionsView, present_corrections
from services.gateway.http.engine.revert_views import KeptView, RevertView, present_kept, present_reverted
from services.gateway.http.engine.sync_view import SyncView, present_sync
from services.gateway.http.engine.template_view import present_mode
from services.gateway.http.template_reading import remembered_words
from services.gateway.runs.dry_runs import DryRunResult
from services.gateway.runs.runs import RunDetails
from services.gateway.stores.runs import ListedRun


class FailureView(BaseModel):
    code: str
    message: str


class MatchView(BaseModel):
    """The column of a field and how it was found; ``confidence`` is 1 where nothing was guessed."""

    column: str | None
    method: Literal["given", "exact", "normalised", "alias", "fuzzy"]
    confidence: float


class ExampleView(BaseModel):
    """A text of the column as it stands in the file, and the value that it was read as; ``error`` is the code of what
    is wrong with it."""

    text: str
    value: Any
    error: str | None


class ColumnReadingView(BaseModel):
    """How the column of a field is read.

    ``decided_by`` says what has decided on style or order: the ``template``, its ``default`` where the column does not
    tell, the ``values`` of the column, or ``most_values`` of one whose values contradict each other. ``words`` are
    those for true and then those for false, ``two_digit_years`` is what years of two digits mean in dates.
    ``examples``, of the first rows, are there once these are checked.
    """

    column: str
    type: FieldType
    decimal_style: DecimalStyle | None
    currency: str | None
    percent: Percent | None
    date_format: str | None
    date_order: DateOrder | None
    two_digit_years: str | None
    words: list[str]
    null_values: list[str] | None
    decided_by: Literal["template", "values", "most_values", "default"] | None
    examples: list[ExampleView]


class PlanView(BaseModel):
    """How the file is read.

    ``mapping`` names each field's column, null where the file has none, and ``matches`` says how it was found.
    ``columns_read`` says for each field that has a column how that is read, with three examples.
    ``unmatched`` are the columns that are kept under ``extra``. ``date_orders`` and ``decimal_styles`` hold for the
    whole column; ``notes`` tell what of all this was found out from the file. ``delimiter`` is null except for
    ``csv``, ``sheet`` except for ``excel``.
    """

    file_type: str
    encoding: str
    delimiter: str | None
    sheet: str | int | None
    has_header: bool
    columns: list[str]
    mapping: dict[str, str | None]
    matches: dict[str, MatchView]
    unmatched: list[str]
    date_orders: dict[str, DateOrder]
    decimal_styles: dict[str, DecimalStyle]
    columns_read: dict[str, ColumnReadingView]
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


class StartedByView(BaseModel):
    """Whose key started a run: that of its organization, or of one above it."""

    tenant_id: str
    subject: str


class RunSummaryView(BaseModel):
    """An import as a list shows it.

    ``total_rows = written_count + rejected_count + skipped_count`` once the run is at its end; records that a sync
    deletes because the file does not hold them are no rows, and only in ``deleted_count``;
    ``skipped`` holds the reasons, among them ``UNCHANGED`` (``unchanged_count``). ``error_count`` is
    ``rejected_count`` by another name, beside the other counts of the reference. ``valid_rows`` are those that
    would be or were written, or were found unchanged; ``warning_count`` of them broke a rule in a template that keeps
    invalid rows. ``duplicate_of`` is the newest earlier run of the template whose
    file was the same to the byte; ``file_removed_at`` is since when the file itself is no longer stored.
    ``target_tenant_id`` is the organization whose records it changes, ``started_by`` who has started it; null for runs
    of earlier releases. ``revertible_until`` is how long a completed run can be reverted, ``reverted`` what its revert
    did; the counts stay those of the import. ``parent_run_id`` is the run whose rejected rows it retries.
    """

    id: str
    template_id: str
    template_name: str
    template_version: int
    status: RunStatus
    target_tenant_id: str
    started_by: StartedByView | None
    target_resource: str
    import_mode: str
    auto_execute: bool
    file_name: str
    file_size: int
    file_sha256: str
    file_removed_at: datetime | None
    duplicate_of: str | None
    total_rows: int
    valid_rows: int
    written_count: int
    created_count: int
    updated_count: int
    deleted_count: int
    unchanged_count: int
    rejected_count: int
    error_count: int
    skipped_count: int
    skipped: dict[str, int]
    warning_count: int
    error: FailureView | None
    created_at: datetime
    updated_at: datetime
    validated_at: datetime | None
    executing_at: datetime | None
    completed_at: datetime | None
    finished_at: datetime | None
    revertible_until: datetime | None
    reverted: RevertView | None
    parent_run_id: str | None


class RejectedRowsView(BaseModel):
    """What has become of the rejected rows of a run since; together they are ``rejected_count``.

    ``retried_skipped`` were sound to a retry, and there was nothing to change; ``returned``, of a retry, are told by
    the run whose rows they are.
    """

    open: int
    corrected: int
    retrying: int
    retried_written: int
    retried_skipped: int
    discarded: int
    returned: int


class RunView(RunSummaryView):
    """One import.

    ``errors`` are the first ones only (by default at most 1,000); all of them are at ``/imports/rejected?run_id=``.
    ``deleted_ids`` are the first 1,000 records that it deleted; ``deleted_count`` says how many there are. The other
    members mean the same as in a list. ``sync`` says what a run of that mode deletes, once it was asked to be executed,
    or why it asks before. ``kept`` are the first 1,000 records that a revert left as they are.
    ``rejected_rows`` says what has become of the rejected rows since; null where there are none, or not yet.
    ``corrections`` are those of the file that the run retries; null for all other runs, and until they are read.
    """

    preview_rows: list[dict[str, Any]]
    errors: list[RowErrorView]
    plan: PlanView | None
    progress: ProgressView | None
    deleted_ids: list[str]
    kept: list[KeptView]
    sync: SyncView | None
    rejected_rows: RejectedRowsView | None
    corrections: CorrectionsView | None


class DeletedPage(BaseModel):
    """Ids of deleted records in their own order; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[str]
    next_after: str | None


class RunPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RunSummaryView]
    next_after: str | None


class DryRunView(BaseModel):
    """What the check of a file found; nothing of it is kept, so there is nothing to refer to.

    The members mean the same as those of a run. ``failed`` is the verdict that a run of the file would end with.
    """

    status: Literal["validated", "failed"]
    total_rows: int
    valid_rows: int
    rejected_count: int
    skipped_count: int
    skipped: dict[str, int]
    warning_count: int
    preview_rows: list[dict[str, Any]]
    errors: list[RowErrorView]
    error: FailureView | None
    plan: PlanView | None


def present_summary(run: ListedRun | RunDocument) -> RunSummaryView:
    """A run as a list shows it."""
    return RunSummaryView(**_summary(run))


def present_run(details: RunDetails) -> RunView:
    """A run with its first errors and, while it is active, its progress."""
    run, totals = details.run, details.totals
    return RunView(
        **_summary(run),
        preview_rows=run.preview_rows,
        errors=present_errors(details.errors),
        plan=present_plan(run),
        progress=_present_progress(run, totals) if totals else None,
        deleted_ids=details.deleted_ids,
        kept=[present_kept(each, run.parse.rows if run.sweeps else None) for each in details.kept],
        sync=present_sync(run),
        rejected_rows=_present_rejected_rows(details.rejected_rows),
        corrections=present_corrections(run),
    )


def _present_rejected_rows(counts: Mapping[RejectedState, int]) -> RejectedRowsView | None:
    if not counts:
        return None
    return RejectedRowsView(
        open=counts.get(RejectedState.OPEN, 0),
        corrected=counts.get(RejectedState.CORRECTED, 0),
        retrying=counts.get(RejectedState.RETRYING, 0),
        retried_written=counts.get(RejectedState.WRITTEN, 0),
        retried_skipped=counts.get(RejectedState.SKIPPED, 0),
        discarded=counts.get(RejectedState.DISCARDED, 0),
        returned=counts.get(RejectedState.RETURNED, 0),
    )


def _summary(run: ListedRun | RunDocument) -> dict[str, Any]:
    counts = run.counts or RunCounts(rows=run.parse.rows)
    return {
        "id": run.id,
        "template_id": run.template_id,
        "template_name": run.template.name,
        "template_version": run.template_version,
        "status": run.status,
        "target_tenant_id": run.tenant_id,
        "started_by": None if run.started_by is None else StartedByView(**run.started_by.model_dump()),
        "target_resource": run.template.target_resource,
        "import_mode": present_mode(run.template.mode, remembered_words(run.wording, run.template_version)),
        "auto_execute": run.template.auto_execute,
        "file_name": run.file.name,
        "file_size": run.file.size,
        "file_sha256": run.file.sha256,
        "file_removed_at": run.file_removed_at,
        "duplicate_of": run.duplicate_of,
        "total_rows": counts.rows,
        "valid_rows": _valid_rows(run.counts),
        "written_count": counts.written,
        "created_count": counts.created,
        "updated_count": counts.updated,
        "deleted_count": counts.deleted + counts.not_in_file,
        "unchanged_count": counts.skip_reasons.get(SkipReason.UNCHANGED, 0),
        "rejected_count": counts.rejected,
        "error_count": counts.rejected,
        "skipped_count": counts.skipped,
        "skipped": counts.skip_reasons,
        "warning_count": counts.warnings,
        "error": FailureView(**run.failure) if run.failure else None,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "validated_at": run.validated_at,
        "executing_at": run.executing_at,
        "completed_at": run.finished_at if run.status is RunStatus.COMPLETED else run.completed_at,
        "finished_at": run.finished_at,
        "revertible_until": run.revertible_until if run.status is RunStatus.COMPLETED else None,
        "reverted": None if run.reverted is None else present_reverted(run.reverted),
        "parent_run_id": run.parent_run_id,
    }


def present_dry_run(result: DryRunResult) -> DryRunView:
    """A dry run that is validated or has failed, with its first errors."""
    run = result.run
    counts = run.counts or RunCounts()
    return DryRunView(
        status="validated" if run.status is RunStatus.VALIDATED else "failed",
        total_rows=counts.rows,
        valid_rows=_valid_rows(counts),
        rejected_count=counts.rejected,
        skipped_count=counts.skipped,
        skipped=counts.skip_reasons,
        warning_count=counts.warnings,
        preview_rows=run.preview_rows,
        errors=present_errors(result.errors),
        error=FailureView(**run.failure) if run.failure else None,
        plan=present_plan(run),
    )


def _valid_rows(counts: RunCounts | None) -> int:
    if counts is None:
        return 0
    return counts.rows - counts.rejected - counts.skipped + counts.skip_reasons.get(SkipReason.UNCHANGED, 0)


def present_errors(errors: Sequence[tuple[int, RowError]]) -> list[RowErrorView]:
    """Errors of rows."""
    # Spelled out: a thousand of them are shown with every look at a run, and ``asdict`` copies deeply.
    return [
        RowErrorView(
            row=row,
            field=error.field,
            column=error.column,
            code=error.code,
            message=error.message,
            value=error.value,
        )
        for row, error in errors
    ]


def present_plan(run: RunDocument) -> PlanView | None:
    """How the file of a run is read, once that is decided."""
    if (plan := run.plan) is None:
        return None
    mapping = {name: None if index is None else plan.columns[index] for name, index in plan.mapping.items()}
    return PlanView(
        file_type=plan.file_type,
        encoding=plan.encoding,
        delimiter=plan.shown_delimiter,
        sheet=plan.options.get("sheet"),
        has_header=plan.has_header,
        columns=list(plan.columns),
        mapping=mapping,
        matches={
            name: MatchView(column=mapping.get(name), method=match.method, confidence=match.confidence)
            for name, match in plan.matches.items()
        },
        unmatched=[plan.columns[index] for index in plan.unmatched],
        date_orders=plan.date_orders,
        decimal_styles=plan.decimal_styles,
        columns_read=_present_columns(run, plan),
        notes=list(plan.notes),
    )


def _present_columns(run: RunDocument, plan: ParsePlan) -> dict[str, ColumnReadingView]:
    shown: dict[str, ColumnReadingView] = {}
    for field in run.template.fields:
        at = plan.mapping.get(field.name)
        if at is None or not field.reads_column:
            continue
        read = plan.columns_read.get(field.name, ColumnReading())
        examples = [ExampleView.model_validate(each) for each in run.examples.get(field.name, [])]
        shown[field.name] = ColumnReadingView(
            column=plan.columns[at],
            type=field.type,
            decimal_style=read.decimal_style,
            currency=read.currency,
            percent=read.percent,
            date_format=read.date_format,
            date_order=read.date_order,
            two_digit_years=read.two_digit_years,
            words=list(read.words),
            null_values=None if read.null_values is None else list(read.null_values),
            decided_by=read.decided_by,
            examples=examples,
        )
    return shown


def _present_progress(run: RunDocument, totals: Totals) -> ProgressView:
    result = totals.result
    return ProgressView(
        batches=totals.batches,
        rows_parsed=totals.rows,
        rows_validated=result.ok + result.rejected + result.duplicate_keys,
        rows_written=result.created + result.updated + result.deleted,
        parsing_finished=run.parse.closed,
    )
