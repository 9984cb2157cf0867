"""What the splitters share: records that are taken out of the text, and how far their texts can be trusted."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from libs.contracts.reasons import RowErrorCode
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.json.values import Value, decode_at, has_surrogates, too_deep

_ESCAPES = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class Unread:
    """A record that cannot be decoded.

    Attributes:
        code: of the issue.
        problem: what is wrong.
        raw: its text, or the start of it.
    """

    code: str
    problem: str
    raw: str


SOUND, SUSPECT, MARKED = range(3)
"""How far the texts of a record can be trusted: entirely; one may hold a NUL or a surrogate, or be too large;
and surrogates may be marks of undecodable bytes (``encoding.MARKS``)."""

Sink = Callable[[Value | Unread, int, int], None]
"""Takes the records in their order: the value, which need not be an object; the number of the record, or
that of its line; and ``SOUND``, ``SUSPECT`` or ``MARKED``."""


class Held:
    """The text of a record that is not complete yet; of one that is too large only its start."""

    def __init__(self, limits: ReaderLimits) -> None:
        self._limits = limits
        self._texts: list[str] = []
        self.size = 0

    def add(self, text: str) -> None:
        self._texts.append(text)
        self.size += _utf8_bytes(text)
        if self.too_large:
            self._texts = ["".join(self._texts)[: self._limits.issue_cell_chars]]

    @property
    def too_large(self) -> bool:
        return self.size > self._limits.max_record_bytes

    @property
    def text(self) -> str:
        return "".join(self._texts)


class Splitter:
    def __init__(self, limits: ReaderLimits, sink: Sink) -> None:
        self._limits = limits
        self._sink = sink
        # A text of fewer characters can hold neither a record nor a cell that is too large.
        self._small_chars = min(limits.max_record_bytes, limits.max_cell_bytes) // 4
        self._held = Held(limits)

    def _take_one(self, held: Held, start: int) -> None:
        """Take a record that was taken out of the text.

        Raises:
            ValueError: it is malformed.
        """
        text = held.text
        if held.too_large:
            problem = (
                f"the record has {held.size:,} bytes and at most {self._limits.max_record_bytes:,} can be read; "
                "shorten it, or look for a missing quote or bracket"
            )
            self._sink(Unread(RowErrorCode.ROW_TOO_LARGE, problem, text), start, SOUND)
            return
        try:
            value, end = decode_at(text)
        except RecursionError:
            deep = too_deep()
            self._sink(Unread(deep.code, deep.problem, text), start, SOUND)
            return
        if end != len(text):
            raise ValueError(f"{text[end]!r} stands behind the value, where nothing may follow")
        self._sink(value, start, doubt_of(text) or (SOUND if len(text) <= self._small_chars else SUSPECT))


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def doubt_of(text: str) -> int:
    if has_surrogates(text):
        return MARKED
    return SUSPECT if "\\" in text and _ESCAPES.search(text) else SOUND
