"""Which rows of a batch unique indexes of the target keep from being written."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

import pyarrow as pa

from libs.contracts.reasons import RowErrorCode
from libs.contracts.record_keys import key_value
from libs.contracts.rejections import MAX_SHOWN_CHARS, RowError, shown
from libs.contracts.templates import Template, Unique
from services.writer.domain.batch_plan import (
    Fields,
    Record,
    Values,
    field_values,
    row_numbers,
    take_rows,
    upsert_keys,
)
from services.writer.domain.decimal128 import comparable


def split_conflicts(
    table: pa.Table,
    template: Template,
    taken: Mapping[Fields, Mapping[Values, Record]],
    found: Container[Any] | None = None,
) -> tuple[pa.Table, dict[int, RowError]]:
    """Part the rows that unique indexes of the target let pass from those that must be rejected.

    Values are free when no live record holds them; where rows are matched by key, the row's own record may. Of several
    rows with the same values the first one that can be written keeps them. An index binds no row in which
    one of its fields is empty, and none that is not written for its upsert key: it keeps no value from others and is
    not rejected.

    Args:
        table: a checked batch of ``template``.
        taken: for the fields of each index, all of the template: the live record that holds the values.
        found: the upsert keys that have a record, where rows without one are not written; else ``None``.

    Returns:
        The writable rows, a checked batch again, and the others with their error ``DUPLICATE_KEY``.
    """
    rows = row_numbers(table)
    keys = upsert_keys(table, template) if template.matches_by_key else None
    last_of_key = {} if keys is None else {key: index for index, key in enumerate(keys)}
    columns = {
        fields: list(zip(*(field_values(table, template, name) for name in fields), strict=True)) for fields in taken
    }
    writable: list[int] = []
    rejected: dict[int, RowError] = {}
    holders: dict[tuple[Fields, Values], int] = {}
    for index, row in enumerate(rows):
        key = None if keys is None else keys[index]
        claims: list[tuple[Fields, Values]] = []
        if keys is None or (key is not None and last_of_key[key] == index and (found is None or key in found)):
            claims = [(fields, values[index]) for fields, values in columns.items() if None not in values[index]]
        for fields, values in claims:
            record = taken[fields].get(values)
            if record is not None and (key is None or _upsert_key(record, template) != key):
                rejected[row] = _duplicate(template, fields, values, None)
                break
            if (fields, values) in holders:
                rejected[row] = _duplicate(template, fields, values, holders[fields, values])
                break
        else:
            holders.update(dict.fromkeys(claims, row))
            writable.append(index)
    return take_rows(table, writable), rejected


def _upsert_key(record: Record, template: Template) -> Any:  # noqa: ANN401
    return key_value(comparable(record.get(template.upsert_key or "")))


def _duplicate(template: Template, fields: Fields, values: Values, holder: int | None) -> RowError:
    asked = [
        (field.name, rule.message)
        for field in template.fields
        for rule in field.rules
        if isinstance(rule, Unique) and {field.name, *rule.fields} == set(fields)
    ]
    own_words = [message for _, message in asked if message is not None]
    held = described(zip(fields, values, strict=True))
    if holder is None:
        message = f"A record with {held} exists already, and no two may hold it. Change this row or remove it."
    else:
        message = f"Row {holder} already holds {held}, and no two records may. Change or remove one of the two rows."
    field = asked[0][0] if asked else fields[0]
    return RowError(field, None, RowErrorCode.DUPLICATE_KEY, own_words[0] if own_words else message)


def described(values: Iterable[tuple[str, Any]]) -> str:
    """Names and values for a message: ``email 'a@example.com' and country 'SE'``."""
    return " and ".join(
        f"{name} {_beginning(value)!r}" if isinstance(value, str) else f"{name} {value}" for name, value in values
    )


def _beginning(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{shown(text)}…"
