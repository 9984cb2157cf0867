"""Push-style CSV reader: bytes in, batches of string columns out, in bounded memory.

The result depends on the file's bytes and the plan alone, not on the pieces in which the bytes come.
The text, as UTF-8, is parsed in blocks that end with a line. A block without anything special goes
through Arrow's reader; any other, and any that Arrow refuses, through the standard library's. Both
give the same cells; the second also knows what is wrong with a row.

What is a row:

- Only ``\\n``, ``\\r\\n`` and ``\\r`` outside quotes end a record.
- A blank line is no row, whatever the number of columns; what else is none, ``sink`` says.
- A short row lacks its last cells (null). Extra cells are dropped if they are blank, else the row
  becomes an issue.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import codecs
import csv
import io
import re
from itertools import islice
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from libs.batches.columns import cell_column
from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from libs.values.force_text import FORMULA_START
from services.parser.formats.api.batches import ParsedBatch, largest_cell
from services.parser.formats.api.collector import RowCollector
from services.parser.formats.api.edges import TextEdges
from services.parser.formats.api.encoding import open_decoder
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.api.preamble import Preamble
from services.parser.formats.csv.grammar import Grammar, Record
from services.parser.formats.csv.records import RecordScanner, count_line_ends
from services.parser.formats.csv.sink import RowSink, is_blank

_ROWS_AT_ONCE = 1_024
_ROWS_OF_A_BLOCK = 16_384
_FIRST_BLOCK_BYTES = 64 * 1024
_PREVIEW_BYTES = 64 * 1024
_LINE_FEED, _CARRIAGE_RETURN = b"\n\r"
_MARKER = FORMULA_START.encode()


class CsvReader:
    """Reads one file.

    Not to be used again after an error: the file is refused as a whole.

    Args:
        plan: how to read it.
        limits: bounds; the same for a repeated parse, or its batches differ.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        # The module's own limit is global to the process; the reader bounds records itself.
        csv.field_size_limit(2**31 - 1)
        self._limits = limits
        self._grammar = grammar = Grammar.of(plan)
        self._quote = grammar.quote.encode()
        self._width = len(plan.columns)
        self._has_header = plan.has_header
        self._unproven = bool(plan.options.get("quotes_unproven"))
        self._collector = RowCollector(
            plan,
            limits,
            place="line",
            extra_hint=f"quote cells that contain {plan.delimiter!r}, or remove the extra cells",
        )
        tidy = bool(plan.options.get("tidy"))
        footer_rows = int(plan.options.get("skip_footer_rows", 0))
        self._sink = RowSink(self._collector, self._width, footer_rows=footer_rows) if tidy else None
        self._edges = TextEdges() if tidy else None
        self._bom_left = plan.bom_bytes
        self._preamble = Preamble(plan)
        self._decoder = None if codecs.lookup(plan.encoding).name == "utf-8" else open_decoder(plan.encoding)
        # Marks of transcoded text are encoded surrogates; in a UTF-8 file they are the bad bytes themselves.
        self._marks = "surrogateescape" if self._decoder is None else "surrogatepass"
        # Less than a record may have, so that only the first record of a block can exceed that limit.
        self._max_block_bytes = max(1, min(limits.block_bytes, limits.max_record_bytes // 2))
        # Less than what makes a record oversized, so that it does not depend on where blocks are cut.
        self._preview_bytes = min(_PREVIEW_BYTES, limits.max_record_bytes)
        self._carry = b""
        self._pieces: list[bytes] = []
        self._missing = min(_FIRST_BLOCK_BYTES, self._max_block_bytes)
        self._line = 1
        self._scanner: RecordScanner | None = None
        self._prefix = b""
        names = [cell_column(index) for index in range(len(plan.columns))]
        self._read_options = arrow_csv.ReadOptions(
            use_threads=False, column_names=names, block_size=limits.max_record_bytes + 1
        )
        self._parse_options = arrow_csv.ParseOptions(
            delimiter=plan.delimiter,
            quote_char=grammar.quote or False,
            escape_char=False,
            newlines_in_values=bool(grammar.quote),
            ignore_empty_lines=True,
        )
        self._convert_options = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )

    def feed(self, data: bytes) -> list[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: ``MALFORMED_QUOTE``, ``TOO_MANY_ROWS``.
        """
        if self._bom_left:
            dropped = min(self._bom_left, len(data))
            self._bom_left -= dropped
            data = data[dropped:]
        for start in range(0, len(data), self._max_block_bytes):
            piece = data[start : start + self._max_block_bytes]
            text = piece if self._decoder is None else self._transcode(piece, final=False)
            self._take_text(text if self._edges is None else self._edges.feed(text))
        return self._collector.take()

    def close(self) -> list[ParsedBatch]:
        """The file ends here; answer the remaining batches.

        Raises:
            FileRefusedError: ``UNTERMINATED_QUOTE``, ``MALFORMED_QUOTE``, ``TOO_MANY_ROWS``.
        """
        if self._decoder is not None:
            text = self._transcode(b"", final=True)
            self._take_text(text if self._edges is None else self._edges.feed(text))
        if self._edges is not None:
            self._take_text(self._edges.close())
        self._parse(final=True)
        return self._collector.close()

    def _transcode(self, data: bytes, *, final: bool) -> bytes:
        assert self._decoder is not None
        return self._decoder.decode(data, final).encode("utf-8", "surrogatepass")

    def _take_text(self, data: bytes) -> None:
        start = 0
        while len(data) - start >= self._missing:
            self._pieces.append(data[start : start + self._missing])
            start += self._missing
            self._parse(final=False)
        if start < len(data):
            self._pieces.append(data[start:])
            self._missing -= len(data) - start

    def _parse(self, *, final: bool) -> None:
        """Parse all complete records of what has come and carry the rest."""
        data = b"".join([self._carry, *self._pieces])
        self._pieces.clear()
        rows_before, size = self._collector.rows, len(data)
        if self._scanner is not None:
            data = self._follow(self._scanner, data, final=final)
        if self._scanner is None:
            # A last "\r" may be half of a line end.
            cut = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            data = self._parse_block(data[:cut], final=final) + data[cut:]
            if len(data) - data.endswith(b"\r") > self._limits.max_record_bytes:
                if not self._grammar.is_usual:
                    raise self._too_large(self._line)
                self._scanner = self._grammar.scanner(self._line)
                self._prefix = data[: self._preview_bytes]
        self._carry = data
        # Rows are far larger as Python objects than in the file: take less at once where they are short.
        fitting = size * _ROWS_OF_A_BLOCK // max(1, self._collector.rows - rows_before)
        self._missing = min(self._max_block_bytes, max(fitting, _FIRST_BLOCK_BYTES))

    def _follow(self, scanner: RecordScanner, data: bytes, *, final: bool) -> bytes:
        """Let go of an oversized record; answer what follows it."""
        held = b"\r" if not final and data.endswith(b"\r") else b""
        end = scanner.feed(data[: len(data) - len(held)])
        if end is None and not final:
            return held
        if scanner.quote_is_open:
            raise scanner.unterminated()
        self._add_oversized(self._prefix, scanner.size, self._line)
        self._line = scanner.line
        self._scanner = None
        return b"" if end is None else data[end:]

    def _parse_block(self, block: bytes, *, final: bool) -> bytes:
        """Parse the block's records; answer the incomplete one that it may end with."""
        if not block:
            return b""
        end = self._fast_end(block)
        if not end or not self._parse_fast(block[:end]):
            return self._parse_any(block, final=final)
        self._line += count_line_ends(block, 0, end)
        rest = block[end:]
        return self._parse_any(rest, final=final) if rest and final else rest

    def _fast_end(self, block: bytes) -> int:
        """How much of the block, up to the end of a record, is free of what Arrow reads in another way."""
        if (
            not self._preamble.over
            or len(block) > self._limits.max_record_bytes
            or b"\0" in block
            or block.startswith(codecs.BOM_UTF8)  # Arrow would drop it: here it is data
            or self._grammar.is_special(block)
        ):
            return 0
        if not self._quote or self._quote not in block:
            return len(block)
        return _regular_end(block, ord(self._grammar.delimiter), self._quote[0], line_ends=not self._unproven)

    def _parse_fast(self, block: bytes) -> bool:
        """Whether Arrow could read the block; a row of another width or a bad byte is enough to stop it."""
        try:
            table = arrow_csv.read_csv(
                cast("IO[bytes]", pa.BufferReader(block)),
                self._read_options,
                self._parse_options,
                self._convert_options,
            )
        except pa.ArrowInvalid:
            return False
        rows = table.num_rows
        if not rows:
            return True
        columns = [column.chunks[0] for column in table.columns]  # one chunk: block_size exceeds the block
        if len(block) > self._limits.max_cell_bytes < largest_cell(columns):
            return False
        if self._grammar.letters and (nulls := self._grammar.count_nulls(block)):
            columns, found = with_nulls(columns, self._grammar.null)
            if found < nulls:
                return False
        if self._sink is None:
            self._collector.add_columns(columns, rows)
        else:
            # One byte is found ten times faster than two, and most files have none.
            self._sink.add_columns(columns, rows, marked=b"=" in block and _MARKER in block)
        return True

    def _parse_any(self, block: bytes, *, final: bool) -> bytes:
        try:
            text, suspect = block.decode("utf-8"), False
        except UnicodeDecodeError:
            text, suspect = block.decode("utf-8", self._marks), True
        suspect = suspect or "\0" in text or len(block) > self._limits.max_cell_bytes
        suspect = suspect or (self._grammar.letters and "\\0" in text)
        marked = FORMULA_START in text
        found = self._grammar.records(text)
        first_line = self._line
        lines = 0
        complete = True
        starts: list[int] = []
        records: list[Record] = []
        try:
            for cells in found:
                if not lines and self._take_oversized(text, found.lines, len(block)):
                    lines = found.lines
                    continue
                if self._unproven and found.lines - lines > 1:
                    self._check_lines(text, lines, found.lines)
                starts.append(first_line + lines)
                records.append(cells)
                lines = found.lines
                if len(records) == _ROWS_AT_ONCE:
                    self._add_records(starts, records, suspect=suspect, marked=marked)
                    starts.clear()
                    records.clear()
        except csv.Error:
            complete = False
        self._add_records(starts, records, suspect=suspect, marked=marked)
        self._line = first_line + lines
        if complete:
            return b""
        rest = "".join(islice(io.StringIO(text, newline=""), lines, None))
        scanner = self._grammar.scanner(self._line)
        # Says what is wrong, unless the record just goes on in the next block.
        scanner.feed(self._grammar.neutral(rest).encode("utf-8", self._marks))
        if final:
            raise scanner.unterminated()
        return rest.encode("utf-8", self._marks)

    def _check_lines(self, text: str, first: int, end: int) -> None:
        """Refuse a record that may be several: the file's start had no quotes, and each of its lines is a whole row."""
        lines = islice(io.StringIO(text, newline=""), first, end)
        if self._width > 1 and all(line.count(self._grammar.delimiter) == self._width - 1 for line in lines):
            raise FileRefusedError(
                RunErrorCode.MALFORMED_QUOTE,
                f"line {self._line + first}: a cell that begins with a quote goes on to line {self._line + end - 1}, "
                "and each of these lines would be a row of its own if quotes were plain text; set the template's "
                'quote_char to "" if they are, or to \'"\' if the cell has several lines',
            )

    def _too_large(self, line: int) -> FileRefusedError:
        return FileRefusedError(
            RunErrorCode.MALFORMED_QUOTE,
            f"the row that starts on line {line} has more than {self._limits.max_record_bytes:,} bytes; look for a "
            "quote that is never closed",
        )

    def _take_oversized(self, text: str, lines: int, block_bytes: int) -> bool:
        """Whether the block's first record, of so many lines, was over the limit and has become an issue."""
        if block_bytes <= self._limits.max_record_bytes:
            return False
        raw = "".join(islice(io.StringIO(text, newline=""), lines)).encode("utf-8", self._marks)
        size = len(raw) - (2 if raw.endswith(b"\r\n") else raw.endswith((b"\r", b"\n")))
        if size <= self._limits.max_record_bytes:
            return False
        self._add_oversized(raw[: self._preview_bytes], size, self._line)
        return True

    def _add_oversized(self, prefix: bytes, size: int, line: int) -> None:
        if self._preamble.takes(blank=False):
            return
        text = prefix.decode("utf-8", "surrogateescape")
        cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._grammar.delimiter))
        (self._collector if self._sink is None else self._sink).add_issue(
            RowErrorCode.ROW_TOO_LARGE,
            f"line {line}: the row has {size:,} bytes and at most {self._limits.max_record_bytes:,} can be read; "
            "shorten it, or look for a missing line end or closing quote",
            cells,
        )

    def _add_records(self, starts: list[int], records: list[Record], *, suspect: bool, marked: bool) -> None:
        """Add records that start on the given physical lines."""
        if not self._preamble.over or [] in records:
            starts, records = self._without_preamble(starts, records)
        if self._sink is None:
            self._collector.add_records(starts, records, suspect=suspect)
        else:
            self._sink.add_records(starts, records, suspect=suspect, marked=marked)

    def _without_preamble(self, starts: list[int], records: list[Record]) -> tuple[list[int], list[Record]]:
        kept: list[tuple[int, Record]] = []
        for start, cells in zip(starts, records, strict=True):
            was_over = self._preamble.over
            if self._preamble.takes(blank=is_blank(cells) if self._sink is not None else not cells):
                if not was_over and self._preamble.over and self._sink is not None and self._has_header:
                    self._sink.set_header(cells)
            elif cells:
                kept.append((start, cells))
        return [start for start, _ in kept], [cells for _, cells in kept]


def with_nulls(columns: list[pa.Array[Any]], null: str) -> tuple[list[pa.Array[Any]], int]:
    """Columns where the cells that are ``null`` are missing, and how many these are."""
    found = 0
    changed: list[pa.Array[Any]] = []
    for column in columns:
        is_null = pc.match_substring_regex(column, f"^{re.escape(null)}$")
        number = is_null.true_count
        found += number
        changed.append(pc.if_else(is_null, pa.scalar(None, pa.string()), column) if number else column)
    return changed, found


def _regular_end(block: bytes, delimiter: int, quote: int, *, line_ends: bool) -> int:
    """Where the last complete record of a block with quotes ends; 0 where its quotes are not all regular.

    Quotes alternate between opening and closing (``""`` closes and opens again). They are regular if each
    opening one follows a delimiter, a line end or a quote, and each closing one is followed by one: then
    every grammar of CSV reads them alike. The byte before the block counts as a line end.

    Args:
        block: bytes that start with a record.
        delimiter: one byte.
        quote: one byte, which is in the block.
        line_ends: whether line ends within quotes are regular.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(data == quote)
    before = data[quotes[0::2] - 1]
    if not quotes[0]:
        before[0] = _LINE_FEED
    after = data[np.minimum(quotes[1::2] + 1, len(data) - 1)]
    for near in (before, after):
        regular = (near == delimiter) | (near == quote) | (near == _LINE_FEED) | (near == _CARRIAGE_RETURN)
        if not regular.all():
            return 0
    if len(quotes) % 2 == 0 and line_ends:
        return len(block)
    ends = np.flatnonzero((data == _LINE_FEED) | (data == _CARRIAGE_RETURN))
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if not line_ends and len(outside) < len(ends):
        return 0
    return int(outside[-1]) + 1 if len(outside) else 0
