"""``rowdock import`` and ``rowdock preview``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from rowdock_client.cli.display import displayed
from rowdock_client.cli.finding import template_named
from rowdock_client.cli.reports import conclude, preview_report, valid_report
from rowdock_client.cli.session import AsJson, ExitCode, Session, UsageError
from rowdock_client.cli.templates import by_mode
from rowdock_client.errors import ConflictError
from rowdock_client.models import RunView
from rowdock_client.sources import Source

Mode = Literal["append", "create", "upsert", "update", "sync"]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--mapping",
        metavar="HEADER=FIELD",
        help="A column and its field, or `HEADER=` where it is not wanted; again for each. Or one JSON object.",
    ),
]
ANY = "any"


def import_(
    file: File,
    *,
    template: Annotated[str, typer.Option("--template", "-t", help="Name or id of the template.")],
    mode: Annotated[
        Mode | None, typer.Option(help="How rows become records, where that is not as the template says.")
    ] = None,
    mapping: Mapped = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write what is valid without asking.")] = False,
    confirm_deletes: Annotated[
        str | None, typer.Option(metavar="NUMBER|any", help="How many records a sync may delete unasked.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same for the same import, so that a repetition imports nothing twice.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a file: upload, check, ask, write, with the progress on standard error."""
    with Session(as_json=as_json) as session:
        columns, deletes = read_mapping(mapping or []), _deletes(confirm_deletes)
        if not yes and not _somebody_answers():
            raise UsageError("nobody can be asked whether to write", "say --yes to write what is valid")
        found = template_named(session.client, template)
        if mode is not None and mode != found.import_mode:
            found = by_mode(session.client, found, mode)
        with displayed(session.out.meanwhile) as display:
            run = session.client.check_file(
                Source.of(file, told=display.sent),
                found.id,
                mapping=columns,
                idempotency_key=idempotency_key,
                watch=display.seen,
            )
        if run.status == "validated":
            valid_report(session.out, run)
            if not yes and not typer.confirm(f"Write {run.valid_rows:,} rows to {run.target_resource}?", err=True):
                run = session.client.cancel(run.id)
                session.out.result(run)
                session.out.meanwhile.print("nothing was written")
                raise typer.Exit(ExitCode.RUN_FAILED)
            run = _written(session, run, deletes, asking=not yes)
        conclude(session.out, run)


def preview(
    file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, readable=True, help="A file …")] = None,
    *,
    template: Annotated[
        str | None, typer.Option("--template", "-t", help="… and the name or id of its template.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Or a validated run.")] = None,
    mapping: Mapped = None,
    as_json: AsJson = False,
) -> None:
    """Show what importing a file, or executing a validated run, would do; nothing is written."""
    with Session(as_json=as_json) as session:
        columns = read_mapping(mapping or [])
        if run is not None and file is None and template is None:
            found = session.client.preview_run(run)
        elif run is None and file is not None and template is not None:
            found = session.client.preview_file(file, template_named(session.client, template).id, mapping=columns)
        else:
            raise UsageError("it is not clear what to preview", "name a file and --template, or --run and nothing else")
        session.out.result(found)
        if not as_json:
            preview_report(session.out, found)
        if found.status == "failed":
            if as_json and found.error is not None:
                session.out.meanwhile.print(escape(f"{found.error.code}: {found.error.message}"))
            raise typer.Exit(ExitCode.RUN_FAILED)


def read_mapping(given: list[str]) -> dict[str, str | None] | None:
    """What ``--mapping`` says: header → field, or ``None`` for a column that is not wanted.

    Raises:
        UsageError: it says nothing that can be understood.
    """
    if not given:
        return None
    if len(given) == 1 and given[0].lstrip().startswith("{"):
        return _mapping_of_json(given[0])
    pairs = [each.rpartition("=") for each in given]
    for each, (header, equals, _) in zip(given, pairs, strict=True):
        if not (header and equals):
            raise UsageError(f"--mapping {each!r} is no HEADER=FIELD", "such as --mapping 'E-mail address=email'")
    return {header: field or None for header, _, field in pairs}


def _mapping_of_json(text: str) -> dict[str, str | None]:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--mapping is no JSON: {error}", 'such as \'{"E-mail address": "email"}\'') from error
    if not all(field is None or isinstance(field, str) for field in found.values()):
        raise UsageError("--mapping names a field that is no text", 'such as \'{"E-mail address": "email"}\'')
    return found


def _deletes(given: str | None) -> int | Literal[True] | None:
    if given is None:
        return None
    if given == ANY:
        return True
    if not given.isdecimal():
        raise UsageError(f"--confirm-deletes {given!r} is no number", f"say the number of records, or {ANY!r}")
    return int(given)


def _somebody_answers() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _written(session: Session, run: RunView, deletes: int | Literal[True] | None, *, asking: bool) -> RunView:
    """Write a validated run; where it would delete more than it may, ask."""
    try:
        with displayed(session.out.meanwhile) as display:
            return session.client.write_run(run.id, confirm_deletes=deletes, watch=display.seen)
    except ConflictError as refused:
        sync = session.client.get_run(run.id).sync
        if refused.code != "DELETES_NOT_CONFIRMED" or sync is None or not asking:
            raise
        session.out.meanwhile.print(escape(refused.message))
        if not typer.confirm(f"Delete {sync.delete_count:,} records?", err=True):
            raise
    with displayed(session.out.meanwhile) as display:
        return session.client.write_run(run.id, confirm_deletes=sync.delete_count, watch=display.seen)
