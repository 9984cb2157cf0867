"""The format ``excel``: .xlsx, .xlsm, .xls and .ods.

The file is spooled into an unlinked temporary file and read by a child process of limited memory and time (see
``sheet_process``), once for the layout and once for the rows; where the first row is no header, again to find it.
"""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import tempfile
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from libs.batches.columns import TEXT, cell_column
from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api import footers
from services.parser.formats.api.batches import ParsedBatch, Sizes
from services.parser.formats.api.collector import Problem, RowCollector
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.header_search import MAX_PREFACE, Headers, left_out
from services.parser.formats.api.headers import column_names, numbered_names
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.excel.notes import notes_of
from services.parser.formats.excel.process import frames
from services.parser.formats.excel.process.child import child_frames, layout_of
from services.parser.formats.excel.process.frames import Request
from services.parser.formats.excel.settings import ExcelSettings
from services.parser.formats.excel.sheet_rows import RowProblem
from services.parser.formats.excel.workbook import cell_reference

_FIRST_ROWS = 5_000
_FIRST_BYTES = 8 * 1024 * 1024
_EXTRA_HINT = "name that column in the header row, or clear the cell"


class _Spool:
    """The file on disk, without a name: nothing is left of it when it is closed or the process dies."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by the finalizer
        self.close = weakref.finalize(self, self.file.close)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]


class ExcelSampler:
    """Finds out sheet, header and first rows."""

    def __init__(self, template: Template, limits: ReaderLimits, settings: ExcelSettings) -> None:
        self._template = template
        self._limits = limits
        self._settings = settings
        self._spool = _Spool()

    def feed(self, data: bytes) -> bool:
        """See ``file_format.Sampler``; a workbook's directory stands at its end, so all of it is needed."""
        self._spool.write(data)
        return False

    def layout(self) -> Layout:
        """See ``file_format.Sampler``.

        Raises:
            FileRefusedError: ``NOT_EXCEL``, ``FILE_ENCRYPTED``, ``UNSAFE_ARCHIVE``, ``CORRUPT_FILE``,
                ``FILE_TOO_COMPLEX``, ``UNKNOWN_SHEET``, ``EMPTY_FILE``.
        """
        source = self._template.source
        has_header = source.has_header is not False
        skip_rows, preface = source.skip_rows, 0
        try:
            said, rows = self._start(skip_rows, has_header=has_header)
            if has_header and not skip_rows:
                skip_rows, preface = self._before_header(said)
            if preface:
                said, rows = self._start(skip_rows, has_header=True)
        finally:
            self._spool.close()
        if not said["width"] or not (has_header or rows):
            raise FileRefusedError(
                RunErrorCode.EMPTY_FILE,
                f"the sheet {said['sheet']!r} has no rows"
                + (f" after the {source.skip_rows:,} that are skipped" if source.skip_rows else "")
                + f"; the sheets of the workbook are {said['described']}: name the right one in the template",
            )
        notes = [f"sheet: {said['sheet']!r}"] if source.sheet is None else []
        if source.sheet is None and said["tabs"] > 1:
            notes = [f"sheet: {said['sheet']!r}, the first visible one of {said['described']}"]
        notes += notes_of(said, source)
        notes += [left_out(preface)] if preface else []
        columns = numbered_names(said["width"])
        if has_header:
            columns, header_notes = column_names(said["header"], self._limits.max_header_chars)
            notes += header_notes
        parts = [_rows_of(content) for content in rows]
        footer = source.skip_footer_rows or 0
        whole_sheet = sum(part.rows for part in parts) < _FIRST_ROWS and sum(map(len, rows)) <= _FIRST_BYTES
        if source.skip_footer_rows is None and whole_sheet:
            header = said["header"] if has_header else None
            # A row that is left out because it is hidden looks like one that is blank.
            gaps = not (said["hidden_rows"] and source.hidden_rows == "skip")
            footer, footer_notes = _footer_rows(header, parts, len(columns), gaps=gaps)
            notes += footer_notes
        parts = list(_without_last(parts, footer))
        return Layout(
            columns=columns,
            named=has_header,
            notes=tuple(notes),
            settings={
                "skip_rows": skip_rows,
                "has_header": has_header,
                "typed_numbers": True,
                "typed_cells": True,
                "date_1904": said["date_1904"],
                "options": {
                    "sheet": said["sheet"],
                    "tidy": True,
                    **({"skip_footer_rows": footer} if footer else {}),
                    **({"hidden_rows": "skip"} if source.hidden_rows == "skip" else {}),
                    **({"hidden_columns": "skip"} if source.hidden_columns == "skip" else {}),
                },
            },
            first_rows=_table([part.columns for part in parts], len(columns)),
        )

    def _start(
        self, skip_rows: int, *, has_header: bool, most: int = _FIRST_ROWS
    ) -> tuple[dict[str, Any], list[bytes]]:
        """What there is to say about the sheet, and the frames of its first rows."""
        source = self._template.source
        request = Request(
            sheet=source.sheet,
            skip_rows=skip_rows,
            has_header=has_header,
            width=None,
            checked=(),
            max_row_bytes=self._limits.max_record_bytes,
            max_rows=most,
            memory_bytes=self._settings.memory_bytes,
            cpu_seconds=self._settings.cpu_seconds,
            skip_hidden_rows=source.hidden_rows == "skip",
            skip_hidden_columns=source.hidden_columns == "skip",
            skip_blank_texts=True,
        )
        rows: list[bytes] = []
        with closing(child_frames(self._spool.file, request, self._settings.wait_seconds)) as told:
            _, layout = next(told)
            for _, content in told:
                rows.append(content)
                if sum(map(len, rows)) > _FIRST_BYTES:
                    break
        return layout_of(layout), rows

    def _before_header(self, said: dict[str, Any]) -> tuple[int, int]:
        """How many rows of the sheet, and how many of them that are not blank, plainly stand before the header."""
        headers = Headers(self._template)
        if not said["width"] or headers.fitting(said["header"]):
            return 0, 0
        _, frames_of_rows = self._start(0, has_header=False, most=MAX_PREFACE + 1)
        parts = [_rows_of(content) for content in frames_of_rows]
        first = headers.find([cells for part in parts for cells in part.cells()])
        places = [place for part in parts for place in part.places.tolist()]
        return (places[first] - 1, first) if first else (0, 0)


def _footer_rows(
    header: Sequence[str] | None, parts: Sequence[_Rows], width: int, *, gaps: bool
) -> tuple[int, list[str]]:
    """How many rows at the end of a whole sheet are plainly no data, see ``footers``, and the notes that say so.

    Args:
        header: titles, where there is a header.
        parts: all rows.
        width: number of columns.
        gaps: whether rows that are missing between others are blank ones.
    """
    places = [place for part in parts for place in part.places.tolist()]
    if width < 2 or not places:
        return 0, []
    rows: list[footers.Record] = [] if header is None else [header]
    blank_before = [False] * len(rows)
    before = places[0]
    for place, cells in zip(places, (row for part in parts for row in part.cells()), strict=True):
        alone = cells[:1] if footers.filled(cells) == 1 and cells[0].strip() else cells
        rows.append(alone)
        blank_before.append(gaps and place > before + 1)
        before = place
    return footers.judged(rows, blank_before, width)


def _without_last(parts: Iterable[_Rows], dropped: int) -> Generator[_Rows]:
    """All rows but the last ones, which are held back until it is known that they are not."""
    held: deque[_Rows] = deque()
    rows = 0
    for part in parts:
        held.append(part)
        rows += part.rows
        while held and rows - held[0].rows >= dropped:
            rows -= held[0].rows
            yield held.popleft()
    for part in held:
        if rows <= dropped:
            return
        yield part.first(rows - dropped)
        rows -= part.rows


def _table(parts: list[list[pa.Array[Any]]], width: int) -> pa.Table:
    schema = pa.schema([pa.field(cell_column(index), TEXT) for index in range(width)])
    return pa.concat_tables([schema.empty_table(), *(pa.Table.from_arrays(part, schema=schema) for part in parts)])


class ExcelReader:
    """Reads the rows of the sheet that the plan names."""

    def __init__(self, plan: ParsePlan, limits: ReaderLimits, settings: ExcelSettings) -> None:
        self._plan = plan
        self._limits = limits
        self._settings = settings
        self._spool = _Spool()
        self._collector = RowCollector(plan, limits, place="row of the sheet", extra_hint=_EXTRA_HINT)

    def feed(self, data: bytes) -> tuple[ParsedBatch, ...]:
        """See ``file_format.Reader``."""
        self._spool.write(data)
        return ()

    def close(self) -> Generator[ParsedBatch]:
        """See ``file_format.Reader``; the child process lives as long as the answer.

        Raises:
            FileRefusedError: as ``ExcelSampler.layout``, and ``TOO_MANY_ROWS``.
        """
        read = {*self._plan.mapping.values(), *self._plan.concat_columns.values()}
        request = Request(
            sheet=self._plan.options["sheet"],
            skip_rows=self._plan.skip_rows,
            has_header=self._plan.has_header,
            width=len(self._plan.columns),
            checked=tuple(sorted(index for index in read if index is not None)),
            max_row_bytes=self._limits.max_record_bytes,
            max_rows=None,
            memory_bytes=self._settings.memory_bytes,
            cpu_seconds=self._settings.cpu_seconds,
            skip_hidden_rows=self._plan.options.get("hidden_rows") == "skip",
            skip_hidden_columns=self._plan.options.get("hidden_columns") == "skip",
            # Plans of earlier releases do not say it: a file that they began to read is read as they did.
            skip_blank_texts=bool(self._plan.options.get("tidy")),
            keep_markers=bool(self._plan.options.get("keep_markers")),
            decimal_commas=tuple(self._plan.options.get("decimal_commas", ())),
        )
        try:
            with closing(child_frames(self._spool.file, request, self._settings.wait_seconds)) as told:
                _, layout = next(told)
                columns: list[int] = layout_of(layout)["columns"]
                dropped = int(self._plan.options.get("skip_footer_rows", 0))
                for rows in _without_last((_rows_of(content) for _, content in told), dropped):
                    self._add(rows, columns)
                    yield from self._collector.take()
            yield from self._collector.close()
        finally:
            self._spool.close()

    def _add(self, rows: _Rows, columns: list[int]) -> None:
        if rows.suspect or rows.longest > self._limits.max_cell_bytes:
            self._add_suspect(rows, columns)
            return
        problems = {
            int(at): self._problem(rows, int(at), columns) for at in np.flatnonzero(rows.problems != RowProblem.NONE)
        }
        self._collector.add_columns(rows.columns, len(rows.places), rows.sizes, problems)

    def _add_suspect(self, rows: _Rows, columns: list[int]) -> None:
        """Add rows one by one, because a cell of some row may be none."""
        texts = [column.to_pylist() for column in rows.columns]
        for at, cells in enumerate(zip(*texts, strict=True)):
            if rows.problems[at] == RowProblem.NONE:
                self._collector.add_records([int(rows.places[at])], [cells], suspect=True)
            else:
                problem = self._problem(rows, at, columns)
                self._collector.add_issue(problem.code, problem.message, cells, problem.column)

    def _problem(self, rows: _Rows, at: int, columns: list[int]) -> Problem:
        place, culprit = int(rows.places[at]), int(rows.culprits[at])
        # A cell that is left out because it is so far away has its own column, others are counted among those read.
        cell = cell_reference(place - 1, columns[culprit] if culprit >= 0 else -1 - culprit)
        match RowProblem(rows.problems[at]):
            case RowProblem.EXTRA_CELLS:
                message = f"row {place} of the sheet: the cell {cell} stands beyond the last column; {_EXTRA_HINT}"
                return Problem(RowErrorCode.EXTRA_CELLS, message, len(self._plan.columns))
            case RowProblem.TOO_LARGE:
                return Problem(
                    RowErrorCode.ROW_TOO_LARGE,
                    f"row {place} of the sheet has more than {self._limits.max_record_bytes:,} bytes, "
                    "the most that can be read; shorten it",
                )
            case RowProblem.FORMULA_WITHOUT_VALUE:
                what = "holds a formula whose value is not stored; open the workbook in Excel and save it again"
            case _:
                error = rows.columns[culprit][at].as_py()
                what = f"holds the error {error}; correct the formula, or put a value in its place"
        name = self._plan.columns[culprit]
        return Problem(
            RowErrorCode.CELL_ERROR, f"row {place} of the sheet, column {name!r}: the cell {cell} {what}", culprit
        )


class ExcelFormat:
    """Workbooks; see the module."""

    def __init__(self, settings: ExcelSettings | None = None) -> None:
        self._settings = settings or ExcelSettings()

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> ExcelSampler:  # noqa: ARG002
        """See ``file_format.FileFormat``."""
        return ExcelSampler(template, limits, self._settings)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> ExcelReader:
        """See ``file_format.FileFormat``."""
        return ExcelReader(plan, limits, self._settings)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A rows frame.

    Attributes:
        places: row of the sheet, from 1; shape ``(rows,)``, as all but ``columns``.
        problems: ``RowProblem``.
        culprits: index of the cell that is the problem.
        columns: string arrays of length ``rows``.
        sizes: UTF-8 bytes of the cells of every row.
        longest: most UTF-8 bytes of a cell.
        suspect: whether a cell may hold a NUL.
    """

    places: npt.NDArray[np.int32]
    problems: npt.NDArray[np.int32]
    culprits: npt.NDArray[np.int32]
    columns: list[pa.Array[Any]]
    sizes: Sizes
    longest: int
    suspect: bool

    @property
    def rows(self) -> int:
        return len(self.places)

    def cells(self) -> Iterable[tuple[str, ...]]:
        """The texts of every row."""
        return zip(*(column.to_pylist() for column in self.columns), strict=True)

    def first(self, rows: int) -> _Rows:
        """The first rows, at most so many."""
        if rows >= self.rows:
            return self
        return replace(
            self,
            places=self.places[:rows],
            problems=self.problems[:rows],
            culprits=self.culprits[:rows],
            columns=[column.slice(0, rows) for column in self.columns],
            sizes=self.sizes[:rows],
        )


def _rows_of(content: bytes) -> _Rows:
    """Decode a rows frame; what it claims is checked, because the child read the file.

    Raises:
        ValueError: the frame is none (``pa.ArrowInvalid`` is one).
    """
    rows, width = frames.SHAPE.unpack_from(content)
    numbers = np.frombuffer(content, np.int32, (3 + width) * rows, frames.SHAPE.size).reshape(3 + width, rows)
    places, problems, culprits = numbers[:3]
    lengths = numbers[3:]
    if (lengths < 0).any():
        raise ValueError("a cell of negative length")
    at = frames.SHAPE.size + numbers.nbytes
    buffer = pa.py_buffer(content)
    suspect = content.find(b"\0", at) >= 0
    columns: list[pa.Array[Any]] = []
    for column in lengths:
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(column, out=offsets[1:])
        texts = pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets.tobytes()), buffer.slice(at)])
        texts.validate(full=True)
        columns.append(texts)
        at += int(offsets[-1])
    if at != len(content):
        raise ValueError("bytes that belong to no cell")
    sizes = lengths.sum(axis=0, dtype=np.int64)
    longest = int(lengths.max(initial=0))
    return _Rows(places, problems, culprits, columns, sizes, longest, suspect)
