"""Reads a file in which rejected rows were corrected, see ``libs.contracts.corrections``.

It is read once and judged as a whole before anything of it counts. Meanwhile it lies on disk, so that it may have any
size; nothing is left of that when it is closed or the process dies.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from libs.batches.columns import ROW, ROW_TYPE, TEXT, cell_column
from libs.contracts.corrections import OwnColumns, own_columns, unharmed
from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import DecimalStyle, SourceFormat, Template, TemplateField
from libs.formats.file_types import CSV, EXCEL
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.headers import counted, listed, numbered_names
from services.parser.planning.plan import MAX_BATCH_CELLS

_SPARE_COLUMNS: Final = 20
"""Of a sheet, behind its last title: people write notes there."""
_MORE_COLUMNS: Final = 1_000
"""That a file may have besides those of its run."""
_MAX_TOLD: Final = 8
_BATCH_ROWS: Final = 5_000
_NUMBER: Final = re.compile("[0-9]{1,10}")
_MOST: Final = 2**32 - 1
_OPTIONS: Final = ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))


def template_of_corrections(file_type: str, columns: tuple[str, ...]) -> Template:
    """What such a file looks like to whoever finds out how it is written; nothing in it is a title, a comment or a
    total, because a row must not get lost."""
    own = own_columns(columns)
    whole = {"skip_footer_rows": 0}
    plain = {CSV.name: {**whole, "quote_char": '"', "escape_char": ""}, EXCEL.name: whole}.get(file_type, {})
    return Template(
        name="corrections",
        target_resource="corrections",
        source=SourceFormat.model_validate({"file_type": file_type, "has_header": True, **plain}),
        fields=(TemplateField(name="row", column=own.row), TemplateField(name="run", column=own.run)),
    )


@dataclass(frozen=True, slots=True)
class CorrectedColumns:
    """Where things stand in the file.

    Attributes:
        plan: how it is read.
        own: titles of the columns that say which row it is.
        number: index of the column with row numbers.
        run: of the one with ids of runs, if there is one.
        cells: index of a column of the run's file to the column with its corrected cells.
        notes: for whoever sent it.
    """

    plan: ParsePlan
    own: OwnColumns
    number: int
    run: int | None
    cells: Mapping[int, int]
    notes: list[str]


def corrected_columns(layout: Layout, file_type: str, corrected: ParsePlan) -> CorrectedColumns:
    """Find them, wherever they were moved.

    Args:
        layout: of the file.
        file_type: its format.
        corrected: the plan of the run whose rows are corrected.

    Raises:
        FileRefusedError: ``NO_ROW_NUMBERS``, ``TOO_MANY_COLUMNS``.
    """
    if len(layout.columns) > len(corrected.columns) + _MORE_COLUMNS:
        raise FileRefusedError(
            RunErrorCode.TOO_MANY_COLUMNS,
            f"the file has {len(layout.columns):,} columns, the run {len(corrected.columns):,}, and at most "
            f"{_MORE_COLUMNS:,} more are read; remove those that are not needed",
        )
    titles = [unharmed(title) if file_type == CSV.name else title for title in layout.columns]
    at = {title: index for index, title in enumerate(titles)}
    own = own_columns(corrected.columns)
    if own.row not in at:
        raise FileRefusedError(
            RunErrorCode.NO_ROW_NUMBERS,
            f"the file has no column {own.row!r}, which says which row of the run each of its rows is; its columns are "
            f"{listed(titles)}. Correct the file that is downloaded for the run, keep that column, and let its first "
            "sheet be the one with the rows",
        )
    cells = {index: at[title] for index, title in enumerate(corrected.columns) if title in at}
    known = {*cells.values(), *(at[title] for title in own if title in at)}
    notes: list[str] = []
    if other := [title for index, title in enumerate(titles) if index not in known]:
        notes.append(f"columns that the run does not have, and that were not read: {listed(other)}")
    if missing := [title for index, title in enumerate(corrected.columns) if index not in cells]:
        notes.append(f"columns that the file does not have, whose cells stay as they were: {listed(missing)}")
    options = dict(layout.settings.get("options", {}))
    columns = layout.columns
    if file_type == EXCEL.name:
        commas = [cells[index] for index in _comma_columns(corrected) if index in cells]
        options |= {"keep_markers": True, "decimal_commas": commas}
        columns += tuple(f"{name} behind the last" for name in numbered_names(_SPARE_COLUMNS))
    plan = ParsePlan.model_validate(
        {
            **layout.settings,
            "file_type": file_type,
            "columns": columns,
            "options": options,
            "batch_rows": max(1, min(_BATCH_ROWS, MAX_BATCH_CELLS // len(columns))),
            # Errors in columns that nobody reads are none.
            "mapping": {f"read {index}": index for index in (at[own.row], *cells.values())},
        }
    )
    return CorrectedColumns(plan, own, at[own.row], at.get(own.run), cells, notes)


def _comma_columns(corrected: ParsePlan) -> set[int]:
    """Columns in whose texts a comma stands before the decimals."""
    if corrected.typed_numbers:
        return set()
    styles = corrected.decimal_styles.items()
    comma = (corrected.mapping.get(name) for name, style in styles if style is DecimalStyle.COMMA)
    return {index for index in comma if index is not None}


@dataclass(slots=True)
class _Wrong:
    """Rows of one kind that the file must not have: the first of them, in words, and how many there are."""

    count: int = 0
    first: list[str] = field(default_factory=list[str])

    def add(self, said: str) -> None:
        self.count += 1
        if len(self.first) < _MAX_TOLD:
            self.first.append(said)

    @property
    def told(self) -> str:
        more = self.count - len(self.first)
        return "; ".join(self.first) + (f"; and {more:,} more" if more else "")


@dataclass(frozen=True, slots=True)
class CorrectedCells:
    """Some rows of the file.

    Attributes:
        rows: their numbers in the run.
        columns: texts by index of the column of the run's file, each as long as ``rows``; in CSV perhaps with the
            apostrophes of ``harmless``.
    """

    rows: list[int]
    columns: Mapping[int, list[str | None]]


class CorrectedRows:
    """The rows of a file, in its order. Everything here may take long: it is for threads.

    Args:
        columns: where things stand.
        run_id: the run whose rows they have to be.
    """

    def __init__(self, columns: CorrectedColumns, run_id: str) -> None:
        self._columns = columns
        self._run_id = run_id
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the end of the block
        fields = [pa.field(ROW, ROW_TYPE), *(pa.field(cell_column(index), TEXT) for index in columns.cells)]
        self._writer = ipc.new_stream(pa.PythonFile(self._spool, "w"), pa.schema(fields), options=_OPTIONS)
        self._numbers: list[npt.NDArray[np.uint32]] = []
        self._places: list[npt.NDArray[np.uint32]] = []
        self._unreadable, self._bad = _Wrong(), _Wrong()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    def add(self, batch: ParsedBatch) -> None:
        """Take the next rows.

        Raises:
            FileRefusedError: ``OTHER_RUN``.
        """
        for issue in batch.issues:
            self._unreadable.add(issue.message)
        table = batch.table.combine_chunks()
        self._refuse_other_runs(table)
        places = table[ROW].to_numpy().astype(np.uint32)
        said: list[str | None] = table[cell_column(self._columns.number)].to_pylist()
        numbers = np.array([_row_number(text) for text in said], np.uint32)
        good = numbers > 0
        for at in np.flatnonzero(~good).tolist():
            text = said[at]
            self._bad.add(f"data row {places[at]:,} has {repr(text[:40]) if text else 'none'}")
        self._numbers.append(numbers[good])
        self._places.append(places[good])
        kept = table.filter(pa.array(good)).select([cell_column(at) for at in self._columns.cells.values()])
        kept = kept.rename_columns([cell_column(index) for index in self._columns.cells])
        self._writer.write_table(kept.add_column(0, pa.field(ROW, ROW_TYPE), pa.array(numbers[good], ROW_TYPE)))

    def _refuse_other_runs(self, table: pa.Table) -> None:
        if self._columns.run is None:
            return
        found: list[str | None] = table[cell_column(self._columns.run)].to_pylist()
        other = [text for text in found if text is not None and text.strip() not in {"", self._run_id}]
        if other:
            raise FileRefusedError(
                RunErrorCode.OTHER_RUN,
                f"the file holds rows of the run {other[0][:40]!r}, and it was sent to the run {self._run_id!r}; send "
                f"it to that run, or remove these rows (their run is in the column {self._columns.own.run!r}, which is "
                "hidden in the workbook). Nothing was changed",
            )

    def judged(self) -> npt.NDArray[np.uint32]:
        """The numbers of all rows, in the order of the file, once all are there.

        Raises:
            FileRefusedError: ``UNREADABLE_ROWS``, ``BAD_ROW_NUMBERS``, ``REPEATED_ROW_NUMBERS``.
        """
        self._writer.close()
        title = repr(self._columns.own.row)
        if self._unreadable.count:
            raise FileRefusedError(
                RunErrorCode.UNREADABLE_ROWS,
                f"{counted(self._unreadable.count, 'row')} of the file cannot be read: {self._unreadable.told}. "
                "Nothing was changed; mend them and send the file again",
            )
        if self._bad.count:
            raise FileRefusedError(
                RunErrorCode.BAD_ROW_NUMBERS,
                f"{counted(self._bad.count, 'row')} of the file have no number of a row of the run in the column "
                f"{title}: {self._bad.told}. Rows are found by that number: give them theirs, or remove them; new rows "
                "come in a file of their own. Nothing was changed",
            )
        numbers = np.concatenate([*self._numbers, np.empty(0, np.uint32)])
        self._refuse_repeated(numbers, title)
        return numbers

    def _refuse_repeated(self, numbers: npt.NDArray[np.uint32], title: str) -> None:
        found, counts = np.unique(numbers, return_counts=True)
        repeated = found[counts > 1]
        if not len(repeated):
            return
        places = np.concatenate(self._places)
        wrong = _Wrong()
        for number in repeated[:_MAX_TOLD].tolist():
            where = places[numbers == number][:_MAX_TOLD].tolist()
            wrong.add(f"{number:,} in the data rows {', '.join(f'{place:,}' for place in where)}")
        wrong.count = len(repeated)
        raise FileRefusedError(
            RunErrorCode.REPEATED_ROW_NUMBERS,
            f"{counted(len(repeated), 'number')} of the column {title} stand more than once: {wrong.told}. Which row "
            "is meant cannot be known: keep one of each. Nothing was changed",
        )

    def unknown(self, numbers: npt.NDArray[np.uint32], known: set[int]) -> FileRefusedError | None:
        """The refusal of numbers that no rejected row has, if there are any.

        Args:
            numbers: some of ``judged``.
            known: those of them that rejected rows have.
        """
        missing = [number for number in numbers.tolist() if number not in known]
        if not missing:
            return None
        wrong = _Wrong()
        for number in missing:
            wrong.add(f"{number:,}")
        return FileRefusedError(
            RunErrorCode.BAD_ROW_NUMBERS,
            f"no rejected row of the run has the number that the column {self._columns.own.row!r} gives some rows of "
            f"the file: {wrong.told}. Correct the number, or remove these rows; new rows come in a file of their own. "
            "Nothing was changed",
        )

    def portions(self, most: int) -> Iterator[CorrectedCells]:
        """The rows again, at most so many at a time."""
        self._spool.seek(0)
        with ipc.open_stream(pa.PythonFile(self._spool, "r")) as reader:
            for batch in reader:
                for first in range(0, batch.num_rows, most):
                    some = batch.slice(first, most)
                    rows: list[int] = some[ROW].to_numpy().tolist()
                    columns: dict[int, list[str | None]] = {
                        index: some[cell_column(index)].to_pylist() for index in self._columns.cells
                    }
                    yield CorrectedCells(rows, columns)


def _row_number(text: str | None) -> int:
    """The number that a cell holds; 0 where it holds none."""
    text = (text or "").strip()
    number = int(text) if _NUMBER.fullmatch(text) else 0
    return number if number <= _MOST else 0
