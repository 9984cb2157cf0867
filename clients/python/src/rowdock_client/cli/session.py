"""What every command begins with: the client, where its output goes, and with which code it ends."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rowdock_client import configuration
from rowdock_client.client import Rowdock
from rowdock_client.configuration import NotConfiguredError
from rowdock_client.errors import (
    NotReachableError,
    RefusedError,
    RowdockError,
    RunFailedError,
    ServerFaultError,
    UnexpectedAnswerError,
)
from rowdock_client.templates import TemplateFileError


class ExitCode(IntEnum):
    """With what a command ends."""

    DONE = 0
    """Everything was done; every row was written, or skipped because there was nothing to do."""
    ROWS_REJECTED = 1
    """The run completed, with rows that were rejected."""
    USAGE = 2
    """What was typed, a file that it names, or the configuration cannot be used."""
    RUN_FAILED = 3
    """The run failed or was cancelled; nothing, or not everything, was written."""
    REFUSED = 4
    """The gateway refused: the key, the id, the state, a limit."""
    NOT_REACHABLE = 5
    """The gateway does not answer, or cannot at the moment."""
    INTERRUPTED = 130
    """Ctrl-C."""


WIDE = 1_000
"""Columns of what is no terminal."""
AsJson = Annotated[bool, typer.Option("--json", help="Print lines of JSON on standard output, and nothing else there.")]


def exit_code_of(error: RowdockError) -> ExitCode:
    """With what a command ends that fails so."""
    match error:
        case NotConfiguredError() | TemplateFileError() | UsageError():
            return ExitCode.USAGE
        case NotReachableError() | ServerFaultError() | UnexpectedAnswerError():
            return ExitCode.NOT_REACHABLE
        case RefusedError():
            return ExitCode.REFUSED
        case RunFailedError():
            return ExitCode.RUN_FAILED
        case _:
            return ExitCode.REFUSED


class UsageError(RowdockError):
    """What was typed cannot be done."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__("USAGE", message, remedy)


class Output:
    """Where results and everything else go.

    Results go to standard output: as lines of JSON, or for people. What happens meanwhile, and what goes wrong, goes
    to standard error.

    Attributes:
        as_json: whether results are lines of JSON.
        people: what people read: standard output, or standard error beside lines of JSON.
        meanwhile: standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.meanwhile = _console(to_errors=True)
        self.people = self.meanwhile if as_json else _console(to_errors=False)

    def result(self, found: BaseModel | Mapping[str, Any]) -> None:
        """One result as a line of JSON; nothing for people."""
        if self.as_json:
            print_line(found)

    def say(self, text: str) -> None:
        """Tell people something; ``text`` may have rich's markup."""
        self.people.print(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show people a table; cells are plain texts."""
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
        self.people.print(table)

    def error(self, error: RowdockError) -> None:
        """Say what went wrong, where, and what to do."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": error.described()}, ensure_ascii=False) + "\n")
            return
        self.meanwhile.print(f"[red]{escape(error.code)}[/]: {escape(error.message)}")
        if isinstance(error, RefusedError):
            for problem in error.problems[:20]:
                self.meanwhile.print(f"  {escape(problem.location)}: {escape(problem.message)}")
        self.meanwhile.print(f"[dim]→ {escape(error.remedy)}[/]")


def _console(*, to_errors: bool) -> Console:
    """A console that cuts and wraps lines only where a person reads them."""
    terminal = (sys.stderr if to_errors else sys.stdout).isatty()
    return Console(stderr=to_errors, highlight=False, soft_wrap=not terminal, width=None if terminal else WIDE)


def print_line(found: BaseModel | Mapping[str, Any]) -> None:
    """One line of JSON on standard output."""
    plain = found.model_dump(mode="json", by_alias=True, exclude_unset=True) if isinstance(found, BaseModel) else found
    sys.stdout.write(json.dumps(plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class Session:
    """A command at work: its client and its output. What goes wrong in the block is told, and ends the command.

    Attributes:
        out: where results go.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.out = Output(as_json=as_json)
        self._client: Rowdock | None = None

    @property
    def client(self) -> Rowdock:
        """The client of the gateway that one is logged in at.

        Raises:
            NotConfiguredError: nobody has said where that is.
        """
        if self._client is None:
            login = configuration.load()
            self._client = Rowdock(login.url, login.api_key)
        return self._client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        if isinstance(error, RowdockError):
            self.out.error(error)
            raise typer.Exit(exit_code_of(error)) from error
        if isinstance(error, KeyboardInterrupt):
            self.out.meanwhile.print("interrupted; what was begun at the gateway goes on, see `rowdock runs list`")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
