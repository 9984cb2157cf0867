"""Which records a sync stands for, and which rows reach beyond them."""

from collections.abc import Container, Mapping
from typing import Any

import pyarrow as pa

from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RowError
from libs.contracts.templates import ImportMode, Scalar, Template
from services.writer.domain.batch_plan import AS_IN_FILE, Record, raw_values, row_numbers, upsert_keys
from services.writer.domain.decimal128 import comparable


def scope_conditions(template: Template) -> dict[str, Any]:
    """The filter of the records within the scope. A list that holds the value is not the value."""
    scope = template.scope_filter or {}
    return {name: {"$eq": value, "$not": {"$type": "array"}} for name, value in scope.items()}


def out_of_scope(
    table: pa.Table, existing: Mapping[Any, Record], template: Template, file_fields: Container[str]
) -> dict[int, tuple[RowError, ...]]:
    """The rows of a sync that would change, or make, a record that is not within its scope; none in other modes.

    A sync that wrote them would change what the file does not stand for, and never delete it again.

    Args:
        table: a checked batch.
        existing: the live record of each upsert key that has one, with the fields of the scope, or ``AS_IN_FILE``
            where the row says what these are.
        file_fields: see ``batch_plan.fields_from_file``.
    """
    scope = template.scope_filter or {}
    if template.mode is not ImportMode.SYNC or not scope:
        return {}
    values = {name: raw_values(table, template, name) for name in scope if name in template.sets}
    written = {name for name in values if name in file_fields or name in template.default_values}
    found: dict[int, tuple[RowError, ...]] = {}
    for index, (row, key) in enumerate(zip(row_numbers(table), upsert_keys(table, template), strict=True)):
        record = existing.get(key)
        errors: list[RowError] = []
        for name, wanted in scope.items():
            same = record is AS_IN_FILE and name in values
            held = values[name][index] if same else None if record is None else record.get(name)
            if record is not None and not _equal(held, wanted):
                errors.append(_error(name, wanted, f"The record with this {template.upsert_key!r} has another"))
                continue
            says = record is None or name in written
            if says and not _equal(values[name][index] if name in values else None, wanted):
                errors.append(_error(name, wanted, "The record of this row would have another"))
        if errors:
            found[row] = tuple(errors)
    return found


def _error(name: str, wanted: Scalar, what: str) -> RowError:
    message = (
        f"{what} {name!r} than {wanted!r}, so it is none of those that this import stands for. Correct the row, or "
        "change the record or the scope_filter of the template."
    )
    return RowError(name, None, RowErrorCode.OUT_OF_SCOPE, message)


def _equal(held: object, wanted: Scalar) -> bool:
    """Whether the server finds a record by ``wanted`` that holds ``held``."""
    if isinstance(held, bool) or isinstance(wanted, bool):
        return held is wanted
    return bool(comparable(held) == wanted)
