"""Push-style JSON reader: bytes in, batches of string columns out, in bounded memory.

Every element of the file's array, every object of a sequence, every line that is not blank is a row. One
that is no object, has a key twice, is nested too deep or too large, or holds text that cannot be stored
becomes an issue. A malformed line costs its row; anywhere else nobody can tell where the next record
starts, and the file is refused.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.collector import Problem, RowCollector
from services.parser.formats.api.encoding import open_decoder
from services.parser.formats.api.file_format import asked_keys, column_keys
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.json.blocks import RecordBlock
from services.parser.formats.json.held import MARKED, SUSPECT, Unread
from services.parser.formats.json.records import LINES, Together, splitter
from services.parser.formats.json.values import (
    BOOLEANS,
    BadRecordError,
    Number,
    Value,
    compact,
    flatten,
    kind_of,
    named_with_type,
)

_ROWS_AT_ONCE = 1_024
_CELLS_AT_ONCE = 256 * 1024
_FLAT = frozenset({str, Number, bool, type(None)})
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_MARKS = re.compile("[\ud800-\udbff\udd00-\udfff]")


class JsonReader:
    """Reads one file.

    Args:
        plan: how to read it; its ``options`` are those of ``records.splitter``.
        limits: bounds; the same for a repeated parse, or its batches differ.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        shape: str = plan.options["shape"]
        self._place = "line" if shape == LINES else "record"
        self._limits = limits
        self._columns = plan.columns
        self._collector = RowCollector(plan, limits, place=self._place, extra_hint="")
        keys = column_keys(plan)
        self._keys = keys[: plan.overflow]
        self._asked = asked_keys(plan)
        options = plan.options
        typed: bool = options.get("typed", False)
        self._with_type = named_with_type(self._asked) if typed else None
        self._splitter = splitter(
            shape,
            options["start"],
            limits,
            self._take,
            options.get("path", ()),
            searched=options.get("searched", False),
            together=Together(self._keys, self._take_many, self._take_block),
        )
        self._decoder = open_decoder(plan.encoding)
        self._bom_left = plan.bom_bytes
        self._has_overflow = plan.overflow is not None
        self._rows_at_once = max(1, min(_ROWS_AT_ONCE, _CELLS_AT_ONCE // max(1, len(keys))))
        self._cells: list[list[str | None]] = [[] for _ in self._keys]
        self._in_columns = 0
        self._rows: list[Sequence[str | None]] = []
        self._starts: list[int] = []
        self._problems: dict[int, Problem] = {}
        self._suspect = False

    def feed(self, data: bytes) -> list[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: ``MALFORMED_JSON``, ``TOO_MANY_ROWS``.
        """
        dropped = min(self._bom_left, len(data))
        self._bom_left -= dropped
        for start in range(dropped, len(data), self._limits.block_bytes):
            self._splitter.feed(self._decoder.decode(data[start : start + self._limits.block_bytes]))
            self._flush()
        return self._collector.take()

    def close(self) -> list[ParsedBatch]:
        """The file ends here; answer the remaining batches.

        Raises:
            FileRefusedError: ``MALFORMED_JSON``, ``TOO_MANY_ROWS``.
        """
        self._splitter.feed(self._decoder.decode(b"", final=True))
        self._splitter.close()
        self._flush()
        return self._collector.close()

    def _take(self, found: Value | Unread, start: int, doubt: int) -> None:
        """Take a record, see ``held.Sink``."""
        if self._in_columns:
            self._flush()
        try:
            row = self._row(found)
        except BadRecordError as bad:
            row = [found.raw if isinstance(found, Unread) else _excerpt(found)]
            self._problems[len(self._rows)] = Problem(bad.code, f"{self._place} {start}: {bad.problem}")
        else:
            if doubt:
                row = self._examined(row, start, marked=doubt == MARKED)
        self._rows.append(row)
        self._starts.append(start)
        if len(self._rows) == self._rows_at_once:
            self._flush()

    def _take_many(self, records: Sequence[Value], first: int) -> None:
        """Take records, see ``records.ManySink``: into columns, if they have all the plan's keys and flat values."""
        columns = self._columns_of(records)
        if columns is None:
            for number, record in enumerate(records, start=first):
                self._take(record, number, SUSPECT)
            return
        if not self._in_columns:
            self._flush()
        for cells, values in zip(self._cells, columns, strict=True):
            cells.extend(values)
        self._in_columns += len(records)
        if self._in_columns >= self._rows_at_once:
            self._flush()

    def _take_block(self, block: RecordBlock) -> None:
        """Take records that are columns already, see ``blocks``."""
        self._flush()
        columns = [*block.columns, pa.nulls(block.rows, pa.string())] if self._has_overflow else block.columns
        self._collector.add_columns(columns, block.rows)

    def _columns_of(self, records: Sequence[Value]) -> list[Sequence[str | None]] | None:
        if not self._keys or {len(record) for record in records if isinstance(record, tuple)} != {len(self._keys)}:
            return None
        columns: list[Sequence[str | None]] = []
        for key, pairs in zip(self._keys, zip(*records, strict=True), strict=True):
            keys, values = zip(*pairs, strict=True)
            if set(keys) != {key} or not _FLAT.issuperset(kinds := set(map(type, values))):
                return None
            if bool in kinds:
                values = [BOOLEANS[value] if isinstance(value, bool) else value for value in values]
            columns.append(values)
        return columns

    def _flush_columns(self) -> None:
        arrays: list[pa.Array[Any]] = [pa.array(column, pa.string()) for column in self._cells]
        if self._has_overflow:
            arrays.append(pa.nulls(self._in_columns, pa.string()))
        self._collector.add_columns(arrays, self._in_columns)
        self._cells = [[] for _ in self._keys]
        self._in_columns = 0

    def _examined(self, row: Sequence[str | None], start: int, *, marked: bool) -> Sequence[str | None]:
        """The row, which the collector has to look at; an issue if it holds a surrogate that stands for no byte."""
        self._suspect = True
        pattern = _NO_MARKS if marked else _SURROGATES
        bad = (at for at, cell in enumerate(row) if cell and not cell.isascii() and pattern.search(cell))
        if (column := next(bad, None)) is None:
            return row
        self._problems[len(self._rows)] = Problem(
            RowErrorCode.LONE_SURROGATE,
            f"{self._place} {start}, column {self._columns[column]!r}: the text holds half of a character (an escape "
            "from \\ud800 to \\udfff without its other half); correct it",
            column,
        )
        return [None if cell is None else _escaped(cell) for cell in row]

    def _row(self, record: Value | Unread) -> Sequence[str | None]:
        if isinstance(record, Unread):
            raise BadRecordError(record.code, record.problem)
        if not isinstance(record, tuple):
            raise BadRecordError(
                RowErrorCode.NOT_AN_OBJECT,
                f"{kind_of(record)} stands where an object with keys and values should; remove or correct it",
            )
        width = self._collector.width
        if record:
            keys, values = zip(*record, strict=True)
            if keys == self._keys[: len(keys)] and _FLAT.issuperset(kinds := set(map(type, values))):
                if bool in kinds:
                    values = tuple([BOOLEANS[value] if isinstance(value, bool) else value for value in values])
                return values + (None,) * (width - len(values))
        cells = flatten(record, self._asked, with_type=self._with_type)
        row = [cells.pop(key, None) for key in self._keys]
        if self._has_overflow:
            row.append(self._rest(cells) if cells else None)
        elif cells:
            raise BadRecordError(
                RowErrorCode.UNKNOWN_KEY,
                f"the key {next(iter(cells))!r} was not there when the file's columns were found; upload it again",
            )
        return row

    def _rest(self, cells: Mapping[str, str | None]) -> str:
        """What no column takes, as a JSON object of texts."""
        texts = compact(tuple((key, None if text is None else str(text)) for key, text in cells.items()))
        # Dotted names can make it larger than the record.
        self._suspect = self._suspect or len(texts) * 4 > self._limits.max_cell_bytes
        return texts

    def _flush(self) -> None:
        if self._in_columns:
            self._flush_columns()
            return
        self._collector.add_records(self._starts, self._rows, suspect=self._suspect, problems=self._problems)
        self._rows, self._starts, self._problems, self._suspect = [], [], {}, False


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _excerpt(record: Value) -> str:
    """What is shown of a record."""
    try:
        return _escaped(compact(record))
    except BadRecordError:
        return ""
