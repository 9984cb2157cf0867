"""Checked batches for tests: rows as dicts, and the Arrow table that the validator would hand on."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from bson import Decimal128, Int64

from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField

RUN_ID = "65f0c0ffee65f0c0ffee0001"
TENANT_ID = "65f0c0ffee65f0c0ffee0002"

CONTACTS = Template(
    name="Contacts",
    target_resource="contacts",
    mode=ImportMode.UPSERT,
    upsert_key="email",
    fields=(
        TemplateField(name="email", type=FieldType.EMAIL),
        TemplateField(name="name"),
        TemplateField(name="age", type=FieldType.NUMBER, integer=True),
        TemplateField(name="amount", type=FieldType.NUMBER),
        TemplateField(name="joined", type=FieldType.DATE),
        TemplateField(name="active", type=FieldType.BOOLEAN),
        TemplateField(name="note"),
    ),
    default_values={"source": "import", "weight": 1.5, "rank": 7, "ok": True, "nothing": None},
)
WIDE = Template.model_validate(
    {
        "name": "Every type",
        "target_resource": "wide",
        "mode": "upsert",
        "upsert_key": "price",
        "include_unmatched_columns": True,
        "fields": [
            {"name": "price", "type": "number", "decimals": 2},
            {"name": "whole", "type": "number", "decimals": 0},
            {"name": "fine", "type": "number", "decimals": 30},
            {"name": "any", "type": "number"},
            {"name": "phone", "type": "phone"},
            {"name": "url", "type": "url"},
            {"name": "size", "type": "select", "options": ["S", "M"]},
            {"name": "code", "type": "custom_regex", "rules": [{"type": "regex", "pattern": ".*"}]},
        ],
        "default_values": {"source": "import"},
    }
)
WIDE_EXTRA = (("_extra_1", "City"), ("_extra_4", "_id"), ("_extra_7", "a\uff0eb"))
_TYPES: dict[FieldType, pa.DataType] = {
    FieldType.NUMBER: pa.int64(),
    FieldType.DATE: pa.timestamp("ms", tz="UTC"),
    FieldType.BOOLEAN: pa.bool_(),
}


class Raw(str):
    """The original text of a cell that could not be converted."""

    __slots__ = ()


def checked_batch(template: Template, rows: list[dict[str, Any]], extra: Sequence[tuple[str, str]] = ()) -> pa.Table:
    """The table for rows of typed values, ``Raw`` texts and, under ``_warnings``, warnings.

    ``extra`` of a row holds the texts of the columns of ``extra`` by key, and its ``_more`` the overflow.
    """
    columns: dict[str, pa.Array] = {"_row": pa.array([row["_row"] for row in rows], pa.uint32())}
    for field in template.fields:
        cells = [row.get(field.name) for row in rows]
        typed = [None if isinstance(cell, Raw) else cell for cell in cells]
        if field.decimals is not None:
            columns[field.name] = pa.array(typed, pa.decimal128(38, field.decimals))
        elif field.type is FieldType.NUMBER and not field.integer:
            fractions = [cell if isinstance(cell, float) else None for cell in typed]
            whole = [cell if isinstance(cell, int) else None for cell in typed]
            exact = [str(cell) if isinstance(cell, Decimal) else None for cell in typed]
            if any(exact):
                columns[f"_dec_{field.name}"] = pa.array(exact, pa.string())
            columns[field.name] = pa.array(fractions, pa.float64())
            columns[f"_int_{field.name}"] = pa.array(whole, pa.int64())
        else:
            columns[field.name] = pa.array(typed, _TYPES.get(field.type, pa.string()))
        if any(isinstance(cell, Raw) for cell in cells):
            originals = [str(cell) if isinstance(cell, Raw) else None for cell in cells]
            columns[f"_raw_{field.name}"] = pa.array(originals, pa.string())
    for column, key in extra:
        columns[column] = pa.array([row.get("extra", {}).get(key) for row in rows], pa.string())
    if any("_more" in row for row in rows):
        more = [json.dumps(row["_more"]) if "_more" in row else None for row in rows]
        columns["_more"] = pa.array(more, pa.string())
    if any("_warnings" in row for row in rows):
        warnings = [json.dumps(row["_warnings"]) if "_warnings" in row else None for row in rows]
        columns["_warnings"] = pa.array(warnings, pa.string())
    return pa.table(columns)


def stored(value: object) -> object:
    """The value as it is stored: whole numbers are 64-bit, kept text is text, decimals are Decimal128."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Decimal):
        return Decimal128(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Int64(value)
    return value
