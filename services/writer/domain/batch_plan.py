"""Decides what a checked batch does to the records that exist.

The same function answers a preview and plans an execution, so the two cannot differ.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

import pyarrow as pa
from bson import Int64, ObjectId

from libs.batches.columns import ROW
from libs.contracts.ids import record_prefix
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import SkipReason
from libs.contracts.record_keys import KEYS, key_value
from libs.contracts.templates import Concat, Constant, ImportMode, Template, Transform
from services.writer.domain.decimal128 import comparable
from services.writer.domain.encoded_changes import EncodedChanges
from services.writer.domain.record_keys import Key, entries
from services.writer.domain.row_differences import Record, RowDifferences, field_cells

Fields = tuple[str, ...]
Values = tuple[Any, ...]

AS_IN_FILE: Final[Record] = MappingProxyType({})
"""Stands for a record that holds exactly what its row says, which was found out without reading it."""
CHANGED: Final[Record] = MappingProxyType({})
"""Stands for a record whose change was encoded without reading it, see ``BatchPlan.encoded``."""


class BeforeImage(NamedTuple):
    """What undoes an update. ``_keys`` follows from the fields and from what the tenant's keys are then.

    Attributes:
        restore: values to set again.
        remove: keys that the record did not have.
    """

    restore: dict[str, Any]
    remove: list[str]


class RecordUpdate(NamedTuple):
    """A row that changes a record, or deletes it: then it is marked as deleted, by which it gives its keys up.

    What it carries for them stays: another application that takes the mark off has a record that is found again, or is
    refused by the index where the key has been given to another one since.

    Attributes:
        row: 1-based row of the file.
        record_id: the record's ``_id``.
        changes: the fields that differ with their new values, ``_import``, ``updated_at`` unless the template
            sets it, and ``_keys`` where these entries would be others.
        before: ``None`` for a record that the same run created: undoing the run removes it.
        origin: ``_import`` of the record before; ``None`` where it has none.
    """

    row: int
    record_id: Any
    changes: dict[str, Any]
    before: BeforeImage | None
    origin: object = None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Where every row of a batch goes: each is in exactly one of the five.

    Attributes:
        create: the rows that become new records, a checked batch again.
        updates: the rows that change a record.
        encoded: further ones, whose changes are encoded already; ``None`` where there are none.
        deletions: the rows that delete one.
        skipped: row numbers by reason; reasons without rows are absent.
    """

    create: pa.Table
    updates: list[RecordUpdate]
    skipped: dict[SkipReason, list[int]]
    deletions: list[RecordUpdate] = member(default_factory=list[RecordUpdate])
    encoded: EncodedChanges | None = None

    @property
    def updated_rows(self) -> list[int]:
        """Numbers of the rows that change a record, ascending."""
        rows = [each.row for each in self.updates]
        return rows if self.encoded is None else sorted([*rows, *self.encoded.rows])


def fields_from_file(template: Template, plan: ParsePlan) -> frozenset[str]:
    """The fields that a file says something about: read from its columns, or constant.

    A field whose column the file does not have says nothing about a record that exists, though a new one
    may get a default for it.
    """
    return frozenset(
        field.name
        for field in template.fields
        if plan.mapping.get(field.name) is not None
        or any(_reads_anything(transform, plan) for transform in field.transforms)
    )


def _reads_anything(transform: Transform, plan: ParsePlan) -> bool:
    if isinstance(transform, Concat):
        return any(plan.concat_columns.get(column) is not None for column in transform.columns)
    return isinstance(transform, Constant)


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
    extra: Sequence[tuple[str, str]] = (),
    keys: Sequence[Key] = (),
    deletions: pa.Table | None = None,
    encoded: EncodedChanges | None = None,
) -> BatchPlan:
    """Plan the rows of a checked batch.

    In mode ``update`` a row without a record is skipped, in modes ``upsert`` and ``sync`` it becomes one.

    A row equals its record when every compared field does; then it is skipped. Compared are the
    template's fields that the file says something about, the default values, and in ``extra`` the
    columns of the file; what else the record has there stays. A missing field equals null, a boolean
    equals no number, and dates are compared as points in time. Numbers are equal as they are to the
    server, which finds records by them: by their exact value, whatever their type and trailing zeros.

    Args:
        table: a checked batch of ``template``.
        existing: the live record of each upsert key that has one, dates naive (UTC) or aware;
            ``AS_IN_FILE`` where it is the same as its row, ``CHANGED`` where its change is among ``encoded``; not
            looked at in mode ``append``.
        file_fields: see ``fields_from_file``.
        run_id: written to ``_import`` of what is updated.
        written_at: aware; when what is updated is updated.
        extra: columns of the checked batch and their keys in ``extra``, see ``extra_keys.extra_columns``.
        keys: what records of the tenant carry an entry of; ``existing`` holds their fields and ``_keys``.
        deletions: rows with nothing but a key, whose records are to be deleted; no row of ``table`` has one of their
            keys. ``existing`` holds their records too, with ``is_deleted`` and ``deleted_at``.
        encoded: see ``BatchPlan``.
    """
    if not template.matches_by_key:
        return BatchPlan(create=table, updates=[], skipped={})
    upserted = upsert_keys(table, template)
    rows = row_numbers(table)
    skipped: dict[SkipReason, list[int]] = {}
    created, matched = _met(upserted, rows, existing, template, skipped)
    differences = RowDifferences(take_rows(table, matched), template, file_fields, extra)
    updates: list[RecordUpdate] = []
    by = _By(template, run_id, written_at)
    for position, index in enumerate(matched):
        record = existing[upserted[index]]
        changes = differences.of(position, record)
        if changes:
            changes |= _new_entries(record, changes, keys)
            updates.append(by.update(record, rows[index], changes, differences.warnings[position]))
        else:
            skipped.setdefault(SkipReason.UNCHANGED, []).append(rows[index])
    skipped.get(SkipReason.UNCHANGED, []).sort()
    deleted = [] if deletions is None else _deleted(deletions, existing, template, by, skipped)
    return BatchPlan(take_rows(table, created), updates, skipped, deleted, encoded)


def _met(
    upserted: Sequence[Any],
    rows: Sequence[int],
    existing: Mapping[Any, Record],
    template: Template,
    skipped: dict[SkipReason, list[int]],
) -> tuple[list[int], list[int]]:
    """Which rows, by index, become a record, and which have one to be compared with; more are added to ``skipped``."""
    last_of_key = {key: index for index, key in enumerate(upserted)}
    created: list[int] = []
    matched: list[int] = []
    for index, key in enumerate(upserted):
        if key is None:
            skipped.setdefault(SkipReason.EMPTY_UPSERT_KEY, []).append(rows[index])
        elif last_of_key[key] != index:
            skipped.setdefault(SkipReason.DUPLICATE_UPSERT_KEY, []).append(rows[index])
        elif (record := existing.get(key)) is AS_IN_FILE:
            skipped.setdefault(SkipReason.UNCHANGED, []).append(rows[index])
        elif record is CHANGED:
            continue
        elif record is not None:
            matched.append(index)
        elif template.mode is ImportMode.UPDATE:
            skipped.setdefault(SkipReason.NOT_FOUND, []).append(rows[index])
        else:
            created.append(index)
    return created, matched


class _By:
    """The run that changes records, and when."""

    def __init__(self, template: Template, run_id: str, written_at: datetime) -> None:
        self.run_id = run_id
        self.written_at = written_at
        self._notes_time = "updated_at" not in template.sets
        self._prefix = record_prefix(run_id)

    def update(self, record: Record, row: int, changes: dict[str, Any], warnings: str | None = None) -> RecordUpdate:
        """The change of a record; what the run notes on it is added to ``changes``."""
        if self._notes_time:
            changes["updated_at"] = self.written_at
        changes["_import"] = _origin(record, self.run_id, row, self.written_at, warnings)
        own = isinstance(record["_id"], ObjectId) and record["_id"].binary.startswith(self._prefix)
        before = None if own else _before(record, changes)
        return RecordUpdate(row, record["_id"], changes, before, record.get("_import"))


def _deleted(
    deletions: pa.Table,
    existing: Mapping[Any, Record],
    template: Template,
    by: _By,
    skipped: dict[SkipReason, list[int]],
) -> list[RecordUpdate]:
    """The rows that delete a record; the others are added to ``skipped``."""
    found: list[RecordUpdate] = []
    for row, key in zip(row_numbers(deletions), upsert_keys(deletions, template), strict=True):
        if (record := existing.get(key)) is None:
            skipped.setdefault(SkipReason.NOT_FOUND, []).append(row)
            continue
        found.append(by.update(record, row, {"is_deleted": True, "deleted_at": by.written_at}))
    return found


def swept(record: Record, number: int, template: Template, run_id: str, deleted_at: datetime) -> RecordUpdate:
    """The deletion of a record that the file of a sync does not hold: no row is noted on it.

    Args:
        record: with its keys, times and ``_import``.
        number: by which its before-image is found, see ``BatchDocument.sweeps``.
    """
    changes: dict[str, Any] = {"is_deleted": True, "deleted_at": deleted_at}
    update = _By(template, run_id, deleted_at).update(record, number, changes)
    del update.changes["_import"]["row"]
    return update


def _new_entries(record: Record, changes: Record, keys: Sequence[Key]) -> dict[str, Any]:
    """``_keys`` of a record after a change, where that is not what it has.

    With one key, by which the record was found, it has what follows from its fields.
    """
    changed = False
    for key in keys:
        changed = changed or not changes.keys().isdisjoint(key.names)
    if len(keys) == 1 and not changed:
        return {}
    after = entries(keys, {**record, **changes}) if keys else []
    return {KEYS: after} if changed or (keys and after != (record.get(KEYS) or [])) else {}


def without_rows(table: pa.Table, rows: Container[int]) -> pa.Table:
    """The rows of a checked batch whose numbers are not among ``rows``."""
    return take_rows(table, [index for index, row in enumerate(row_numbers(table)) if row not in rows])


def field_values(table: pa.Table, template: Template, name: str) -> list[Any]:
    """The values of a template's field or default value as Python objects that compare as keys of records do.

    One per row, texts as they are compared; dates are naive UTC. As in the encoder, the original text of a kept cell
    stands in for a null.
    """
    return [key_value(comparable(value)) for value in raw_values(table, template, name)]


def raw_values(table: pa.Table, template: Template, name: str) -> list[Any]:
    """The same as records hold them."""
    for field in template.fields:
        if field.name == name:
            return field_cells(table, field)
    return [template.default_values[name]] * table.num_rows


def _origin(record: Record, run_id: str, row: int, written_at: datetime, warnings: str | None) -> dict[str, Any]:
    """``_import`` of an updated record. One that another application created has no version and no time so far.

    Release 0.1 noted outside ``_import`` only when a record was created.
    """
    held: object = record.get("_import")
    before: Record = cast("Record", held) if isinstance(held, dict) else {}
    version = before.get("version")
    origin: dict[str, Any] = {
        "run_id": run_id,
        "row": Int64(row),
        "version": (version if isinstance(version, int) else 0) + 1,
    }
    created_at = before.get("created_at", record.get("created_at") if before else None)
    if created_at is not None:
        origin["created_at"] = created_at
    origin["updated_at"] = written_at
    if warnings:
        origin["warnings"] = json.loads(warnings)
    return origin


def _before(record: Record, changes: Record) -> BeforeImage:
    restore: dict[str, Any] = {}
    remove: list[str] = []
    for name in changes:
        if name == KEYS:
            continue
        if name in record:
            restore[name] = record[name]
        else:
            remove.append(name)
    return BeforeImage(restore, remove)


def take_rows(table: pa.Table, indices: list[int]) -> pa.Table:
    """The rows of a checked batch at ``indices``."""
    return table.take(pa.array(indices, pa.int64()))


def row_numbers(table: pa.Table) -> list[int]:
    """The row number of every row of a checked batch."""
    return table[ROW].to_numpy().tolist()
