"""Rows that look like earlier ones, read some thousand at a time, as columns.

Most rows have the same tags in the same places as one that was read before, and no attributes. What such a row holds
is known once the row of that *pattern* was read by the rules of ``rows``; what is left is to find where its texts begin
and end, and that takes no look at each of them: the positions of all ``<`` and ``>`` of a block are found at once, and
every column is cut out of the block by its positions.

What is taken is exactly what expat would have told: only elements of known tags with plain text in them, and the five
entities that XML knows by itself. Every other row is left to expat: with attributes, comments, CDATA, other references,
carriage returns or characters that XML forbids, one of unknown tags or with text beside its elements.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.parser.formats.xml.shapes import Cells

_OPEN, _CLOSE, _ALONE, _ODD = range(4)
_PLAIN_TAG = re.compile(r"<(/?)[^\s<>/!?=\"'&]+(/?)>")
_OTHER_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))
"""The last one last, so that what it leaves is not read again."""
_NONCHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
"""XML forbids U+FFFE and U+FFFF."""
_BLANKS = " \t\r\n"
_FIRST_BYTES = 64 * 1024
_MOST_TAGS = 4_096
_MOST_PATTERNS = 32
_MOST_TAGS_OF_A_ROW = 2_048
_MOST_BLANKS = 256
_MISSING, _EMPTY = -1, -2

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Consecutive rows of the file as string arrays, one for every column of the plan."""

    columns: list[pa.Array[Any]]
    rows: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Rows with the same tags.

    Attributes:
        tags: numbers of the tags of a row, from its start tag to its end tag.
        places: for every column of the plan after which of these tags its text is, ``_MISSING`` or ``_EMPTY``.
    """

    tags: npt.NDArray[np.int32]
    places: tuple[int, ...]


class Patterns:
    """What is known of the rows of one file so far.

    Args:
        columns: those of the plan, ``None`` for one that no cell goes to.
        max_row_bytes: longer rows are none of a pattern.
    """

    def __init__(self, columns: Sequence[str | None], max_row_bytes: int) -> None:
        self.columns = columns
        self.max_row_bytes = max_row_bytes
        self._kinds: list[int] = []
        self._tags: dict[str, int] = {}
        self._known: dict[bytes, _Pattern] = {}

    def forget(self) -> None:
        """What tags mean may have changed: elements around the rows have ended."""
        self._known.clear()

    @property
    def known(self) -> list[_Pattern]:
        return list(self._known.values())

    @property
    def kinds(self) -> npt.NDArray[np.int8]:
        """Of every tag by its number."""
        return np.array(self._kinds, dtype=np.int8)

    def numbers(self, tags: Sequence[str]) -> npt.NDArray[np.int32] | None:
        """The number of each tag; ``None`` where there are too many different ones."""
        found = np.empty(len(tags), dtype=np.int32)
        for at, tag in enumerate(tags):
            number = self._tags.get(tag)
            if number is None:
                if len(self._tags) >= _MOST_TAGS:
                    return None
                number = self._tags[tag] = len(self._tags)
                self._kinds.append(_kind_of(tag))
            found[at] = number
        return found

    def learn(self, tags: npt.NDArray[np.int32], texts: Sequence[str], cells: Cells) -> _Pattern | None:
        """The pattern of a row, if it has one that is new.

        Args:
            tags: of a row that is whole.
            texts: what follows each of them, as it stands in the file; blank where it is no cell's.
            cells: what was found in the row by the rules.
        """
        if len(self._known) >= _MOST_PATTERNS or not 2 < len(tags) <= _MOST_TAGS_OF_A_ROW or len(texts) < len(tags):
            return None
        kinds = [self._kinds[int(tag)] for tag in tags]
        if _ODD in kinds or tags.tobytes() in self._known:
            return None
        places: list[int] = []
        found: list[str] = []
        for at in range(1, len(tags) - 1):
            if kinds[at] == _ALONE:
                places.append(_EMPTY)
                found.append("")
            elif kinds[at] == _OPEN and kinds[at + 1] == _CLOSE:
                places.append(at)
                found.append(texts[at])
            elif texts[at].strip(_BLANKS):
                return None
        # Elements that are repeated share a cell; then there are fewer cells than elements.
        if found != [*cells.values()] or not cells.keys() <= set(self.columns):
            return None
        place_of: dict[str | None, int] = dict(zip(cells, places, strict=True))
        pattern = _Pattern(tags.copy(), tuple(place_of.get(name, _MISSING) for name in self.columns))
        self._known[tags.tobytes()] = pattern
        return pattern


def _kind_of(tag: str) -> int:
    plain = _PLAIN_TAG.fullmatch(tag)
    if plain is None or (plain[1] and plain[2]):
        return _ODD
    return _CLOSE if plain[1] else _ALONE if plain[2] else _OPEN


def _different(texts: pa.Array[Any], places: Positions) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The different texts among those at some places, and which of them each one is."""
    found: Any = texts.take(pa.array(places, pa.int64()))
    encoded = found.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


class Block:
    """A piece of the file, from a place between two rows on.

    Args:
        content: the piece as UTF-8; it must not change.
        start: index of that place.
        patterns: of the rows so far.

    Attributes:
        end: index up to which the piece is understood; behind it marks do not come in pairs. Where no pattern is known
            not much is looked at.
    """

    def __init__(self, content: bytes, start: int, patterns: Patterns) -> None:
        self._content = content if patterns.known else content[: start + _FIRST_BYTES]
        self._patterns = patterns
        self._starts = self._ends = np.empty(0, dtype=np.int64)
        self._tags = np.empty(0, dtype=np.int32)
        self.end = start
        self._patterns_of = np.empty(0, dtype=np.int64)
        self._row_starts = self._row_ends = np.empty(0, dtype=np.int64)
        self._all: list[_Pattern] = []
        self._bad = np.empty(0, dtype=np.bool_)
        self._texts: pa.Array[Any] = pa.array([], pa.string())
        self._has_entities = False
        self._read(start)

    def _read(self, start: int) -> None:
        data = np.frombuffer(self._content, np.uint8)[start:]
        left, right = np.flatnonzero(data == ord("<")) + start, np.flatnonzero(data == ord(">")) + start
        pairs = min(len(left), len(right))
        left, right = left[:pairs], right[:pairs]
        wrong = np.flatnonzero((left >= right) | np.append(right[:-1] >= left[1:], False))
        if len(wrong):
            pairs = int(wrong[0])  # the tag there may be no tag
            left, right = left[:pairs], right[:pairs]
        if pairs < 2:
            return
        # Tags and the texts behind them, in turn; nothing follows the last tag but an empty text, for what is empty.
        bounds = np.empty(2 * pairs + 1, dtype=np.int32)
        bounds[:-1:2], bounds[1::2] = left, right + 1
        bounds[-1] = bounds[-2]
        texts = pa.StringArray.from_buffers(2 * pairs, pa.py_buffer(bounds.data), pa.py_buffer(self._content))
        different, which = _different(texts, np.arange(0, 2 * pairs, 2))
        numbers = None if len(different) > _MOST_TAGS else self._patterns.numbers(different)
        if numbers is None:
            return
        self._texts, self._starts, self._ends = texts, left, right + 1
        self._tags = numbers[which]
        self.end = int(self._ends[-1])
        self._has_entities = self._content.find(b"&", start, self.end) >= 0
        self._bad = self._left_to_expat(data[: self.end - start], start)
        self._find_rows()

    def _left_to_expat(self, data: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.bool_]:
        """Of which tags the text behind is not what it seems to be, or no text at all."""
        bad = np.zeros(len(self._tags), dtype=np.bool_)
        kinds = self._patterns.kinds[self._tags]
        bad[kinds == _ODD] = True
        leaf = (kinds[:-1] == _OPEN) & (kinds[1:] == _CLOSE)
        lengths = self._starts[1:] - self._ends[:-1]

        low = np.flatnonzero(data < ord(" "))
        if len(low):
            of = np.maximum(np.searchsorted(self._starts, low + start, "right") - 1, 0)
            what = data[low]
            in_text = np.append(leaf, False)[of]
            bad[of[(what != ord("\n")) & (what != ord("\t")) & (what != ord("\r"))]] = True
            bad[of[in_text & (what == ord("\r"))]] = True
            lines = np.unique(of[in_text & (what == ord("\n"))])
            begins = data[self._ends[lines] - start]
            for at in lines[(begins <= ord(" ")) | (begins >= 0x80)]:
                # Text that is only white space with a line end is indentation.
                bad[at] |= self._content[self._ends[at] : self._starts[at + 1]].decode().isspace()

        beside = np.flatnonzero(~leaf & (lengths > 0))
        if len(beside):
            different, which = _different(self._texts, 2 * beside + 1)
            if len(different) > _MOST_BLANKS:
                bad[beside] = True
            else:
                bad[beside] = np.array([bool(text.strip(_BLANKS)) for text in different])[which]

        # "]]>", which may not stand in a text, leaves marks that do not come in pairs.
        found: list[int] = []
        if self._has_entities:
            found = [each.start() for each in _OTHER_REFERENCE.finditer(self._content, start, self.end)]
        if not self._content.isascii():
            wide = np.flatnonzero(data == _NONCHARACTERS[0][0]) + start
            found += [at for at in wide.tolist() if self._content.startswith(_NONCHARACTERS, at)]
        if found:
            bad[np.maximum(np.searchsorted(self._starts, found, "right") - 1, 0)] = True
        return bad

    def _find_rows(self) -> None:
        """Where rows of known patterns seem to be: from a start tag of one to the next."""
        self._all = self._patterns.known
        first = np.zeros(len(self._patterns.kinds), dtype=np.bool_)
        first[[int(pattern.tags[0]) for pattern in self._all]] = True
        self._row_starts = np.flatnonzero(first[self._tags])
        self._row_ends = np.append(self._row_starts[1:], len(self._tags))
        if not len(self._row_starts):
            return
        self._patterns_of = np.full(len(self._row_starts), -1, dtype=np.int64)
        for number in range(len(self._all)):
            self._try(number)

    def _try(self, number: int) -> None:
        """Mark the rows of a pattern."""
        tags = self._all[number].tags
        alike = np.flatnonzero((self._row_ends - self._row_starts == len(tags)) & (self._patterns_of < 0))
        if not len(alike):
            return
        places = self._row_starts[alike, None] + np.arange(len(tags))
        sound = (self._tags[places] == tags).all(axis=1) & ~self._bad[places].any(axis=1)
        size = self._ends[places[:, -1]] - self._starts[places[:, 0]]
        self._patterns_of[alike[sound & (size <= self._patterns.max_row_bytes)]] = number

    def learn(self, start: int, end: int, cells: Cells) -> None:
        """Learn from a row that was read by the rules, if there is a pattern to it.

        Args:
            start: index where the row begins, but for text before it.
            end: index behind its end tag.
            cells: what was found in it.
        """
        first, last = (int(at) for at in np.searchsorted(self._starts, [start, end]))
        if self._bad[first:last].any() or not len(self._tags[first:last]) or self._ends[last - 1] != end:
            return
        texts = cast("list[str]", self._texts[2 * first : 2 * last].to_pylist()[1::2])
        if any("&" in text for text in texts):
            return
        known = self._patterns.learn(self._tags[first:last], texts, cells)
        if known is not None:
            if any(known.tags[0] == pattern.tags[0] for pattern in self._all):
                self._all.append(known)
                self._try(len(self._all) - 1)
            else:
                self._find_rows()

    def take(self, start: int) -> tuple[RowBlock | None, int]:
        """The rows from an index on up to the first one that is of no known pattern.

        Args:
            start: of a place between two rows; what precedes the next tag is no data.

        Returns:
            The rows and the index behind them.
        """
        tag = int(np.searchsorted(self._starts, start))
        row = int(np.searchsorted(self._row_starts, tag))
        # What is bad behind the tag before may be the text between the two rows.
        if row == len(self._row_starts) or self._row_starts[row] != tag or (tag and self._bad[tag - 1]):
            return None, start
        unknown = np.flatnonzero(self._patterns_of[row:] < 0)
        stop = row + int(unknown[0]) if len(unknown) else len(self._row_starts)
        if stop == row:
            return None, start
        last = self._all[int(self._patterns_of[stop - 1])]
        end = int(self._ends[self._row_starts[stop - 1] + len(last.tags) - 1])
        return RowBlock(self._columns(row, stop), stop - row), end

    def _columns(self, first: int, stop: int) -> list[pa.Array[Any]]:
        starts, patterns = self._row_starts[first:stop], self._patterns_of[first:stop]
        used = np.unique(patterns)
        columns: list[pa.Array[Any]] = []
        empty = len(self._texts) - 1
        for column in range(len(self._patterns.columns)):
            of_pattern = np.array([pattern.places[column] for pattern in self._all], dtype=np.int64)
            places = of_pattern[patterns]
            at = np.where(places == _EMPTY, empty, 2 * (starts + places) + 1)
            missing = places == _MISSING if (of_pattern[used] == _MISSING).any() else None
            columns.append(self._plain(self._texts.take(pa.array(at, pa.int64(), mask=missing))))
        return columns

    def _plain(self, texts: pa.Array[Any]) -> pa.Array[Any]:
        """Texts with characters for their entities."""
        if self._has_entities and pc.any(pc.match_substring(texts, "&")).as_py():
            for entity, character in _ENTITIES:
                texts = pc.replace_substring(texts, entity, character)
        return texts
