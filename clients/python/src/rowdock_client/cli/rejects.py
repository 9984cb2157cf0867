"""``rowdock rejects``: rows that were rejected, their corrections, and their retry."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from rowdock_client.calls import RejectedState
from rowdock_client.cli.display import displayed
from rowdock_client.cli.files import saved
from rowdock_client.cli.reports import conclude
from rowdock_client.cli.runs import Run, file_format
from rowdock_client.cli.session import AsJson, Session, UsageError
from rowdock_client.client import Rowdock
from rowdock_client.models import RejectedView, RunView

app = typer.Typer(help="Rejected rows of a run: look, correct, retry, give up.", no_args_is_help=True)
RowNumber = Annotated[int, typer.Argument(metavar="ROW", min=1, help="Number of the row in the file.")]


@app.command("list")
def list_(
    run: Run,
    *,
    status: Annotated[RejectedState | None, typer.Option(help="Only rows in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the rejected rows of a run, with what is wrong with them."""
    with Session(as_json=as_json) as session:
        for each in session.client.rejected(run, status=status):
            session.out.result(each)
            if not as_json:
                _show(session, each)


@app.command()
def download(
    run: Run,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="By default RUN-rejected.xlsx.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only rows after this one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Download the rejected rows as a workbook (.xlsx) or as CSV (.csv), to correct them and upload them again."""
    with Session(as_json=as_json) as session:
        file = output or Path(f"{run}-rejected.xlsx")
        with session.client.download_rejected(run, format=_format(file), limit=limit, after=after) as pieces:
            size = saved(pieces, file)
        session.out.result({"file": str(file), "bytes": size})
        if not as_json:
            session.out.say(f"{file}: {size:,} bytes; correct it, then: rowdock rejects upload {run} {file}")


@app.command()
def upload(
    run: Run,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="What was downloaded, corrected.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Send corrected rows back, which retries them; exit codes as those of an import."""
    with Session(as_json=as_json) as session:
        _follow(session, session.client.upload_corrections(run, file))


@app.command()
def correct(
    run: Run,
    row: RowNumber,
    cells: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="Cells, by header or field.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Correct cells of one row; `FIELD=` empties a cell. They are checked at once, and written by a retry."""
    with Session(as_json=as_json) as session:
        pairs = [each.partition("=") for each in cells]
        for each, (name, equals, _) in zip(cells, pairs, strict=True):
            if not (name and equals):
                raise UsageError(f"{each!r} is no FIELD=VALUE", "such as alt=13")
        found = _row(session.client, run, row)
        earlier: dict[str, Any] = dict(found.corrected_data or {})
        corrected = {**earlier, **{name: value or None for name, _, value in pairs}}
        found = session.client.correct_rejected(found.id, corrected)
        session.out.result(found)
        if not as_json:
            _show(session, found)


@app.command("correct-all")
def correct_all(
    run: Run,
    *,
    code: Annotated[str, typer.Option(help="Code of the error.")],
    field: Annotated[str, typer.Option(help="Field of the error.")],
    replace: Annotated[
        tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="Where the cell is OLD it becomes NEW.")
    ] = None,
    part: Annotated[bool, typer.Option("--part", help="With --replace: every place in the cell that is OLD.")] = False,
    set_to: Annotated[str | None, typer.Option("--set", metavar="VALUE", help="The cell becomes VALUE.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="The cell becomes empty.")] = False,
    column: Annotated[str | None, typer.Option(help="Column to change, where that is not the field's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, and show examples.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the same correction in all rejected rows with one error."""
    with Session(as_json=as_json) as session:
        changes: list[dict[str, Any]] = []
        if replace is not None:
            old, new = replace
            changes.append({"type": "replace", "old": old, "new": new, "match": "part" if part else "cell"})
        if set_to is not None:
            changes.append({"type": "set", "new": set_to})
        if clear:
            changes.append({"type": "clear"})
        if len(changes) != 1:
            raise UsageError("it is not clear what to change", "say one of --replace OLD NEW, --set VALUE and --clear")
        wanted = {"code": code, "field": field, "change": changes[0]} | ({} if column is None else {"column": column})
        if dry_run:
            found = session.client.correct_all_rejected(run, wanted, dry_run=True)
        else:
            found = session.client.correct_rows(run, wanted)
        session.out.result(found)
        if not as_json:
            would = "would be" if dry_run else "were"
            session.out.say(f"{found.matching_count:,} rows have this error, {found.changed_count:,} {would} changed")
            for each in found.examples:
                session.out.say(f"  row {each.row}: {escape(repr(each.before))} → {escape(repr(each.after))}")
            if found.remaining_count:
                session.out.say(f"  {found.remaining_count:,} of them still have errors")


@app.command()
def retry(
    run: Run,
    *,
    row: Annotated[int | None, typer.Option(min=1, help="Only this row.")] = None,
    include_uncorrected: Annotated[
        bool, typer.Option("--include-uncorrected", help="Rows that nobody has corrected too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Retry corrected rows; exit codes as those of an import."""
    with Session(as_json=as_json) as session:
        if row is not None:
            retried = session.client.retry_rejected(_row(session.client, run, row).id)
        else:
            retried = session.client.retry_all_rejected(run, include_uncorrected=include_uncorrected)
        _follow(session, retried)


@app.command()
def discard(
    run: Run,
    rows: Annotated[list[int], typer.Argument(metavar="ROW...", min=1, help="Numbers of the rows in the file.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Give rows up."""
    with Session(as_json=as_json) as session:
        for number in rows:
            found = session.client.discard_rejected(_row(session.client, run, number).id)
            session.out.result(found)
            if not as_json:
                _show(session, found)


def _follow(session: Session, retried: RunView) -> None:
    with displayed(session.out.meanwhile) as display:
        found = session.client.settle_run(retried, watch=display.seen)
    conclude(session.out, found)


def _row(client: Rowdock, run: str, number: int) -> RejectedView:
    """The rejected row with a number.

    Raises:
        UsageError: that row was not rejected.
    """
    found = client.list_rejected(run, after=number - 1, limit=1).data
    if not found or found[0].row != number:
        raise UsageError(
            f"row {number} of run {run} was not rejected", f"`rowdock rejects list {run}` shows which were"
        )
    return found[0]


def _format(file: Path) -> Literal["csv", "xlsx"]:
    kind = file_format(file)
    if kind == "ndjson":
        raise UsageError("rejected rows are corrected in a workbook or in CSV", "name it .xlsx or .csv")
    return kind


def _show(session: Session, rejected: RejectedView) -> None:
    cells = ", ".join("" if cell is None else cell for cell in rejected.data.values())
    session.out.say(f"row {rejected.row} ({rejected.state}): {escape(cells)}")
    for error in rejected.errors:
        field, code, message = (escape(str(error.get(member))) for member in ("field", "code", "message"))
        session.out.say(f"  [red]{field} {code}[/]: {message}")
