"""Workbooks through the real child process: what a person sees in the sheet is what the rows hold."""

import datetime as dt
import gc
import io
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pyarrow as pa
import pytest
import xlsxwriter
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from libs.contracts.errors import FileRefusedError, TransientError
from libs.contracts.plan import RowIssue
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.excel.format import ExcelFormat, ExcelReader
from services.parser.formats.excel.settings import ExcelSettings
from services.parser.formats.registry import file_format
from services.parser.planning.plan import make_plan
from tests.integration.parser import workbooks

pytestmark = pytest.mark.timeout(240)
Source = str | int | bool | None
LIMITS = ReaderLimits()
SETTINGS = ExcelSettings()


@pytest.fixture(autouse=True)
def nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test: no child process, no temporary file, no descriptor."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    yield
    gc.collect()
    assert set(psutil.Process().children()) == before
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


def template(columns: tuple[str, ...] = (), **source: Source) -> Template:
    """A template with a text field for each of the columns; with a field for the first column without any."""
    fields = [
        {"name": f"f{index}", "type": "text", "column": column} for index, column in enumerate(columns or ("column_1",))
    ]
    return Template.model_validate({"name": "t", "target_resource": "things", "source": source, "fields": fields})


def layout_of(data: bytes, settings: ExcelSettings = SETTINGS, **source: Source) -> Layout:
    sampler = ExcelFormat(settings).sampler(template(**source), FileFacts(len(data)), LIMITS)
    for start in range(0, len(data), 100_000):
        assert not sampler.feed(data[start : start + 100_000])
    return sampler.layout()


def reader_of(
    data: bytes, layout: Layout, columns: tuple[str, ...] | None = None, limits: ReaderLimits = LIMITS
) -> ExcelReader:
    plan = make_plan(
        layout, template(columns or layout.columns), "excel", batch_rows=1_000, batch_bytes=MIB, limits=limits
    )
    reader = ExcelFormat().reader(plan, limits)
    assert list(reader.feed(data)) == []
    return reader


def batches_of(data: bytes, columns: tuple[str, ...] | None = None, **source: Source) -> list[ParsedBatch]:
    return list(reader_of(data, layout_of(data, **source), columns).close())


def rows_of(batches: list[ParsedBatch]) -> list[tuple[str | None, ...]]:
    """The rows that became cells; checks that every row is in one place."""
    rows: list[tuple[str | None, ...]] = []
    number = 0
    for batch in batches:
        assert batch.row_from == number + 1
        assert batch.rows == batch.table.num_rows + len(batch.issues)
        number = batch.row_to
        rows += list(zip(*(column.to_pylist() for column in batch.table.columns[1:]), strict=True))
    return rows


def issues_of(batches: list[ParsedBatch]) -> list[RowIssue]:
    return [issue for batch in batches for issue in batch.issues]


def refusal(data: bytes, settings: ExcelSettings = SETTINGS, **source: Source) -> FileRefusedError:
    with pytest.raises(FileRefusedError) as refused:
        layout_of(data, settings, **source)
    return refused.value


def written(fill: Callable[[xlsxwriter.Workbook], None], **options: bool) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options) as book:
        fill(book)
    return out.getvalue()


def simple(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet("People")
    sheet.write_row(0, 0, ["id", "name"])
    sheet.write_row(1, 0, ["007", "Bond"])
    sheet.write_row(2, 0, [8, "Eight"])


def xls(fill: Callable[[xlwt.Workbook], None]) -> bytes:
    out = io.BytesIO()
    book = xlwt.Workbook()
    fill(book)
    book.save(out)
    return out.getvalue()


def ods(*rows: list[TableCell], hidden: bool = False) -> bytes:
    document = OpenDocumentSpreadsheet()
    for name in ["Hidden", "Data"] if hidden else ["Data"]:
        table = Table(name=name)
        for cells in rows:
            row = TableRow()
            for cell in cells:
                row.addElement(cell)
            table.addElement(row)
        document.spreadsheet.addElement(table)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def ods_cell(text: str = "", **attributes: str) -> TableCell:
    cell = TableCell(**attributes)
    if text:
        cell.addElement(P(text=text))
    return cell


def ods_text(text: str) -> TableCell:
    return ods_cell(text, valuetype="string")


def old_people(book: xlwt.Workbook) -> None:
    sheet = book.add_sheet("People")
    for row, cells in enumerate([("id", "name"), ("007", "Bond"), (8, "Eight")]):
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: written(simple), id="xlsx"),
        pytest.param(lambda: written(simple, constant_memory=True), id="xlsx-inline-strings"),
        pytest.param(lambda: xls(old_people), id="xls"),
        pytest.param(
            lambda: ods(
                [ods_text("id"), ods_text("name")],
                [ods_text("007"), ods_text("Bond")],
                [ods_cell(valuetype="float", value="8"), ods_text("Eight")],
            ),
            id="ods",
        ),
    ],
)
def test_each_kind_of_workbook_gives_the_same_rows(make: Callable[[], bytes]) -> None:
    data = make()
    layout = layout_of(data)
    assert layout.columns == ("id", "name")
    assert layout.named
    assert layout.complete
    assert layout.first_rows is not None
    assert layout.first_rows.to_pydict() == {"c0": ["007", "8"], "c1": ["Bond", "Eight"]}
    batches = list(reader_of(data, layout).close())
    assert rows_of(batches) == [("007", "Bond"), ("8", "Eight")]
    assert batches[0].table.schema.types == [pa.uint32(), pa.string(), pa.string()]


def test_the_registry_offers_the_format() -> None:
    assert isinstance(file_format("excel"), ExcelFormat)


DATES = {"a": "yyyy-mm-dd", "b": "yyyy-mm-dd hh:mm:ss", "c": "hh:mm:ss", "d": "[hh]:mm:ss"}


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        pytest.param(12.0, None, "12", id="whole number"),
        pytest.param(1.5, None, "1.5", id="fraction"),
        pytest.param(0.00001, None, "0.00001", id="small number"),
        pytest.param(123456789012345, None, "123456789012345", id="id of 15 digits"),
        pytest.param(-3, None, "-3", id="negative"),
        pytest.param("007", None, "007", id="leading zeros"),
        pytest.param(" two\nlines ", None, " two\nlines ", id="white space"),
        pytest.param("#N/A", None, "#N/A", id="text that looks like an error"),
        pytest.param(True, None, "true", id="true"),
        pytest.param(False, None, "false", id="false"),
        pytest.param(dt.date(2024, 3, 31), "a", "2024-03-31", id="date"),
        pytest.param(dt.datetime.fromisoformat("2024-03-31T14:05"), "b", "2024-03-31T14:05:00", id="date and time"),
        pytest.param(dt.datetime.fromisoformat("2024-03-31"), "b", "2024-03-31", id="midnight"),
        pytest.param(
            dt.datetime.fromisoformat("2024-03-31T01:02:03.250"), "b", "2024-03-31T01:02:03.25", id="fraction"
        ),
        pytest.param(dt.time(14, 5), "c", "14:05:00", id="time"),
        pytest.param(dt.timedelta(hours=36, minutes=5), "d", "36:05:00", id="duration"),
        pytest.param(45382, "a", "2024-03-31", id="serial number with a date format"),
        pytest.param(45382, None, "45382", id="serial number without one"),
        pytest.param(59, "a", "1900-02-28", id="the last day before the one that never was"),
        pytest.param(60, "a", "1900-02-28", id="the day that never was"),
        pytest.param(61, "a", "1900-03-01", id="the day after"),
        pytest.param(-3, "a", "00:00:00", id="negative serial number"),
    ],
)
def test_what_a_cell_becomes(value: object, number_format: str | None, text: str) -> None:
    def fill(book: xlsxwriter.Workbook) -> None:
        style = book.add_format({"num_format": DATES[number_format]}) if number_format else None
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["value", "end"])
        sheet.write(1, 0, value, style)
        sheet.write(1, 1, "x")

    layout = layout_of(written(fill))
    assert layout.first_rows is not None
    assert layout.first_rows.to_pydict() == {"c0": [text], "c1": ["x"]}


def test_dates_of_1904() -> None:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["day", "serial"])
        sheet.write_datetime(1, 0, dt.date(2024, 3, 31), book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_number(1, 1, 43920)

    data = written(fill, date_1904=True)
    layout = layout_of(data)
    assert layout.settings["date_1904"] is True
    assert rows_of(list(reader_of(data, layout).close())) == [("2024-03-31", "43920")]
    assert layout_of(written(fill)).settings["date_1904"] is False


def test_dates_of_1904_in_an_old_workbook() -> None:
    def fill(book: xlwt.Workbook) -> None:
        book.dates_1904 = True
        sheet = book.add_sheet("S")
        sheet.write(0, 0, "day")
        sheet.write(1, 0, 43920, xlwt.easyxf(num_format_str="yyyy-mm-dd"))

    data = xls(fill)
    layout = layout_of(data)
    assert layout.settings["date_1904"] is True
    assert rows_of(list(reader_of(data, layout).close())) == [("2024-03-31",)]


def several_sheets(book: xlsxwriter.Workbook) -> None:
    hidden = book.add_worksheet("Secret")
    hidden.write_column(0, 0, ["s", "1"])
    chart = book.add_chartsheet("Chart")
    chart.set_chart(_chart(book))
    for name, cell in (("First", "a"), ("Second", "b")):
        sheet = book.add_worksheet(name)
        sheet.write_column(0, 0, [cell, cell * 2])
    book.add_worksheet("Empty")
    book.worksheets()[2].activate()
    hidden.hide()


def _chart(book: xlsxwriter.Workbook) -> object:
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=Secret!$A$1:$A$2"})
    return chart


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        pytest.param(None, "First", id="first visible worksheet"),
        pytest.param("Second", "Second", id="name"),
        pytest.param(" second", "Second", id="name in another case"),
        pytest.param(0, "Secret", id="index of a hidden sheet"),
        pytest.param(3, "Second", id="index"),
    ],
)
def test_sheet(wanted: str | int | None, read: str) -> None:
    data = written(several_sheets)
    layout = layout_of(data, sheet=wanted)
    assert layout.settings["options"] == {"sheet": read}
    shown = "'Secret' (hidden), 'Chart' (no table), 'First', 'Second', 'Empty'"
    said = (f"sheet: 'First', the first visible one of {shown}",) if wanted is None else ()
    assert layout.notes == said
    assert len(rows_of(list(reader_of(data, layout).close()))) == 1


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        pytest.param("Third", "UNKNOWN_SHEET", "no sheet 'Third'; its sheets are 'Secret' (hidden)", id="name"),
        pytest.param(9, "UNKNOWN_SHEET", "no sheet 9 (they are counted from 0)", id="index"),
        pytest.param("Chart", "UNKNOWN_SHEET", "only a chart or a macro in the sheet 'Chart'", id="chart"),
        pytest.param("Empty", "EMPTY_FILE", "the sheet 'Empty' has no rows", id="empty"),
    ],
)
def test_a_sheet_that_cannot_be_read(wanted: str | int, code: str, words: str) -> None:
    refused = refusal(written(several_sheets), sheet=wanted)
    assert refused.code == code
    assert words in refused.detail


def preamble(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet()
    sheet.merge_range(0, 1, 0, 3, "Report of the year")
    sheet.write_row(4, 1, ["id", dt.date(2024, 1, 1), 12, "id"], book.add_format({"num_format": "yyyy-mm-dd"}))
    sheet.write_row(6, 1, ["a", 1])
    sheet.write_row(9, 1, ["b", 2, "", "c"])
    for row in range(10, 30_000):
        sheet.write_blank(row, 1, None, book.add_format({"bold": True}))


def test_header_below_a_title_blank_rows_and_a_tail_of_formatted_ones() -> None:
    data = written(preamble)
    layout = layout_of(data, skip_rows=1)
    assert layout.columns == ("id", "2024-01-01", "1900-01-12", "id_2")
    assert "1 merged areas" in layout.notes[1]
    batches = list(reader_of(data, layout).close())
    assert rows_of(batches) == [("a", "1", "", ""), ("b", "2", "", "c")]
    assert layout_of(data).columns == ("Report of the year",)


def test_long_first_rows_are_not_all_kept_for_the_layout() -> None:
    data = workbooks.xlsx(
        workbooks.sheet(
            "".join(
                f'<row r="{row}">{workbooks.text_cell(f"A{row}", str(row) * 8_000)}'
                f"{workbooks.text_cell(f'B{row}', str(row) * 24_000)}</row>"
                for row in range(1, 401)
            )
        )
    )
    layout = layout_of(data, has_header=False)
    assert layout.first_rows is not None
    assert 50 < layout.first_rows.num_rows < 300
    assert len(rows_of(list(reader_of(data, layout).close()))) == 400


def test_without_a_header_the_used_width_counts() -> None:
    data = written(preamble)
    layout = layout_of(data, has_header=False, skip_rows=6)
    assert layout.columns == ("column_1", "column_2", "column_3", "column_4")
    assert not layout.named
    assert rows_of(list(reader_of(data, layout).close())) == [("a", "1", "", ""), ("b", "2", "", "c")]


def test_nothing_after_the_skipped_rows() -> None:
    refused = refusal(written(simple), skip_rows=3)
    assert (refused.code, "after the 3 that are skipped" in refused.detail) == ("EMPTY_FILE", True)
    assert refusal(written(simple), skip_rows=3, has_header=False).code == "EMPTY_FILE"


def errors(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet()
    sheet.write_row(0, 2, ["a", "b"])
    sheet.write_row(1, 2, ["fine", 1])
    sheet.write_formula(2, 2, "=NA()", None, "#N/A")
    sheet.write_formula(3, 3, "=1/0", None, "#DIV/0!")
    sheet.write_row(3, 2, ["unread"])
    sheet.write_formula(4, 2, "=1+1", None, "")
    sheet.write_row(5, 2, ["last", 2])
    sheet.write(5, 5, "note")


def test_errors_are_problems_where_a_field_reads_them() -> None:
    batches = batches_of(written(errors), ("a",))
    assert rows_of(batches) == [("fine", "1"), ("unread", "#DIV/0!")]
    assert [(issue.row, issue.code, issue.column, issue.cells) for issue in issues_of(batches)] == [
        (2, "CELL_ERROR", 0, ("#N/A", "")),
        (4, "CELL_ERROR", 0, ("", "")),
        (5, "EXTRA_CELLS", 2, ("last", "2")),
    ]
    assert "; and ".join(issue.message for issue in issues_of(batches)) == (
        "row 3 of the sheet, column 'a': the cell C3 holds the error #N/A; correct the formula, or put a value in its "
        "place; and row 5 of the sheet, column 'a': the cell C5 holds a formula whose value is not stored; open the "
        "workbook in Excel and save it again; and row 6 of the sheet: the cell F6 stands beyond the last column; name "
        "that column in the header row, or clear the cell"
    )


def test_rows_of_formulas_that_were_never_computed_are_rows() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["a", "b"])
    for _ in range(3):
        book.active.append(["=1+1", "=2"])
    out = io.BytesIO()
    book.save(out)
    batches = batches_of(out.getvalue())
    assert rows_of(batches) == []
    assert [issue.code for issue in issues_of(batches)] == ["CELL_ERROR"] * 3


def test_errors_in_an_old_workbook() -> None:
    def fill(book: xlwt.Workbook) -> None:
        for name in ("Other", "Data"):
            sheet = book.add_sheet(name)
            sheet.write(0, 0, "a")
            sheet.write(1, 0, "fine")
            if name == "Data":
                sheet.row(2).set_cell_error(0, 0x2A)
                sheet.row(3).set_cell_boolean(0, 1)

    batches = batches_of(xls(fill), sheet="Data")
    assert rows_of(batches) == [("fine",), ("true",)]
    assert [(issue.row, issue.cells) for issue in issues_of(batches)] == [(2, ("#N/A",))]


def test_errors_in_an_open_document() -> None:
    data = ods(
        [ods_text("a"), ods_text("b")],
        [ods_text("fine"), ods_text("x")],
        [ods_cell("#N/A", valuetype="string", stringvalue="", formula="of:=NA()"), ods_text("y")],
        hidden=True,
    )
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.infolist():
            # as LibreOffice marks it
            marked = source.read(entry).replace(
                b'office:string-value=""', b'office:string-value="" calcext:value-type="error"'
            )
            target.writestr(entry.filename, marked)
    batches = batches_of(out.getvalue(), sheet="Data")
    assert rows_of(batches) == [("fine", "x")]
    assert [(issue.row, issue.cells) for issue in issues_of(batches)] == [(2, ("#N/A", "y"))]


def test_a_cell_that_is_too_large_or_holds_a_nul_makes_its_row_an_issue() -> None:
    data = workbooks.xlsx(
        workbooks.sheet(
            "".join(
                f'<row r="{row}">{workbooks.text_cell(f"A{row}", text)}{workbooks.text_cell(f"B{row}", "b")}</row>'
                for row, text in enumerate(["a", "fine", "x" * 2_000, "_x0000_", "é" * 3_000, "fine too"], 1)
            )
            + '<row r="7"><c r="A7" t="e"><v>#REF!</v></c></row>'
        )
    )
    limits = replace(LIMITS, max_cell_bytes=1_000, max_record_bytes=5_000)
    batches = list(reader_of(data, layout_of(data), limits=limits).close())
    assert [row[0] for row in rows_of(batches)] == ["fine", "fine too"]
    assert [(issue.row, issue.code) for issue in issues_of(batches)] == [
        (2, "CELL_TOO_LARGE"),
        (3, "NUL_CHARACTER"),
        (4, "ROW_TOO_LARGE"),
        (6, "CELL_ERROR"),
    ]


def test_too_many_rows() -> None:
    data = written(simple)
    reader = reader_of(data, layout_of(data), limits=replace(LIMITS, max_rows=1))
    with pytest.raises(FileRefusedError, match="more than 1 rows"):
        list(reader.close())


def many_rows(count: int) -> bytes:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["n", "text"])
        for row in range(1, count + 1):
            sheet.write_number(row, 0, row)
            sheet.write_string(row, 1, "text of some length")

    return written(fill, constant_memory=True)


def test_a_repeated_reading_cuts_the_same_batches_whatever_pieces_come() -> None:
    data = many_rows(5_500)
    layout = layout_of(data)
    once = list(reader_of(data, layout).close())
    again = reader_of(b"", layout)
    for start in range(0, len(data), 7_919):
        list(again.feed(data[start : start + 7_919]))
    assert [digest(batch) for batch in once] == [digest(batch) for batch in again.close()]
    assert [batch.rows for batch in once] == [1_000] * 5 + [500]
    assert layout.first_rows is not None
    assert layout.first_rows.num_rows >= 5_000


def test_closing_the_rows_early_ends_the_child() -> None:
    data = many_rows(60_000)
    before = set(psutil.Process().children())
    rows = reader_of(data, layout_of(data)).close()
    next(rows)
    assert len(set(psutil.Process().children()) - before) == 1
    rows.close()
    assert set(psutil.Process().children()) == before


def test_rows_may_be_taken_by_different_threads() -> None:
    data = many_rows(12_000)
    rows = reader_of(data, layout_of(data)).close()
    seen: list[ParsedBatch] = []
    for _ in range(13):
        thread = threading.Thread(target=lambda: seen.extend(batch for batch in [next(rows, None)] if batch))
        thread.start()
        thread.join()
    assert [batch.row_to for batch in seen] == list(range(1_000, 12_001, 1_000))


def test_the_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = """
import sys, time
from tests.integration.parser.test_excel_format import layout_of, many_rows, reader_of
data = many_rows(60_000)
rows = iter(reader_of(data, layout_of(data)).close())
next(rows)
print("reading", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"reading\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running()
    finally:
        parent.kill()
        parent.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_that_is_killed_is_to_be_tried_again(number: signal.Signals) -> None:
    """A supervisor or a terminal may send the signals by which it stops a parser to the parser's children as well."""
    data = many_rows(60_000)
    before = set(psutil.Process().children())
    rows = reader_of(data, layout_of(data)).close()
    next(rows)
    (child,) = set(psutil.Process().children()) - before
    child.send_signal(number)
    with pytest.raises(TransientError, match="was killed"):
        list(rows)


def test_a_child_that_does_not_end_in_time_is_to_be_tried_again() -> None:
    with pytest.raises(TransientError, match="did not end in time"):
        layout_of(many_rows(1), ExcelSettings(wait_seconds=0.001))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        pytest.param({"cpu_seconds": 1}, "too much computing time", id="computing time"),
        pytest.param({"memory_bytes": 256 * MIB}, "more memory than it may", id="memory"),
    ],
)
def test_limits_of_the_child(limit: dict[str, Any], words: str) -> None:
    rows = "".join(f'<row r="{row}">' + f'<c r="A{row}"><v>{row}</v></c></row>' for row in range(1, 300_001))
    far = '<row r="400000"><c r="AZ400000"><v>1</v></c></row>'
    heavy = workbooks.sheet(rows + (far if "memory_bytes" in limit else ""))
    if "cpu_seconds" in limit:
        heavy = workbooks.sheet(
            "".join(f"<row r='{row}'>" + "<c r='A1'><v>1</v></c>" * 12 + "</row>" for row in range(1, 300_001))
        )
    refused = refusal(workbooks.xlsx(heavy), ExcelSettings.model_validate(limit))
    assert refused.code == "FILE_TOO_COMPLEX"
    assert words in refused.detail
    assert "split the workbook" in refused.detail


def extent_bomb(last: str) -> bytes:
    row = last.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return workbooks.xlsx(
        workbooks.sheet(f'<row r="1"><c r="A1"><v>1</v></c></row><row r="{row}"><c r="{last}"><v>1</v></c></row>')
    )


def lying_bomb() -> bytes:
    """A sheet that claims 1,000 bytes and has 3 GB."""
    start = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
    deflated = workbooks.inflating_to(
        3 * 1024 * MIB, start + b'<c r="A1" t="inlineStr"><is><t>', b"A", b"</t></is></c></row></sheetData></worksheet>"
    )
    return workbooks.with_part_deflated(workbooks.xlsx(""), "xl/worksheets/sheet1.xml", deflated, 1_000)


def honest_bomb() -> bytes:
    deflated = workbooks.inflating_to(1000 * MIB, b"<worksheet>", b"A", b"</worksheet>")
    return workbooks.with_part_deflated(workbooks.xlsx(""), "xl/worksheets/sheet1.xml", deflated, 1000 * MIB)


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + level)} "{f"&{chr(97 + level)};" * 10}">' for level in range(9))
    + "]>"
)


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        pytest.param(lambda: extent_bomb("XFD1048576"), {"FILE_TOO_COMPLEX"}, id="cells A1 and XFD1048576"),
        pytest.param(lambda: extent_bomb("ZZ200000"), {"FILE_TOO_COMPLEX"}, id="cells A1 and ZZ200000"),
        pytest.param(honest_bomb, {"FILE_TOO_COMPLEX"}, id="1 GB of A in 1 MB"),
        pytest.param(lying_bomb, {"FILE_TOO_COMPLEX", "CORRUPT_FILE"}, id="3 GB that claim to be 1 KB"),
        pytest.param(
            lambda: workbooks.xlsx(
                workbooks.sheet(""), {"xl/sharedStrings.xml": "<sst>" + "<si><t>a</t></si>" * 4_000_000}
            ),
            {"FILE_TOO_COMPLEX"},
            id="shared strings",
        ),
        pytest.param(
            lambda: workbooks.xlsx(ENTITIES + workbooks.sheet('<row r="1"><c r="A1" t="str"><v>&j;</v></c></row>')),
            {"CORRUPT_FILE", "EMPTY_FILE"},
            id="entities in the sheet",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"xl/workbook.xml": ENTITIES + workbooks.WORKBOOK}),
            {"CORRUPT_FILE"},
            id="entities in the workbook",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {f"xl/{number}": "" for number in range(10_001)}),
            {"FILE_TOO_COMPLEX"},
            id="too many parts",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"../evil.xml": ""}), {"UNSAFE_ARCHIVE"}, id="path upwards"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"/etc/x": ""}), {"UNSAFE_ARCHIVE"}, id="absolute path"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"xl/a.zip": ""}), {"UNSAFE_ARCHIVE"}, id="nested archive"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"XL/workbook.XML": ""}), {"UNSAFE_ARCHIVE"}, id="twin parts"
        ),
    ],
)
def test_bombs_and_traps(make: Callable[[], bytes], codes: set[str]) -> None:
    data = make()
    started = time.monotonic()
    assert refusal(data).code in codes
    assert time.monotonic() - started < 60


def two_directories() -> bytes:
    return workbooks.xlsx(workbooks.sheet("")) + workbooks.xlsx(workbooks.sheet('<row r="1"/>'))


def archive_of(**parts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def protected_package() -> bytes:
    """A compound file that holds a stream of the name, as Excel writes protected workbooks."""
    data = bytearray(xls(old_people))
    name = "EncryptedPackage".encode("utf-16-le")
    at = data.index("Workbook".encode("utf-16-le"))
    data[at : at + len(name)] = name
    data[at + 64 : at + 66] = struct.pack("<H", len(name) + 2)
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        pytest.param(lambda: archive_of(a="b"), "NOT_EXCEL", "a ZIP archive, and no workbook", id="zip"),
        pytest.param(lambda: archive_of(word__document="x"), "NOT_EXCEL", "another Office document", id="docx"),
        pytest.param(lambda: archive_of(**{"xl__workbook.bin": "x"}), "NOT_EXCEL", "(.xlsb)", id="xlsb"),
        pytest.param(
            lambda: archive_of(mimetype="application/vnd.oasis.opendocument.text", **{"content.xml": ""}),
            "NOT_EXCEL",
            "a ZIP archive",
            id="odt",
        ),
        pytest.param(
            lambda: archive_of(
                mimetype="application/vnd.oasis.opendocument.spreadsheet",
                **{"content.xml": "", "META-INF__manifest.xml": "<manifest:encryption-data/>"},
            ),
            "FILE_ENCRYPTED",
            "remove the password",
            id="ods with a password",
        ),
        pytest.param(protected_package, "FILE_ENCRYPTED", "remove the password", id="xlsx with a password"),
        pytest.param(
            lambda: xls(old_people).replace("Workbook".encode("utf-16-le"), "Workbxxk".encode("utf-16-le")),
            "NOT_EXCEL",
            "another document of an old program",
            id="another compound file",
        ),
        pytest.param(lambda: xls(old_people)[:300], "CORRUPT_FILE", "ends within its header", id="cut old workbook"),
        pytest.param(lambda: written(simple)[:-100], "CORRUPT_FILE", "archive is cut off", id="cut workbook"),
        pytest.param(lambda: b"a,b\n1,2\n", "NOT_EXCEL", "", id="text"),
        pytest.param(lambda: b"", "NOT_EXCEL", "", id="nothing"),
        pytest.param(two_directories, "UNSAFE_ARCHIVE", "second table of contents", id="two directories"),
        pytest.param(
            lambda: workbooks.xlsx("<worksheet><sheetData><row"),
            "CORRUPT_FILE",
            "(its sheets are incomplete",
            id="broken sheet",
        ),
        pytest.param(
            lambda: workbooks.xlsx("", {"xl/workbook.xml": "<workbook>" + " " * 17 * MIB}),
            "FILE_TOO_COMPLEX",
            "'xl/workbook.xml' has more than 16 MiB",
            id="endless workbook part",
        ),
    ],
)
def test_files_that_are_no_workbook(make: Callable[[], bytes], code: str, words: str) -> None:
    refused = refusal(make())
    assert refused.code == code
    assert words in refused.detail


def test_a_million_blank_rows_are_no_rows() -> None:
    blank = "".join(f'<row r="{row}"><c r="A{row}" s="0"/></row>' for row in range(3, 1_000_001))
    data = workbooks.xlsx(
        workbooks.sheet(
            f'<row r="1">{workbooks.text_cell("A1", "a")}</row><row r="2">{workbooks.text_cell("A2", "b")}</row>{blank}'
        )
    )
    assert rows_of(batches_of(data)) == [("b",)]


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20)
DAYS = st.dates(dt.date(1901, 1, 1), dt.date(2199, 12, 31))
CELLS = st.one_of(
    st.none().map(lambda _: (None, "")),
    TEXTS.map(lambda text: (text, text)),
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda number: (number, str(number))),
    st.integers(-(10**9), 10**9).map(lambda number: (number / 64, format(number / 64, ".6f").rstrip("0").rstrip("."))),
    st.booleans().map(lambda flag: (flag, str(flag).lower())),
    DAYS.map(lambda day: (day, str(day))),
    st.datetimes(dt.datetime.fromisoformat("1901-01-01"), dt.datetime.fromisoformat("2199-12-31"))
    .map(lambda moment: moment.replace(microsecond=0, hour=moment.hour or 1))
    .map(lambda moment: (moment, moment.isoformat())),
)
GRIDS = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=30)
)


def with_xlsxwriter(grid: list[list[tuple[Any, str]]]) -> bytes:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        day, moment = (book.add_format({"num_format": DATES[name]}) for name in "ab")
        for row, cells in enumerate(grid):
            for column, (value, _) in enumerate(cells):
                if isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif isinstance(value, dt.datetime):
                    sheet.write_datetime(row, column, value, moment)
                else:
                    sheet.write(row, column, value, day if isinstance(value, dt.date) else None)
        sheet.write_string(len(grid), 0, "the end")
        sheet.write_string(len(grid), len(grid[0]), "of the sheet")

    return written(fill)


def with_openpyxl(grid: list[list[tuple[Any, str]]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row, cells in enumerate(grid, 1):
        for column, (value, _) in enumerate(cells, 1):
            cell = sheet.cell(row, column)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"  # and never a formula
    sheet.cell(len(grid) + 1, 1).value = "the end"
    sheet.cell(len(grid) + 1, len(grid[0]) + 1).value = "of the sheet"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize("write", [with_xlsxwriter, with_openpyxl])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(grid=GRIDS)
def test_every_cell_of_a_grid_comes_back(
    write: Callable[[list[list[tuple[Any, str]]]], bytes], grid: list[list[tuple[Any, str]]]
) -> None:
    expected = [(*(text for _, text in cells), "") for cells in grid if any(text for _, text in cells)]
    last = ("the end", *[""] * (len(grid[0]) - 1), "of the sheet")
    assert rows_of(batches_of(write(grid), has_header=False)) == [*expected, last]


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_a_damaged_workbook_ends_in_rows_or_in_a_refusal(kind: str) -> None:
    whole = {
        "xlsx": written(errors),
        "xls": xls(old_people),
        "ods": ods([ods_text("id")], [ods_cell(valuetype="float", value="8")]),
    }[kind]
    chance = random.Random(kind)
    codes: set[str] = set()
    for _ in range(int(os.environ.get("ROWDOCK_FUZZ_CASES", "12"))):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        started = time.monotonic()
        try:
            rows_of(batches_of(bytes(data), has_header=False))
        except FileRefusedError as refused:
            codes.add(refused.code)
        assert time.monotonic() - started < 60
    allowed = {"CORRUPT_FILE", "NOT_EXCEL", "UNSAFE_ARCHIVE", "FILE_ENCRYPTED", "FILE_TOO_COMPLEX", "EMPTY_FILE"}
    assert codes <= allowed
