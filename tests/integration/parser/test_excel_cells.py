"""Cells of workbooks through the real child process: what a person sees in the sheet is what the rows hold."""

import datetime as dt
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.parser import workbooks
from tests.integration.parser.excel_reading import (
    LIMITS,
    batches_of,
    issues_of,
    layout_of,
    reader_of,
    rows_of,
)
from tests.integration.parser.written_workbooks import (
    DATES,
    errors,
    ods,
    ods_cell,
    ods_text,
    written,
    xls,
)

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


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
        pytest.param(60, "a", "1900-02-29", id="the day that never was"),
        pytest.param(61, "a", "1900-03-01", id="the day after"),
        pytest.param(-3, "a", "#####", id="negative serial number"),
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
