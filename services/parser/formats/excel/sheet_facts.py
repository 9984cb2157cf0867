"""What the reading library does not tell of a sheet, and the file does: marks, texts, formats, what is hidden."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.parser.formats.excel.sheet_marks import Marks

Area = tuple[int, int, int, int]
"""Top, left, bottom and right of merged cells, from 0."""


class ZeroMasks:
    """Zero masks by cells, kept as runs of rows: a column has mostly one."""

    def __init__(self) -> None:
        self._runs: dict[int, list[tuple[int, int, str]]] = {}

    def add(self, row: int, column: int, mask: str) -> None:
        """The mask of a cell; rows of a column ascend, or what is added later counts for less."""
        runs = self._runs.setdefault(column, [])
        if runs and runs[-1][1] + 1 == row and runs[-1][2] == mask:
            runs[-1] = (runs[-1][0], row, mask)
        elif not runs or runs[-1][1] < row:
            runs.append((row, row, mask))

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def columns(self) -> Sequence[int]:
        return tuple(self._runs)

    def of(self, column: int, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Index into ``rows`` and mask, of the rows that have one; ``rows`` ascend."""
        runs = self._runs.get(column, [])
        at = max(0, bisect_right(runs, rows[0], key=lambda run: run[0]) - 1) if rows else 0
        for index, row in enumerate(rows):
            while at < len(runs) and runs[at][1] < row:
                at += 1
            if at == len(runs):
                return
            if runs[at][0] <= row:
                yield index, runs[at][2]


@dataclass(slots=True)
class SheetFacts:
    """All rows and columns are counted from 0.

    Attributes:
        marks: see ``sheet_marks``.
        texts: texts of cells of which the library says something else, by row and column.
        masks: of number cells.
        hidden_rows: rows that are not shown, because somebody hid them or by a filter.
        hidden_columns: likewise.
        merged: merged areas, where the library does not tell them.
        beyond: rows with a cell so far to the right that it was left out, and its column.
        skipped: blank rows that were left out before a row, from that row on: pairs of the row as it is read and of the
            sum of all blank rows left out until there; ascending.
    """

    marks: Marks = field(default_factory=dict[int, dict[int, str]])
    texts: Marks = field(default_factory=dict[int, dict[int, str]])
    masks: ZeroMasks = field(default_factory=ZeroMasks)
    hidden_rows: set[int] = field(default_factory=set[int])
    hidden_columns: set[int] = field(default_factory=set[int])
    merged: list[Area] = field(default_factory=list[Area])
    beyond: dict[int, int] = field(default_factory=dict[int, int])
