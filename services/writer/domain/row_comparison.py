"""Compares the rows of a batch with their records by the bytes of these: most are told apart without being decoded.

What a row would write is encoded, for the whole batch at once, and held against what its record holds, element by
element. So the rows of a file that comes again are found to change nothing, and what the others change is encoded
without any Python for each record. A record that was made by another template or by somebody else, with other types or
in another order, is left to be decoded and compared by value (``row_differences``); so is every one of which
bytes leave a doubt.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from libs.batches.columns import WARNINGS
from libs.contracts.errors import PermanentError
from libs.contracts.templates import SYSTEM_TIMES, Template
from services.writer.domain.batch_plan import row_numbers, upsert_keys
from services.writer.domain.bson_elements import DECIMAL128, DOUBLE, NULL, STRING
from services.writer.domain.document_slots import Column, Mask, buffer_of
from services.writer.domain.document_walk import MOST_BYTES, DocumentWalk, Element, Places
from services.writer.domain.encoded_changes import ChangeEncoder, EncodedChanges, FieldChange
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_keys import Key

_DELETED: Final = (b"is_deleted", b"deleted_at")


@dataclass(frozen=True, slots=True)
class ComparedRecords:
    """What was found out about the records of a batch.

    Attributes:
        unchanged: upsert keys of the rows that equal their record.
        changed: upsert keys of the rows of ``changes``.
        changes: of the records that can be changed without being decoded; ``None`` where there are none.
        others: the other records, one after another.
    """

    unchanged: list[Any]
    changed: list[Any]
    changes: EncodedChanges | None
    others: bytes


class RowComparison:
    """The rows of one batch as a look-up of their records returns them.

    Args:
        table: a checked batch of ``template``.
        template: the template.
        compared: fields that the run may change; with the upsert key and nothing else but what is noted on every record
            they are all that is looked up.
        extra: see ``extra_keys.extra_columns``.
        keys: what records of the tenant carry an entry of.
        deletes: whether ``is_deleted`` and ``deleted_at`` are looked up too.

    Raises:
        PermanentError: ``RECORDS_TOO_LARGE``; together the rows are too large to be compared like this.
    """

    def __init__(
        self,
        table: pa.Table,
        template: Template,
        compared: Collection[str],
        extra: Sequence[tuple[str, str]],
        keys: Sequence[Key],
        *,
        deletes: bool,
    ) -> None:
        assert template.upsert_key is not None
        # Run, tenant and time stand in no part that is compared.
        encoder = RecordEncoder(template, "0" * 24, "", datetime.now(UTC), extra, keys)
        self._rows = encoder.encode_elements(table, {*compared, template.upsert_key})
        self._numbers = np.array(row_numbers(table), np.int64)
        self._warned = _present(table, WARNINGS)
        self._key = template.upsert_key
        self._values = upsert_keys(table, template)
        last = {value: row for row, value in enumerate(self._values)}
        texts = self._rows.fields[self._key].to_pylist()
        self._row = {
            text: row
            for row, (text, value) in enumerate(zip(texts, self._values, strict=True))
            if value is not None and last[value] == row
        }
        self._deleted = _DELETED if deletes else ()
        self._times = [name for name in SYSTEM_TIMES if name not in template.sets]
        # What is changed must not change an entry. With one key, by which the records are found, it does not.
        self._changes_no_entry = len(keys) == 1

    def of(self, found: Sequence[bytes], encoder: ChangeEncoder | None = None) -> ComparedRecords:
        """Tell records apart.

        Args:
            found: records as they came, of each answer the BSON of all, one after another.
            encoder: without one every record that differs is among the ``others``.
        """
        if 0 < sum(map(len, found)) <= MOST_BYTES:
            try:
                return self._compared(found, encoder)
            except PermanentError:
                pass  # Too large together to be encoded at once; one by one they are not.
        return ComparedRecords([], [], None, b"".join(found))

    def _compared(self, found: Sequence[bytes], encoder: ChangeEncoder | None) -> ComparedRecords:
        names = {name: name.encode() for name in self._rows.fields}
        walk = DocumentWalk(found, max(map(len, [*names.values(), b"created_at"])))
        record_id = walk.element(b"_id")
        held = {name: walk.element(encoded) for name, encoded in names.items()}
        extra = None if self._rows.extra is None else walk.element(b"extra")
        for name in self._deleted:
            walk.element(name)
        times = {name: walk.element(name.encode()) for name in self._times}
        origin = walk.element(b"_import")
        records, rows = self._matched(walk, held[self._key])
        taken = pa.array(rows, pa.int64())
        certain = _equal(walk.slices(origin.ends[records], walk.ends[records]), self._rows.end.take(taken))
        if extra is not None and self._rows.extra is not None:
            certain &= _equal(walk.slices(extra.begins[records], extra.ends[records]), self._rows.extra.take(taken))
        fields: list[FieldChange] = []
        for name, element in held.items():
            was = walk.slices(element.begins[records], element.ends[records])
            becomes = self._rows.fields[name].take(taken)
            differs, doubtful = _differing(walk, element, records, was, becomes)
            certain &= ~doubtful
            fields.append(FieldChange(name, becomes, was, differs))
        changed = np.logical_or.reduce([field.differs for field in fields])
        unchanged = certain & ~changed
        if encoder is None or not self._changes_no_entry:
            changed = np.zeros(len(records), np.bool_)
        else:
            changed &= certain & ~self._warned[rows]
            changed &= encoder.can_encode(walk, records, self._numbers[rows], record_id, origin)
        changes = None
        if encoder is not None and changed.any():
            changes = encoder.encode(
                walk,
                records[changed],
                self._numbers[rows[changed]],
                [_those(field, changed) for field in fields if field.differs[changed].any()],
                record_id,
                origin,
                times.get("updated_at"),
            )
        told = np.zeros(len(walk.starts), np.bool_)
        told[records[unchanged | changed]] = True
        return ComparedRecords(self._keys_of(rows[unchanged]), self._keys_of(rows[changed]), changes, walk.parts(~told))

    def _matched(self, walk: DocumentWalk, key: Element) -> tuple[Places, Places]:
        """The records that have their row, and these, ascending; none where two would have the same."""
        following = np.flatnonzero(walk.follows)
        texts = walk.slices(key.begins[following], key.ends[following]).to_pylist()
        rows = np.fromiter((self._row.get(text, -1) for text in texts), np.int64, len(texts))
        records, rows = following[rows >= 0], rows[rows >= 0]
        order = np.argsort(rows, kind="stable")
        records, rows = records[order], rows[order]
        if (np.diff(rows) == 0).any():
            return records[:0], rows[:0]
        return records, rows

    def _keys_of(self, rows: Places) -> list[Any]:
        return [self._values[row] for row in rows.tolist()]


def _differing(
    walk: DocumentWalk, element: Element, records: Places, was: Column, becomes: Column
) -> tuple[Mask, Mask]:
    """In which records an element is another value than what the row writes, and which have to be decoded to tell.

    Bytes that are equal are equal values. Others are equal only as numbers: of different types, or of one type that
    writes a number in several ways.
    """
    other = ~_equal(was, becomes)
    doubtful = np.zeros(len(records), np.bool_)
    if not other.any():
        return other, doubtful
    before, after = element.types[records], _first_bytes(becomes)
    numbers = other & (before == after) & (before == DOUBLE)
    if numbers.any():
        at = np.flatnonzero(numbers)
        first = walk.window(element.values[records[at]], 8).view("<f8")[:, 0]
        texts: list[Any] = becomes.take(pa.array(at, pa.int64())).to_pylist()
        second = np.frombuffer(b"".join([text[-8:] for text in texts]), "<f8")
        other[at] = (first != second) & ~(np.isnan(first) & np.isnan(second))
    plain = np.isin(before, (NULL, STRING)) | np.isin(after, (NULL, STRING))
    doubtful = other & ~plain & ((before != after) | (before == DECIMAL128))
    return other, doubtful


def _those(field: FieldChange, records: Mask) -> FieldChange:
    if records.all():
        return field
    wanted = pa.array(np.flatnonzero(records), pa.int64())
    return FieldChange(field.name, field.becomes.take(wanted), field.was.take(wanted), field.differs[records])


def _equal(first: Column, second: Column) -> Mask:
    equal: pa.BooleanArray = pc.equal(first, second)  # pyright: ignore[reportUnknownMemberType]
    return equal.to_numpy(zero_copy_only=False)


def _first_bytes(column: Column) -> Any:  # noqa: ANN401
    offsets = np.frombuffer(buffer_of(column, 1), np.int32)[column.offset : column.offset + len(column)]
    return np.frombuffer(buffer_of(column, 2), np.uint8)[offsets]


def _present(table: pa.Table, name: str) -> Mask:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.bool_)
    return table[name].is_valid().to_numpy()
