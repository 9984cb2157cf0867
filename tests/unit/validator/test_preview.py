"""The first rows as people see them before anything is written."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import FieldType, InvalidRows, TemplateField
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from services.validator.domain.preview import preview
from tests.unit.validator.batches import check, compiled, parsed_batch, template


def test_preview_shows_values_as_json() -> None:
    fields = (
        TemplateField(name="text"),
        TemplateField(name="number", type=FieldType.NUMBER),
        TemplateField(name="integer", type=FieldType.NUMBER, integer=True),
        TemplateField(name="email", type=FieldType.EMAIL),
        TemplateField(name="date", type=FieldType.DATE),
        TemplateField(name="boolean", type=FieldType.BOOLEAN),
        TemplateField(name="raw", type=FieldType.DATE),
    )
    engine = compiled(*fields, invalid_rows=InvalidRows.KEEP)
    first, second = ["a", "1.5", "2", "a@b.c", "2024-01-02T03:04:05.678Z", "ja", "soon"], ["", "7", *[""] * 5]
    valid = check_batch(engine, parsed_batch(*map(list, zip(first, second, strict=True)))).valid
    assert valid["date"].to_pylist()[0] == datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    shown = preview(valid, 10)
    assert shown == [
        {
            "text": "a",
            "number": 1.5,
            "integer": 2,
            "email": "a@b.c",
            "date": "2024-01-02T03:04:05.678000Z",
            "boolean": True,
            "raw": "soon",
        },
        {"text": None, "number": 7, "integer": None, "email": None, "date": None, "boolean": None, "raw": None},
    ]
    assert json.loads(json.dumps(shown)) == shown
    assert preview(valid, 1) == shown[:1]
    assert preview(valid.slice(0, 0), 5) == []


@pytest.mark.parametrize(
    ("decimals", "cell", "shown"),
    [
        (2, "12.5", 12.5),
        (2, "0.10", 0.1),
        (0, "7", 7.0),
        (2, "12345678901234.56", 12345678901234.56),
        (2, "12345678901234567890.12", "12345678901234567890.12"),
        (20, "0.12345678901234567891", "0.12345678901234567891"),
        (None, "12345678901234567890.12", "12345678901234567890.12"),
        (None, "9223372036854775807", 9223372036854775807),
        (None, "0.1", 0.1),
        (2, "", None),
    ],
)
def test_a_number_is_a_number_where_json_holds_it_exactly(decimals: int | None, cell: str, shown: object) -> None:
    field = TemplateField(name="f", type=FieldType.NUMBER, decimals=decimals)
    (row,) = preview(check(field, cell).valid, 1)
    assert row == {"f": shown}
    assert type(row["f"]) is type(shown)


def test_columns_that_no_field_reads_are_shown_by_header() -> None:
    plan = ParsePlan(columns=("$a.b", "f", "c\0", "d"), mapping={"f": 1}, unmatched=(0, 2), overflow=3)
    engine = compile_template(template(TemplateField(name="f"), include_unmatched_columns=True), plan)
    cells = [["1", ""], ["x", "y"], ["2", None], ['{"k": "v", "n": null}', None]]
    valid = check_batch(engine, parsed_batch(*cells)).valid
    assert preview(valid, 5, plan.columns) == [
        {"f": "x", "extra": {"\uff04a\uff0eb": "1", "c": "2", "k": "v"}},
        {"f": "y", "extra": {}},
    ]


def test_the_preview_of_large_rows_stays_small() -> None:
    shown = preview(pa.table({"_row": [1], "f": ["x" * 5000]}), 1)
    assert shown == [{"f": "x" * 1000 + "\u2026"}]
    rows = pa.table({"_row": range(50), **{f"f{at}": ["x" * 1000] * 50 for at in range(100)}})
    assert len(preview(rows, 50)) == 10
