"""The workbook in which people correct rejected rows, see ``libs.contracts.corrections``.

Written by openpyxl, the library of the field, because it says everything that a person who corrects is helped by: which
cells are wrong and why, what may be chosen from. It takes far more memory and time for a cell than
``spreadsheets.Workbook``, so it is for a bounded number of rows, and for threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import IO, Any, Final, cast

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.writer.excel import save_workbook

from libs.contracts.corrections import FORMULA_STARTS, SHEET, own_columns
from libs.contracts.plan import ParsePlan
from libs.contracts.rejections import RowError
from libs.contracts.templates import FieldType, OneOf, Template
from libs.storage.documents import RejectedRecord
from services.gateway.records.spreadsheets import Cell, cell_text, told

MAX_COMMENTS: Final = 5_000
"""All of them are in memory until the end; the reasons of further cells are in their column."""
_AUTHOR: Final = "Rowdock"
_LISTS: Final = "lists"
_OWN: Final = 3
_TEXT: Final = "@"
_FAULTY: Final = PatternFill("solid", fgColor="FFFFC7CE")
_TOP: Final = Alignment(vertical="top")
_HEADER: Final = PatternFill("solid", fgColor="FFE7E6E6")
_WIDTHS: Final = (9.0, 26.0, 60.0)
_WIDTH: Final = 22.0
_LINE_POINTS: Final = 13
_MAX_LINES: Final = 6
_REASON_CHARS: Final = 56
"""Of a line of the reasons, in a column of their width."""
_COMMENT_PIXELS: Final = (90, 320)
_MAX_COMMENT_CHARS: Final = 1_000
_HELP: Final = (
    "The number of the row in the file: keep it. Rows may be sorted and removed, columns inserted and moved.",
    "The run whose row this is.",
    "What is wrong with the row, as of the download. Nothing is read from here.",
)


@dataclass(frozen=True, slots=True)
class CorrectableRow:
    """A rejected row as it is to be corrected.

    Attributes:
        number: of the row in the file.
        reasons: all that is wrong with it, in one text.
        cells: as they are by now, as many as the run has columns.
        faults: what is wrong with single cells, by the index of their column.
    """

    number: int
    reasons: str
    cells: Sequence[str | None]
    faults: Mapping[int, str]


def correctable(record: RejectedRecord, plan: ParsePlan) -> CorrectableRow:
    """A rejected row, with its corrections so far."""
    width = len(plan.columns)
    cells = (record.cells[:width] + [None] * width)[:width]
    for at, text in record.corrected or ():
        if at < width:
            cells[at] = text
    faults: dict[int, str] = {}
    for error in record.current_errors:
        at = _column(error, plan)
        if at is not None:
            said = f"{error.code}: {error.message}"
            faults[at] = f"{faults[at]}\n{said}" if at in faults else said
    return CorrectableRow(record.row, told([asdict(error) for error in record.current_errors]), cells, faults)


def _column(error: RowError, plan: ParsePlan) -> int | None:
    if error.column is not None and error.column in plan.columns:
        return plan.columns.index(error.column)
    return None if error.field is None else plan.mapping.get(error.field)


def _lines(row: CorrectableRow) -> int:
    """How many lines of a row are shown; the rest is there, in its cells."""
    reasons = 1 + len(row.reasons) // _REASON_CHARS
    return min(_MAX_LINES, max([reasons, *(cell.count("\n") + 1 for cell in row.cells if cell)]))


def table_of(rows: Sequence[CorrectableRow], run_id: str) -> Iterator[list[Cell]]:
    """The same rows as a table, in the columns of the workbook."""
    return ([row.number, run_id, row.reasons, *row.cells] for row in rows)


def titles_of(plan: ParsePlan) -> list[str]:
    """The header of that table."""
    return [*own_columns(plan.columns), *plan.columns]


class CorrectionWorkbook:
    """The rows, and behind them a hidden sheet with what some columns may be chosen from. Whoever gives it up before
    ``write_to`` closes it, perhaps while another thread, which cannot be stopped, still adds rows.

    Args:
        run_id: the run.
        plan: how it was read.
        template: what it was checked by.
    """

    def __init__(self, run_id: str, plan: ParsePlan, template: Template) -> None:
        self._run_id = run_id
        self._plan = plan
        self._template = template
        self._book = Workbook(write_only=True)
        self._sheet: Any = self._book.create_sheet(SHEET)
        self._rows = 0
        self._comments = 0
        self._saved = False
        self._lock = Lock()
        self._cells = _Cells(self._sheet)
        self._sheet.freeze_panes = "B2"
        for at, width in enumerate((*_WIDTHS, *[_WIDTH] * len(plan.columns)), 1):
            self._sheet.column_dimensions[get_column_letter(at)].width = width
        self._sheet.column_dimensions[get_column_letter(2)].hidden = True
        self._sheet.print_title_rows = "1:1"
        self._sheet.page_setup.orientation = "landscape"
        self._sheet.page_setup.fitToHeight = 0
        self._sheet.sheet_properties.pageSetUpPr.fitToPage = True
        self._sheet.append(self._titles())

    def _titles(self) -> Iterator[Any]:
        for at, title in enumerate(titles_of(self._plan)):
            yield self._cells.header(title, _HELP[at] if at < _OWN else None)

    def add(self, rows: Sequence[CorrectableRow]) -> None:
        """The next rows."""
        with self._lock:
            for row in rows:
                self._rows += 1
                # Not every program makes a row as high as its texts are when it opens a workbook.
                heights, at = self._sheet.row_dimensions, self._rows + 1
                heights[at].height = _LINE_POINTS * _lines(row)
                self._sheet.append(self._row(row))
                del heights[at]

    def _row(self, row: CorrectableRow) -> Iterator[Any]:
        yield self._cells.number(row.number)
        yield self._cells.text(self._run_id)
        yield self._cells.reasons(row.reasons)
        for at, text in enumerate(row.cells):
            if (fault := row.faults.get(at)) is None:
                yield self._cells.text(text)
            else:
                self._comments += 1
                yield self._cells.faulty(text, fault if self._comments <= MAX_COMMENTS else None)

    def write_to(self, file: IO[bytes]) -> None:
        """Write all of it to ``file``."""
        with self._lock:
            self._saved = True
            last = self._rows + 1
            if self._rows:
                self._sheet.auto_filter.ref = f"A1:{get_column_letter(_OWN + len(self._plan.columns))}{last}"
                self._keep_numbers(last)
                self._offer_choices(last)
            save_workbook(self._book, file)

    def close(self) -> None:
        """Nothing more is wanted: what openpyxl keeps on disk until a workbook is saved goes."""
        with self._lock:
            if not self._saved:
                self._saved = True
                save_workbook(self._book, cast("IO[bytes]", _Nowhere()))

    def _keep_numbers(self, last: int) -> None:
        """Numbers of rows cannot be typed over; a sheet that is protected could not be sorted."""
        kept = DataValidation(
            type="custom",
            formula1="FALSE",
            allow_blank=False,
            showErrorMessage=True,
            errorStyle="stop",
            errorTitle="Keep this number",
            error="It says which row of the file this is.",
            sqref=f"A2:B{last}",
        )
        self._sheet.data_validations.append(kept)

    def _offer_choices(self, last: int) -> None:
        choices = choices_of(self._template, self._plan)
        if not choices:
            return
        lists: Any = self._book.create_sheet(_LISTS)
        lists.sheet_state = "hidden"
        cells = _Cells(lists)
        for each in range(max(map(len, choices.values()))):
            lists.append(cells.text(words[each] if each < len(words) else None) for words in choices.values())
        for number, (at, words) in enumerate(choices.items(), 1):
            letter, column = get_column_letter(number), get_column_letter(_OWN + at + 1)
            offered = DataValidation(
                type="list",
                formula1=f"{_LISTS}!${letter}$1:${letter}${len(words)}",
                allow_blank=True,
                showErrorMessage=True,
                errorStyle="warning",
                errorTitle="Not among the values of this column",
                error="Another value may be rejected again.",
                sqref=f"{column}2:{column}{last}",
            )
            self._sheet.data_validations.append(offered)


def choices_of(template: Template, plan: ParsePlan) -> dict[int, Sequence[str]]:
    """What the cells of a column may be, by its index, where the template says so."""
    found: dict[int, Sequence[str]] = {}
    for field in template.fields:
        at = plan.mapping.get(field.name)
        if at is None:
            continue
        rules = [rule.values for rule in field.rules if isinstance(rule, OneOf)]
        reading = plan.columns_read.get(field.name)
        if field.type is FieldType.SELECT:
            words = field.options
        elif field.type is FieldType.BOOLEAN:
            words = (*field.true_values, *field.false_values) or (reading.words if reading else ()) or ("true", "false")
        else:
            words = rules[0] if rules else ()
        if words:
            found[at] = words
    return found


class _Cells:
    """Cells of a sheet: one object of each look, which openpyxl writes before it is given the next value."""

    def __init__(self, sheet: Any) -> None:  # noqa: ANN401 - openpyxl's sheets that are only written have no type
        self._sheet = sheet
        self._texts = self._looks(None)
        self._faults = self._looks(_FAULTY)
        self._reasons = WriteOnlyCell(sheet)
        self._reasons.alignment = Alignment(vertical="top", wrap_text=True)
        self._number = WriteOnlyCell(sheet)
        self._number.alignment = _TOP
        self._header = WriteOnlyCell(sheet)
        self._header.font, self._header.fill = Font(bold=True), _HEADER

    def _looks(self, fill: PatternFill | None) -> tuple[Any, Any]:
        """A cell of text, and one of text that a program must not take for a formula when it is edited either."""
        plain, quoted = WriteOnlyCell(self._sheet), WriteOnlyCell(self._sheet)
        quoted.quotePrefix = True
        for cell in (plain, quoted):
            cell.number_format = _TEXT
            cell.alignment = _TOP
            if fill is not None:
                cell.fill = fill
        return plain, quoted

    def text(self, text: str | None) -> Any:  # noqa: ANN401 - openpyxl's cells have no type here
        return _filled(self._texts, text, None)

    def faulty(self, text: str | None, comment: str | None) -> Any:  # noqa: ANN401
        return _filled(self._faults, text, comment)

    def reasons(self, text: str) -> Any:  # noqa: ANN401
        return _filled((self._reasons, self._reasons), text, None)

    def number(self, number: int) -> Any:  # noqa: ANN401
        self._number.value = number
        return self._number

    def header(self, title: str, comment: str | None) -> Any:  # noqa: ANN401
        return _filled((self._header, self._header), title, comment)


def _filled(looks: tuple[Any, Any], text: str | None, comment: str | None) -> Any:  # noqa: ANN401
    cell = looks[bool(text) and text.startswith(FORMULA_STARTS)]
    cell.value = cell_text(text) if text else None
    if text:
        cell.data_type = "s"  # whatever openpyxl took it for
    cell.comment = None if comment is None else _comment(comment)
    return cell


def _comment(text: str) -> Comment:
    height, width = _COMMENT_PIXELS
    return Comment(cell_text(text[:_MAX_COMMENT_CHARS]), _AUTHOR, height=height, width=width)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        """Nothing is kept."""
