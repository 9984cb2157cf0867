"""Splits JSON text that comes in pieces into records; what it finds never depends on where they are cut.

Whole records are decoded where they stand. Only one that does not end within a piece, or that cannot be
decoded, is taken out of the text first, by its brackets or line ends: it costs more, and only then is it
known what is wrong with it.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from libs.contracts.reasons import RowErrorCode
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.json.blocks import RecordBlock, RecordBlocks
from services.parser.formats.json.damage import Place, malformed, other_records
from services.parser.formats.json.held import MARKED, SOUND, Held, Sink, Splitter, Unread, doubt_of
from services.parser.formats.json.values import (
    Extent,
    Value,
    blank_end,
    decode_at,
    decode_object,
    explain,
)

ARRAY, OBJECT, OBJECTS, LINES = "array", "object", "objects", "lines"
WRAPPED, MEMBER = "wrapped:", "member:"
WRAPPERS = ("data", "items", "rows", "records", "results")
"""Keys of an object around the array of records, as the import engine's reference names them."""

_BLANK = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


Values = list[Value]
ManySink = Callable[[Values, int], None]
"""Takes records of which none is in doubt, all at once: the values, and the number of the first one."""
BlockSink = Callable[[RecordBlock], None]
"""Takes records that are columns already."""


@dataclass(frozen=True, slots=True)
class Together:
    """How records are taken that can be decoded together.

    Attributes:
        keys: those of the plan, or of the records so far, for records that are alike.
        many: takes records.
        block: takes records that are alike, if that is of use.
    """

    keys: Collection[str]
    many: ManySink
    block: BlockSink | None = None


_CHARS_AT_ONCE = 16_000
"""Of records that are decoded together: with more of them the processor's caches are too small."""
_MOST_FAILURES = 3
"""After that many records are decoded one by one: they have objects in them."""
_FEWEST_SINGLE = 16
"""So many records of a piece may be unlike those before them until they are too many; or of more, a part:"""
_BLOCK_PER_SINGLE = 8
_FEWEST_TOGETHER = 8
"""To take fewer records together costs more than to take each alone."""
_MOST_PAUSE = 256


def splitter(
    shape: str,
    start: int,
    limits: ReaderLimits,
    sink: Sink,
    path: Sequence[str] = (),
    *,
    searched: bool = False,
    together: Together | None = None,
) -> "Lines | Elements":
    """The splitter for a shape.

    Args:
        shape: see ``shape.detect_shape``.
        start: characters before the first record; in an array, those up to its bracket.
        limits: bounds on records.
        sink: takes the records.
        path: keys that lead to a list or an object within an object; plans that name none mean the key in the shape.
        searched: whether other lists of records behind them refuse the file, see ``shape.Shape``.
        together: takes the records that can be decoded together; ``sink`` takes them where it is absent.
    """
    if shape == LINES:
        return Lines(limits, sink)
    if shape.startswith(WRAPPED) and not path:
        path = (shape.removeprefix(WRAPPED),)
    return Elements(shape, start, limits, sink, tuple(path), searched=searched, together=together)


class Lines(Splitter):
    """Each line that is not blank is a record; a malformed one is an issue."""

    def __init__(self, limits: ReaderLimits, sink: Sink) -> None:
        super().__init__(limits, sink)
        self._line = 1

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        first, *others = text.split("\n")
        self._held.add(first)
        if not others:
            return
        self._end_line()
        rest = others.pop()
        doubt = doubt_of(text)
        for line in others:
            stripped = line.strip(" \t\r")
            if stripped and doubt != MARKED and len(line) <= self._small_chars:
                value = decode_object(stripped)
                if value is not None:
                    self._sink(value, self._line, doubt)
                    self._line += 1
                    continue
            self._held.add(line)
            self._end_line()
        self._held.add(rest)

    def close(self) -> None:
        """The text ends here."""
        self._end_line()

    def _end_line(self) -> None:
        held, self._held = self._held, Held(self._limits)
        stripped = Held(self._limits)
        stripped.add(held.text.strip(" \t\r"))
        stripped.size = held.size if held.too_large else stripped.size
        if stripped.size:
            try:
                self._take_one(stripped, self._line)
            except ValueError as error:
                what, at = explain(error)
                problem = f"column {at + 1:,}: {what}; every line has to be one JSON object, correct this one"
                self._sink(Unread(RowErrorCode.MALFORMED_RECORD, problem, stripped.text), self._line, SOUND)
        self._line += 1


class Elements(Splitter):
    """The elements of an array, or objects one after the other, are the records."""

    def __init__(
        self,
        shape: str,
        start: int,
        limits: ReaderLimits,
        sink: Sink,
        path: tuple[str, ...],
        *,
        searched: bool,
        together: Together | None,
    ) -> None:
        super().__init__(limits, sink)
        self._together = together
        self._failures = 0
        self._blocks = RecordBlocks(together.keys if together else (), self._small_chars)
        self._pause = 1
        self._paused = 0
        self._path = path
        self._searched = searched
        self._in_array = shape == ARRAY or shape.startswith(WRAPPED)
        self._alone = shape.startswith(MEMBER)
        self._separator = (_COMMA if self._in_array else _BLANK).match
        self._skip_left = start
        self._place = Place()
        self._placed = 0
        self._start = Place()
        self._record = 1
        self._extent: Extent | None = None
        self._doubt = SOUND
        self._step: Callable[[str, int], int] = self._values
        if self._in_array:
            self._step = self._first
        elif self._alone:
            self._step = self._value

    def feed(self, text: str) -> None:
        """Take the next piece of the text.

        Raises:
            FileRefusedError: ``MALFORMED_JSON``.
        """
        at = min(self._skip_left, len(text))
        self._skip_left -= at
        self._doubt = doubt_of(text)
        self._placed = 0
        if self._extent is not None:
            at = self._go_on(self._extent, text, at)
        while (at := blank_end(text, at)) < len(text):
            at = self._step(text, at)
        self._locate(text, len(text))

    def close(self) -> None:
        """The text ends here.

        Raises:
            FileRefusedError: ``MALFORMED_JSON``.
        """
        if self._step == self._end or (self._extent is None and not self._path and not self._in_array):
            return
        if self._extent is not None and self._step != self._tail and not self._held.too_large:
            text = self._held.text
            try:
                decode_at(text)
            except ValueError as error:
                what, at = explain(error)
                raise malformed(f"record {self._record:,} does not end: {what}", self._start, text, 0, at) from error
            except RecursionError:
                pass  # then it is not known what is missing where
        what = f"the file ends in or after record {self._record:,}, before its list of records does"
        raise malformed(what, self._place, "", 0, 0)

    def _locate(self, text: str, at: int) -> Place:
        """The place of ``text[at]``; from where it was last asked for, so that nothing is counted twice."""
        self._place = self._place.after(text, self._placed, at)
        self._placed = at
        return self._place

    def _first(self, text: str, at: int) -> int:
        if text[at] == "]":
            return self._close_array(at)
        self._step = self._values
        return at

    def _values(self, text: str, at: int) -> int:
        """Decode records from ``text[at]`` on as long as they are small, sound objects."""
        if self._doubt == MARKED:
            return self._value(text, at)
        sink, separator, doubt = self._sink, self._separator, self._doubt
        if doubt == SOUND and self._in_array and self._together is not None:
            at, goes_on = self._take_together(self._together, text, at)
            if not goes_on:
                self._step = self._comma
                return at
            if text.find("}", at) < 0:
                return self._value(text, at) if at < len(text) else at  # the rest of it is in the next piece
        while at < len(text):
            try:
                value, end = decode_at(text, at)
            except (ValueError, RecursionError):
                return self._value(text, at)
            if not isinstance(value, tuple) or end - at > self._small_chars:
                return self._value(text, at)
            sink(value, self._record, doubt)
            self._record += 1
            found = separator(text, end)
            if found is None:
                self._step = self._comma
                return end
            at = found.end()
        return at

    def _take_together(self, together: Together, text: str, at: int) -> tuple[int, bool]:
        """Take what can be decoded together; answers as ``_take_many``."""
        if together.block is not None:
            at, goes_on = self._take_blocks(together.block, text, at)
            if not goes_on:
                return at, False
        return self._take_many(together.many, text, at)

    def _take_blocks(self, take: BlockSink, text: str, at: int) -> tuple[int, bool]:
        """Take records that are alike, and those few between them that are not, as far as there are many of them.

        Returns:
            As ``_take_many``.
        """
        if self._paused:
            self._paused -= 1
            return at, True
        taken = single = 0
        content = text[at:].encode()
        place = 0
        self._blocks.open(content, place)
        while at < len(text):
            if single > max(_FEWEST_SINGLE, taken // _BLOCK_PER_SINGLE):
                self._paused, self._pause = self._pause, min(4 * self._pause, _MOST_PAUSE)
                return at, True
            block, end = self._blocks.take(place)
            if block is not None:
                take(block)
                taken += block.rows
                single += block.rows < _FEWEST_TOGETHER
                self._record += block.rows
                at += end - place if text.isascii() else len(content[place:end].decode())
                place = end
            else:
                single += 1
                if text.find("}", at) < 0:
                    return at, True
                try:
                    value, end = decode_at(text, at)
                except (ValueError, RecursionError):
                    return at, True
                if not isinstance(value, tuple) or end - at > self._small_chars:
                    return at, True
                self._sink(value, self._record, SOUND)
                self._record += 1
                place += end - at if text.isascii() else len(text[at:end].encode())
                at = end
            found = self._separator(text, at)
            if found is None:
                return at, False
            place += found.end() - at
            at = found.end()
        self._pause = 1
        return at, True

    def _take_many(self, many: ManySink, text: str, at: int) -> tuple[int, bool]:
        """Decode records together, some thousand characters up to a brace at a time, as long as that works.

        It does not where the brace is not the end of a record: then they are decoded one by one.

        Returns:
            The index behind the records and what separates them, and whether anything does so behind the last one.
        """
        while self._failures < _MOST_FAILURES:
            end = (text.find("}", at + _CHARS_AT_ONCE) if at + _CHARS_AT_ONCE < len(text) else -1) + 1
            end = end or text.rfind("}", at) + 1
            if not end or end - at > self._small_chars:
                break
            try:
                values, length = decode_at(f"[{text[at:end]}]")
            except (ValueError, RecursionError):
                values, length = None, 0
            if not isinstance(values, list) or length != end - at + 2 or set(map(type, values)) != {tuple}:
                self._failures += 1
                break
            many(values, self._record)
            self._record += len(values)
            found = self._separator(text, end)
            if found is None:
                return end, False
            at = found.end()
        return at, True

    def _value(self, text: str, at: int) -> int:
        """Take out the record at ``text[at]``, whatever it is."""
        if text[at] in ",:]}" or (not self._in_array and text[at] not in "{["):
            raise malformed(
                f"record {self._record:,} should begin, but {text[at]!r} stands here",
                self._place,
                text,
                self._placed,
                at,
            )
        self._start = self._locate(text, at)
        self._extent = Extent()
        return self._go_on(self._extent, text, at)

    def _go_on(self, extent: Extent, text: str, at: int) -> int:
        end = extent.feed(text, at)
        self._held.add(text[at:end])
        if end is None:
            return len(text)
        held, self._held, self._extent = self._held, Held(self._limits), None
        if self._step == self._tail:
            self._check_tail(held)
            self._step = self._end
            return end
        try:
            self._take_one(held, self._record)
        except ValueError as error:
            what, where = explain(error)
            raise malformed(f"record {self._record:,}: {what}", self._start, held.text, 0, where) from error
        self._record += 1
        self._step = self._comma if self._in_array else self._tail if self._alone else self._values
        return end

    def _comma(self, text: str, at: int) -> int:
        if text[at] == ",":
            self._step = self._values
            return at + 1
        if text[at] == "]":
            return self._close_array(at)
        what = f"a ',' or the ']' of the list is needed after record {self._record - 1:,}"
        raise malformed(what, self._place, text, self._placed, at)

    def _close_array(self, at: int) -> int:
        self._step = self._tail if self._path else self._end
        return at + 1

    def _tail(self, text: str, at: int) -> int:
        """What stands behind the records in the objects around them."""
        self._start = self._locate(text, at)
        self._extent = Extent(depth=len(self._path))
        return self._go_on(self._extent, text, at)

    def _check_tail(self, held: Held) -> None:
        if held.too_large:
            if self._searched:
                raise other_records(f"{held.size:,} bytes")
            return
        before = '{"":' * len(self._path) + "0"
        try:
            members, _ = decode_at(before + held.text)
        except RecursionError:
            return
        except ValueError as error:
            what, at = explain(error)
            raise malformed(f"after the records: {what}", self._start, held.text, 0, at - len(before)) from error
        for key in self._path:
            if not isinstance(members, tuple):
                return
            (_, inner), *behind = members
            if any(other == key for other, _ in behind):
                what = f"the key {key!r} stands in the file twice, and only one list of records can be read"
                raise malformed(what, self._start, held.text, 0, 0)
            for other, value in behind if self._searched else ():
                if isinstance(value, list) and any(isinstance(each, tuple) for each in value):
                    raise other_records(f"the list {other!r}")
            members = inner

    def _end(self, text: str, at: int) -> int:
        raise malformed("the list of records has ended, and something follows", self._place, text, self._placed, at)
