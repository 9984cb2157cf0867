"""From a checked batch to the JSON of its values, column by column.

What most columns hold becomes text as a whole; Python looks at single values only where Arrow writes them otherwise
than ``libs.values.json_values``: exact numbers, texts with signs to escape, times with milliseconds or odd years.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from json.encoder import encode_basestring
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from libs.batches.columns import TEXT, CellColumn, CellKind, cell_columns
from libs.contracts.templates import TemplateField
from libs.values.json_values import as_json
from services.writer.domain.document_slots import Column
from services.writer.domain.row_differences import column_values

NULL: Final = "null"
_ESCAPED: Final = r'["\\\x00-\x1f]'
_SECONDS: Final = pa.timestamp("s")
_FIRST, _END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000 for year in (1_000, 9_999))
"""Milliseconds between which years have four digits."""
encode: Final[Callable[[object], str]] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_column(table: pa.Table, field: TemplateField) -> Column:
    """The value of a field in every row as JSON; ``null`` where it has none."""
    texts = [_texts(table, column) for column in cell_columns(field, table.column_names)]
    return reduce(_first_of, [*texts, pa.scalar(NULL, TEXT)])


def _first_of(preferred: Any, other: Any) -> Any:  # noqa: ANN401 - columns, and a text in place of the last one
    return pc.coalesce(preferred, other)


def _texts(table: pa.Table, column: CellColumn) -> Column:
    """The values of one column as JSON; null where it has none."""
    cells = table.column(column.name).combine_chunks()
    if cells.null_count == len(cells):
        return pa.nulls(len(cells), TEXT)
    match column.kind:
        case CellKind.TEXT if not pc.any(pc.match_substring_regex(cells.cast(TEXT), _ESCAPED)).as_py():
            return _quoted(cells.cast(TEXT))
        case CellKind.BOOLEAN:
            return pc.if_else(cells, "true", "false")
        case CellKind.INTEGER:
            return cells.cast(TEXT)
        case CellKind.DOUBLE if np.isfinite(cells.fill_null(0.0).to_numpy()).all():
            return cells.cast(TEXT)
        case CellKind.DATE if _is_plain(cells):
            written = pc.replace_substring(cells.cast(_SECONDS).cast(TEXT), " ", "T")
            return _quoted(written, end='Z"')
        case _:
            return pa.array([_text(value) for value in column_values(table, column)], TEXT)


def _quoted(texts: Column, end: str = '"') -> Column:
    return joined('"', texts, end)


def joined(*parts: Column | str) -> Column:
    """Columns and constant texts side by side; null where one of them is."""
    join: Any = pc.binary_join_element_wise
    return join(*parts, "")


def _is_plain(times: Column) -> bool:
    """Whether these are whole seconds of years with four digits."""
    moments = times.cast(pa.int64()).fill_null(0).to_numpy()
    whole = not (moments % 1_000).any()
    return whole and moments.min().item() >= _FIRST and moments.max().item() < _END


def _text(value: object) -> str | None:
    if value is None:
        return None
    return encode_basestring(value) if type(value) is str else encode(as_json(value))
