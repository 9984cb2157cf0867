"""Push-style XML reader: bytes in, batches of string columns out, in bounded memory; ``rows`` says what is a row."""

from itertools import islice
from operator import itemgetter

from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.collector import Record, RowCollector
from services.parser.formats.api.file_format import asked_keys
from services.parser.formats.api.headers import nested_value
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml.blocks import RowBlock
from services.parser.formats.xml.columns import XmlColumns
from services.parser.formats.xml.places import ROOT_CHILDREN
from services.parser.formats.xml.rows import Nested, Row, Stray, json_text
from services.parser.formats.xml.shapes import Cells

_ROWS_AT_ONCE = 1_024


class XmlReader:
    """Reads one file.

    Args:
        plan: how to read it; from ``XmlSampler``.
        limits: bounds; the same for a repeated parse, or its batches differ.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        self._limits = limits
        self._collector = RowCollector(
            plan, limits, place="row", extra_hint="the file has changed since its columns were found: upload it again"
        )
        self._bom_left = plan.bom_bytes
        self._pending = bytearray()
        self._overflow = plan.overflow
        self._columns = [name for index, name in enumerate(plan.columns) if index != plan.overflow]
        # Most rows have all columns, and the overflow is last and empty: for them this is fastest.
        self._all_cells = itemgetter(*self._columns) if len(self._columns) > 1 else None
        self._no_overflow = () if plan.overflow is None else (None,)
        columns = [None if index == plan.overflow else name for index, name in enumerate(plan.columns)]
        options = plan.options
        self._row_name: str = options.get("path", ROOT_CHILDREN)[-1]
        self._xml = XmlColumns(
            plan.encoding,
            limits,
            columns,
            options.get("path", ROOT_CHILDREN),
            options.get("beside"),
            asked_keys(plan),
            declared=bool(options.get("declared")),
        )

    def feed(self, data: bytes) -> list[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: see ``XmlRows.feed``; ``TOO_MANY_ROWS``.
        """
        dropped = min(self._bom_left, len(data))
        self._bom_left -= dropped
        self._pending += memoryview(data)[dropped:]
        start = 0
        while len(self._pending) - start >= (wanted := self._xml.wanted):
            self._xml.feed(bytes(self._pending[start : start + wanted]))
            start += wanted
            if len(self._xml.rows) >= _ROWS_AT_ONCE:
                self._collect()
        del self._pending[:start]
        self._collect()
        return self._collector.take()

    def close(self) -> list[ParsedBatch]:
        """The file ends here; answer the remaining batches.

        Raises:
            FileRefusedError: see ``XmlRows.feed``; ``TOO_MANY_ROWS``.
        """
        self._xml.feed(bytes(self._pending), final=True)
        self._collect()
        return self._collector.close()

    def _collect(self) -> None:
        rows = iter(self._xml.rows)
        while portion := list(islice(rows, _ROWS_AT_ONCE)):
            self._add_rows(portion)
        self._xml.rows.clear()

    def _add_rows(self, rows: list[tuple[Row, int]]) -> None:
        records: list[Record] = []
        suspect = False
        for cells, size in rows:
            if cells is None or isinstance(cells, RowBlock | Stray | Nested):
                self._add_records(records, suspect=suspect)
                records, suspect = [], False
                self._add_other(cells)
                continue
            record = self._record(cells) if isinstance(cells, dict) else cells
            records.append(record)
            # JSON may be larger than what it was made of: by escapes, and the overflow by its dotted names.
            suspect = suspect or size * 2 > self._limits.max_cell_bytes or self._has_large_overflow(record)
        self._add_records(records, suspect=suspect)

    def _add_records(self, records: list[Record], *, suspect: bool) -> None:
        first = self._collector.rows + 1
        self._collector.add_records(range(first, first + len(records)), records, suspect=suspect)

    def _record(self, cells: Cells) -> Record:
        if len(cells) == len(self._columns) and self._all_cells is not None:
            try:
                return self._all_cells(cells) + self._no_overflow
            except KeyError:
                pass
        record = [cells.pop(name, None) for name in self._columns]
        if self._overflow is not None:
            record.insert(self._overflow, json_text(cells) if cells else None)
            return record
        return [*record, *cells.values()]

    def _has_large_overflow(self, record: Record) -> bool:
        return (
            self._overflow is not None
            and (overflow := record[self._overflow]) is not None
            and len(overflow) * 4 > self._limits.max_cell_bytes
        )

    def _add_other(self, row: RowBlock | Stray | Nested | None) -> None:
        match row:
            case RowBlock():
                self._collector.add_columns(row.columns, row.rows)
            case Stray():
                self._add_stray(row.name)
            case Nested():
                self._add_nested(row)
            case None:
                self._add_oversized()

    def _add_nested(self, row: Nested) -> None:
        wrong = nested_value(row.column, row.inner)
        if row.column in row.cells:
            wrong = (
                f"in the column {row.column!r} elements stand within the text, such as {row.inner!r}; write them as "
                "text (&lt;b&gt;, or CDATA around it all), or leave the column out of the template"
            )
        self._collector.add_issue(
            RowErrorCode.NESTED_VALUE,
            f"row {self._collector.rows + 1}: {wrong}",
            self._record(row.cells),
            self._columns.index(row.column),
        )

    def _add_oversized(self) -> None:
        self._collector.add_issue(
            RowErrorCode.ROW_TOO_LARGE,
            f"row {self._collector.rows + 1} has more than {self._limits.max_record_bytes:,} bytes or more than "
            f"{self._limits.max_columns:,} cells, which is the most that can be read; shorten it, or look for a "
            "missing end tag",
        )

    def _add_stray(self, name: str) -> None:
        self._collector.add_issue(
            RowErrorCode.UNEXPECTED_ELEMENT,
            f"row {self._collector.rows + 1} is an element {name!r}, and the rows of the file are elements "
            f"{self._row_name!r}; name what is to be read in the template as record_path (with * last for elements of "
            "any name), then the others are left out",
        )
