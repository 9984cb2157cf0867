"""Flat records with the same keys in the same order, read some thousand at a time, as columns.

The places of all brackets, colons and commas that stand in no string are found at once. Where they come in the order
of the record before, and the keys between them are the same bytes, all values are cut out of the text by these places.
What is taken is exactly what the scanner of ``values`` would have told; every other record is left to it: one with
objects or lists in it, with other keys, too large, or not well-formed.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.parser.formats.json.values import decode_at

_MARKS = bytes(byte in b'",:{}[]' for byte in range(256))
_BLANK = np.array([byte in b" \t\r\n" for byte in range(256)])
_MOST_BLANKS = 200
_MOST_KEYS = 1_000
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_SCALAR = r"^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$"

Places = npt.NDArray[np.int64]
_compute: Any = pc
"""Its stubs know other arguments than it takes."""


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Consecutive records.

    Attributes:
        columns: string arrays, one for every key of the plan.
        rows: their number.
    """

    columns: list[pa.Array[Any]]
    rows: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """How a record looks, but for its values.

    Attributes:
        marks: what stands in no string, from its brace to the comma behind it.
        fixed: what stands behind some of these marks, blanks included: the keys, and nothing between records.
        columns: for every key of the plan which of the record's values is its own; ``None`` if none is.
    """

    marks: npt.NDArray[np.uint8]
    fixed: tuple[tuple[int, bytes], ...]
    columns: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where values are; each member of shape (rows, values of one).

    Attributes:
        starts: of texts behind their quote.
        ends: of texts before their quote.
        is_text: whether a value is one; otherwise it is a number, ``true``, ``false`` or ``null``.
    """

    starts: Places
    ends: Places
    is_text: npt.NDArray[np.bool_]


class RecordBlocks:
    """Finds alike records in pieces of text.

    Args:
        keys: those of the plan, or of the records so far.
        max_bytes: larger records are left out.
    """

    def __init__(self, keys: Collection[str], max_bytes: int) -> None:
        self._keys = keys
        self._max_bytes = max_bytes
        self._pattern: _Pattern | None = None
        self._content = b""
        self._data = np.empty(0, dtype=np.uint8)
        self._at = self._low = self._escapes = np.empty(0, dtype=np.int64)
        self._quotes = np.empty(0, dtype=np.int32)
        self._marks = self._data

    def open(self, content: bytes, start: int) -> None:
        """Look at a piece of text.

        Args:
            content: as UTF-8; without NULs and halves of characters, even as escapes.
            start: index of a place where a record begins.
        """
        self._content = content
        self._data = data = np.frombuffer(content, np.uint8)
        self._escapes = np.empty(0, dtype=np.int64)
        at = np.flatnonzero(np.frombuffer(content[start:].translate(_MARKS), np.bool_)) + start
        if content.find(b"\\", start) >= 0:
            self._escapes = _escapes(np.flatnonzero(data[start:] == _BACKSLASH) + start)
            escaped = np.zeros(len(data) + 1, dtype=np.bool_)
            escaped[self._escapes + 1] = True
            at = at[~escaped[at]]
        marks = data[at]
        is_quote = marks == _QUOTE
        quotes = np.cumsum(is_quote, dtype=np.int32)
        outside = np.flatnonzero((quotes & 1 == 0) & ~is_quote)
        self._at, self._marks, self._quotes = at[outside], marks[outside], quotes[outside]
        # Line ends and the like may stand in no string.
        low = np.flatnonzero(data[start:] < ord(" ")) + start
        self._low = low[np.searchsorted(at[is_quote], low) & 1 == 1]

    def take(self, start: int) -> tuple[RecordBlock | None, int]:
        """The records from an index on that are alike.

        Args:
            start: where a record begins.

        Returns:
            The records and the index behind the last one.
        """
        first = int(np.searchsorted(self._at, start))
        if first == len(self._at) or self._at[first] != start:
            return None, start
        if self._pattern is None or not len(places := self._alike(self._pattern, first)):
            self._pattern = self._learn(first)
            places = None if self._pattern is None else self._alike(self._pattern, first)
        if self._pattern is None or places is None or not len(places):
            return None, start
        values = self._values(places, self._quotes[first : first + places.size].reshape(places.shape))
        if not values.rows:
            return None, start
        missing = pa.nulls(values.rows, pa.string())
        columns = [missing if at is None else values.columns[at] for at in self._pattern.columns]
        return RecordBlock(columns, values.rows), int(places[values.rows - 1, -2]) + 1

    def _learn(self, first: int) -> _Pattern | None:
        """The pattern of the record at a mark, if it has one and a comma behind it."""
        ends = np.flatnonzero(self._marks[first : first + 2 * _MOST_KEYS + 2] == ord("}"))
        if not len(ends) or ends[0] % 2 or ends[0] == 0:
            return None
        values = int(ends[0]) // 2
        marks = np.frombuffer(b"{" + b":," * (values - 1) + b":},", np.uint8)
        at = self._at[first : first + len(marks) + 1]
        if len(at) <= len(marks) or (self._marks[first : first + len(marks)] != marks).any():
            return None
        fixed: list[tuple[int, bytes]] = []
        keys: list[object] = []
        for index in range(0, len(marks), 2):
            text = self._content[at[index] + 1 : at[index + 1]]
            fixed.append((index, text))
            if index < 2 * values:
                keys.append(_key(text))
        between = self._content[at[-2] + 1 : at[-1]]
        fixed.append((len(marks) - 1, between))
        if len(set(keys)) < len(keys) or not set(keys) <= set(self._keys) or fixed[-2][1] or between.strip():
            return None
        place_of = {key: at for at, key in enumerate(keys)}
        return _Pattern(marks, tuple(fixed), tuple(place_of.get(key) for key in self._keys))

    def _alike(self, pattern: _Pattern, first: int) -> Places:
        """Where the marks of records are that fit from a mark on; shape (rows, marks of one)."""
        width = len(pattern.marks)
        # The comma behind a record has to be followed by another one: the last one is left out.
        most = (len(self._at) - 1 - first) // width
        stop = first + most * width
        places = self._at[first:stop].reshape(most, width)
        wrong = np.flatnonzero(self._marks[first:stop].reshape(most, width) != pattern.marks)
        places = places[: wrong[0] // width if len(wrong) else most]
        following = self._at[first + width : first + width * (len(places) + 1) : width]
        fits = places[:, -2] - places[:, 0] <= self._max_bytes
        if max(len(text) for _, text in pattern.fixed) > len(self._data):
            return places[:0]
        for mark, text in pattern.fixed:
            begins = places[:, mark] + 1
            after = following if mark == width - 1 else places[:, mark + 1]
            fits &= after - begins == len(text)
            # What follows is longer than a text that does not fit; compared is what is known to be there.
            for at, size in _words(len(text)):
                words = np.ndarray((len(self._data) - size + 1,), f"<u{size}", self._content, strides=(1,))
                found = words[np.minimum(begins + at, len(words) - 1)]
                fits &= found == int.from_bytes(text[at : at + size], "little")
        return places[: _until_first_false(fits)]

    def _values(self, places: Places, quotes: npt.NDArray[np.int32]) -> RecordBlock:
        """The values in the order of the file; of as many records as are well-formed.

        Args:
            places: of their marks; shape (rows, marks of one).
            quotes: how many precede each of them.
        """
        data, values = self._data, places.shape[1] // 2 - 1
        starts, ends = self._without_blanks(places[:, 1:-2:2] + 1, places[:, 2:-1:2])
        is_text = (data[starts] == _QUOTE) & (data[ends - 1] == _QUOTE) & (ends - starts >= 2)
        # Every text and key has at least the two quotes around it; if there are no more, these are all.
        fits = quotes[:, -2] - quotes[:, 0] == 2 * (values + (values if is_text.all() else is_text.sum(axis=1)))
        if len(self._low):
            low = np.searchsorted(self._low, places[:, [0, -2]])
            fits &= low[:, 1] == low[:, 0]
        if (ends <= starts).any():
            fits &= (ends > starts).all(axis=1)
        rows = _until_first_false(fits)
        while rows:
            spans = _Spans(starts[:rows] + is_text[:rows], ends[:rows] - is_text[:rows], is_text[:rows])
            columns, sound = self._columns(spans)
            if sound == rows:
                return RecordBlock(columns, rows)
            rows = sound
        return RecordBlock([], 0)

    def _without_blanks(self, starts: Places, ends: Places) -> tuple[Places, Places]:
        for _ in range(_MOST_BLANKS):
            blank = _BLANK[self._data[starts]]
            if not blank.any():
                break
            starts = starts + blank
        for _ in range(_MOST_BLANKS):
            blank = _BLANK[self._data[ends - 1]] & (ends > starts)
            if not blank.any():
                break
            ends = ends - blank
        return starts, ends

    def _columns(self, spans: _Spans) -> tuple[list[pa.Array[Any]], int]:
        """The values as columns, and how many rows there are before one whose values are not well-formed."""
        rows = len(spans.starts)
        values = spans.starts.size // rows
        bounds = np.empty(2 * spans.starts.size, dtype=np.int32)
        bounds[::2], bounds[1::2] = spans.starts.ravel(), spans.ends.ravel()
        texts = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds.data), pa.py_buffer(self._content))
        escaped = self._cells_with_escapes(bounds)
        columns: list[pa.Array[Any]] = []
        for value in range(values):
            cells = np.arange(value, rows * values, values)
            column = texts.take(pa.array(2 * cells, pa.int64()))
            scalars = ~spans.is_text[:, value]
            if scalars.any():
                fits = ~scalars | np.array(_compute.match_substring_regex(column, _SCALAR), dtype=np.bool_)
                if not fits.all():
                    return [], _until_first_false(fits)
                null = _compute.and_(pa.array(scalars), _compute.equal(column, "null"))
                column = _compute.if_else(null, pa.scalar(None, pa.string()), column)
            at = np.flatnonzero(np.isin(cells, escaped)) if len(escaped) else escaped
            if len(at):
                plain = [_text(self._content[spans.starts[row, value] : spans.ends[row, value]]) for row in at.tolist()]
                if None in plain:
                    return [], int(at[plain.index(None)])
                mask = np.zeros(rows, dtype=np.bool_)
                mask[at] = True
                column = _compute.replace_with_mask(column, pa.array(mask), pa.array(plain, pa.string()))
            columns.append(column)
        return columns, rows

    def _cells_with_escapes(self, bounds: npt.NDArray[np.int32]) -> Places:
        """Which cells have backslashes in them."""
        if not len(self._escapes):
            return self._escapes
        found = np.searchsorted(bounds, self._escapes, "right")
        return np.unique(found[found & 1 == 1] // 2)


def _escapes(backslashes: Places) -> Places:
    """Those of backslashes that are not escaped themselves."""
    begins = np.append(True, np.diff(backslashes) != 1)
    run_starts = backslashes[begins][np.cumsum(begins) - 1]
    return backslashes[(backslashes - run_starts) % 2 == 0]


def _words(size: int) -> list[tuple[int, int]]:
    """Where words of 8, 4, 2 or 1 bytes are that cover so many bytes: begin and size."""
    if not size:
        return []
    word = next(each for each in (8, 4, 2, 1) if each <= size)
    return [(min(at, size - word), word) for at in range(0, size, word)]


def _until_first_false(fits: npt.NDArray[np.bool_]) -> int:
    wrong = np.flatnonzero(~fits)
    return int(wrong[0]) if len(wrong) else len(fits)


def _key(text: bytes) -> object:
    stripped = text.strip(b" \t\r\n").decode()
    try:
        value, end = decode_at(stripped)
    except ValueError:
        return None
    return value if type(value) is str and end == len(stripped) else None


def _text(raw: bytes) -> str | None:
    """What a string with escapes stands for, ``None`` if it is none."""
    written = f'"{raw.decode()}"'
    try:
        value, end = decode_at(written)
    except ValueError:
        return None
    return value if isinstance(value, str) and end == len(written) else None
