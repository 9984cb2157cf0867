"""Decides what a checked batch does to the records that exist (DESIGN section 7).

The same function answers a preview and plans an execution, so the two cannot differ.
"""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, cast

import pyarrow as pa
from bson import Int64, ObjectId

from libs.contracts.ids import record_prefix
from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField

Record = Mapping[str, Any]


class SkipReason(StrEnum):
    """Why a valid row changes nothing."""

    UNCHANGED = "UNCHANGED"
    DUPLICATE_UPSERT_KEY = "DUPLICATE_UPSERT_KEY"
    EMPTY_UPSERT_KEY = "EMPTY_UPSERT_KEY"


@dataclass(frozen=True, slots=True)
class BeforeImage:
    """What undoes an update.

    Attributes:
        restore: values to set again.
        remove: keys that the record did not have.
    """

    restore: dict[str, Any]
    remove: list[str]


@dataclass(frozen=True, slots=True)
class RecordUpdate:
    """A row that changes a record.

    Attributes:
        row: 1-based row of the file.
        record_id: the record's ``_id``.
        changes: the fields that differ with their new values, ``updated_at`` and ``_import``.
        before: ``None`` for a record that the same run created: undoing the run removes it.
    """

    row: int
    record_id: Any
    changes: dict[str, Any]
    before: BeforeImage | None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Where every row of a batch goes: each is in exactly one of the three.

    Attributes:
        create: the rows that become new records, a checked batch again.
        updates: the rows that change a record.
        skipped: row numbers by reason; reasons without rows are absent.
    """

    create: pa.Table
    updates: list[RecordUpdate]
    skipped: dict[SkipReason, list[int]]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that cannot be written, and why."""

    row: int
    field: str
    code: str
    message: str


def upsert_keys(table: pa.Table, template: Template) -> list[Any]:
    """The upsert key of every row, to look up the records that exist; null where it is empty."""
    assert template.upsert_key is not None
    return field_values(table, template, template.upsert_key)


def plan_batch(
    table: pa.Table,
    existing: Mapping[Any, Record],
    template: Template,
    file_fields: Container[str],
    run_id: str,
    written_at: datetime,
) -> BatchPlan:
    """Plan the rows of a checked batch.

    A row equals its record when every compared field does; then it is skipped. Compared are the
    template's fields that the file has a column for, and the default values: a field without a
    column says nothing about the record. A missing field equals null, ``1`` equals ``1.0``, a
    boolean equals no number, and dates are compared as points in time.

    Args:
        table: a checked batch of ``template``.
        existing: the live record of each upsert key that has one, dates naive (UTC) or aware;
            not looked at in mode ``append``.
        file_fields: the fields that the file has a column for.
        run_id: written to ``_import`` of what is updated.
        written_at: aware; ``updated_at`` of what is updated.
    """
    if template.mode is ImportMode.APPEND:
        return BatchPlan(create=table, updates=[], skipped={})
    keys = upsert_keys(table, template)
    rows = _row_numbers(table)
    last_of_key = {key: index for index, key in enumerate(keys)}
    created: list[int] = []
    matched: list[int] = []
    skipped: dict[SkipReason, list[int]] = {}
    for index, key in enumerate(keys):
        if key is None:
            skipped.setdefault(SkipReason.EMPTY_UPSERT_KEY, []).append(rows[index])
        elif last_of_key[key] != index:
            skipped.setdefault(SkipReason.DUPLICATE_UPSERT_KEY, []).append(rows[index])
        elif key in existing:
            matched.append(index)
        else:
            created.append(index)
    differences = _Differences(_take(table, matched), template, file_fields)
    updates: list[RecordUpdate] = []
    prefix = record_prefix(run_id)
    for position, index in enumerate(matched):
        record = existing[keys[index]]
        changes = differences.of(position, record)
        if not changes:
            skipped.setdefault(SkipReason.UNCHANGED, []).append(rows[index])
            continue
        origin: dict[str, Any] = {
            "run_id": run_id,
            "row": Int64(rows[index]),
            "version": _version(record) + 1,
        }
        if warnings := differences.warnings[position]:
            origin["warnings"] = json.loads(warnings)
        changes |= {"updated_at": written_at, "_import": origin}
        own = isinstance(record["_id"], ObjectId) and record["_id"].binary.startswith(prefix)
        updates.append(RecordUpdate(rows[index], record["_id"], changes, None if own else _before(record, changes)))
    return BatchPlan(create=_take(table, created), updates=updates, skipped=skipped)


def split_conflicts(
    table: pa.Table, template: Template, field: str, taken: Mapping[Any, Record]
) -> tuple[pa.Table, list[Rejection]]:
    """Part the rows whose value of a unique field is free from those that must be rejected.

    A value is free when no other record has it: in mode ``upsert`` the row's own record may. Of
    several rows with one value the first keeps it. Null is always free.

    Args:
        table: a checked batch of ``template``.
        field: the field of the template that the unique index is on.
        taken: the live record of each value of ``field`` that one holds.

    Returns:
        The writable rows, a checked batch again, and the rest with code ``DUPLICATE_KEY``.
    """
    rows = _row_numbers(table)
    values = field_values(table, template, field)
    keys = upsert_keys(table, template) if template.mode is ImportMode.UPSERT else None
    writable: list[int] = []
    rejected: list[Rejection] = []
    holders: dict[Any, int] = {}
    for index, value in enumerate(values):
        record = taken.get(value)
        if record is not None and not (keys and record.get(template.upsert_key or "") == keys[index]):
            message = f"a record with {field} {value!r} exists already"
        elif value is not None and value in holders:
            message = f"row {holders[value]} has {field} {value!r} already"
        else:
            holders[value] = rows[index]
            writable.append(index)
            continue
        rejected.append(Rejection(rows[index], field, "DUPLICATE_KEY", message))
    return _take(table, writable), rejected


def field_values(table: pa.Table, template: Template, name: str) -> list[Any]:
    """The values of a template's field as Python objects, one per row; dates are naive UTC.

    As in the encoder, the original text of a kept cell stands in for a null.
    """
    field = next(field for field in template.fields if field.name == name)
    return _cells(table, field)


class _Differences:
    """Compares rows with records; all rows are turned into Python values at once."""

    def __init__(self, table: pa.Table, template: Template, file_fields: Container[str]) -> None:
        # The key is equal by definition; with it there is always something to compare.
        fields = [f for f in template.fields if f.name in file_fields or f.name == template.upsert_key]
        columns = [_cells(table, field) for field in fields]
        columns += [[value] * table.num_rows for value in template.default_values.values()]
        self._names = [*(field.name for field in fields), *template.default_values]
        self._integers = {field.name for field in fields if field.type is FieldType.NUMBER}
        self._rows: Sequence[tuple[Any, ...]] = list(zip(*columns, strict=True))
        # For Python True equals 1; only values that are not text can be taken for one another.
        self._not_text = [
            index
            for index, name in enumerate(self._names)
            if name in template.default_values or fields[index].type in (FieldType.NUMBER, FieldType.BOOLEAN)
        ]
        self._held = _values_of(self._names)
        self.warnings: list[str | None] = (
            table["_warnings"].to_pylist() if "_warnings" in table.column_names else [None] * table.num_rows
        )

    def of(self, index: int, record: Record) -> dict[str, Any]:
        """The fields of the row at ``index`` whose values differ from the record's."""
        row = self._rows[index]
        try:
            # Nearly every row of a repeated import ends here: one comparison in C.
            held = self._held(record)
            unchanged = held == row and not any(_differs(held[place], row[place]) for place in self._not_text)
        except KeyError:
            unchanged = False
        if unchanged:
            return {}
        return {
            name: Int64(value) if name in self._integers and type(value) is int else value
            for name, value in zip(self._names, row, strict=True)
            if _differs(record.get(name), value)
        }


def _values_of(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """A function from a record to the tuple of its values; it raises KeyError where one is missing."""
    if len(names) == 1:
        return lambda record: (record[names[0]],)
    return itemgetter(*names)


def _differs(held: object, value: object) -> bool:
    if held == value:
        return isinstance(held, bool) is not isinstance(value, bool)
    if isinstance(held, datetime) and isinstance(value, datetime):
        return _naive(held) != value
    # Not a number equals nothing, not even itself.
    return held == held or value == value


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _version(record: Record) -> int:
    """Records that another application created have no version."""
    origin: object = record.get("_import")
    version = cast("Record", origin).get("version") if isinstance(origin, Mapping) else None
    return version if isinstance(version, int) else 0


def _before(record: Record, changes: Record) -> BeforeImage:
    return BeforeImage(
        restore={name: record[name] for name in changes if name in record},
        remove=[name for name in changes if name not in record],
    )


def _take(table: pa.Table, indices: list[int]) -> pa.Table:
    return table.take(pa.array(indices, pa.int64()))


def _row_numbers(table: pa.Table) -> list[int]:
    return table["_row"].to_numpy().tolist()


def _cells(table: pa.Table, field: TemplateField) -> list[Any]:
    cells: list[Any]
    if field.type is FieldType.DATE:
        # Through numpy: naive datetimes come 25 times faster than Arrow's aware ones.
        cells = table[field.name].to_numpy().astype("datetime64[ms]").tolist()
    else:
        cells = table[field.name].to_pylist()
    if field.type is FieldType.NUMBER and not field.integer:
        cells = _first_of(table[f"_int_{field.name}"].to_pylist(), cells)
    if (original := f"_raw_{field.name}") in table.column_names:
        cells = _first_of(cells, table[original].to_pylist())
    return cells


def _first_of(preferred: list[Any], other: list[Any]) -> list[Any]:
    return [second if first is None else first for first, second in zip(preferred, other, strict=True)]
