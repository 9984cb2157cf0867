"""Workbooks through the real child process: which rows of which sheet are read."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest
import xlsxwriter

from libs.contracts.errors import FileRefusedError
from services.parser.formats.excel.format import ExcelFormat
from services.parser.formats.registry import file_format
from tests.integration.parser import workbooks
from tests.integration.parser.excel_reading import (
    LIMITS,
    batches_of,
    layout_of,
    reader_of,
    refusal,
    rows_of,
)
from tests.integration.parser.written_workbooks import (
    ods,
    ods_cell,
    ods_text,
    old_people,
    simple,
    written,
    xls,
)

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


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
    assert layout.settings["options"] == {"sheet": read, "tidy": True}
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


def test_too_many_rows() -> None:
    data = written(simple)
    reader = reader_of(data, layout_of(data), limits=replace(LIMITS, max_rows=1))
    with pytest.raises(FileRefusedError, match="more than 1 rows"):
        list(reader.close())


def test_a_million_blank_rows_are_no_rows() -> None:
    blank = "".join(f'<row r="{row}"><c r="A{row}" s="0"/></row>' for row in range(3, 1_000_001))
    data = workbooks.xlsx(
        workbooks.sheet(
            f'<row r="1">{workbooks.text_cell("A1", "a")}</row><row r="2">{workbooks.text_cell("A2", "b")}</row>{blank}'
        )
    )
    assert rows_of(batches_of(data)) == [("b",)]
