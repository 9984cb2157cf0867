"""The last step before rows are counted: what a CSV file holds between its rows and is none.

- A row of nothing but blanks is no row, whatever it has of delimiters and quotes: spreadsheets save such lines
  where somebody once cleared a row, and the same sheet as a workbook has none either.
- Neither is a row that repeats the header cell for cell: files that were joined have it where the next one began. A
  file of one column is left alone, where a value may well be called like its column.
- The last rows go where the plan says so: totals.
- A cell that is exactly ``="…"``, without another quote in it, is the text between the quotes: so programs keep
  Excel from making numbers and dates of texts.

Plans of earlier releases know nothing of this, and are read as they were.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from libs.values.force_text import FORMULA, without_formula
from services.parser.formats.api.batches import offsets_of
from services.parser.formats.api.collector import RowCollector
from services.parser.formats.csv.grammar import Record

_MARKED = f"^{FORMULA}$"
_BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""All white space of Unicode."""
_BLANK_CELL = f"^[{_BLANKS}]*$"
_MAY_BE_BLANK = np.isin(np.arange(256), [character.encode()[0] for character in _BLANKS])
"""Of first bytes, whether they begin a blank, and perhaps something else."""
Columns = list["pa.Array[Any]"]
Places = npt.NDArray[np.int64]


def is_blank(cells: Sequence[str | None]) -> bool:
    """Whether a record holds nothing but blanks."""
    return not any(cell and not cell.isspace() for cell in cells)


@dataclass(frozen=True, slots=True)
class _Portion:
    """Rows that wait, because they may be the last ones."""

    rows: int
    add: Callable[[int], None]
    """Adds the first so many of them."""
    rest: Callable[[int], _Portion]
    """What is left without the first so many."""


class RowSink:
    """Takes the records of a file after its header, and passes on those that are rows.

    Args:
        collector: what counts them.
        width: the number of columns.
        footer_rows: how many rows at the end of the file are none.
    """

    def __init__(self, collector: RowCollector, width: int, *, footer_rows: int) -> None:
        self._collector = collector
        self._width = width
        self._footer_rows = footer_rows
        self._header: list[str] = []
        self._waiting: deque[_Portion] = deque()
        self._waiting_rows = 0

    def set_header(self, cells: Sequence[str | None]) -> None:
        """Take the record that is the header."""
        if len(cells) > 1:
            self._header = [cell or "" for cell in cells]

    def add_records(self, starts: Sequence[int], records: Sequence[Record], *, suspect: bool, marked: bool) -> None:
        """Add records that start on these lines.

        Args:
            starts: physical lines.
            records: their cells.
            suspect: see ``RowCollector.add_records``.
            marked: whether a cell may be ``="…"``.
        """
        kept = [at for at, cells in enumerate(records) if not self._is_none(cells)]
        if len(kept) < len(records):
            starts, records = [starts[at] for at in kept], [records[at] for at in kept]
        if marked:
            records = [_without_markers(cells) for cells in records]
        self._pass_on(self._records(starts, records, suspect=suspect))

    def add_columns(self, columns: Columns, rows: int, *, marked: bool) -> None:
        """Add records that are columns already: string arrays of length ``rows``."""
        places = self._nothing_in(columns, rows)
        if len(places):
            kept = pa.array(np.delete(np.arange(rows), places), pa.int64())
            columns, rows = [column.take(kept) for column in columns], len(kept)
        if marked:
            columns = [pc.replace_substring_regex(column, _MARKED, r"\1") for column in columns]
        self._pass_on(self._columns(columns, rows))

    def add_issue(self, code: str, message: str, cells: Sequence[str | None]) -> None:
        """Add a row that cannot be read, see ``RowCollector.add_issue``."""

        def add(rows: int) -> None:
            if rows:
                self._collector.add_issue(code, message, cells)

        self._pass_on(_Portion(1, add, lambda _: self._columns([], 0)))

    def _is_none(self, cells: Record) -> bool:
        return (not (first := cells[0] if cells else None) or first.isspace() or first == self._first_name) and (
            cells == self._header or is_blank(cells)
        )

    @property
    def _first_name(self) -> str | None:
        return self._header[0] if self._header else None

    def _nothing_in(self, columns: Columns, rows: int) -> Sequence[int]:
        """The places of the rows that are none."""
        blank = _blank_rows(columns, rows)
        if len(self._header) != self._width:
            return blank
        return sorted({*blank, *_rows_that_are(self._header, columns)})

    def _pass_on(self, portion: _Portion) -> None:
        if not self._footer_rows:
            portion.add(portion.rows)
            return
        if portion.rows:
            self._waiting.append(portion)
            self._waiting_rows += portion.rows
        while self._waiting and (surplus := self._waiting_rows - self._footer_rows) > 0:
            first = self._waiting.popleft()
            going = min(surplus, first.rows)
            first.add(going)
            self._waiting_rows -= going
            if going < first.rows:
                self._waiting.appendleft(first.rest(going))

    def _records(self, starts: Sequence[int], records: Sequence[Record], *, suspect: bool) -> _Portion:
        def add(rows: int) -> None:
            self._collector.add_records(starts[:rows], records[:rows], suspect=suspect)

        def rest(rows: int) -> _Portion:
            return self._records(starts[rows:], records[rows:], suspect=suspect)

        return _Portion(len(records), add, rest)

    def _columns(self, columns: Columns, rows: int) -> _Portion:
        def add(number: int) -> None:
            if number:
                self._collector.add_columns([column.slice(0, number) for column in columns], number)

        def rest(number: int) -> _Portion:
            return self._columns([column.slice(number) for column in columns], rows - number)

        return _Portion(rows, add, rest)


def _without_markers(cells: Record) -> Record:
    return [without_formula(cell) if cell else cell for cell in cells]


def _blank_rows(columns: Columns, rows: int) -> Sequence[int]:
    """The places of rows of nothing but blanks; a column is looked at only where those before it are blank."""
    places = None
    for column in columns:
        starts, sizes, texts = _texts(column, places)
        filled = sizes > 0
        if filled.any():
            filled_at = np.flatnonzero(filled)
            perhaps = filled_at[_MAY_BE_BLANK[texts[starts[filled_at]]]]
            if len(perhaps):
                taken = column.take(pa.array(perhaps if places is None else places[perhaps], pa.int64()))
                blank = pc.match_substring_regex(taken, _BLANK_CELL).to_numpy(zero_copy_only=False)
                filled[perhaps[blank.astype(bool)]] = False
        places = np.flatnonzero(~filled) if places is None else places[~filled]
        if not len(places):
            break
    return list(range(rows)) if places is None else [int(place) for place in places]


def _rows_that_are(cells: Sequence[str], columns: Columns) -> Sequence[int]:
    """The places of rows of just these cells."""
    places = None
    for cell, column in zip(cells, columns, strict=True):
        text = cell.encode("utf-8", "surrogatepass")
        starts, sizes, texts = _texts(column, places)
        same = np.flatnonzero(sizes == len(text))
        if len(same) and text:
            same = same[texts[starts[same]] == text[0]]
        places = same if places is None else places[same]
        if len(places) and text:
            found = column.take(pa.array(places, pa.int64())).to_pylist()
            places = places[[value == cell for value in found]]
        if not len(places):
            break
    return [] if places is None else [int(place) for place in places]


def _texts(column: pa.Array[Any], places: Places | None) -> tuple[Places, Places, npt.NDArray[np.uint8]]:
    """Where the texts at these places start, all if ``None``; their sizes in bytes; and the bytes of all of them."""
    offsets, data = offsets_of(column).astype(np.int64), column.buffers()[2]
    texts = np.frombuffer(b"" if data is None else memoryview(data), dtype=np.uint8)
    if places is None:
        return offsets[:-1], np.diff(offsets), texts
    return offsets[places], offsets[places + 1] - offsets[places], texts
