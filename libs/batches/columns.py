"""Names and Arrow types of the columns of a batch.

A *parsed* batch has the row number and the file's cells as text: ``_row``, ``c0``, ``c1``, …. A *checked* batch has
the row number and the columns of every field of the template: the one with the field's name and, for some types,
further ones for values that it cannot hold (``cell_columns``). A field's name never starts with an underscore, so
the others cannot be taken for one.

Batches lie in the database while releases meet: a column may be added, none may be renamed or change its type.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from libs.contracts.templates import FieldType, TemplateField

ROW: Final = "_row"
"""1-based number over the data rows of the file; ascending."""
WARNINGS: Final = "_warnings"
"""What is wrong with a row that is kept all the same, as a JSON array; null for a sound row."""
OVERFLOW: Final = "_more"
"""What a row has beyond the file's columns, as a JSON object of texts; null where it has nothing."""

ROW_TYPE: Final = pa.uint32()
TEXT: Final = pa.string()
INTEGER: Final = pa.int64()
DOUBLE: Final = pa.float64()
BOOLEAN: Final = pa.bool_()
DATE: Final = pa.timestamp("ms", tz="UTC")
DECIMAL_DIGITS: Final = 38


def decimal_type(decimals: int) -> pa.DataType:
    """The type of an exact number with so many decimals."""
    return pa.decimal128(DECIMAL_DIGITS, decimals)


def cell_column(index: int) -> str:
    """The column of a parsed batch with the cells of the file's column ``index`` (0-based)."""
    return f"c{index}"


def integer_column(name: str) -> str:
    """The column that holds the integers of a number field."""
    return f"_int_{name}"


def decimal_column(name: str) -> str:
    """The column that holds, as text, what neither an int64 nor a double holds; absent where no row has any."""
    return f"_dec_{name}"


def original_column(name: str) -> str:
    """The column with a field's original texts that could not be converted; absent where no row has any."""
    return f"_raw_{name}"


def extra_column(index: int) -> str:
    """The column with the texts of the file's column ``index`` (0-based), which no field reads."""
    return f"_extra_{index}"


def is_field(name: str) -> bool:
    """Whether a column of a checked batch has the name of a field."""
    return not name.startswith("_")


def parsed_schema(columns: int) -> pa.Schema:
    """The schema of every parsed batch of a file with so many columns; null where a short row has no cell."""
    return pa.schema([pa.field(ROW, ROW_TYPE), *(pa.field(cell_column(index), TEXT) for index in range(columns))])


class CellKind(StrEnum):
    """What one column of a field holds."""

    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    INTEGER = "integer"
    DOUBLE = "double"
    DECIMAL = "decimal"
    """Exact numbers: Arrow decimals where the field has a number of decimals, else texts."""


@dataclass(frozen=True, slots=True)
class CellColumn:
    """A column of a checked batch that holds values of a field."""

    name: str
    kind: CellKind


def value_columns(field: TemplateField, present: Container[str]) -> list[CellColumn]:
    """Where the value of a field stands: in the first of these columns that is not null in the row.

    Args:
        field: a field of the template.
        present: names of the columns of the checked batch.
    """
    match field.type:
        case FieldType.NUMBER if field.decimals is not None:
            return [CellColumn(field.name, CellKind.DECIMAL)]
        case FieldType.NUMBER if field.integer:
            return [CellColumn(field.name, CellKind.INTEGER)]
        case FieldType.NUMBER:
            whole, double = integer_column(field.name), field.name
            columns = [CellColumn(whole, CellKind.INTEGER), CellColumn(double, CellKind.DOUBLE)]
            exact = decimal_column(field.name)
            return [*columns, CellColumn(exact, CellKind.DECIMAL)] if exact in present else columns
        case FieldType.BOOLEAN:
            return [CellColumn(field.name, CellKind.BOOLEAN)]
        case FieldType.DATE:
            return [CellColumn(field.name, CellKind.DATE)]
        case _:
            return [CellColumn(field.name, CellKind.TEXT)]


def cell_columns(field: TemplateField, present: Container[str]) -> list[CellColumn]:
    """``value_columns``, and last the original text of a row that is kept although it could not be converted."""
    columns, original = value_columns(field, present), original_column(field.name)
    return [*columns, CellColumn(original, CellKind.TEXT)] if original in present else columns
