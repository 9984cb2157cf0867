"""What a run would do, as clients see it."""

from typing import Any, Literal

from pydantic import BaseModel

from libs.contracts.events import RunCounts
from libs.contracts.reasons import SkipReason
from libs.contracts.states import RunStatus
from libs.storage.documents import RequestState
from services.gateway.http.engine.row_views import RowReasonView
from services.gateway.http.engine.run_views import FailureView, PlanView, RowErrorView, present_errors, present_plan
from services.gateway.runs.previews import PreviewOfRun


class CreateSample(BaseModel):
    """A row that would become a record; ``after`` are its fields."""

    row: int
    after: dict[str, Any]


class ChangeView(BaseModel):
    before: Any
    after: Any


class UpdateSample(BaseModel):
    """A row that would change a record; ``changes`` are the fields that would differ."""

    row: int
    record_id: str
    changes: dict[str, ChangeView]


class DeleteSample(BaseModel):
    """A record that would be deleted, and the row that says so; none where the file of a sync does not hold it."""

    row: int | None
    record_id: str


class SkipSample(BaseModel):
    row: int
    code: str


class RejectSample(BaseModel):
    """A row that the check has let pass and the target would refuse."""

    row: int
    errors: list[RowReasonView]


class PreviewSamples(BaseModel):
    """The first ten of each kind, long texts cut."""

    create: list[CreateSample]
    update: list[UpdateSample]
    delete: list[DeleteSample]
    skip: list[SkipSample]
    reject: list[RejectSample]


class PreviewView(BaseModel):
    """What a run would do to the records that exist; it has changed nothing.

    A sync would delete records that belong to no row, too; but for these
    ``total_rows = to_create + to_update + to_delete + to_skip + rejected_count``; ``skipped`` are the reasons of
    ``to_skip``, ``unchanged_count`` is how many of them would change nothing because the record is as the row says.
    ``status`` is ``waiting`` while it is worked out, with ``rows_planned`` so far and no counts; ``failed`` where the
    file itself is refused, see ``error``. ``version`` names the preview for ``preview_version`` of the execution; it is
    null for a file of which nothing is kept, as ``run_id`` is.
    """

    run_id: str | None
    version: str | None
    status: Literal["waiting", "done", "failed"]
    rows_planned: int
    total_rows: int
    to_create: int | None
    to_update: int | None
    to_delete: int | None
    to_skip: int | None
    unchanged_count: int | None
    rejected_count: int
    skipped: dict[str, int]
    samples: PreviewSamples
    errors: list[RowErrorView]
    error: FailureView | None
    plan: PlanView | None


def present_preview(found: PreviewOfRun, *, kept: bool) -> PreviewView:
    """A preview.

    Args:
        found: it, and its run.
        kept: whether there is a run to refer to.
    """
    run, preview = found.run, found.preview
    counts = None if preview is None else preview.counts
    known = counts or run.counts or RunCounts()
    samples = {} if preview is None else preview.samples
    failed = run.status is RunStatus.FAILED
    done = preview is not None and preview.state is RequestState.DONE
    return PreviewView(
        run_id=run.id if kept else None,
        version=preview.version if kept and preview is not None else None,
        status="failed" if failed else "done" if done else "waiting",
        rows_planned=0 if preview is None else preview.rows,
        total_rows=known.rows,
        to_create=None if counts is None else counts.created,
        to_update=None if counts is None else counts.updated,
        to_delete=None if counts is None else counts.deleted + counts.not_in_file,
        to_skip=None if counts is None else counts.skipped,
        unchanged_count=None if counts is None else counts.skip_reasons.get(SkipReason.UNCHANGED, 0),
        rejected_count=known.rejected,
        skipped=known.skip_reasons,
        samples=PreviewSamples.model_validate({kind: samples.get(kind, []) for kind in PreviewSamples.model_fields}),
        errors=present_errors(found.errors),
        error=FailureView(**run.failure) if run.failure else None,
        plan=present_plan(run),
    )
