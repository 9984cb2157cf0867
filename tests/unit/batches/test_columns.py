"""Names and types of columns: what lies in the database while releases meet."""

import pyarrow as pa
import pytest

from libs.batches.columns import (
    OVERFLOW,
    ROW,
    WARNINGS,
    CellColumn,
    CellKind,
    cell_column,
    cell_columns,
    decimal_column,
    decimal_type,
    extra_column,
    integer_column,
    is_field,
    original_column,
    parsed_schema,
    value_columns,
)
from libs.contracts.templates import FieldType, TemplateField


def test_names_are_those_of_every_release() -> None:
    assert (ROW, WARNINGS, OVERFLOW) == ("_row", "_warnings", "_more")
    assert (cell_column(3), extra_column(3)) == ("c3", "_extra_3")
    named = (integer_column("n"), decimal_column("n"), original_column("n"))
    assert named == ("_int_n", "_dec_n", "_raw_n")
    assert not any(map(is_field, (ROW, WARNINGS, OVERFLOW, extra_column(0), *named)))
    assert is_field("n")


def test_types_are_those_of_every_release() -> None:
    assert parsed_schema(2) == pa.schema([("_row", pa.uint32()), ("c0", pa.string()), ("c1", pa.string())])
    assert decimal_type(2) == pa.decimal128(38, 2)


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ({}, [CellColumn("f", CellKind.TEXT)]),
        ({"type": "phone"}, [CellColumn("f", CellKind.TEXT)]),
        ({"type": "date"}, [CellColumn("f", CellKind.DATE)]),
        ({"type": "boolean"}, [CellColumn("f", CellKind.BOOLEAN)]),
        ({"type": "number", "integer": True}, [CellColumn("f", CellKind.INTEGER)]),
        ({"type": "number", "decimals": 2}, [CellColumn("f", CellKind.DECIMAL)]),
        ({"type": "number"}, [CellColumn("_int_f", CellKind.INTEGER), CellColumn("f", CellKind.DOUBLE)]),
    ],
    ids=str,
)
def test_where_the_value_of_a_field_stands(kind: dict[str, object], columns: list[CellColumn]) -> None:
    field = TemplateField.model_validate({"name": "f", **kind})
    assert value_columns(field, {"f"}) == cell_columns(field, {"f"}) == columns
    original = CellColumn("_raw_f", CellKind.TEXT)
    assert value_columns(field, {"f", "_raw_f"}) == columns
    assert cell_columns(field, {"f", "_raw_f"}) == [*columns, original]


def test_exact_numbers_have_a_column_where_there_are_any() -> None:
    field = TemplateField(name="f", type=FieldType.NUMBER)
    assert value_columns(field, {"_dec_f"})[-1] == CellColumn("_dec_f", CellKind.DECIMAL)
