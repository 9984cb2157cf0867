"""Checked batches for tests: rows as dicts, and the Arrow table that the validator would hand on."""

import json
from typing import Any

import pyarrow as pa
from bson import Int64

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
_TYPES: dict[FieldType, pa.DataType] = {
    FieldType.TEXT: pa.string(),
    FieldType.EMAIL: pa.string(),
    FieldType.NUMBER: pa.int64(),
    FieldType.DATE: pa.timestamp("ms", tz="UTC"),
    FieldType.BOOLEAN: pa.bool_(),
}


class Raw(str):
    """The original text of a cell that could not be converted."""

    __slots__ = ()


def checked_batch(template: Template, rows: list[dict[str, Any]]) -> pa.Table:
    """The table for rows of typed values, ``Raw`` texts and, under ``_warnings``, warnings."""
    columns: dict[str, pa.Array] = {"_row": pa.array([row["_row"] for row in rows], pa.uint32())}
    for field in template.fields:
        cells = [row.get(field.name) for row in rows]
        typed = [None if isinstance(cell, Raw) else cell for cell in cells]
        if field.type is FieldType.NUMBER and not field.integer:
            fractions = [cell if isinstance(cell, float) else None for cell in typed]
            whole = [None if isinstance(cell, float) else cell for cell in typed]
            columns[field.name] = pa.array(fractions, pa.float64())
            columns[f"_int_{field.name}"] = pa.array(whole, pa.int64())
        else:
            columns[field.name] = pa.array(typed, _TYPES[field.type])
        if any(isinstance(cell, Raw) for cell in cells):
            originals = [str(cell) if isinstance(cell, Raw) else None for cell in cells]
            columns[f"_raw_{field.name}"] = pa.array(originals, pa.string())
    if any("_warnings" in row for row in rows):
        warnings = [json.dumps(row["_warnings"]) if "_warnings" in row else None for row in rows]
        columns["_warnings"] = pa.array(warnings, pa.string())
    return pa.table(columns)


def stored(value: object) -> object:
    """The value as it is stored: whole numbers are 64-bit, kept text is text."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Int64(value)
    return value
