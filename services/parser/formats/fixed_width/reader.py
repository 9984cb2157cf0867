"""Push-style reader of fixed-width lines: bytes in, batches of string columns out, in bounded memory.

What is a row:

- Only ``\\n``, ``\\r\\n`` and ``\\r`` end a line. A line of nothing but spaces is no row, nor are byte order marks at
  the start of lines and marks of the end (``edges``; not by plans of earlier releases).
- Cells are cut by the widths and lose the spaces around them, and nothing else.
- A short line lacks the cells that would begin at or behind its end (null); the one that it ends in is
  what is there. Anything but white space behind the last column makes the row an issue.
- A tab stands for blanks that nobody has counted: in a line that is shorter than all columns it makes the row an
  issue (not by plans of earlier releases), in one that is as long as them it is a character like others.
- Widths in ``characters`` count code points: a letter with a combining accent is two. Widths in ``bytes`` count
  bytes of the file's encoding; a character across an edge makes the row an issue.

A block without anything special is cut by Arrow and NumPy, any other line by line; both give the same cells.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import codecs
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode
from services.parser.formats.api.batches import ParsedBatch, Sizes, cell_bytes
from services.parser.formats.api.collector import RowCollector
from services.parser.formats.api.edges import TextEdges
from services.parser.formats.api.encoding import MARKS, is_single_byte, open_decoder
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.api.preamble import Preamble

_ROWS_AT_ONCE = 1_024
_BLOCK_BYTES = 256 * 1024
_MAX_CELLS_AT_ONCE = 2_000_000
_PREFIX_CHARS = 64 * 1024
_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_FEED, _CARRIAGE_RETURN = b"\n\r"
_SPACE = " "
Bounds = npt.NDArray[np.int64]


class FixedWidthReader:
    """Reads one file.

    Args:
        plan: how to read it; from ``FixedWidthSampler``.
        limits: bounds; the same for a repeated parse, or its batches differ.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        self._limits = limits
        self._cutter = LineCutter(plan.widths, plan.encoding, in_bytes=plan.width_unit == "bytes")
        self._names = plan.columns
        self._collector = RowCollector(
            plan, limits, place="line", extra_hint="check the widths in the template, or cut the line"
        )
        self._bom_left = plan.bom_bytes
        self._preamble = Preamble(plan)
        self._decoder = open_decoder(plan.encoding)
        self._edges = TextEdges() if plan.options.get("tidy") else None
        self._tab = "\t" if plan.options.get("tabs_shift") else None
        self._block_bytes = max(1, min(_BLOCK_BYTES, limits.block_bytes))
        self._pieces: list[str] = []
        self._size = 0
        self._carry = ""
        self._line = 1
        self._oversized = 0
        self._prefix = ""
        # No more characters than any oversized line has, so that it does not depend on where blocks are cut.
        self._prefix_chars = min(_PREFIX_CHARS, limits.max_record_bytes // 4)

    def feed(self, data: bytes) -> list[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: ``TOO_MANY_ROWS``.
        """
        if self._bom_left:
            dropped = min(self._bom_left, len(data))
            self._bom_left -= dropped
            data = data[dropped:]
        for start in range(0, len(data), self._block_bytes):
            piece = self._trimmed(self._decoder.decode(data[start : start + self._block_bytes]))
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size >= self._block_bytes:
                self._take_text(final=False)
        return self._collector.take()

    def close(self) -> list[ParsedBatch]:
        """The file ends here; answer the remaining batches.

        Raises:
            FileRefusedError: ``TOO_MANY_ROWS``.
        """
        self._pieces.append(self._trimmed(self._decoder.decode(b"", final=True)))
        if self._edges is not None:
            self._pieces.append(self._edges.close().decode())
        self._take_text(final=True)
        return self._collector.close()

    def _trimmed(self, text: str) -> str:
        if self._edges is None:
            return text
        return self._edges.feed(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _take_text(self, *, final: bool) -> None:
        """Take all complete lines of what has come and carry the rest."""
        text = "".join([self._carry, *self._pieces])
        self._pieces.clear()
        self._size = 0
        if self._oversized:
            text = self._follow(text, final=final)
        # A last "\r" may be half of a line end.
        cut = len(text) if final else max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
        self._take_lines(text[:cut])
        self._carry = text[cut:]
        size = _utf8_bytes(self._carry.removesuffix("\r"))
        if size > self._limits.max_record_bytes:
            self._oversized = size
            self._prefix = self._carry[: self._prefix_chars]
            self._carry = "\r" if self._carry.endswith("\r") else ""

    def _follow(self, text: str, *, final: bool) -> str:
        """Let go of an oversized line; answer what follows it."""
        held = "\r" if text.endswith("\r") and not final else ""
        end = _LINE_END.search(text, 0, len(text) - len(held))
        self._oversized += _utf8_bytes(text[: len(text) - len(held) if end is None else end.start()])
        if end is None and not final:
            return held
        self._add_oversized(self._prefix, self._oversized)
        self._oversized = 0
        return "" if end is None else text[end.end() :]

    def _take_lines(self, text: str) -> None:
        is_special = "\0" in text or (self._tab is not None and self._tab in text)
        if not text or (self._preamble.over and not is_special and self._take_block(text)):
            return
        suspect = "\0" in text or MARKS.search(text) is not None or 4 * len(text) > self._limits.max_cell_bytes
        lines = _LINE_END.split(text)
        if not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), _ROWS_AT_ONCE):
            self._add_lines(lines[start : start + _ROWS_AT_ONCE], suspect=suspect)

    def _take_block(self, text: str) -> bool:
        """Whether all lines could be taken at once."""
        try:
            data = text.encode()
        except UnicodeEncodeError:  # a mark
            return False
        if len(data) > self._limits.max_record_bytes:
            return False
        block = self._cutter.cut_block(data, is_ascii=len(data) == len(text))
        if block is None or block.largest_cell > self._limits.max_cell_bytes:
            return False
        if block.rows:
            self._collector.add_columns(block.columns, block.rows, block.sizes)
        self._line += block.lines
        return True

    def _add_lines(self, lines: Sequence[str], *, suspect: bool) -> None:
        starts: list[int] = []
        records: list[list[str]] = []

        def flush() -> None:
            self._collector.add_records(starts, records, suspect=suspect)
            starts.clear()
            records.clear()

        for line in lines:
            size = _utf8_bytes(line) if 4 * len(line) > self._limits.max_record_bytes else 0
            if size > self._limits.max_record_bytes:
                flush()
                self._add_oversized(line[: self._prefix_chars], size)
                continue
            if not self._preamble.takes(blank=not line.strip(_SPACE)) and line.strip(_SPACE):
                cells, split = self._cutter.cut(line)
                if split is not None:
                    flush()
                    self._add_split(cells, split)
                elif self._tab is not None and self._tab in line and self._cutter.is_short(line):
                    flush()
                    self._add_shifted(cells)
                else:
                    starts.append(self._line)
                    records.append(cells)
            self._line += 1
        flush()

    def _add_oversized(self, prefix: str, size: int) -> None:
        if not self._preamble.takes(blank=False):
            self._collector.add_issue(
                RowErrorCode.ROW_TOO_LARGE,
                f"line {self._line}: the line has {size:,} bytes and at most {self._limits.max_record_bytes:,} can be "
                "read; shorten it, or look for a missing line end",
                self._cutter.cut(prefix)[0],
            )
        self._line += 1

    def _add_shifted(self, cells: list[str]) -> None:
        self._collector.add_issue(
            RowErrorCode.TAB_IN_LINE,
            f"line {self._line}: the line has a tab and is shorter than the columns, so what follows the tab is not "
            "where its column is; write blanks instead, or read the file as csv if tabs separate its columns",
            cells,
        )

    def _add_split(self, cells: list[str], column: int) -> None:
        self._collector.add_issue(
            RowErrorCode.SPLIT_CHARACTER,
            f"line {self._line}, column {self._names[column]!r}: its last character takes several bytes and goes on "
            "behind the column's end; check the widths, or set width_unit to 'characters'",
            cells,
            column,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that were cut at once.

    Attributes:
        lines: their number.
        rows: the number of those that are not blank.
        columns: cells; string arrays of length ``rows``.
        sizes: cell bytes of every row; shape ``(rows,)``.
        largest_cell: bytes of the largest cell.
    """

    lines: int
    rows: int
    columns: list[pa.Array[Any]]
    sizes: Sizes
    largest_cell: int


class LineCutter:
    """Cuts lines into cells.

    Args:
        widths: of the columns.
        encoding: of the file.
        in_bytes: whether the widths count bytes of that encoding, not characters.
    """

    def __init__(self, widths: Sequence[int], encoding: str, *, in_bytes: bool) -> None:
        self._edges = [0, *accumulate(widths)]
        self._edge_array = np.array(self._edges, dtype=np.int64)
        self._encoding = encoding
        # Where every character is one byte, characters are counted: that is the same and faster.
        self._in_bytes = in_bytes and not is_single_byte(encoding)
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._ascii_is_ascii = "a".encode(encoding) == b"a"

    def cut(self, line: str) -> tuple[list[str], int | None]:
        """The cells of a line without its end, and the column that ends within a character, if there is one.

        What stands behind the last column is one more cell.
        """
        edges, split = self._edges, None
        if self._in_bytes and not (self._ascii_is_ascii and line.isascii()):
            edges, split = self._edges_in_characters(line)
        cells = [line[start:end].strip(_SPACE) for start, end in pairwise(edges) if start < len(line)]
        if len(line) > edges[-1]:
            cells.append(line[edges[-1] :].strip(_SPACE))
        return cells, split

    def is_short(self, line: str) -> bool:
        """Whether a line without its end ends before the last column does."""
        width = len(line.encode(self._encoding, "replace")) if self._in_bytes else len(line)
        return width < self._edges[-1]

    def _edges_in_characters(self, line: str) -> tuple[list[int], int | None]:
        encoder = codecs.getincrementalencoder(self._encoding)("replace")
        sizes = (1 if MARKS.match(character) else len(encoder.encode(character)) for character in line)
        begins = [0, *accumulate(sizes)]
        edges: list[int] = []
        split = None
        for number, edge in enumerate(self._edges):
            at = bisect_left(begins, edge)
            if split is None and at < len(begins) and begins[at] != edge:
                split = number - 1
            # Beyond the line's end the distance does not matter, but that it is beyond.
            edges.append(at)
        return edges, split

    def cut_block(self, data: bytes, *, is_ascii: bool) -> Block | None:
        """Cut lines of UTF-8 at once, or ``None`` where each must be looked at.

        Args:
            data: complete lines, the last perhaps without its end.
            is_ascii: whether all of it is.
        """
        if self._in_bytes and not (self._is_utf8 or (is_ascii and self._ascii_is_ascii)):
            return None
        text = np.frombuffer(data, dtype=np.uint8)
        starts, ends = _lines(text)
        lines, width = len(starts), len(self._edges)
        if lines * width > _MAX_CELLS_AT_ONCE:
            return None
        if is_ascii or self._in_bytes:
            at = np.minimum(starts[:, None] + self._edge_array, ends[:, None])
            if not is_ascii and _is_continuation(text[np.minimum(at, len(text) - 1)]).any():
                return None
        else:
            begins = np.append(np.flatnonzero(~_is_continuation(text)), len(text))
            first, last = np.searchsorted(begins, starts), np.searchsorted(begins, ends)
            at = begins[np.minimum(first[:, None] + self._edge_array, last[:, None])]
        # The last cell of each line is what stands behind the last column, and the line end.
        offsets = np.append(at.ravel(), len(text)).astype(np.int32)
        cells = pa.StringArray.from_buffers(lines * width, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data))
        cells = pc.ascii_trim(cells, characters=" \r\n")
        sizes = cell_bytes([cells], lines * width).reshape(lines, width)
        if sizes[:, -1].any():
            return None
        kept = np.flatnonzero(sizes.any(axis=1))
        columns: list[pa.Array[Any]] = []
        for column in range(width - 1):
            is_missing = at[kept, column] == ends[kept]
            indices = pa.array(kept * width + column, pa.int64(), mask=is_missing if is_missing.any() else None)
            columns.append(cells.take(indices))
        return Block(lines, len(kept), columns, sizes[kept].sum(axis=1), int(sizes.max()))


def _lines(text: npt.NDArray[np.uint8]) -> tuple[Bounds, Bounds]:
    """Where every line starts, and where it ends without its line end."""
    is_last = text == _LINE_FEED
    is_return = text == _CARRIAGE_RETURN
    is_last[:-1] |= is_return[:-1] & ~is_last[1:]
    is_last[-1] = True
    lasts = np.flatnonzero(is_last)
    starts = np.append(0, lasts[:-1] + 1)
    is_feed = text[lasts] == _LINE_FEED
    is_pair = is_feed & (lasts > starts) & is_return[np.maximum(lasts - 1, 0)]
    return starts, lasts + 1 - (is_feed | is_return[lasts]) - is_pair


def _is_continuation(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which bytes of UTF-8 go on with a character."""
    return (text & 0xC0) == 0x80


def _utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
