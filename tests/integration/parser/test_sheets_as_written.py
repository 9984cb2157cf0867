"""Cells, rows and headers as programs and people write them, through the real child process."""

from functools import cache

import pytest
import xlsxwriter
import xlwt

from libs.contracts.errors import FileRefusedError
from libs.contracts.templates import Template
from tests.integration.parser.raw_workbooks import raw_ods, raw_xlsx, text_cell
from tests.integration.parser.written_workbooks import written, xls
from tests.reading import ReadFile, read_file

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


def read(data: bytes, *columns: str, **source: object) -> ReadFile:
    """The file, by a template of text fields that read these columns."""
    fields = [{"name": f"f{number}", "column": column} for number, column in enumerate(columns)]
    source = {"file_type": "excel", **source}
    return read_file(
        data, Template.model_validate({"name": "t", "target_resource": "t", "source": source, "fields": fields})
    )


HEADER = f'<row r="1">{text_cell("n", "A1")}{text_cell("v", "B1")}</row>'
READING = '<rPh sb="0" eb="1"><t>トウ</t></rPh><phoneticPr fontId="1"/>'
SHARED = (
    f"<t>東京</t>{READING}",
    f"<r><t>大</t></r><r><rPr><b/></rPr><t>阪</t></r>{READING}",
    "<t>a_x000D_\nb</t>",
    "<t>_x005F_x000D_</t>",
    '<t xml:space="preserve"> a\tb\nc </t>',
    "<t/>",
)
FORMATS: dict[str, str | int] = {
    **{f"built in {number}": number for number in (14, 18, 22, 27, 31, 36, 45, 46, 47, 50, 57, 58)},
    "zip": "00000",
    "plus four": "00000\\-0000",
    "groups": '000" "00',
    "dots": '000"."000"-"00',
    "sections": "0000;-0000;;@",
    "coloured": "[$-409][Blue]00000",
    "plain": "0",
    "decimals": "00.00",
    "letters": '"No. "0000',
    "thousands": "#,##0",
    "percent": "0.0%",
    "percent two": "00%",
    "fraction": "# ?/?",
    "exponent": "00E+00",
    "era": '[$-411]ggge"年"m"月"d"日"',
    "hours": "[h]:mm",
    "day in words": '0" days"',
    "text": "@",
}
STYLE = {name: at for at, name in enumerate(FORMATS, start=1)}


def number(value: object, style: str = "", kind: str = "") -> str:
    of_style = f' s="{STYLE[style]}"' if style else ""
    of_kind = f' t="{kind}"' if kind else ""
    return f'<c r="B#"{of_style}{of_kind}><v>{value}</v></c>'


def text(content: str) -> str:
    return text_cell(content, "B#")


CELLS: dict[str, tuple[str, str]] = {
    "reading of a shared text": (number(0, kind="s"), "東京"),
    "rich text with a reading": (number(1, kind="s"), "大阪"),
    "reading of an inline text": (f'<c r="B#" t="inlineStr"><is><t>京</t>{READING}</is></c>', "京"),
    "escaped carriage return": (number(2, kind="s"), "a\r\nb"),
    "escaped escape": (number(3, kind="s"), "_x000D_"),
    "tab and line break": (number(4, kind="s"), " a\tb\nc "),
    "empty shared text": (number(5, kind="s"), ""),
    "escape in a formula's text": ('<c r="B#" t="str"><f>A1</f><v>a_x0009_b</v></c>', "a\tb"),
    "entities": (text("<b> &amp;"), "<b> &amp;"),
    "cdata": ('<c r="B#" t="inlineStr"><is><t><![CDATA[<x>]]></t></is></c>', "<x>"),
    "whole number": (number("4711"), "4711"),
    "whole number with a fraction of zero": (number("5.0"), "5"),
    "16 digits": (number("1234567890123456"), "1234567890123456"),
    "exponent of a whole number": (number("1E+5"), "100000"),
    "small number": (number("1.5E-3"), "0.0015"),
    "binary noise": (number("0.1"), "0.1"),
    "postcode": (number(1067, "zip"), "01067"),
    "postcode that fills the format": (number(10115, "zip"), "10115"),
    "postcode longer than the format": (number(123456, "zip"), "123456"),
    "postcode as a text": (text("01067"), "01067"),
    "postcode of zero": (number(0, "zip"), "00000"),
    "no whole number below a postcode's format": (number(1067.5, "zip"), "1067.5"),
    "negative number below a postcode's format": (number(-1067, "zip"), "-1067"),
    "result of a formula": (f'<c r="B#" s="{STYLE["zip"]}"><f>A1</f><v>1067</v></c>', "01067"),
    "attributes in another order": (f'<c s="{STYLE["zip"]}" r="B#"><v>1067</v></c>', "01067"),
    "type that is said": (number(1067, "zip", "n"), "01067"),
    "nine digits": (number(123456789, "plus four"), "12345-6789"),
    "few of nine digits": (number(12, "plus four"), "00000-0012"),
    "a blank between groups": (number(1234, "groups"), "012 34"),
    "dots between groups": (number(12345678, "dots"), "123.456-78"),
    "first section": (number(42, "sections"), "0042"),
    "colour and language": (number(42, "coloured"), "00042"),
    "plain zero": (number(42, "plain"), "42"),
    "decimals": (number(4, "decimals"), "4"),
    "letters": (number(42, "letters"), "42"),
    "thousands": (number(1234567, "thousands"), "1234567"),
    "percent": (number(0.125, "percent"), "0.125"),
    "whole percent": (number(1, "percent two"), "1"),
    "fraction": (number(0.5, "fraction"), "0.5"),
    "exponent": (number(12, "exponent"), "12"),
    "number formatted as a text": (number(42, "text"), "42"),
    "days in words": (number(3, "day in words"), "3"),
    "duration": (number(1.5, "hours"), "36:00:00"),
    "duration below a day": (number(0.25, "built in 46"), "06:00:00"),
    "negative duration": (number(-0.5, "hours"), "-12:00:00"),
    "time": (number("0.604166666666667", "built in 18"), "14:30:00"),
    "era": (number(45382, "era"), "2024-03-31"),
    **{
        f"date, built in format {each}": (number(45382, f"built in {each}"), "2024-03-31")
        for each in (14, 27, 31, 36, 50, 57, 58)
    },
    "date and time": (number(45382.5, "built in 22"), "2024-03-31T12:00:00"),
    "ISO date": (number("2024-03-31", "built in 14", "d"), "2024-03-31"),
    "ISO date and time": (number("2024-03-31T14:05:00", "built in 22", "d"), "2024-03-31T14:05:00"),
    "ISO date with an offset": (number("2024-03-31T14:05:00Z", "built in 22", "d"), "2024-03-31T14:05:00Z"),
    "ISO time": (number("14:05:00", "built in 18", "d"), "14:05:00"),
    "ISO duration": (number("PT36H5M", "hours", "d"), "36:05:00"),
    "ISO duration of days": (number("-P1DT2H0M3.50S", "hours", "d"), "-26:00:03.5"),
    "the day that never was": (number(60, "built in 14"), "1900-02-29"),
    "boolean": (number(1, kind="b"), "true"),
    "boolean in words": (number("false", kind="b"), "false"),
    "forced text, as a formula": (text('="00123"'), "00123"),
    "forced text, by an apostrophe": (text("'00123"), "00123"),
    "forced number with a sign": (text("'+46 70-123 45 67"), "+46 70-123 45 67"),
    "formula of another kind": (text('="a"&"b"'), '="a"&"b"'),
    "a word that begins with an apostrophe": (text("'90s"), "'90s"),
    "a name with an apostrophe": (text("O'Brien"), "O'Brien"),
    "a text like an error": (text("#N/A"), "#N/A"),
    "formula that gives an empty text": ('<c r="B#" t="str"><f>""</f><v></v></c>', ""),
}


@cache
def cells_read() -> dict[str, str | None]:
    rows = "".join(
        f'<row r="{at}">{text_cell(name, f"A{at}")}{cell.replace("B#", f"B{at}")}</row>'
        for at, (name, (cell, _)) in enumerate(CELLS.items(), start=2)
    )
    found = read(raw_xlsx(HEADER + rows, formats=list(FORMATS.values()), shared=SHARED), "n", "v")
    assert not found.issues
    return {str(name): cell for name, cell in found.cells()}


@pytest.mark.parametrize("name", CELLS)
def test_what_a_cell_says(name: str) -> None:
    assert cells_read()[name] == CELLS[name][1]


def test_strict_open_xml_that_counts_from_1904() -> None:
    rows = "".join(
        f'<row r="{at}">{text_cell("x", f"A{at}")}{cell.replace("B#", f"B{at}")}</row>'
        for at, cell in enumerate(
            [
                number("2024-03-31", "built in 14", "d"),
                number(43923, "built in 14"),
                number(43923.25, "built in 22"),
                number(60, "built in 14"),
            ],
            start=2,
        )
    )
    found = read(raw_xlsx(HEADER + rows, formats=list(FORMATS.values()), date_1904=True, strict=True), "v")
    assert [cells[1] for cells in found.cells()] == ["2024-03-31", "2024-04-03", "2024-04-03T06:00:00", "1904-03-01"]


def test_cells_and_rows_without_references() -> None:
    header = f"<row>{text_cell('n')}{text_cell('v')}<c/>{text_cell('w')}</row>"
    rows = (
        f'<row>{text_cell("a")}<c s="1"><v>7</v></c><c/><c><v>1</v></c></row>'
        '<row/><row><c t="e"><v>#N/A</v></c><c s="1"><v>8</v></c></row>'
        '<row hidden="1"><c><v>2</v></c><c><f>A1</f></c></row>'
    )
    found = read(raw_xlsx(header + rows, formats=["000"]), "n", "v", "w")
    assert found.cells() == [("a", "007", "", "1")]
    assert [(issue.row, issue.code, issue.cells[:2]) for issue in found.issues] == [
        (2, "CELL_ERROR", ("#N/A", "008")),
        (3, "CELL_ERROR", ("2", "")),
    ]
    assert "the cell A4 holds the error #N/A" in found.issues[0].message
    assert read(raw_xlsx(header + rows, formats=["000"]), "n", hidden_rows="skip").rows == 2


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('<c r="B2" t="e"><v>#DIV/0!</v></c>', "CELL_ERROR"),
        ('<c r="B2"><f>A1</f></c>', "CELL_ERROR"),
        ('<c r="B2" t="str"><f>A1</f></c>', "CELL_ERROR"),
        ('<c r="B2" s="1"><v>-1</v></c>', "CELL_ERROR"),
        (text_cell("x", "C2"), "EXTRA_CELLS"),
    ],
)
def test_a_cell_that_costs_its_row(cell: str, code: str) -> None:
    found = read(raw_xlsx(f'{HEADER}<row r="2">{text_cell("a", "A2")}{cell}</row>', formats=[14]), "n", "v")
    assert [issue.code for issue in found.issues] == [code]


def far_away(*cells: str) -> bytes:
    rows = "".join(
        f'<row r="{at}">{text_cell(str(at), f"A{at}")}{text_cell("x", f"B{at}")}</row>' for at in range(2, 2_001)
    )
    return raw_xlsx(HEADER + rows + "".join(cells))


def test_one_cell_far_below_and_to_the_right_costs_no_memory() -> None:
    found = read(far_away(f'<row r="1048576">{text_cell("stray", "XFD1048576")}</row>'), "n", "v")
    assert (len(found.cells()), found.cells()[-1]) == (1_999, ("2000", "x"))
    (issue,) = found.issues
    assert (issue.row, issue.code) == (2_000, "EXTRA_CELLS")
    assert "XFD1048576" in issue.message


def test_a_cell_far_to_the_right_of_the_rows() -> None:
    row = f'<row r="2001">{text_cell("a", "A2001")}{text_cell("stray", "XFD2001")}</row>'
    found = read(far_away(row), "n", "v")
    assert (len(found.cells()), [issue.code for issue in found.issues]) == (1_999, ["EXTRA_CELLS"])


def test_a_header_far_to_the_right_makes_no_columns() -> None:
    header = f'<row r="1">{text_cell("n", "A1")}{text_cell("v", "C1")}{text_cell("note", "XFD1")}</row>'
    found = read(raw_xlsx(f'{header}<row r="2">{text_cell("a", "A2")}{text_cell("b", "C2")}</row>'), "n", "v")
    assert found.plan.columns == ("n", "column_2", "v")
    assert any("XFD1" in note for note in found.plan.notes)
    assert found.cells() == [("a", "", "b")]


def hidden_book(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["a", "secret", "b"])
    for row in range(1, 5):
        sheet.write_row(row, 0, [row, "x", row * 10])
    sheet.write_formula(4, 2, "=1/0", None, "#DIV/0!")
    sheet.set_row(2, None, None, {"hidden": True})
    sheet.set_column(1, 1, None, None, {"hidden": True})


def test_what_is_hidden_is_read_and_the_run_says_so() -> None:
    found = read(written(hidden_book), "a", "b")
    assert found.plan.columns == ("a", "secret", "b")
    assert found.cells() == [("1", "x", "10"), ("2", "x", "20"), ("3", "x", "30")]
    assert any("1 row of the sheet is hidden and read" in note for note in found.plan.notes)
    assert any("1 column (B) of the sheet is hidden and read" in note for note in found.plan.notes)


def test_what_is_hidden_is_left_out_where_the_template_says_so() -> None:
    found = read(written(hidden_book), "a", "b", hidden_rows="skip", hidden_columns="skip")
    assert found.plan.columns == ("a", "b")
    assert found.cells() == [("1", "10"), ("3", "30")]
    (issue,) = found.issues
    assert "column 'b': the cell C5 holds the error" in issue.message
    assert any("left out, as the template says" in note for note in found.plan.notes)


def old_book(book: xlwt.Workbook) -> None:
    sheet = book.add_sheet("S")
    for column, name in enumerate(["zip", "secret", "n", "hours"]):
        sheet.write(0, column, name)
    masked, hours = xlwt.XFStyle(), xlwt.XFStyle()
    masked.num_format_str, hours.num_format_str = "00000", "[h]:mm"
    for row in (1, 2):
        sheet.write(row, 0, 1067, masked)
        sheet.write(row, 1, 8, masked)
        sheet.write(row, 2, 7)
        sheet.write(row, 3, 1.5, hours)
    sheet.row(2).hidden = True
    sheet.col(1).hidden = True


def test_an_old_workbook() -> None:
    assert read(xls(old_book), "zip").cells() == [("01067", "00008", "7", "36:00:00")] * 2
    found = read(xls(old_book), "zip", hidden_rows="skip", hidden_columns="skip")
    assert (found.plan.columns, found.cells()) == (("zip", "n", "hours"), [("01067", "7", "36:00:00")])


def ods_cell(kind: str, attributes: str, content: str) -> str:
    return f'<table:table-cell office:value-type="{kind}" {attributes}>{content}</table:table-cell>'


ODS_CELLS: dict[str, tuple[str, str]] = {
    "postcode": (ods_cell("float", 'office:value="1067"', "<text:p>01067</text:p>"), "01067"),
    "number": (ods_cell("float", 'office:value="1067"', "<text:p>1 067</text:p>"), "1067"),
    "number with decimals shown": (ods_cell("float", 'office:value="1067"', "<text:p>1067.00</text:p>"), "1067"),
    "grouped": (ods_cell("float", 'office:value="123456789"', "<text:p>12345-6789</text:p>"), "12345-6789"),
    "zero with decimals": (ods_cell("float", 'office:value="0"', "<text:p>0.00</text:p>"), "0"),
    "tab, blanks and line break": (
        ods_cell("string", "", '<text:p>a<text:tab/>b<text:s text:c="2"/>c<text:line-break/>d</text:p>'),
        "a\tb  c\nd",
    ),
    "paragraphs": (ods_cell("string", "", "<text:p>a</text:p><text:p>b &amp; c</text:p>"), "a\nb & c"),
    "spans": (ods_cell("string", "", "<text:p>a<text:span>b</text:span></text:p>"), "ab"),
    "comment": (
        ods_cell(
            "string", "", "<office:annotation><text:p>who</text:p></office:annotation><text:p>a<text:tab/></text:p>"
        ),
        "a\t",
    ),
    "reading": (
        ods_cell(
            "string",
            "",
            "<text:p><text:ruby><text:ruby-base>東京</text:ruby-base><text:ruby-text>トウ</text:ruby-text></text:ruby>"
            "</text:p>",
        ),
        "東京",
    ),
    "duration": (ods_cell("time", 'office:time-value="PT36H05M00S"', "<text:p>36:05</text:p>"), "36:05:00"),
    "time": (ods_cell("time", 'office:time-value="PT14H05M00S"', "<text:p>14:05</text:p>"), "14:05:00"),
    "date": (ods_cell("date", 'office:date-value="2024-03-31"', "<text:p>31.3.24</text:p>"), "2024-03-31"),
    "percent": (ods_cell("percentage", 'office:value="0.125"', "<text:p>12.5 %</text:p>"), "0.125"),
    "currency": (ods_cell("currency", 'office:value="12.5"', "<text:p>12,50 €</text:p>"), "12.5"),
    "forced text": (ods_cell("string", "", "<text:p>'00123</text:p>"), "00123"),
}


def ods_row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


def ods_text(content: str, attributes: str = "") -> str:
    return ods_cell("string", attributes, f"<text:p>{content}</text:p>")


@cache
def ods_read() -> dict[str, str | None]:
    rows = [ods_row(ods_text(name), cell) for name, (cell, _) in ODS_CELLS.items()]
    found = read(raw_ods(ods_row(ods_text("n"), ods_text("v")) + "".join(rows)), "n", "v")
    assert not found.issues
    return {str(name): cell for name, cell in found.cells()}


@pytest.mark.parametrize("name", ODS_CELLS)
def test_what_a_cell_of_an_open_document_says(name: str) -> None:
    assert ods_read()[name] == ODS_CELLS[name][1]


def test_what_an_open_document_hides() -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/><table:table-column/>'
    rows = (
        ods_row(*map(ods_text, "abc"))
        + ods_row(*map(ods_text, "123"))
        + ods_row(*map(ods_text, "456"), attributes='table:visibility="filter"')
        + ods_row(ods_text("7"), ods_text("8"), '<table:table-cell table:formula="of:=[.A1]"/>')
    )
    found = read(raw_ods(rows, columns), "a", "c", hidden_rows="skip", hidden_columns="skip")
    assert (found.plan.columns, found.cells()) == (("a", "c"), [("1", "3")])
    assert [issue.code for issue in found.issues] == ["CELL_ERROR"]
    assert len(read(raw_ods(rows, columns), "a").cells()) == 3


def grouped(rows: list[list[object]], *merged: str) -> bytes:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        for area in merged:
            sheet.merge_range(area, "")
        for at, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if cell is not None:
                    sheet.write(at, column, cell)

    return written(fill)


PERSON = ["Anna", "Ek", "Lund", "Kiruna"]


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([["Name", None, "Home", None], ["first", "last", "town", "birth"], PERSON], ["A1:B1", "C1:D1"]),
        ([["Id", "Home", None, None], [None, "street", "town", "land"], PERSON], ["A1:A2", "B1:D1"]),
        ([["Id", "Home", None, None], [None, "street", "town", "land"], PERSON], ["B1:D1"]),
        ([["List of people", None, None, None], ["a", "b", "c", "d"], PERSON], ["A1:D1"]),
    ],
)
def test_a_header_of_groups_is_refused(rows: list[list[object]], merged: list[str]) -> None:
    with pytest.raises(FileRefusedError, match="UNCLEAR_HEADER") as refused:
        read(grouped(rows, *merged), "a")
    assert "set skip_rows to 1" in refused.value.detail


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([["Name", None, "Age", "Town"], ["Anna", "Ek", 42, "Lund"]], ["A1:B1"]),
        ([["Name", None, "Home", "Birth"], PERSON], ["A1:B1"]),
        ([["Name", None, "Home"], ["Anna", None, "Lund"]], ["A1:B1", "A2:B2"]),
        ([["Name", "Home"], ["Anna", "Lund"], ["Ek", None]], ["A3:B3"]),
    ],
)
def test_merged_cells_that_are_no_groups(rows: list[list[object]], merged: list[str]) -> None:
    assert read(grouped(rows, *merged), "Name").rows == len(rows) - 1


def test_a_title_above_the_header_can_be_skipped() -> None:
    data = grouped([["List of people", None], [None, None], ["a", "b"], ["1", "2"], [None, None], ["3", "4"]], "A1:B1")
    assert read(data, "a", skip_rows=2).cells() == [("1", "2"), ("3", "4")]
