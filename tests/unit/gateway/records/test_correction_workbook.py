"""The workbook of corrections, as openpyxl and the reader of workbooks find it."""

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from python_calamine import CalamineWorkbook

from libs.contracts.corrections import MAX_WORKBOOK_CHARS
from libs.contracts.plan import ColumnReading, ParsePlan
from libs.contracts.rejections import RowError
from libs.contracts.templates import FieldType, OneOf, Template, TemplateField
from libs.storage.documents import RejectedRecord
from services.gateway.records import correction_workbook
from services.gateway.records.correction_workbook import CorrectionWorkbook, choices_of, correctable, titles_of

RUN = "664b00000000000000000001"
COLUMNS = ("Sku", "Price", "Colour", "Ready", "Size")
PLAN = ParsePlan(
    columns=COLUMNS,
    mapping={"sku": 0, "price": 1, "colour": 2, "ready": 3, "size": 4, "absent": None},
    columns_read={"ready": ColumnReading(words=("J", "N"))},
)
COLOURS = ("red", "green, dark", '"blue"', *(f"shade {number} of grey" for number in range(50)))
TEMPLATE = Template(
    name="t",
    target_resource="t",
    fields=(
        TemplateField(name="sku"),
        TemplateField(name="price", type=FieldType.NUMBER),
        TemplateField(name="colour", type=FieldType.SELECT, options=COLOURS),
        TemplateField(name="ready", type=FieldType.BOOLEAN),
        TemplateField(name="size", rules=(OneOf(values=("S", "M")),)),
        TemplateField(name="absent", rules=(OneOf(values=("S", "M")),)),
    ),
)
HOSTILE = [
    "=1+1",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\tx",
    "\rx",
    "00123",
    "#N/A",
    "_x000D_",
    "a\x07b",
    "a\r\nb",
    "TRUE",
    "12",
    " x ",
]


def record(row: int, cells: list[str | None], *errors: RowError, **more: Any) -> RejectedRecord:  # noqa: ANN401
    return RejectedRecord.model_construct(row=row, cells=cells, errors=list(errors), **more)


def made(*records: RejectedRecord) -> bytes:
    workbook, sink = CorrectionWorkbook(RUN, PLAN, TEMPLATE), io.BytesIO()
    workbook.add([correctable(each, PLAN) for each in records])
    workbook.write_to(sink)
    workbook.close()
    return sink.getvalue()


def sheet_of(content: bytes) -> Any:  # noqa: ANN401
    return openpyxl.load_workbook(io.BytesIO(content))["rejected rows"]


def test_faulty_cells_are_marked_and_say_why() -> None:
    price = RowError("price", "Price", "NOT_A_NUMBER", "write 1.5", "x")
    small = RowError("price", None, "BELOW_MINIMUM", "at least 1", "x")
    whole = RowError(None, None, "EXTRA_CELLS", "too many", None)
    sheet = sheet_of(made(record(7, ["A", "x", "red"], price, small), record(9, ["B", "1"], whole)))
    marked, plain = sheet["E2"], sheet["E3"]
    assert marked.fill.fgColor.rgb == "FFFFC7CE"
    assert marked.comment.text == "NOT_A_NUMBER: write 1.5\nBELOW_MINIMUM: at least 1"
    assert (plain.fill.fill_type, plain.comment) == (None, None)
    assert [cell.value for cell in sheet[2]] == [
        7, RUN, "NOT_A_NUMBER Price: write 1.5; BELOW_MINIMUM price: at least 1", "A", "x", "red", None, None
    ]  # fmt: skip
    assert sheet["C3"].value == "EXTRA_CELLS: too many"
    assert (sheet.freeze_panes, sheet.auto_filter.ref, sheet.column_dimensions["B"].hidden) == ("B2", "A1:H3", True)


def test_corrections_so_far_and_errors_that_remain_are_shown() -> None:
    first, left = (RowError("price", "Price", code, "mend it", None) for code in ("NOT_A_NUMBER", "BELOW_MINIMUM"))
    sheet = sheet_of(made(record(1, ["A", "x"], first, corrected=[(1, "0"), (4, "M")], remaining=[left])))
    assert (sheet["E2"].value, sheet["H2"].value, sheet["C2"].value) == ("0", "M", "BELOW_MINIMUM Price: mend it")


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text: str) -> None:
    content = made(record(1, [text]))
    cell = sheet_of(content)["D2"]
    assert (cell.data_type, cell.number_format) == ("s", "@")
    assert cell.quotePrefix == text.startswith(("=", "+", "-", "@", "\t", "\r"))
    table = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_name("rejected rows").to_python()
    assert table[1][3] == text


def test_empty_cells_are_for_texts_too() -> None:
    assert sheet_of(made(record(1, ["A"])))["E2"].number_format == "@"


def test_long_texts_are_cut() -> None:
    cell = sheet_of(made(record(1, ["x" * 40_000])))["D2"]
    assert len(cell.value) == MAX_WORKBOOK_CHARS


def test_columns_offer_what_they_may_be() -> None:
    assert choices_of(TEMPLATE, PLAN) == {2: COLOURS, 3: ("J", "N"), 4: ("S", "M")}
    book = openpyxl.load_workbook(io.BytesIO(made(record(1, ["A"]), record(2, ["B"]))))
    offered = {str(each.sqref): each for each in book["rejected rows"].data_validations.dataValidation}
    assert {place: each.type for place, each in offered.items()} == {
        "A2:B3": "custom", "F2:F3": "list", "G2:G3": "list", "H2:H3": "list"
    }  # fmt: skip
    lists = book["lists"]
    assert (lists.sheet_state, offered["F2:F3"].formula1) == ("hidden", f"lists!$A$1:$A${len(COLOURS)}")
    assert [cell.value for cell in lists["A"]] == list(COLOURS)
    assert (offered["A2:B3"].errorStyle, offered["F2:F3"].errorStyle) == ("stop", "warning")


def test_comments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction_workbook, "MAX_COMMENTS", 1)
    error = RowError("price", "Price", "NOT_A_NUMBER", "write 1.5", "x")
    sheet = sheet_of(made(record(1, ["A", "x"], error), record(2, ["B", "y"], error)))
    assert (sheet["E2"].comment is None, sheet["E3"].comment is None) == (False, True)
    assert sheet["E3"].fill.fgColor.rgb == "FFFFC7CE"


def test_nothing_stays_on_disk_of_a_workbook_that_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    workbook = CorrectionWorkbook(RUN, PLAN, TEMPLATE)
    workbook.add([correctable(record(1, ["A"]), PLAN)])
    assert list(tmp_path.iterdir())
    workbook.close()
    assert not list(tmp_path.iterdir())


def test_titles_of_columns_that_are_called_like_its_own() -> None:
    assert titles_of(ParsePlan(columns=("_row", "Sku"))) == ["__row", "_run", "_reasons", "_row", "Sku"]
