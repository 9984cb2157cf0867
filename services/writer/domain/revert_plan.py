"""Decides how the records of one batch become what they were before its run.

What somebody else has changed since is left as it is. Changed since is a record that another run wrote after this one,
and one in which a field that the file speaks of is no longer what its row said; whatever else another application has
set in a record that existed before the run stays beside the values that come back.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from libs.contracts.ids import RECORD_ROW_BYTES
from libs.contracts.reasons import KeptReason
from libs.contracts.record_keys import KEYS
from libs.contracts.templates import SYSTEM_TIMES, Template
from services.writer.domain.batch_plan import row_numbers
from services.writer.domain.record_keys import Key, entries
from services.writer.domain.row_differences import Record, RowDifferences

_OWN_FIELDS = frozenset({"_id", "tenant_id", "is_deleted", "deleted_at", "_import", KEYS, *SYSTEM_TIMES})
"""What a record has beside the template's fields and ``extra``."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A record that the run changed or deleted: its before-image.

    Attributes:
        restore: values to set again.
        remove: fields that it did not have.
        deletes: whether the run deleted it.
    """

    row: int
    record_id: Any
    restore: Mapping[str, Any]
    remove: Sequence[str]
    deletes: bool


@dataclass(frozen=True, slots=True)
class Restore:
    """A record that becomes what it was.

    Attributes:
        values: to be set, ``_keys`` among them where these entries are others than now, or claimed again.
        remove: fields to take away.
        returns: whether the run had deleted it.
        origin: ``_import`` of the record as it is.
    """

    row: int
    record_id: Any
    values: dict[str, Any]
    remove: list[str]
    returns: bool
    origin: object = None


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record that stays as it is.

    Attributes:
        fields: those that the reason is about.
        created: whether the run had created it, so that there is no before-image.
    """

    row: int
    record_id: Any
    reason: KeptReason
    fields: list[str]
    created: bool = False


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """What becomes of every record of a batch.

    Attributes:
        remove: ids of records that the run created.
        restore: in the order in which they can be written: deleted ones first, then the last row first, so that a key
            which one gave up to another is free when it comes back.
        kept: the others.
    """

    remove: list[Any]
    restore: list[Restore]
    kept: list[KeptRecord]


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """What a run wrote of one batch.

    Attributes:
        table: the checked batch.
        file_fields: see ``batch_plan.fields_from_file``.
        extra: see ``extra_keys.extra_columns``.
    """

    table: pa.Table
    template: Template
    run_id: str
    file_fields: Collection[str]
    extra: Sequence[tuple[str, str]] = ()


def plan_revert(
    written: WrittenRows,
    created: Iterable[Record],
    changed: Sequence[Changed],
    current: Mapping[Any, Record],
    keys: Sequence[Key],
    immovable: Mapping[Any, tuple[KeptReason, list[str]]],
) -> RevertPlan:
    """Plan the records of a batch.

    Args:
        written: the rows.
        created: the records there are now of those that the run created, whole.
        changed: before-images of the records that it changed.
        current: these records as they are now, by id, with the fields that are compared and those of ``keys``; without
            those that are gone.
        keys: what records of the tenant carry an entry of.
        immovable: records that cannot be what they were, with the reason and its fields.
    """
    at = {row: index for index, row in enumerate(row_numbers(written.table))}
    kept: list[KeptRecord] = []
    remove: list[Any] = []
    for record, row, fields in _compared(written, created, at):
        if fields is None:
            remove.append(record["_id"])
        else:
            kept.append(KeptRecord(row, record["_id"], KeptReason.CHANGED, fields, created=True))
    differences = RowDifferences(written.table, written.template, written.file_fields, written.extra)
    restore: list[Restore] = []
    for image in changed:
        record = current.get(image.record_id)
        if record is None:
            kept.append(KeptRecord(image.row, image.record_id, KeptReason.GONE, []))
            continue
        fields = _changed_since(record, image, written.run_id, differences, at.get(image.row))
        if fields is not None:
            kept.append(KeptRecord(image.row, image.record_id, KeptReason.CHANGED, fields))
        elif image.record_id in immovable:
            kept.append(KeptRecord(image.row, image.record_id, *immovable[image.record_id]))
        else:
            restore.append(_restored(record, image, keys))
    restore.sort(key=lambda each: (not each.returns, -each.row))
    return RevertPlan(remove, restore, kept)


def plan_return(
    run_id: str,
    changed: Sequence[Changed],
    current: Mapping[Any, Record],
    keys: Sequence[Key],
    immovable: Mapping[Any, tuple[KeptReason, list[str]]],
) -> RevertPlan:
    """Plan a batch of what a sync deleted because its file did not hold it: no row speaks of these records."""
    kept: list[KeptRecord] = []
    restore: list[Restore] = []
    for image in changed:
        record = current.get(image.record_id)
        if record is None:
            kept.append(KeptRecord(image.row, image.record_id, KeptReason.GONE, []))
        elif record.get("is_deleted") is not True or not _is_by(record, run_id, None):
            fields = [] if record.get("is_deleted") is True else ["is_deleted"]
            kept.append(KeptRecord(image.row, image.record_id, KeptReason.CHANGED, fields))
        elif image.record_id in immovable:
            kept.append(KeptRecord(image.row, image.record_id, *immovable[image.record_id]))
        else:
            restore.append(_restored(record, image, keys))
    return RevertPlan([], restore, kept)


def keep_all(created: Iterable[Record], changed: Sequence[Changed]) -> RevertPlan:
    """The plan of a batch whose rows are no longer stored: nobody can tell what was changed since."""
    kept = [KeptRecord(_row_of(each), each["_id"], KeptReason.ROWS_EXPIRED, [], created=True) for each in created]
    kept += [KeptRecord(image.row, image.record_id, KeptReason.ROWS_EXPIRED, []) for image in changed]
    return RevertPlan([], [], kept)


def _row_of(created: Record) -> int:
    """The row that created a record, see ``libs.contracts.ids.record_id``."""
    return int.from_bytes(created["_id"].binary[-RECORD_ROW_BYTES:], "big")


def _compared(
    written: WrittenRows, created: Iterable[Record], at: Mapping[int, int]
) -> Iterator[tuple[Record, int, list[str] | None]]:
    """Of each record that the run created the row, and the fields that somebody changed; ``None`` where nobody did."""
    template = written.template
    whole = RowDifferences(written.table, template, template.sets, written.extra)
    extra = {"extra"} if template.include_unmatched_columns else set[str]()
    known = {*template.sets, *_OWN_FIELDS, *extra}
    for record in created:
        row = _row_of(record)
        fields = [name for name in record if name not in known]
        index = at.get(row)
        if index is not None:
            changes = whole.of(index, record)
            fields += changes
            if extra and "extra" not in changes and not whole.has_extra_of(index, record):
                fields.append("extra")
        if record.get("is_deleted") is not False:
            fields.append("is_deleted")
        changed = fields or index is None or not _is_by(record, written.run_id, row)
        yield record, row, sorted(fields) if changed else None


def _changed_since(
    record: Record, image: Changed, run_id: str, differences: RowDifferences, index: int | None
) -> list[str] | None:
    """The fields that somebody changed after the run; ``None`` where nobody changed the record."""
    fields: list[str] = []
    if image.deletes:
        unknown = False
    else:
        unknown = index is None
        fields += [] if index is None else differences.of(index, record)
    if record.get("is_deleted") is not image.deletes:
        fields.append("is_deleted")
    return sorted(fields) if fields or unknown or not _is_by(record, run_id, image.row) else None


def _is_by(record: Record, run_id: str, row: int | None) -> bool:
    """Whether the last run that wrote a record is this one, by this row, or by none."""
    held: object = record.get("_import")
    origin: Record = cast("Record", held) if isinstance(held, Mapping) else {}
    return origin.get("run_id") == run_id and origin.get("row") == row


def _restored(record: Record, image: Changed, keys: Sequence[Key]) -> Restore:
    before = {name: value for name, value in record.items() if name not in image.remove} | dict(image.restore)
    live = before.get("is_deleted") is False
    carried = entries(keys, before) if live else []
    values = dict(image.restore)
    # A deleted one carries its entries without having the keys: they are claimed again.
    if carried != (record.get(KEYS) or []) or (image.deletes and carried):
        values[KEYS] = carried
    return Restore(image.row, image.record_id, values, list(image.remove), image.deletes, record.get("_import"))
