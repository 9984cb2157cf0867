"""The rows of an XML file, most of them as columns: those that look like earlier ones never get to expat."""

import re
from collections.abc import Collection, Sequence

from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml.blocks import Block, Patterns
from services.parser.formats.xml.events import PIECE_BYTES
from services.parser.formats.xml.places import ANY, ROOT_CHILDREN
from services.parser.formats.xml.rows import XmlRows

_BLOCK_PIECES = 15
"""Pieces that are looked at together: below a MiB, the size of the chunks in which files are stored."""
_FEWEST_SINGLE_ROWS = 32
"""So many rows of a block may be read one by one before they are too many."""
_ROWS_PER_SINGLE_ROW = 8
_MOST_RESTARTS = 16
_FIRST_BYTES = 64
_FIRST_PAUSE = 60
"""Pieces that expat reads alone after one with too many single rows; the next time four times as many."""
_MOST_PAUSE = 4_096
_NEVER = 1 << 62


class XmlColumns(XmlRows):
    """As ``XmlRows``, for which most rows are taken together as ``RowBlock``.

    Expat is told of all but these rows, so that it always knows where in the document it is. Where it is between two
    rows, the next ones are compared with the patterns of earlier ones; the first that fits none is read by expat alone,
    and learned from. Where too many do not fit, blocks are left to expat as a whole, and more and more of them.
    """

    def __init__(
        self,
        encoding: str,
        limits: ReaderLimits,
        columns: Sequence[str | None],
        row_path: Sequence[str] = ROOT_CHILDREN,
        beside: Collection[str] | None = None,
        asked: Collection[str] = (),
        *,
        declared: bool = False,
    ) -> None:
        super().__init__(encoding, limits, columns, row_path, beside, asked, declared=declared)
        # Sizes of rows that are read one by one are known to within two pieces.
        self._piece_bytes = max(1, min(PIECE_BYTES, limits.max_record_bytes // 8))
        self._patterns = Patterns(columns, min(limits.max_record_bytes, limits.max_cell_bytes))
        self._scope = 0
        self._held = b""
        self._pause = _FIRST_PAUSE
        self._paused = 0
        self._row_end = None if row_path[-1] == ANY else _end_tag(row_path[-1])

    @property
    def wanted(self) -> int:
        """How many bytes are best fed next; fewer for expat alone, whose rows are best taken on while in a cache."""
        return self._piece_bytes if self._paused else _BLOCK_PIECES * self._piece_bytes

    def _parse(self, content: bytes, *, final: bool) -> None:
        content, self._held = self._held + content, b""
        at = 0
        if self._paused:
            self._paused -= 1
        else:
            at = self._go_between_rows(content, 0)
            if self._is_between_rows and self._row_end is not None:
                # What rows look like is learned here, not from their events.
                self._shape, self._rows_to_learn = None, _NEVER
                at = self._take_block(self._row_end, content, at, final=final)
                self._rows_to_learn = 1
            else:
                self._leave_to_expat()
        self._parse_pieces(content, at, len(content), final=final)

    def _parse_pieces(self, content: bytes, at: int, end: int, *, final: bool = False) -> None:
        """Let expat read a part of a block."""
        while end - at > self._piece_bytes:
            super()._parse(content[at : at + self._piece_bytes], final=False)
            at += self._piece_bytes
        if at < end or final:
            super()._parse(content[at:end], final=final)

    @property
    def _is_between_rows(self) -> bool:
        """Whether what follows is not within a row, a tag or the like, but where rows may be."""
        return not self._skips and self._kind.steps == self._around_rows and self._position == self._fed

    def _go_between_rows(self, content: bytes, at: int) -> int:
        """Let expat read on until a row ends, or what looks so; answer the index of what is left."""
        for attempt in range(_MOST_RESTARTS):
            if self._is_between_rows and self._row_end is not None:
                break
            end = at + (_FIRST_BYTES << attempt)  # perhaps a row begins there
            if self._row_end is not None:
                if (found := self._row_end.search(content, at)) is None:
                    break
                end = found.end()
            self._parse_pieces(content, at, min(end, len(content)))
            at = min(end, len(content))
            self._row_end = self._row_end or self._end_of_last_row()
        return at

    def _end_of_last_row(self) -> re.Pattern[bytes] | None:
        """What ends rows that have the name of the one that began last."""
        kind = self._last_started
        while kind.depth > 1:
            kind = kind.parent
        return _end_tag(kind.column) if kind.depth == 1 else None

    def _take_block(self, row_ends: re.Pattern[bytes], content: bytes, at: int, *, final: bool) -> int:
        """Take rows from a place between two on; answer the index of what is left for expat."""
        block, restarts = Block(content, at, self._patterns), 0
        taken = single = 0
        while single <= max(_FEWEST_SINGLE_ROWS, taken // _ROWS_PER_SINGLE_ROW) and restarts <= _MOST_RESTARTS:
            start = at
            rows, at = block.take(at)
            if rows is not None:
                self.rows.append((rows, 0))
                self._parser.passed(content, start, at)
                taken += rows.rows
            row_end = row_ends.search(content, at)
            if row_end is None:
                self._pause = _FIRST_PAUSE if taken else self._pause
                if not final and len(content) - at <= self._piece_bytes:
                    self._held, at = content[at:], len(content)
                elif not taken:
                    self._leave_to_expat()
                return at
            single += 1
            start, at, before = at, row_end.end(), len(self.rows)
            self._parse_pieces(content, start, at)
            as_before = self._is_between_rows and self._parser.scopes == self._scope
            if as_before and len(self.rows) == before + 1 and isinstance(cells := self.rows[-1][0], dict):
                block.learn(start, at, cells)
            if not as_before or at > block.end:
                if self._parser.scopes != self._scope:
                    self._patterns.forget()
                    self._scope = self._parser.scopes
                at = self._go_between_rows(content, at)
                if not self._is_between_rows:
                    return at
                block, restarts = Block(content, at, self._patterns), restarts + 1
        self._leave_to_expat()
        return at

    def _leave_to_expat(self) -> None:
        """Let expat alone read the next pieces."""
        self._paused, self._pause = self._pause, min(4 * self._pause, _MOST_PAUSE)


def _end_tag(name: str) -> re.Pattern[bytes]:
    """End tags of elements of a local name."""
    return re.compile(rb"</(?:[^<>/:\s]+:)?" + re.escape(name.encode()) + rb"\s*>")
