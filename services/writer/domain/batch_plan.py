"""Decides what a checked batch does to the records that exist.

The same function answers a preview and plans an execution, so the two cannot differ.
"""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import UTC, datetime
from functools import reduce
from itertools import compress
from operator import itemgetter, ne
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

import pyarrow as pa
from bson import Decimal128, Int64, ObjectId

from libs.batches.columns import OVERFLOW, ROW, WARNINGS, CellColumn, CellKind, cell_columns
from libs.batches.extra_keys import Overflow
from libs.contracts.ids import record_prefix
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import SkipReason
from libs.contracts.record_keys import KEYS, key_value
from libs.contracts.templates import Concat, Constant, FieldType, ImportMode, Template, TemplateField, Transform
from services.writer.domain.decimal128 import comparable, decimal_cells
from services.writer.domain.encoded_changes import EncodedChanges
from services.writer.domain.record_keys import Key, entries

Record = Mapping[str, Any]
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
            return _cells(table, field)
    return [template.default_values[name]] * table.num_rows


class RowDifferences:
    """Compares rows with records; all rows are turned into Python values at once.

    Args:
        table: a checked batch of ``template``.
        template: the template.
        file_fields: those that are compared, besides the upsert key and the default values.
        extra: columns of the checked batch and their keys in ``extra``.
    """

    def __init__(
        self,
        table: pa.Table,
        template: Template,
        file_fields: Container[str],
        extra: Sequence[tuple[str, str]],
    ) -> None:
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
        self._places = range(len(self._names))
        self._held = _values_of(self._names)
        self._extra = extra_cells(table, extra) if template.include_unmatched_columns else None
        self.warnings: list[str | None] = (
            table[WARNINGS].to_pylist() if WARNINGS in table.column_names else [None] * table.num_rows
        )

    def of(self, index: int, record: Record) -> dict[str, Any]:
        """The fields of the row at ``index`` whose values differ from the record's."""
        changes = self._fields_of(index, record)
        if self._extra is not None:
            held: object = record.get("extra")
            before: Record = cast("Record", held) if isinstance(held, Mapping) else {}
            if any(before.get(key) != text for key, text in self._extra[index].items()):
                changes["extra"] = {**before, **self._extra[index]}
        return changes

    def has_extra_of(self, index: int, record: Record) -> bool:
        """Whether ``extra`` of a record is what the row at ``index`` says, and nothing more."""
        return self._extra is None or record.get("extra", {}) == self._extra[index]

    def _fields_of(self, index: int, record: Record) -> dict[str, Any]:
        row = self._rows[index]
        try:
            held = self._held(record)
        except KeyError:
            held = tuple(record.get(name) for name in self._names)
        # Nearly every row of a repeated import ends here: one comparison in C.
        if held == row and not any(_differs(held[place], row[place]) for place in self._not_text):
            return {}
        # Most values of a changed record are equal: only the others are looked at, and those that Python mistakes.
        mistaken = [place for place in self._not_text if type(held[place]) is not type(row[place])]
        doubtful = {*compress(self._places, map(ne, held, row)), *mistaken}
        return {
            self._names[place]: self._written(place, row[place])
            for place in sorted(doubtful)
            if _differs(held[place], row[place])
        }

    def _written(self, place: int, value: Any) -> Any:  # noqa: ANN401
        return Int64(value) if type(value) is int and self._names[place] in self._integers else value


def _values_of(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """A function from a record to the tuple of its values; it raises KeyError where one is missing."""
    if len(names) == 1:
        return lambda record: (record[names[0]],)
    return itemgetter(*names)


def extra_cells(table: pa.Table, extra: Sequence[tuple[str, str]]) -> list[dict[str, str | None]]:
    """What the columns and the overflow of each row say about ``extra``."""
    keys = [key for _, key in extra]
    columns: list[list[str | None]] = [table[column].to_pylist() for column, _ in extra]
    cells = [dict(zip(keys, texts, strict=True)) for texts in zip(*columns, strict=True)] if columns else []
    cells = cells or [{} for _ in range(table.num_rows)]
    if OVERFLOW in table.column_names:
        overflow = Overflow(keys)
        for texts, more in zip(cells, table[OVERFLOW].to_pylist(), strict=True):
            if more is not None:
                texts.update(overflow.entries(more))
    return cells


def _differs(held: object, value: object) -> bool:
    if held == value:
        return isinstance(held, bool) is not isinstance(value, bool)
    if isinstance(held, Decimal128) or isinstance(value, Decimal128):
        return _differs(comparable(held), comparable(value))
    if isinstance(held, datetime) and isinstance(value, datetime):
        return _naive(held) != value
    # Not a number equals nothing, not even itself.
    return held == held or value == value


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


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


def _cells(table: pa.Table, field: TemplateField) -> list[Any]:
    columns = [column_values(table, column) for column in cell_columns(field, table.column_names)]
    return reduce(_first_of, columns)


def column_values(table: pa.Table, column: CellColumn) -> list[Any]:
    """The values of one column as Python objects, as records hold them."""
    cells = table[column.name]
    match column.kind:
        case CellKind.DECIMAL:
            return [cell for piece in cells.chunks for cell in decimal_cells(piece)]
        case CellKind.DATE:
            # Through numpy: naive datetimes come 25 times faster than Arrow's aware ones.
            return cells.to_numpy().astype("datetime64[ms]").tolist()
        case _:
            return cells.to_pylist()


def _first_of(preferred: list[Any], other: list[Any]) -> list[Any]:
    return [second if first is None else first for first, second in zip(preferred, other, strict=True)]
