"""The first rows of a file as JSON, for people to look at before anything is written."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from libs.batches.columns import (
    OVERFLOW,
    decimal_column,
    extra_column,
    integer_column,
    is_field,
    original_column,
)
from libs.batches.extra_keys import Overflow, extra_columns

MAX_TEXT_CHARS = 1_000
MAX_PREVIEW_CHARS = 1_000_000
EXTRA = "extra"


def preview(valid: pa.Table, limit: int, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The first rows of a checked batch as JSON values: field name to value.

    Dates are ISO 8601 with ``Z``, empty values ``None``. An exact decimal is a number where a JSON reader that
    knows doubles only gets it exactly, else its text. A value that could not be converted shows its original
    text. Texts are cut to 1,000 characters, and no row follows after a million characters.

    ``extra`` holds what no field reads, as far as there is any, under the keys of the record.

    Args:
        valid: a checked batch.
        limit: most rows.
        columns: headers of the file (``ParsePlan.columns``).
    """
    rows: list[dict[str, Any]] = []
    chars = 0
    for at in range(min(limit, valid.num_rows)):
        if chars > MAX_PREVIEW_CHARS:
            break
        rows.append(_preview_row(valid.slice(at, 1).to_pylist()[0], columns))
        chars += len(json.dumps(rows[-1]))
    return rows


def preview_value(row: Mapping[str, Any], field: str) -> object:
    """The value of a field in a row of a checked batch, as in ``preview``."""
    alternatives = (field, integer_column(field), decimal_column(field), original_column(field))
    return _json_value(next((row[each] for each in alternatives if row.get(each) is not None), None))


def _preview_row(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in row:
        if is_field(name):
            shown[name] = preview_value(row, name)
    unmatched = [at for at in range(len(columns)) if extra_column(at) in row]
    keys = extra_columns(columns, unmatched)
    extra = {key: row[column] for column, key in keys}
    if more := row.get(OVERFLOW):
        extra |= Overflow(key for _, key in keys).entries(more)
    if extra:
        shown[EXTRA] = {key: _json_value(text) for key, text in extra.items() if text is not None}
    return shown


def _json_value(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Decimal():
            double = float(value)
            return double if Decimal(repr(double)) == value else str(value)
        case str():
            return value if len(value) <= MAX_TEXT_CHARS else f"{value[:MAX_TEXT_CHARS]}…"
        case _:
            return value
