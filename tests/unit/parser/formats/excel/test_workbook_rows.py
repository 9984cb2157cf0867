"""From the cells of a sheet to rows of text, and the cells that the library hides."""

import datetime as dt
import io
import struct
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
import xlwt
from hypothesis import given
from hypothesis import strategies as st

from services.parser.formats.excel.compound_file import CompoundFile
from services.parser.formats.excel.ods_facts import ods_facts
from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.sheet_marks import Marks, xls_date_1904, xls_marks
from services.parser.formats.excel.sheet_rows import Block, Cell, RowProblem, SheetReading, SheetRows, column_texts
from services.parser.formats.excel.xlsx_facts import XlsxScan

MOMENT = dt.datetime.fromisoformat


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("", ""),
        (" 007 ", " 007 "),
        (7, "7"),
        (0.0, "0"),
        (-0.0, "0"),
        (12.0, "12"),
        (-12.5, "-12.5"),
        (123456789012345.0, "123456789012345"),
        (9007199254740992.0, "9007199254740992"),
        (1.2345678901234567e19, "12345678901234567000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e300, "1e+300"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-5, "0.00001"),
        (-2.5e-10, "-0.00000000025"),
        (1e-20, "1e-20"),
        (float("inf"), "inf"),
        (True, "true"),
        (False, "false"),
        (dt.date(2024, 3, 31), "2024-03-31"),
        (dt.date(800, 3, 31), "0800-03-31"),
        (MOMENT("2024-03-31T00:00"), "2024-03-31"),
        (MOMENT("2024-03-31T14:05"), "2024-03-31T14:05:00"),
        (MOMENT("2024-03-31T14:05:00.598"), "2024-03-31T14:05:00.598"),
        (MOMENT("2024-03-31T14:05:00.5"), "2024-03-31T14:05:00.5"),
        (dt.time(0, 0), "00:00:00"),
        (dt.time(14, 5), "14:05:00"),
        (dt.time(14, 5, 0, 20_000), "14:05:00.02"),
        (dt.timedelta(), "00:00:00"),
        (dt.timedelta(hours=36, minutes=5, seconds=7), "36:05:07"),
        (dt.timedelta(days=100, milliseconds=250), "2400:00:00.25"),
        (dt.timedelta(hours=-1, minutes=-30), "-01:30:00"),
    ],
)
def test_text_of_a_cell(cell: Cell, text: str) -> None:
    assert column_texts([cell]) == [text]
    assert column_texts([cell, "x", 1.0]) == [text, "x", "1"]


@given(st.floats(allow_nan=False))
def test_numbers_keep_their_value(number: float) -> None:
    (text,) = column_texts([number])
    assert float(text) == number
    if number == 0 or 1e-15 <= abs(number) < 1e21:
        assert "e" not in text


@given(st.integers(-(10**15), 10**15))
def test_whole_numbers_keep_their_digits(number: int) -> None:
    assert column_texts([float(number)]) == [str(number)]


def rows(
    cells: Sequence[Sequence[Cell]], marks: Marks | None = None, first_column: int = 0, **reading: object
) -> tuple[SheetRows, list[Block]]:
    """Rows of a sheet, which must all have one length."""
    how = replace(SheetReading(), **reading)
    found = SheetRows(cells, len(cells[0]) if cells else 0, first_column, SheetFacts(marks=marks or {}), how)
    return found, list(found.blocks())


def seen(blocks: list[Block]) -> list[tuple[int, int, int, tuple[str, ...]]]:
    return [
        (place, problem, culprit, texts)
        for block in blocks
        for place, problem, culprit, *texts_ in zip(
            block.places, block.problems, block.culprits, *block.columns, strict=True
        )
        for texts in [tuple(texts_)]
    ]


FINE = RowProblem.NONE


def test_header_and_rows_without_blank_ones() -> None:
    table, blocks = rows([["", ""], ["a", ""], ["", ""], [1.0, ""], [0.0, ""], [False, ""], ["", ""]])
    assert table.header == ["a"]
    assert seen(blocks) == [(4, FINE, 0, ("1",)), (5, FINE, 0, ("0",)), (6, FINE, 0, ("false",))]


def test_rows_of_nothing_but_blanks_are_none() -> None:
    cells: list[list[Cell]] = [[" ", ""], ["a", "b"], ["\u00a0", " "], [" ", 0.0], ["x", ""], ["", "\u3000"]]
    table, blocks = rows(cells, skip_blank_texts=True)
    assert table.header == ["a", "b"]
    assert [place for place, *_ in seen(blocks)] == [4, 5]


def test_skipped_rows_count_blank_ones() -> None:
    table, blocks = rows([["title", ""], ["", ""], ["a", "b"], ["1", "2"]], skip_rows=2)
    assert table.header == ["a", "b"]
    assert seen(blocks) == [(4, FINE, 0, ("1", "2"))]


def test_without_a_header_all_used_columns_count() -> None:
    table, blocks = rows([["1", ""], ["2", ""]], has_header=False)
    assert (table.header, table.width) == ([], 2)
    assert seen(blocks) == [(1, FINE, 0, ("1", "")), (2, FINE, 0, ("2", ""))]


def test_nothing_at_all() -> None:
    table, blocks = rows([])
    assert (table.header, table.width, blocks) == ([], 0, [])


def test_cells_beyond_the_header() -> None:
    _, blocks = rows([["a", "", ""], ["1", " ", ""], ["2", "x", "y"], ["", "", "z"]])
    assert seen(blocks) == [
        (2, FINE, 0, ("1",)),
        (3, RowProblem.EXTRA_CELLS, 1, ("2",)),
        (4, RowProblem.EXTRA_CELLS, 2, ("",)),
    ]


def test_a_plan_that_knows_more_columns_than_the_sheet_has() -> None:
    _, blocks = rows([["a"], ["1"]], width=3)
    assert seen(blocks) == [(2, FINE, 0, ("1", "", ""))]


def test_hidden_cells() -> None:
    cells = [["a", "b"], ["", "1"], ["2", ""], ["3", ""], ["", ""], ["", ""]]
    marks = {1: {3: "#N/A"}, 2: {4: "#REF!", 9: "beyond", 1: "before"}, 3: {4: ""}, 4: {3: ""}, 5: {4: ""}, 8: {3: ""}}
    _, blocks = rows(cells, marks, first_column=3, checked=frozenset({0}))
    assert seen(blocks) == [
        (2, RowProblem.ERROR_CELL, 0, ("#N/A", "1")),
        (3, FINE, 0, ("2", "#REF!")),
        (4, FINE, 0, ("3", "")),
        (5, RowProblem.FORMULA_WITHOUT_VALUE, 0, ("", "")),
        (9, RowProblem.FORMULA_WITHOUT_VALUE, 0, ("", "")),
    ]


def test_the_first_of_several_errors_is_named() -> None:
    _, blocks = rows([["a", "b", ""], ["", "", "x"]], {1: {0: "#N/A", 1: "#REF!"}}, checked=frozenset({0, 1}))
    assert seen(blocks) == [(2, RowProblem.ERROR_CELL, 0, ("#N/A", "#REF!"))]


def test_blocks_are_small_and_complete() -> None:
    _, blocks = rows([[str(number)] * 100 for number in range(1_000)], has_header=False)
    assert [len(block.places) for block in blocks] == [400, 400, 200]
    assert [place for block in blocks for place in block.places] == list(range(1, 1_001))


def test_a_block_is_halved_until_one_row_is_left() -> None:
    block = Block([4, 5, 6], [0, 1, 0], [0, 0, 0], [["a" * 2_000, "b", "c"], *[["x", "y", "z"]] * 250])
    first, second = block.smaller()
    assert (first.places, second.places) == ([4], [5, 6])
    assert (second.problems, second.columns[0]) == ([1, 0], ["b", "c"])
    (cut,) = first.smaller()
    assert (cut.places, cut.problems) == ([4], [RowProblem.TOO_LARGE])
    assert [len(column[0]) for column in cut.columns] == [1_000, *[1] * 199, *[0] * 51]


@pytest.mark.parametrize(
    ("xml", "marks"),
    [
        pytest.param('<c r="B2" t="e"><v>#N/A</v></c>', {1: {1: "#N/A"}}, id="error"),
        pytest.param("<c s='1' t = 'e' r='AA10'><v> #REF! </v></c>", {9: {26: "#REF!"}}, id="spelling"),
        pytest.param('<x:c r="A1" t="e"><x:f>A2</x:f><x:v>#NAME?</x:v></x:c>', {0: {0: "#NAME?"}}, id="namespace"),
        pytest.param('<c r="A1" t="e"></c>', {0: {0: "#ERROR!"}}, id="error without text"),
        pytest.param('<c r="A1" t="e"/><c r="B1"><v>1</v></c>', {}, id="empty cell"),
        pytest.param('<c t="e"><v>#N/A</v></c>', {8: {0: "#N/A"}}, id="without a reference"),
        pytest.param('<c/><c r="D9"/><c t="e"><v>#N/A</v></c>', {8: {4: "#N/A"}}, id="behind one with a reference"),
        pytest.param('<c r="A1" t="str"><f>B1</f></c>', {0: {0: ""}}, id="formula of a text"),
        pytest.param('<c r="A1" t="str"><v>"e"</v></c>', {}, id="text"),
        pytest.param('<c r="A1"><f>1+1</f></c>', {0: {0: ""}}, id="formula"),
        pytest.param('<c r="A1"><f>1+1</f><v></v></c>', {0: {0: ""}}, id="formula with an empty value"),
        pytest.param('<c r="A1"><f>1+1</f><v/></c>', {0: {0: ""}}, id="formula with no value"),
        pytest.param('<c r="A1" t="n"><f t="shared" si="0"/></c>', {0: {0: ""}}, id="shared formula"),
        pytest.param('<x:c r="A1"><x:f>1</x:f></x:c>', {0: {0: ""}}, id="formula, namespace"),
        pytest.param('<c r="A1"><f>A2&gt;5>4</f></c>', {0: {0: ""}}, id="signs in a formula"),
        pytest.param('<c r="A1" t="str"><f>""</f><v></v></c>', {}, id="formula that gives an empty text"),
        pytest.param('<c r="A1"><f>1+1</f><v>2</v></c>', {}, id="formula with a value"),
        pytest.param('<c r="A1"><v>1</v></c>', {}, id="number"),
    ],
)
def test_hidden_cells_of_a_sheet(xml: str, marks: Marks) -> None:
    data = f'<sheetData><row r="1"><c r="C1"><v>0</v></c></row><row r="9">{xml}</row></sheetData>'.encode()
    for size in (1, 7, 64, len(data)):
        scan = XlsxScan([], date_1904=False)
        scan.take(data[at : at + size] for at in range(0, len(data), size))
        assert scan.facts.marks == marks


def table(name: str, content: str) -> str:
    return f'<table:table table:name="{name}"><table:table-column/>{content}</table:table>'


ERROR = '<table:table-cell calcext:value-type="error" office:string-value=""><text:p>#N/A</text:p></table:table-cell>'
BLANK = '<table:table-cell table:number-columns-repeated="2"/>'


@pytest.mark.parametrize(
    ("content", "marks"),
    [
        pytest.param(f"<table:table-row>{ERROR}</table:table-row>", {0: {0: "#N/A"}}, id="first cell"),
        pytest.param(
            f'<table:table-row table:number-rows-repeated="3"/><table:table-row>{BLANK}<table:covered-table-cell/>'
            f"{ERROR}</table:table-row>",
            {3: {3: "#N/A"}},
            id="behind repeated rows and cells",
        ),
        pytest.param(
            '<table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="2" '
            'calcext:value-type="error"/></table:table-row>',
            {0: {0: "#ERROR!", 1: "#ERROR!"}, 1: {0: "#ERROR!", 1: "#ERROR!"}},
            id="repeated error",
        ),
        pytest.param(f"<table:table-row>{BLANK}</table:table-row>", {}, id="none"),
    ],
)
def test_hidden_cells_of_an_open_document(content: str, marks: Marks) -> None:
    other = table("First", f"<table:table-row>{BLANK}{ERROR}</table:table-row>")
    assert ods_facts((other + table("Second", content)).encode(), 1).marks == marks
    assert ods_facts(table("Only", f"<table:table-row>{BLANK}</table:table-row>").encode(), 0).marks == {}


def test_hidden_cells_of_an_old_workbook() -> None:
    book = xlwt.Workbook()
    book.dates_1904 = True
    for name in ("First", "Second"):
        sheet = book.add_sheet(name)
        sheet.write(0, 0, "a")
        if name == "Second":
            sheet.row(3).set_cell_error(2, 0x2A)
            sheet.row(4).set_cell_error(0, 0x07)
            sheet.row(5).set_cell_boolean(0, 1)
            sheet.write(6, 0, xlwt.Formula("1+1"))
    out = io.BytesIO()
    book.save(out)
    stream = CompoundFile(out.getvalue()).read("workbook")
    assert xls_date_1904(stream)
    assert xls_marks(stream, 0) == {}
    assert xls_marks(stream, 1) == {3: {2: "#N/A"}, 4: {0: "#DIV/0!"}}
    assert xls_marks(stream, 2) == {}


def record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def test_formulas_that_give_errors_and_what_is_nested_in_a_sheet() -> None:
    value = b"\2\0\x17\0\0\0\xff\xff"
    formula = record(0x0006, struct.pack("<HHH", 5, 1, 0) + value)
    other = record(0x0006, struct.pack("<HHH", 6, 1, 0) + b"\1\0\1\0\0\0\xff\xff")
    unknown = record(0x0205, struct.pack("<HHHBB", 7, 0, 0, 0x99, 1))
    chart = record(0x0809) + formula.replace(b"\5\0", b"\x09\0", 1) + record(0x000A)
    start = record(0x0809) + record(0x0085, struct.pack("<I", 25)) + record(0x0085) + record(0x000A)
    stream = (
        start
        + b"\0" * (25 - len(start))
        + record(0x0809)
        + chart
        + formula
        + other
        + unknown
        + record(0x000A)
        + formula
    )
    assert xls_marks(stream, 0) == {5: {1: "#REF!"}, 7: {0: "#ERROR!"}}
    assert not xls_date_1904(stream)
    assert xls_marks(stream[: len(start)] + stream[25:30], 0) == {}
    assert not xls_date_1904(b"\x22\0\x09\0\1")


def test_the_exact_text_of_a_large_number_is_its_shortest() -> None:
    assert Decimal(column_texts([1.1e17])[0]) == Decimal("1.1e17")
