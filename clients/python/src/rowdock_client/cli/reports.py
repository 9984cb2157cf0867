"""Results as people read them."""

import typer
from rich.markup import escape

from rowdock_client.cli.session import ExitCode, Output
from rowdock_client.errors import RunFailedError
from rowdock_client.models import PreviewView, RowErrorView, RunView

SHOWN_ERRORS = 5


def valid_report(out: Output, run: RunView) -> None:
    """A run that was checked."""
    out.say(
        f"{escape(run.file_name)}: {run.total_rows:,} rows, {run.valid_rows:,} of them valid, "
        f"{run.rejected_count:,} rejected (run {run.id})"
    )
    row_errors(out, run.errors, run.error_count)


def row_errors(out: Output, errors: list[RowErrorView], count: int) -> None:
    """The first errors of rows."""
    for error in errors[:SHOWN_ERRORS]:
        place = " ".join(filter(None, (f"row {error.row}", error.field)))
        out.say(f"  [red]{escape(place)} {escape(error.code or '')}[/] {escape(error.message or '')}")
    if count > SHOWN_ERRORS:
        out.say(f"  … and {count - SHOWN_ERRORS:,} more")


def run_report(out: Output, run: RunView) -> None:
    """A run as it is."""
    out.say(
        f"run {run.id} of {escape(run.file_name)} is {run.status}: "
        f"template {escape(run.template_name)}, to {run.target_resource}"
    )
    counts = {
        "rows": run.total_rows,
        "valid": run.valid_rows,
        "written": run.written_count,
        "created": run.created_count,
        "updated": run.updated_count,
        "unchanged": run.unchanged_count,
        "deleted": run.deleted_count,
        "rejected": run.rejected_count,
        "skipped": run.skipped_count,
    }
    out.table(list(counts), [[f"{count:,}" for count in counts.values()]])
    for reason, count in run.skipped.items():
        out.say(f"  skipped because {escape(reason)}: {count:,}")
    if run.error is not None:
        out.say(f"  [red]{escape(run.error.code)}[/]: {escape(run.error.message)}")
    if run.reverted is not None:
        back = run.reverted
        out.say(
            f"  reverted: {back.removed_count:,} removed, {back.restored_count:,} restored, "
            f"{back.returned_count:,} returned, {back.kept_count:,} kept"
        )


def conclude(out: Output, run: RunView) -> None:
    """The end of an import or of a retry: its result, and the exit code that it means.

    Raises:
        RunFailedError: it failed or was cancelled.
        typer.Exit: rows were rejected.
    """
    out.result(run)
    if run.status in {"failed", "cancelled"}:
        raise RunFailedError(run)
    if not out.as_json:
        run_report(out, run)
    if run.rejected_count:
        if not out.as_json:
            out.say(f"correct the rejected rows: rowdock rejects download {run.id}")
        raise typer.Exit(ExitCode.ROWS_REJECTED)


def preview_report(out: Output, preview: PreviewView) -> None:
    """What a run or a file would do."""
    if preview.error is not None:
        out.say(f"[red]{escape(preview.error.code)}[/]: {escape(preview.error.message)}")
        return
    out.table(
        ["rows", "to create", "to update", "to delete", "to skip", "rejected"],
        [
            [
                preview.total_rows,
                preview.to_create,
                preview.to_update,
                preview.to_delete,
                preview.to_skip,
                preview.rejected_count,
            ]
        ],
    )
    for sample in preview.samples.create[:SHOWN_ERRORS]:
        out.say(f"  [green]+[/] row {sample.row}: {escape(str(sample.after))}")
    for sample in preview.samples.update[:SHOWN_ERRORS]:
        changes = ", ".join(f"{name}: {each.before!r} → {each.after!r}" for name, each in sample.changes.items())
        out.say(f"  [yellow]~[/] row {sample.row}: {escape(changes)}")
    for sample in preview.samples.delete[:SHOWN_ERRORS]:
        out.say(f"  [red]-[/] record {escape(sample.record_id)}")
    row_errors(out, preview.errors, preview.rejected_count)
