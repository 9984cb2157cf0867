"""Every request that the clients can make, each defined once for both: pure functions to a ``Call``."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel

from rowdock_client.models import (
    BulkCorrectionRequest,
    BulkCorrectionView,
    Correction,
    DeletedPage,
    DryRunView,
    EngineTemplate,
    EngineTemplateView,
    PreviewView,
    RejectedPage,
    RejectedView,
    RowsPage,
    RunPage,
    RunView,
    StatusView,
    TemplatePage,
    TenantPage,
    WrittenRecordsPage,
)
from rowdock_client.sources import FileLike, Source

T_co = TypeVar("T_co", covariant=True)
Cell = str | int | float | bool | None
RunState = Literal[
    "pending", "validating", "validated", "executing", "completed", "reverting", "reverted", "failed", "cancelled"
]
RejectedState = Literal["open", "corrected", "retrying", "written", "skipped", "discarded", "returned"]
RowOutcome = Literal[
    "pending", "created", "updated", "unchanged", "deleted", "rejected", "skipped", "written", "reverted", "kept"
]
Query = str | float | bool | None

IDEMPOTENCY_KEY = "Idempotency-Key"
PREFER = "Prefer"
"""Of RFC 7240."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request, and how its answer is read.

    Attributes:
        method: of HTTP.
        path: below the address of the gateway.
        read: makes the result of the answer's body.
        query: parameters; those that are ``None`` are not sent.
        headers: further headers.
        body: what is sent as JSON.
        form: texts of a form, with ``file``.
        file: file of a form.
        repeatable: whether sending it twice has the effect of sending it once.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    read: Callable[[bytes], T_co]
    query: Mapping[str, Query] = field(default_factory=dict[str, Query])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object | None = None
    form: Mapping[str, str] = field(default_factory=dict[str, str])
    file: Source | None = None
    repeatable: bool = False


Template = EngineTemplate | Mapping[str, Any]
"""A template as it is sent: its model, or the members of its JSON."""


# --- templates


def list_templates(
    *, limit: int = 100, after: str | None = None, tenant_id: str | None = None, include_children: bool | None = None
) -> Call[TemplatePage]:
    """One page of templates; ``next_after`` of it is ``after`` of the next."""
    query = {"limit": limit, "after": after, "tenant_id": tenant_id, "include_children": include_children}
    return _get("/imports/templates", TemplatePage, query)


def get_template(template_id: str) -> Call[EngineTemplateView]:
    """A template."""
    return _get(f"/imports/templates/{_id(template_id)}", EngineTemplateView)


def create_template(
    template: Template, *, tenant_id: str | None = None, idempotency_key: str | None = None
) -> Call[EngineTemplateView]:
    """Create a template; its ``webhook_secret`` is in this answer only."""
    return Call(
        "POST",
        "/imports/templates",
        _reader(EngineTemplateView),
        query={"tenant_id": tenant_id},
        headers=_keyed(idempotency_key),
        body=_plain(template),
        repeatable=True,
    )


def replace_template(template_id: str, template: Template) -> Call[EngineTemplateView]:
    """Replace a template; with a ``version`` only where that is still the newest."""
    body = _plain(template)
    path = f"/imports/templates/{_id(template_id)}"
    repeatable = body.get("version") is None
    return Call("PUT", path, _reader(EngineTemplateView), body=body, repeatable=repeatable)


def delete_template(template_id: str) -> Call[None]:
    """Delete a template; its runs stay."""
    return Call("DELETE", f"/imports/templates/{_id(template_id)}", _nothing)


def copy_template(template_id: str, *, idempotency_key: str | None = None) -> Call[EngineTemplateView]:
    """Copy a template of an organization above to one's own."""
    path = f"/imports/templates/{_id(template_id)}/copy"
    return Call("POST", path, _reader(EngineTemplateView), headers=_keyed(idempotency_key), repeatable=True)


# --- files


def upload_file(
    file: FileLike,
    template_id: str,
    *,
    mapping: Mapping[str, str | None] | None = None,
    target_tenant_id: str | None = None,
    name: str | None = None,
    idempotency_key: str | None = None,
    wait: int | None = None,
) -> Call[RunView]:
    """Upload a file, streamed; the answer is its run, which may still be checked.

    Args:
        file: what is uploaded.
        template_id: id of the template.
        mapping: header of a column → name of the field that it fills, or ``None`` for a column that is not wanted.
        target_tenant_id: an organization below one's own, whose records these are.
        name: file name that the run shows.
        idempotency_key: the same for the same upload; by default one of its own, so that it is never done twice.
        wait: seconds after which the gateway answers with the run as it is then; without it as long as it likes.
    """
    form = {"template_id": template_id, **_mapping(mapping), **_given(target_tenant_id=target_tenant_id)}
    return Call(
        "POST",
        "/imports/upload",
        _reader(RunView),
        headers={**_keyed(idempotency_key), **_patience(wait)},
        form=form,
        file=_source(file, name),
        repeatable=True,
    )


def dry_run(
    file: FileLike,
    template: str | Template,
    *,
    mapping: Mapping[str, str | None] | None = None,
    name: str | None = None,
) -> Call[DryRunView]:
    """Check a file and keep nothing of it, by the id of a template or by one that is not saved."""
    form = {**_template(template), **_mapping(mapping)}
    source = _source(file, name)
    return Call("POST", "/imports/dry-run", _reader(DryRunView), form=form, file=source, repeatable=True)


def preview_file(
    file: FileLike,
    template: str | Template,
    *,
    mapping: Mapping[str, str | None] | None = None,
    name: str | None = None,
) -> Call[PreviewView]:
    """What importing a file would do, without keeping anything of it."""
    form = {**_template(template), **_mapping(mapping)}
    source = _source(file, name)
    return Call("POST", "/imports/preview", _reader(PreviewView), form=form, file=source, repeatable=True)


# --- runs


def list_runs(
    *,
    limit: int = 100,
    after: str | None = None,
    status: RunState | None = None,
    template_id: str | None = None,
    tenant_id: str | None = None,
    include_children: bool | None = None,
) -> Call[RunPage]:
    """One page of runs, the newest first."""
    query = {
        "limit": limit,
        "after": after,
        "status": status,
        "template_id": template_id,
        "tenant_id": tenant_id,
        "include_children": include_children,
    }
    return _get("/imports/runs", RunPage, query)


def get_run(run_id: str) -> Call[RunView]:
    """A run as it is now."""
    return _get(_run(run_id), RunView)


def follow_run(run_id: str, *, last_event_id: str | None = None) -> Call[bytes]:
    """The events of a run, as a stream; from one on that was heard."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    return Call("GET", _run(run_id, "/events"), bytes, headers=headers, repeatable=True)


def request_preview(run_id: str) -> Call[PreviewView]:
    """Have the preview of a validated run worked out; it may still be under way."""
    return Call("POST", _run(run_id, "/preview"), _reader(PreviewView), repeatable=True)


def get_preview(run_id: str) -> Call[PreviewView]:
    """The preview of a run that was asked for."""
    return _get(_run(run_id, "/preview"), PreviewView)


def execute_run(
    run_id: str,
    *,
    confirm_deletes: int | Literal[True] | None = None,
    preview_version: str | None = None,
    ignore_changes: bool | None = None,
    wait: int | None = None,
) -> Call[RunView]:
    """Have a validated run written; it may still be under way.

    Args:
        run_id: id of the run.
        confirm_deletes: how many records a sync may delete, or ``True`` for any number.
        preview_version: version of the preview that was looked at.
        ignore_changes: whether it is executed although others have changed the target since the preview.
        wait: seconds after which the gateway answers with the run as it is then; without it as long as it likes.
    """
    confirmed = None if confirm_deletes is None else str(confirm_deletes).lower()
    query = {"confirm_deletes": confirmed, "preview_version": preview_version, "ignore_changes": ignore_changes}
    return Call("POST", _run(run_id, "/execute"), _reader(RunView), query=query, headers=_patience(wait))


def cancel_run(run_id: str) -> Call[RunView]:
    """Cancel an active run; it may still be stopping."""
    return Call("POST", _run(run_id, "/cancel"), _reader(RunView))


def revert_run(run_id: str, *, wait: int | None = None) -> Call[RunView]:
    """Have what a completed run has written taken back; it may still be under way.

    Args:
        run_id: id of the run.
        wait: seconds after which the gateway answers with the run as it is then; without it as long as it likes.
    """
    return Call("POST", _run(run_id, "/revert"), _reader(RunView), headers=_patience(wait))


def list_deleted(run_id: str, *, limit: int = 1000, after: str | None = None) -> Call[DeletedPage]:
    """One page of the ids of the records that a run has deleted."""
    return _get(_run(run_id, "/deleted"), DeletedPage, {"limit": limit, "after": after})


# --- rows


def list_rows(
    run_id: str,
    *,
    outcome: RowOutcome | None = None,
    field: str | None = None,
    code: str | None = None,
    limit: int = 1000,
    after: int = 0,
) -> Call[RowsPage]:
    """One page of what became of the rows of a run, in the order of the file."""
    query = {"outcome": outcome, "field": field, "code": code, "limit": limit, "after": after}
    return _get(_run(run_id, "/rows"), RowsPage, query)


def download_rows(
    run_id: str,
    *,
    format: Literal["csv", "ndjson", "xlsx"] = "csv",  # noqa: A002 - the name of the parameter
    outcome: RowOutcome | None = None,
    field: str | None = None,
    code: str | None = None,
    limit: int | None = None,
) -> Call[bytes]:
    """What became of the rows of a run, as a file."""
    query = {"format": format, "outcome": outcome, "field": field, "code": code, "limit": limit}
    return Call("GET", _run(run_id, "/rows"), bytes, query=query, repeatable=True)


def list_records(run_id: str, *, limit: int = 1000, after: int = 0) -> Call[WrittenRecordsPage]:
    """One page of the records that a run has created or updated, in the order of the file."""
    return _get(_run(run_id, "/records"), WrittenRecordsPage, {"limit": limit, "after": after})


def download_records(
    run_id: str,
    *,
    format: Literal["csv", "ndjson", "xlsx"] = "csv",  # noqa: A002 - the name of the parameter
    limit: int | None = None,
) -> Call[bytes]:
    """The records that a run has created or updated, as a file."""
    return Call("GET", _run(run_id, "/records"), bytes, query={"format": format, "limit": limit}, repeatable=True)


# --- rejected rows


def list_rejected(
    run_id: str, *, status: RejectedState | None = None, limit: int = 1000, after: int = 0
) -> Call[RejectedPage]:
    """One page of the rejected rows of a run."""
    query = {"run_id": run_id, "status": status, "limit": limit, "after": after}
    return _get("/imports/rejected", RejectedPage, query)


def get_rejected(record_id: str) -> Call[RejectedView]:
    """A rejected row."""
    return _get(f"/imports/rejected/{_id(record_id)}", RejectedView)


def correct_rejected(record_id: str, corrected_data: Mapping[str, Cell]) -> Call[RejectedView]:
    """Correct cells of a rejected row, by headers of the file or names of fields, in the place of earlier ones."""
    body = Correction(corrected_data=dict(corrected_data)).model_dump(mode="json")
    path = f"/imports/rejected/{_id(record_id)}"
    return Call("PUT", path, _reader(RejectedView), body=body, repeatable=True)


def retry_rejected(record_id: str) -> Call[RunView]:
    """Retry one rejected row; the answer is the run that does it, which may still be under way."""
    path = f"/imports/rejected/{_id(record_id)}/retry"
    return Call("POST", path, _reader(RunView), headers=_keyed(None), repeatable=True)


def discard_rejected(record_id: str) -> Call[RejectedView]:
    """Give up a rejected row."""
    return Call("POST", f"/imports/rejected/{_id(record_id)}/discard", _reader(RejectedView))


def retry_all_rejected(run_id: str, *, include_uncorrected: bool = False) -> Call[RunView]:
    """Retry all corrected rows of a run, or all that are open too; the answer is the run that does it."""
    query = {"include_uncorrected": include_uncorrected}
    path = _run(run_id, "/retry-all")
    return Call("POST", path, _reader(RunView), query=query, headers=_keyed(None), repeatable=True)


def correct_all_rejected(
    run_id: str, correction: BulkCorrectionRequest | Mapping[str, Any], *, dry_run: bool = False
) -> Call[BulkCorrectionView]:
    """Make the same correction in all rejected rows with one error; it may still be under way."""
    return Call(
        "POST",
        _run(run_id, "/correct-all"),
        _reader(BulkCorrectionView),
        query={"dry_run": dry_run},
        headers=_keyed(None),
        body=_plain(correction),
        repeatable=True,
    )


def get_bulk_correction(run_id: str) -> Call[BulkCorrectionView]:
    """The last correction of many rows of a run."""
    return _get(_run(run_id, "/correct-all"), BulkCorrectionView)


def download_rejected(
    run_id: str,
    *,
    format: Literal["xlsx", "csv"] = "xlsx",  # noqa: A002 - the name of the parameter
    limit: int | None = None,
    after: int = 0,
) -> Call[bytes]:
    """The rejected rows of a run, as a file to correct them in."""
    query = {"format": format, "limit": limit, "after": after}
    return Call("GET", _run(run_id, "/rejected"), bytes, query=query, repeatable=True)


def upload_corrections(run_id: str, file: FileLike, *, name: str | None = None) -> Call[RunView]:
    """Send corrected rows back; the answer is the run that retries them, which may still be under way."""
    source = _source(file, name)
    path = _run(run_id, "/rejected")
    return Call("POST", path, _reader(RunView), headers=_keyed(None), file=source, repeatable=True)


# --- organizations


def list_tenants(
    *, limit: int = 100, after: str = "", tenant_id: str | None = None, include_children: bool | None = None
) -> Call[TenantPage]:
    """One page of the organizations that the key reaches."""
    query = {"limit": limit, "after": after, "tenant_id": tenant_id, "include_children": include_children}
    return _get("/imports/tenants", TenantPage, query)


# --- the installation


def get_status(*, stuck_after_seconds: float | None = None) -> Call[StatusView]:
    """The installation as a whole, for keys with the scope ``operator``."""
    return _get("/api/v1/admin/status", StatusView, {"stuck_after_seconds": stuck_after_seconds})


M = TypeVar("M", bound=BaseModel)


def _get(path: str, model: type[M], query: Mapping[str, Query] | None = None) -> Call[M]:
    return Call("GET", path, _reader(model), query=query or {}, repeatable=True)


def _reader(model: type[M]) -> Callable[[bytes], M]:
    return model.model_validate_json


def _nothing(body: bytes) -> None:
    del body


def _run(run_id: str, rest: str = "") -> str:
    return f"/imports/runs/{_id(run_id)}{rest}"


def _id(identifier: str) -> str:
    return quote(identifier, safe="")


def _source(file: FileLike, name: str | None) -> Source:
    return file if isinstance(file, Source) else Source.of(file, name)


def _plain(template: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(template, BaseModel):
        return template.model_dump(mode="json", exclude_unset=True)
    return dict(template)


def _template(template: str | Template) -> dict[str, str]:
    return {"template_id": template} if isinstance(template, str) else {"template": json.dumps(_plain(template))}


def _mapping(mapping: Mapping[str, str | None] | None) -> dict[str, str]:
    return {} if mapping is None else {"mapping": json.dumps(dict(mapping))}


def _given(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _keyed(idempotency_key: str | None) -> dict[str, str]:
    return {IDEMPOTENCY_KEY: idempotency_key or str(uuid4())}


def _patience(wait: int | None) -> dict[str, str]:
    return {} if wait is None else {PREFER: f"wait={wait}"}
