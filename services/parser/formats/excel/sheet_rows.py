"""From the cells of a sheet to rows of text, with their problems, in blocks of bounded size.

What the texts are:

- numbers: the shortest text that means the same double, without ``.0`` and, within 1e-15 … 1e21, without an exponent;
- dates and times: ISO 8601, ``2024-03-31``, with the time only where it is not midnight, ``2024-03-31T14:05:00``,
  fractions of a second to the millisecond; a time alone ``14:05:00``; a duration in hours, ``36:05:00``;
- booleans ``true`` and ``false``; texts as they are; an empty cell is ``""``.

The serial number 60, the day 1900-02-29 that never was, reads as 1900-02-28; a number below 0 that is formatted as
a date reads as ``00:00:00``. Both are what the reading library makes of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from itertools import islice
from typing import Any, cast

from services.parser.formats.excel.sheet_marks import Marks

Cell = int | float | str | bool | time | date | datetime | timedelta

_CELLS_OF_A_BLOCK = 40_000
_MOST_ROWS_OF_A_BLOCK = 4_096
_CUT_CHARS, _CUT_CELLS = 1_000, 200
"""What is kept of a row that is too large."""
_PLAIN_NUMBERS = (1e-15, 1e21)
_TINY = 1e-4
_EXACT = 2.0**53
"""Below it, the digits of a whole number are the shortest text that means it."""


def _number(value: float) -> str:
    if value.is_integer() and -_EXACT < value < _EXACT:
        return str(int(value))
    text = repr(value).removesuffix(".0")
    if "e" in text and _PLAIN_NUMBERS[0] <= abs(value) < _PLAIN_NUMBERS[1]:
        return format(Decimal(text), "f")
    return text


def _time(value: time) -> str:
    text = value.isoformat()
    return text.rstrip("0") if value.microsecond else text


def _datetime(value: datetime) -> str:
    moment = value.time()
    return f"{value.date().isoformat()}T{_time(moment)}" if moment != time() else value.date().isoformat()


def _duration(value: timedelta) -> str:
    sign = "-" if value < timedelta() else ""
    minutes, seconds = divmod(abs(value), timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    text = f"{sign}{hours:02d}:{minutes:02d}:{seconds.seconds:02d}"
    return f"{text}.{seconds.microseconds:06d}".rstrip("0") if seconds.microseconds else text


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: str,
    float: _number,
    int: str,
    bool: lambda value: "true" if value else "false",
    date: str,
    datetime: _datetime,
    time: _time,
    timedelta: _duration,
}


def column_texts(cells: Sequence[Cell]) -> list[str]:
    """The texts of a column's cells, see the module."""
    kinds = set(map(type, cells))
    if kinds == {str}:
        return cast("list[str]", list(cells))
    if kinds == {float}:
        # A fraction that is not tiny is written without an exponent: most cells need no further look.
        numbers = cast("Sequence[float]", cells)
        return [
            repr(number) if not (number.is_integer() or -_TINY < number < _TINY) else _number(number)
            for number in numbers
        ]
    if len(kinds) == 1:
        return list(map(_TEXTS[kinds.pop()], cells))
    return [_TEXTS[type(cell)](cell) for cell in cells]


class RowProblem(IntEnum):
    """What keeps a row from becoming cells."""

    NONE = 0
    ERROR_CELL = 1
    FORMULA_WITHOUT_VALUE = 2
    EXTRA_CELLS = 3
    TOO_LARGE = 4


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows that are not blank.

    Attributes:
        places: row of the sheet, from 1.
        problems: a ``RowProblem`` per row.
        culprits: index of the cell that is the problem, counted from the first column of the table.
        columns: texts by column; shape ``(width, rows)``.
    """

    places: list[int]
    problems: list[int]
    culprits: list[int]
    columns: list[list[str]]

    def smaller(self) -> tuple["Block", ...]:
        """The block's halves; of one row, what is kept of a row that is too large."""
        if len(self.places) == 1:
            cut = [[column[0][:_CUT_CHARS] if at < _CUT_CELLS else ""] for at, column in enumerate(self.columns)]
            return (Block(self.places, [RowProblem.TOO_LARGE], [0], cut),)
        half = len(self.places) // 2
        return tuple(
            Block(
                self.places[part], self.problems[part], self.culprits[part], [column[part] for column in self.columns]
            )
            for part in (slice(half), slice(half, None))
        )


@dataclass(frozen=True, slots=True)
class SheetReading:
    """How the rows of a sheet are read.

    Attributes:
        skip_rows: rows of the sheet that are dropped first, blank ones included.
        has_header: whether the first row after those that is not blank names the columns.
        width: columns that are read; a row with a cell beyond them is a problem.
        checked: indexes of columns in which an error is a problem; elsewhere it is the text it shows.
    """

    skip_rows: int = 0
    has_header: bool = True
    width: int | None = None
    checked: frozenset[int] = field(default_factory=frozenset[int])


class SheetRows:
    """The rows of one sheet.

    Args:
        rows: all rows of the sheet from its first; as many cells in each as the used range has columns.
        used_width: that number.
        first_column: of the used range, from 0.
        marks: cells that ``rows`` hold as empty although they are not.
        reading: how they are read.

    Attributes:
        header: texts of the header's cells up to the last that is not empty; of the first row, without a header.
        width: columns of the table: those with a header, or all that are used.
    """

    def __init__(
        self, rows: Iterable[Sequence[Cell]], used_width: int, first_column: int, marks: Marks, reading: SheetReading
    ) -> None:
        self._reading = reading
        self._first_column = first_column
        self._marks = marks
        self._used_width = used_width
        self._rows = self._filled(rows)
        self.header: list[str] = []
        self.width = used_width
        if reading.has_header:
            _, cells = next(self._rows, (0, ()))
            self.header = column_texts_of_row(cells)
            while self.header and not self.header[-1].strip():
                self.header.pop()
            self.width = len(self.header)
        if reading.width is not None:
            self.width = reading.width

    def blocks(self) -> Iterator[Block]:
        """The rows after the header."""
        at_once = max(1, min(_MOST_ROWS_OF_A_BLOCK, _CELLS_OF_A_BLOCK // max(1, self._used_width)))
        while rows := list(islice(self._rows, at_once)):
            places = [place + 1 for place, _ in rows]
            columns = [column_texts(column) for column in zip(*(cells for _, cells in rows), strict=True)]
            problems, culprits = self._problems(places, columns)
            columns = columns[: self.width]
            columns += [[""] * len(rows) for _ in range(self.width - len(columns))]
            yield Block(places, problems, culprits, columns)

    def _filled(self, rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Rows that are not blank, with the texts of error cells; rows are counted from 0."""
        for place, cells in self._all(rows):
            if place < self._reading.skip_rows:
                continue
            marked = self._marks.get(place)
            if marked is not None:
                full = list(cells)
                for column, text in marked.items():
                    if 0 <= (index := column - self._first_column) < len(full):
                        full[index] = text
                if self._open_formulas(place) or full.count("") < len(full):
                    yield place, full
            elif cells.count("") < len(cells):
                yield place, cells

    def _all(self, rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[int, Sequence[Cell]]]:
        """The rows, and those behind them that consist of nothing but hidden cells."""
        place = -1
        for place, cells in enumerate(rows):
            yield place, cells
        for marked in sorted(at for at in self._marks if at > place):
            yield marked, [""] * self._used_width

    def _open_formulas(self, place: int) -> bool:
        """Whether a formula without a value stands in a column that matters."""
        marked = self._marks[place].items()
        return any(not text and column - self._first_column in self._reading.checked for column, text in marked)

    def _problems(self, places: list[int], columns: list[list[str]]) -> tuple[list[int], list[int]]:
        problems = [int(RowProblem.NONE)] * len(places)
        culprits = [0] * len(places)
        for index in range(len(columns) - 1, self.width - 1, -1):
            for at, text in enumerate(columns[index]):
                if text and not text.isspace():
                    problems[at], culprits[at] = RowProblem.EXTRA_CELLS, index
        for at, place in enumerate(places if self._marks else ()):
            for column, text in sorted(self._marks.get(place - 1, {}).items(), reverse=True):
                index = column - self._first_column
                if index in self._reading.checked:
                    problems[at] = RowProblem.ERROR_CELL if text else RowProblem.FORMULA_WITHOUT_VALUE
                    culprits[at] = index
        return problems, culprits


def column_texts_of_row(cells: Sequence[Cell]) -> list[str]:
    """The texts of a row's cells."""
    return [column_texts([cell])[0] for cell in cells]
