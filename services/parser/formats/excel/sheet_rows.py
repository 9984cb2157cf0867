"""From the cells of a sheet to rows of text, with their problems, in blocks of bounded size.

What the texts are:

- numbers: the shortest text that means the same double, without ``.0`` and, within 1e-15 … 1e21, without an exponent;
- dates and times: ISO 8601, ``2024-03-31``, with the time only where it is not midnight, ``2024-03-31T14:05:00``,
  fractions of a second to the millisecond; a time alone ``14:05:00``; a duration in hours, ``36:05:00``;
- booleans ``true`` and ``false``; texts as they are, but for the markers that force a program to take a number for a
  text, see ``force_text``; an empty cell is ``""``.
- a whole number whose format fills it up with zeros, as it shows, see ``number_formats``.

In an .xlsx the serial number 60 of a date reads as the day ``1900-02-29``, which never was, and a number below 0 that
is formatted as a date is an error cell; in the other formats they are what the reading library makes of them,
1900-02-28 and ``00:00:00``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from itertools import chain, islice
from typing import Any, cast

from services.parser.formats.excel.force_text import without_markers
from services.parser.formats.excel.number_formats import masked
from services.parser.formats.excel.sheet_facts import SheetFacts

Cell = int | float | str | bool | time | date | datetime | timedelta

_CELLS_OF_A_BLOCK = 40_000
_MOST_ROWS_OF_A_BLOCK = 4_096
_CUT_CHARS, _CUT_CELLS = 1_000, 200
"""What is kept of a row that is too large."""
_PLAIN_NUMBERS = (1e-15, 1e21)
_WIDEST_GAP = 50
"""Columns from one header to the next; what is further away belongs to no table."""
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
        skip_hidden_rows: whether hidden rows are no rows.
        skip_hidden_columns: whether hidden columns are no columns.
        skip_blank_texts: whether rows of nothing but blanks are no rows, as in the other formats.
        keep_markers: whether texts stay as they are, with the markers that force a program to take a number for one.
        decimal_commas: indexes of columns whose numbers are written with a decimal comma, as their texts are.
    """

    skip_rows: int = 0
    has_header: bool = True
    width: int | None = None
    checked: frozenset[int] = field(default_factory=frozenset[int])
    skip_hidden_rows: bool = False
    skip_hidden_columns: bool = False
    skip_blank_texts: bool = False
    keep_markers: bool = False
    decimal_commas: frozenset[int] = field(default_factory=frozenset[int])


class SheetRows:
    """The rows of one sheet.

    Args:
        rows: all rows of the sheet from its first; as many cells in each as the used range has columns.
        used_width: that number.
        first_column: of the used range, from 0.
        facts: what ``rows`` do not tell, or tell wrong.
        reading: how they are read.

    Attributes:
        columns: columns of the sheet that are read, from 0, ascending.
        header: texts of the header's cells up to the last that is not empty; of the first row, without a header.
        header_place: its row, from 0.
        second: the cells of the row right behind the header, without texts that are blank; empty if it is blank.
        strays: columns of header cells that stand so far from the others that they name no column.
        width: columns of the table: those with a header, or all that are read.
    """

    def __init__(
        self,
        rows: Iterable[Sequence[Cell]],
        used_width: int,
        first_column: int,
        facts: SheetFacts,
        reading: SheetReading,
    ) -> None:
        self._reading = reading
        self._facts = facts
        hidden = facts.hidden_columns if reading.skip_hidden_columns else ()
        self.columns = [column for column in range(first_column, first_column + used_width) if column not in hidden]
        self._index = {column: index for index, column in enumerate(self.columns)}
        self._kept = None if len(self.columns) == used_width else [column - first_column for column in self.columns]
        self._used_width = used_width
        self._rows = self._filled(rows)
        self.header: list[str] = []
        self.header_place = 0
        self.second: dict[int, Cell] = {}
        self.strays: list[int] = []
        self.width = len(self.columns)
        if reading.has_header:
            self.header_place, cells = next(self._rows, (0, ()))
            self.header = column_texts_of_row(cells)
            self._cut_header()
            self.width = len(self.header)
            self._look_ahead()
        if reading.width is not None:
            self.width = reading.width

    def _cut_header(self) -> None:
        """Leave out blank cells at the end of the header, and cells behind a gap that no table has."""
        named = [index for index, text in enumerate(self.header) if text.strip()]
        last = named[0] if named else -1
        for index in named:
            if index - last > _WIDEST_GAP:
                self.strays = [self.columns[at] for at in named if at >= index]
                break
            last = index
        del self.header[last + 1 :]

    def _look_ahead(self) -> None:
        following = next(self._rows, None)
        if following is None:
            return
        self._rows = chain([following], self._rows)
        place, cells = following
        if place == self.header_place + 1:
            filled = ((index, cell) for index, cell in enumerate(cells) if not isinstance(cell, str) or cell.strip())
            self.second = dict(filled)

    def blocks(self) -> Iterator[Block]:
        """The rows after the header."""
        at_once = max(1, min(_MOST_ROWS_OF_A_BLOCK, _CELLS_OF_A_BLOCK // max(1, self._used_width)))
        masks = [(self._index[column], column) for column in self._facts.masks.columns if column in self._index]
        while rows := list(islice(self._rows, at_once)):
            places = [place for place, _ in rows]
            cells = list(zip(*(cells for _, cells in rows), strict=True))
            columns = [column_texts(column) for column in cells]
            if not self._reading.keep_markers:
                columns = list(map(without_markers, columns))
            for index, column in masks:
                self._fill_up(columns[index], cells[index], self._facts.masks.of(column, places))
            for index in self._reading.decimal_commas.intersection(range(len(columns))):
                columns[index] = [
                    text.replace(".", ",") if isinstance(cell, float) else text
                    for text, cell in zip(columns[index], cells[index], strict=True)
                ]
            problems, culprits = self._problems(places, columns)
            columns = columns[: self.width]
            columns += [[""] * len(rows) for _ in range(self.width - len(columns))]
            yield Block([place + 1 for place in places], problems, culprits, columns)

    def _fill_up(self, texts: list[str], cells: Sequence[Cell], masks: Iterable[tuple[int, str]]) -> None:
        for at, mask in masks:
            cell = cells[at]
            if isinstance(cell, int | float) and not isinstance(cell, bool):
                texts[at] = masked(float(cell), mask) or texts[at]

    def _filled(self, rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Rows that are not blank, with the texts of error cells; rows are counted from 0."""
        facts, kept = self._facts, self._kept
        hidden = facts.hidden_rows if self._reading.skip_hidden_rows else ()
        special = {*facts.marks, *facts.texts, *facts.beyond}
        for place, cells in self._all(rows):
            if place < self._reading.skip_rows or place in hidden:
                continue
            if kept is not None:
                cells = [cells[index] for index in kept]  # noqa: PLW2901
            if place in special:
                full = self._with_texts(place, cells)
                if self._matters(place) or not self._blank(full):
                    yield place, full
            elif not self._blank(cells):
                yield place, cells

    def _blank(self, cells: Sequence[Cell]) -> bool:
        if not self._reading.skip_blank_texts:
            return cells.count("") == len(cells)
        return all(not cell or cell.isspace() if isinstance(cell, str) else False for cell in cells)

    def _with_texts(self, place: int, cells: Sequence[Cell]) -> list[Cell]:
        full = list(cells)
        for source in (self._facts.texts, self._facts.marks):
            for column, text in source.get(place, {}).items():
                if (index := self._index.get(column)) is not None:
                    full[index] = text
        return full

    def _all(self, rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[int, Sequence[Cell]]]:
        """The rows, and those behind them that consist of nothing but hidden cells."""
        place = -1
        for place, cells in enumerate(rows):
            yield place, cells
        for marked in sorted(at for at in {*self._facts.marks, *self._facts.beyond} if at > place):
            yield marked, [""] * self._used_width

    def _matters(self, place: int) -> bool:
        """Whether a formula without a value stands in a column that matters, or a cell beyond all columns."""
        marked = self._facts.marks.get(place, {}).items()
        return place in self._facts.beyond or any(
            not text and self._index.get(column) in self._reading.checked for column, text in marked
        )

    def _problems(self, places: list[int], columns: list[list[str]]) -> tuple[list[int], list[int]]:
        problems = [int(RowProblem.NONE)] * len(places)
        culprits = [0] * len(places)
        for index in range(len(columns) - 1, self.width - 1, -1):
            for at, text in enumerate(columns[index]):
                if text and not text.isspace():
                    problems[at], culprits[at] = RowProblem.EXTRA_CELLS, index
        marks, beyond = self._facts.marks, self._facts.beyond
        for at, place in enumerate(places if marks or beyond else ()):
            if place in beyond and not problems[at]:
                problems[at], culprits[at] = RowProblem.EXTRA_CELLS, -1 - beyond[place]
            for column, text in sorted(marks.get(place, {}).items(), reverse=True):
                index = self._index.get(column, -1)
                if index in self._reading.checked:
                    problems[at] = RowProblem.ERROR_CELL if text else RowProblem.FORMULA_WITHOUT_VALUE
                    culprits[at] = index
        return problems, culprits


def column_texts_of_row(cells: Sequence[Cell]) -> list[str]:
    """The texts of a row's cells."""
    return [column_texts([cell])[0] for cell in cells]
