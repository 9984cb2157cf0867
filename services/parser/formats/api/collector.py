"""The last step of every reader: rows become columns of text, numbered and cut into batches."""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan, RowIssue
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from services.parser.formats.api.batches import (
    BatchCutter,
    ParsedBatch,
    Rows,
    Sizes,
    cell_bytes,
    issue_bytes,
    table_schema,
)
from services.parser.formats.api.encoding import MARKS, show_marks
from services.parser.formats.api.headers import counted
from services.parser.formats.api.limits import ReaderLimits

Record = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a row from becoming cells, see ``RowIssue``."""

    code: str
    message: str
    column: int | None = None


class RowCollector:
    """Takes the rows of a file in their order; every row becomes cells or an issue.

    Args:
        plan: columns and batch sizes.
        limits: bounds on cells and rows.
        place: what ``starts`` count in messages: ``line``, ``record``, ….
        extra_hint: what to do about cells beyond the last column, for the message.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits, *, place: str, extra_hint: str) -> None:
        self._limits = limits
        self._columns = plan.columns
        self._encoding = plan.encoding
        self._place = place
        self._extra_hint = extra_hint
        self._schema = table_schema(plan)
        self._cutter = BatchCutter(plan)
        self._batches: list[ParsedBatch] = []
        self.width = len(plan.columns)
        self.rows = 0

    def take(self) -> list[ParsedBatch]:
        """The batches that were completed since the last call."""
        batches, self._batches = self._batches, []
        return batches

    def close(self) -> list[ParsedBatch]:
        """The remaining batches; no row may follow."""
        self._batches += self._cutter.close()
        return self.take()

    def add_records(
        self,
        starts: Sequence[int],
        records: Sequence[Record],
        *,
        suspect: bool,
        problems: Mapping[int, Problem] | None = None,
    ) -> None:
        """Add rows of cells; ``None`` is a missing cell.

        A short row lacks its last cells. Extra cells are dropped if they are blank, else the row becomes
        an issue.

        Args:
            starts: where each row stands in the file, for messages; as many as ``records``.
            records: their cells.
            suspect: whether a cell may hold a NUL, a mark of undecodable bytes, or too many bytes.
            problems: rows that are issues in any case, by their 0-based place; their cells are for showing.

        Raises:
            FileRefusedError: ``TOO_MANY_ROWS``.
        """
        if not records:
            return
        self.check_row_limit(len(records))
        first = self.rows + 1
        if not suspect and not problems and set(map(len, records)) == {self.width}:
            self._add_cells(zip(*records, strict=True), range(first, first + len(records)), [])
            return
        good: list[Record] = []
        numbers: list[int] = []
        issues: list[RowIssue] = []
        for number, start, cells in zip(range(first, first + len(records)), starts, records, strict=True):
            problem = problems.get(number - first) if problems else None
            if problem is not None:
                issues.append(self._issue(number, problem.code, problem.message, cells, problem.column))
                continue
            issue = self._check(number, start, cells, suspect=suspect)
            if issue is not None:
                issues.append(issue)
                continue
            numbers.append(number)
            missing = self.width - len(cells)
            good.append([*cells, *[None] * missing] if missing > 0 else cells[: self.width] if missing else cells)
        self._add_cells(zip(*good, strict=True), numbers, issues)

    def add_issue(self, code: str, message: str, cells: Record = (), column: int | None = None) -> None:
        """Add a row that is an issue, see ``RowIssue``.

        Raises:
            FileRefusedError: ``TOO_MANY_ROWS``.
        """
        self.check_row_limit(1)
        self._add_cells((), [], [self._issue(self.rows + 1, code, message, cells, column)])

    def add_columns(
        self,
        columns: list[pa.Array[Any]],
        rows: int,
        sizes: Sizes | None = None,
        problems: Mapping[int, Problem] | None = None,
    ) -> None:
        """Add rows that are columns already and, but for the ones named, known to be sound.

        Args:
            columns: string arrays of length ``rows``, one per column of the plan.
            rows: their number.
            sizes: cell bytes of every row, if they are known.
            problems: rows that are issues instead, by their 0-based place, ascending.

        Raises:
            FileRefusedError: ``TOO_MANY_ROWS``.
        """
        self.check_row_limit(rows)
        numbers = np.arange(self.rows + 1, self.rows + 1 + rows, dtype=np.uint32)
        sizes = cell_bytes(columns, rows) if sizes is None else sizes
        if not problems:
            self._add_rows(columns, numbers, (), sizes)
            return
        places = np.array(list(problems), dtype=np.int64)
        kept = [column.take(pa.array(places, pa.int64())).to_pylist() for column in columns[: self._limits.issue_cells]]
        issues = tuple(
            self._issue(self.rows + 1 + place, problem.code, problem.message, cells, problem.column)
            for (place, problem), cells in zip(problems.items(), zip(*kept, strict=True), strict=True)
        )
        sizes = sizes.copy()
        sizes[places] = [issue_bytes(issue) for issue in issues]
        good = np.delete(np.arange(rows), places)
        taken = pa.array(good, pa.int64())
        self._add_rows([column.take(taken) for column in columns], numbers[good], issues, sizes)

    def check_row_limit(self, more: int) -> None:
        """Refuse a file of too many rows."""
        if self.rows + more > self._limits.max_rows:
            raise FileRefusedError(
                RunErrorCode.TOO_MANY_ROWS,
                f"the file has more than {self._limits.max_rows:,} rows; split it into several files",
            )

    def _check(self, row: int, start: int, cells: Record, *, suspect: bool) -> RowIssue | None:
        """What keeps a row from becoming cells; only the first reason is named."""
        for column, cell in enumerate(cells if suspect else ()):
            problem = None if cell is None else self._cell_problem(cell)
            if problem is not None:
                code, what = problem
                message = f"{self._place} {start}, {self._column_name(column)}: {what}"
                return self._issue(row, code, message, cells, column)
        if len(cells) > self.width and any(cell and cell.strip() for cell in cells[self.width :]):
            message = (
                f"{self._place} {start}: the row has {counted(len(cells), 'cell')} and the file has "
                f"{counted(self.width, 'column')}; {self._extra_hint}"
            )
            return self._issue(row, RowErrorCode.EXTRA_CELLS, message, cells, self.width)
        return None

    def _cell_problem(self, cell: str) -> tuple[str, str] | None:
        if "\0" in cell:
            return RowErrorCode.NUL_CHARACTER, "the cell holds a NUL, an invisible character (byte 0); remove it"
        bad = None if cell.isascii() else MARKS.search(cell)
        if bad is not None:
            return RowErrorCode.UNDECODABLE_BYTES, (
                f"byte 0x{ord(bad[0]) & 0xFF:02X} is not {self._encoding}; "
                "save the file in one encoding, or name the right one in the template"
            )
        limit = self._limits.max_cell_bytes
        # A character has at most four bytes: few cells have to be encoded to know.
        if len(cell) * 4 > limit and (size := len(cell.encode())) > limit:
            return (
                RowErrorCode.CELL_TOO_LARGE,
                f"the cell has {size:,} bytes and at most {limit:,} can be read; shorten it",
            )
        return None

    def _column_name(self, column: int) -> str:
        return f"column {self._columns[column]!r}" if column < self.width else f"cell {column + 1}"

    def _issue(self, row: int, code: str, message: str, cells: Record, column: int | None = None) -> RowIssue:
        chars = self._limits.issue_cell_chars
        kept = tuple(show_marks((cell or "")[:chars])[:chars] for cell in cells[: self._limits.issue_cells])
        return RowIssue(row=row, code=code, message=message, cells=kept, column=column)

    def _add_cells(self, columns: Iterable[Record], numbers: Sequence[int], issues: list[RowIssue]) -> None:
        arrays: list[pa.Array[Any]] = [pa.array(column, pa.string()) for column in columns]
        if not numbers:
            arrays = [pa.array([], pa.string())] * self.width
        rows = np.array(numbers, dtype=np.uint32)
        sizes = np.zeros(len(numbers) + len(issues), dtype=np.int64)
        sizes[rows.astype(np.int64) - (self.rows + 1)] = cell_bytes(arrays, len(numbers))
        for issue in issues:
            sizes[issue.row - (self.rows + 1)] = issue_bytes(issue)
        self._add_rows(arrays, rows, tuple(issues), sizes)

    def _add_rows(
        self, columns: list[pa.Array[Any]], numbers: npt.NDArray[np.uint32], issues: tuple[RowIssue, ...], sizes: Sizes
    ) -> None:
        table = pa.Table.from_arrays([pa.array(numbers), *columns], schema=self._schema)
        self._batches += self._cutter.add(Rows(self.rows + 1, table, issues, sizes))
        self.rows += len(sizes)
