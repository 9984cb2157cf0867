"""Rows that leave the way: what is stored about them, and parser issues in the same form."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from libs.batches.columns import ROW, cell_column
from libs.contracts.plan import RowIssue

MAX_SHOWN_CHARS = 200
_ROWS_AT_A_TIME = 100


@dataclass(frozen=True, slots=True)
class RowError:
    """One reason against a row.

    Attributes:
        field: field of the template; ``None`` where the row as such is wrong.
        column: header of the source column, as far as one is to blame.
        code: stable upper-case identifier.
        message: what is wrong and how to fix it.
        value: the text that was checked, after the transforms, cut to 200 characters.
    """

    field: str | None
    column: str | None
    code: str
    message: str
    value: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not written.

    Attributes:
        row: 1-based number over the data rows.
        cells: the cells as they stand in the file, in its order; ``None`` for a missing cell.
        errors: the reasons, in the order of the template.
    """

    row: int
    cells: list[str | None]
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rejected rows of one batch, ascending.

    Their cells are taken from the batch as they are asked for: as Python objects the cells of a batch
    need ten times the memory.

    Attributes:
        parsed: the parsed batch.
        errors: row number to errors, ascending.
    """

    parsed: pa.Table
    errors: Mapping[int, tuple[RowError, ...]]

    def __len__(self) -> int:
        return len(self.errors)

    def __iter__(self) -> Iterator[RejectedRow]:
        rows = iter(self.errors)
        while some := list(islice(rows, _ROWS_AT_A_TIME)):
            for row, cells in original_cells(self.parsed, some).items():
                yield RejectedRow(row, cells, self.errors[row])


def issue_rejections(issues: Iterable[RowIssue], columns: Sequence[str]) -> list[RejectedRow]:
    """Rows that the parser could not read, as rejected rows.

    Args:
        issues: what the parser found.
        columns: headers of the file, in its order (``ParsePlan.columns``).
    """
    return [_issue_rejection(issue, columns) for issue in issues]


def _issue_rejection(issue: RowIssue, columns: Sequence[str]) -> RejectedRow:
    at = issue.column
    column = columns[at] if at is not None and at < len(columns) else None
    value = issue.cells[at] if at is not None and at < len(issue.cells) else ""
    error = RowError(None, column, issue.code, issue.message, shown(value))
    return RejectedRow(issue.row, list(issue.cells), (error,))


def shown(text: str | None) -> str:
    """A text as it appears in an error; ``""`` for none."""
    return (text or "")[:MAX_SHOWN_CHARS]


def original_cells(parsed: pa.Table, rows: Sequence[int]) -> dict[int, list[str | None]]:
    """Row number to the cells as they stand in the file, ascending.

    Args:
        parsed: a parsed batch.
        rows: some of its row numbers, ascending.
    """
    found = parsed.take(np.searchsorted(parsed[ROW].to_numpy(), rows))
    columns: list[list[str | None]] = [found[cell_column(at)].to_pylist() for at in range(found.num_columns - 1)]
    return {row: [column[at] for column in columns] for at, row in enumerate(rows)}
