"""``rowdock runs``, and what is done with single runs."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from rowdock_client.calls import RowOutcome, RunState
from rowdock_client.cli.display import displayed
from rowdock_client.cli.files import saved
from rowdock_client.cli.finding import template_named
from rowdock_client.cli.reports import conclude, row_errors, run_report
from rowdock_client.cli.session import AsJson, Session, UsageError
from rowdock_client.events import RunEvent

app = typer.Typer(help="Runs: imports, each of one file.", no_args_is_help=True)
Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


@app.command("list")
def list_(
    *,
    status: Annotated[RunState | None, typer.Option(help="Only runs in this status.")] = None,
    template: Annotated[str | None, typer.Option("--template", "-t", help="Only runs of this template.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most runs, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with Session(as_json=as_json) as session:
        template_id = None if template is None else template_named(session.client, template).id
        entries = session.client.runs(limit=min(limit, 100), status=status, template_id=template_id)
        found = [each for each, _ in zip(entries, range(limit), strict=False)]
        for each in found:
            session.out.result(each)
        if not as_json:
            session.out.table(
                ["id", "status", "file", "template", "rows", "written", "rejected", "skipped", "created"],
                (
                    [
                        each.id,
                        each.status,
                        each.file_name,
                        each.template_name,
                        each.total_rows,
                        each.written_count,
                        each.rejected_count,
                        each.skipped_count,
                        f"{each.created_at:%Y-%m-%d %H:%M}",
                    ]
                    for each in found
                ),
            )


@app.command()
def get(run: Run, *, as_json: AsJson = False) -> None:
    """Show a run as it is now."""
    with Session(as_json=as_json) as session:
        found = session.client.get_run(run)
        session.out.result(found)
        if not as_json:
            run_report(session.out, found)
            row_errors(session.out, found.errors, found.error_count)


@app.command()
def watch(run: Run, *, as_json: AsJson = False) -> None:
    """Follow a run until it has ended or waits to be executed; exit codes as those of an import."""
    with Session(as_json=as_json) as session:
        with displayed(session.out.meanwhile) as display:
            found = session.client.wait_for_run(run, until=("validated",), watch=display.seen)
        conclude(session.out, found)


def events(run: Run, *, as_json: AsJson = False) -> None:
    """Print what a run tells, as it tells it, until its end."""
    with Session(as_json=as_json) as session:
        for event in session.client.events(run):
            session.out.result({"event": event.kind, "data": event.data})
            if not as_json:
                session.out.say(_event_line(event))


def revert(run: Run, *, as_json: AsJson = False) -> None:
    """Take back what a completed run has written; what others have changed since stays."""
    with Session(as_json=as_json) as session:
        with displayed(session.out.meanwhile) as display:
            found = session.client.revert(run, watch=display.seen)
        session.out.result(found)
        if not as_json:
            run_report(session.out, found)


def cancel(run: Run, *, as_json: AsJson = False) -> None:
    """Cancel an active run; what it has written stays."""
    with Session(as_json=as_json) as session:
        found = session.client.cancel(run)
        session.out.result(found)
        if not as_json:
            run_report(session.out, found)


def rows(
    run: Run,
    *,
    outcome: Annotated[RowOutcome | None, typer.Option(help="Only rows that this became of.")] = None,
    field: Annotated[str | None, typer.Option(help="Only rows with a reason about this field.")] = None,
    code: Annotated[str | None, typer.Option(help="Only rows with this code as a reason.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="A file instead: .csv, .ndjson or .xlsx.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what became of each row of a run, in the order of the file."""
    with Session(as_json=as_json) as session:
        if output is not None:
            kind = file_format(output)
            with session.client.download_rows(
                run, format=kind, outcome=outcome, field=field, code=code, limit=limit
            ) as pieces:
                size = saved(pieces, output)
            session.out.result({"file": str(output), "bytes": size})
            if not as_json:
                session.out.say(f"{output}: {size:,} bytes")
            return
        most = sys.maxsize if limit is None else limit
        found = session.client.rows(run, outcome=outcome, field=field, code=code, limit=min(most, 1000))
        if as_json:
            for each, _ in zip(found, range(most), strict=False):
                session.out.result(each)
            return
        for each, _ in zip(found, range(most), strict=False):
            reasons = "; ".join(f"{reason.field or ''} {reason.code}".strip() for reason in each.reasons)
            cells = ", ".join("" if cell is None else cell for cell in (each.data or {}).values())
            session.out.say(f"{each.row}\t{each.outcome}\t{escape(reasons)}\t{escape(cells)}")


def file_format(file: Path) -> Literal["csv", "ndjson", "xlsx"]:
    """The format that the name of a file asks for.

    Raises:
        UsageError: there is none of that name.
    """
    match file.suffix.lower():
        case ".csv":
            return "csv"
        case ".ndjson" | ".jsonl":
            return "ndjson"
        case ".xlsx":
            return "xlsx"
        case other:
            raise UsageError(
                f"there is no format for {other or 'a file without suffix'!r}", "name it .csv, .ndjson or .xlsx"
            )


def _event_line(event: RunEvent) -> str:
    at = str(event.data.get("at", ""))[:19]
    if event.progress is None:
        rest = event.data.get("status") or f"{event.data.get('code')}: {event.data.get('message')}"
        return escape(f"{at}  {event.kind:<9} {rest}")
    state = event.progress
    total = "?" if state.total_rows is None else f"{state.total_rows:,}"
    pace = "" if state.rows_per_second is None else f", {state.rows_per_second:,.0f} rows/s"
    left = "" if state.seconds_left is None else f", {state.seconds_left:,.0f} s left"
    counts = f"{state.rows_done:,}/{total} rows, {state.rejected_count:,} rejected"
    return escape(f"{at}  {event.kind:<9} {state.status} ({state.stage}): {counts}{pace}{left}")
