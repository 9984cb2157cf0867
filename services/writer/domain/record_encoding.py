"""From a checked batch to the BSON of its records, column by column.

How columns become documents: ``document_slots``. No Python per row, except for rows that carry warnings or have more
than the file's columns.

The format is that of https://bsonspec.org/spec.html, version 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from libs.batches.columns import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    OVERFLOW,
    ROW,
    ROW_TYPE,
    TEXT,
    WARNINGS,
    CellKind,
    cell_columns,
)
from libs.batches.extra_keys import Overflow
from libs.contracts.ids import record_prefix
from libs.contracts.record_keys import KEYS, PLACES, SCOPE, SPELLED, key_value
from libs.contracts.templates import SYSTEM_TIMES, Template, TemplateField
from services.writer.domain import bson_elements
from services.writer.domain.decimal128 import encode_decimals
from services.writer.domain.document_slots import Column, EncodedRecords, Mask, Numbers, Slots, buffer_of, lengths_of
from services.writer.domain.record_keys import Key

_BSON_TYPES = {
    CellKind.TEXT: bson_elements.STRING,
    CellKind.BOOLEAN: bson_elements.BOOLEAN,
    CellKind.DATE: bson_elements.DATE,
    CellKind.INTEGER: bson_elements.INT64,
    CellKind.DOUBLE: bson_elements.DOUBLE,
    CellKind.DECIMAL: bson_elements.DECIMAL128,
}
_ARROW_TYPES = {
    CellKind.TEXT: TEXT,
    CellKind.BOOLEAN: BOOLEAN,
    CellKind.DATE: DATE,
    CellKind.INTEGER: INTEGER,
    CellKind.DOUBLE: DOUBLE,
}
"""As they are encoded; both forms of exact numbers are."""


@dataclass(frozen=True, slots=True)
class RowElements:
    """Parts of the records of some rows, a binary column each.

    Attributes:
        fields: the element of each field and default value, in the order in which records have them.
        extra: the element ``extra``; ``None`` where records have none.
        end: how a record ends, from ``_keys`` on.
    """

    fields: dict[str, Column]
    extra: Column | None
    end: Column


class RecordEncoder:
    """Encodes the rows of one run as new records of its target collection.

    A record is ``{_id, tenant_id, <fields in template order>, <default_values>[, extra: {…}], is_deleted,
    deleted_at[, created_at][, updated_at], _import: {run_id, row, version, created_at, updated_at[, warnings]}
    [, _keys: [{s, a, …}, …]]}``.
    The times outside ``_import`` are those inside it, unless the template itself sets a field of that name.
    Numbers are 64-bit integers, doubles or Decimal128, dates UTC milliseconds, empty values null.
    ``extra`` is there where the template includes unmatched columns, ``_keys`` where the record has one of the keys.
    """

    def __init__(
        self,
        template: Template,
        run_id: str,
        tenant_id: str,
        written_at: datetime,
        extra: Sequence[tuple[str, str]] = (),
        keys: Sequence[Key] = (),
    ) -> None:
        """Prepare the bytes that all records share.

        Args:
            template: the run's copy of its template.
            run_id: decides the records' ids, see ``libs.contracts.ids.record_id``.
            tenant_id: owner of the records.
            written_at: aware; cut to milliseconds, when the records are created and updated.
            extra: columns of the checked batch and their keys in ``extra``, see ``extra_keys.extra_columns``.
            keys: what records of the tenant carry an entry of, where they have values in all of its fields.

        Raises:
            OverflowError: a default value is an integer beyond 64 bits.
        """
        self._fields = [(field, field.name.encode() + b"\0") for field in template.fields]
        self._before_row = bytes([bson_elements.OBJECT_ID]) + b"_id\0" + record_prefix(run_id)
        self._tenant = bson_elements.elements({"tenant_id": tenant_id})
        self._default_values_by_name = {
            name: bson_elements.elements({name: value}) for name, value in template.default_values.items()
        }
        self._default_values = b"".join(self._default_values_by_name.values())
        self._has_extra = template.include_unmatched_columns
        self._extra = [(column, key.encode() + b"\0") for column, key in extra]
        self._extra_keys = [key for _, key in extra]
        times = dict.fromkeys(SYSTEM_TIMES, written_at)
        at_top = {name: time for name, time in times.items() if name not in template.sets}
        self._after_extra = bson_elements.elements({"is_deleted": False, "deleted_at": None, **at_top})
        self._import_before_row = bson_elements.elements({"run_id": run_id}) + bytes([bson_elements.INT64]) + b"row\0"
        self._import_after_row = bson_elements.elements({"version": 1, **times})
        values = {**template.default_values, **at_top}
        self._constants = {name: value for name, value in values.items() if value is not None}
        held = {*self._constants, *(field.name for field in template.fields)}
        self._keys = [key for key in keys if held.issuperset(key.names)]

    def encode(self, table: pa.Table) -> EncodedRecords:
        """Encode every row of a checked batch, in the table's order.

        Args:
            table: a checked batch of the template (the row numbers and the columns of every field).

        Raises:
            KeyError: a field has no column.
            OverflowError: a number has more than 34 digits.
            PermanentError: ``RECORDS_TOO_LARGE``; the documents together reach 2 GiB.
        """
        if table.num_rows == 0:
            return EncodedRecords(memoryview(b""), np.zeros(1, np.int64))
        slots = Slots(table.num_rows)
        row_numbers = _column(table, ROW, ROW_TYPE).to_numpy()
        with slots.document():
            slots.constant(self._before_row)
            slots.numbers(row_numbers.astype(">u4"))
            slots.constant(self._tenant)
            for field, key in self._fields:
                _add_element(slots, key, _alternatives(table, field))
            slots.constant(self._default_values)
            if self._has_extra:
                self._add_extra(slots, table)
            slots.constant(self._after_extra)
            self._add_import(slots, row_numbers, _warnings(table))
            if self._keys:
                _add_array(slots, KEYS.encode() + b"\0", [self._entries(table, key) for key in self._keys])
        return slots.joined()

    def encode_elements(self, table: pa.Table, names: Collection[str]) -> RowElements:
        """The parts of every record that ``encode`` makes which follow from its row alone, each for itself.

        Args:
            table: a checked batch of the template.
            names: fields.
        """
        fields: dict[str, Column] = {}
        for field, key in self._fields:
            if field.name in names:
                slots = Slots(table.num_rows)
                _add_element(slots, key, _alternatives(table, field))
                fields[field.name] = slots.joined().column()
        for name, value in self._default_values_by_name.items():
            fields[name] = pa.array([value] * table.num_rows, pa.binary())
        extra, end = Slots(table.num_rows), Slots(table.num_rows)
        if self._has_extra:
            self._add_extra(extra, table)
        if self._keys:
            _add_array(end, KEYS.encode() + b"\0", [self._entries(table, key) for key in self._keys])
        end.constant(b"\0")
        return RowElements(fields, extra.joined().column() if self._has_extra else None, end.joined().column())

    def _add_extra(self, slots: Slots, table: pa.Table) -> None:
        with slots.document(b"extra"):
            for column, key in self._extra:
                _add_element(slots, key, [(bson_elements.STRING, _column(table, column, TEXT))])
            if (overflow := _overflow(table, self._extra_keys)) is not None:
                slots.binary(overflow)

    def _add_import(self, slots: Slots, row_numbers: Numbers, warnings: Column | None) -> None:
        with slots.document(b"_import"):
            slots.constant(self._import_before_row)
            slots.numbers(row_numbers.astype("<i8"))
            slots.constant(self._import_after_row)
            if warnings is not None:
                slots.binary(warnings)

    def _entries(self, table: pa.Table, key: Key) -> tuple[Column, Mask]:
        """The entry ``{s, a, …}`` of every record for a key, and which records have it."""
        entry = Slots(table.num_rows)
        present = np.ones(table.num_rows, np.bool_)
        with entry.document():
            entry.constant(bson_elements.elements({SCOPE: key.id}))
            for place, name in zip(PLACES, key.names, strict=False):
                field = next((field for field, _ in self._fields if field.name == name), None)
                if field is None:
                    entry.constant(bson_elements.elements({place: key_value(self._constants[name])}))
                    continue
                alternatives = [(kind, _as_keys(column)) for kind, column in _alternatives(table, field)]
                _add_element(entry, place.encode() + b"\0", alternatives)
                present &= reduce(np.logical_or, (_valid(array) for _, array in alternatives))
        return entry.joined().column(), present


def _alternatives(table: pa.Table, field: TemplateField) -> list[tuple[int, Column]]:
    """What a cell of a field may be, by precedence: BSON type and column."""
    return [
        (_BSON_TYPES[column.kind], _column(table, column.name, _ARROW_TYPES.get(column.kind)))
        for column in cell_columns(field, table.column_names)
    ]


def _as_keys(column: Column) -> Column:
    """The values of a column as entries hold them. Validators of this release give texts in that form already."""
    if not pa.types.is_string(column.type) or not pc.any(pc.match_substring_regex(column, SPELLED)).as_py():
        return column
    return pa.array([key_value(value) for value in column.to_pylist()], column.type)


def _add_element(slots: Slots, key: bytes, alternatives: list[tuple[int, Column]]) -> None:
    """Add one element per document: the first alternative that is not null there, else null."""
    rows = len(alternatives[0][1])
    types = np.full(rows, bson_elements.NULL, np.uint8)
    parts: list[tuple[int, Column, Mask | None]] = []
    for bson_type, array in alternatives:
        present = types == bson_elements.NULL
        if array.null_count:
            present &= _valid(array)
        if present.any():
            types[present] = bson_type
            parts.append((bson_type, array, None if present.all() else present))
    if not parts:
        slots.constant(bytes([bson_elements.NULL]))
    elif parts[0][2] is None:
        slots.constant(bytes([parts[0][0]]))
    else:
        slots.numbers(types)
    slots.constant(key)
    for bson_type, array, present in parts:
        if bson_type == bson_elements.STRING:
            # Without the validity bitmap, which ``present`` says already, ``take`` is twice as fast.
            buffers = [None, *array.buffers()[1:]]
            text = pa.Array.from_buffers(pa.binary(), rows, buffers, offset=array.offset)
            slots.numbers((lengths_of(text) + 1).astype("<i4"), present)
            slots.binary(text, present)
            slots.numbers(np.zeros(rows, np.uint8), present)
        else:
            slots.numbers(_numbers(bson_type, array), present)


def _add_array(slots: Slots, key: bytes, parts: Sequence[tuple[Column, Mask]]) -> None:
    """Add an array of documents to each document that has any of them.

    Args:
        slots: of the outer documents.
        key: of the array.
        parts: the documents, and which outer documents have them.
    """
    rows = len(parts[0][1])
    has_any = reduce(np.logical_or, (present for _, present in parts))
    where = None if has_any.all() else has_any
    position = np.zeros(rows, np.int64)
    lengths = np.full(rows, 4 + 1, np.int64)
    members: list[tuple[Column, Column, Mask | None]] = []
    heads = pa.array(
        [bytes([bson_elements.DOCUMENT]) + str(index).encode() + b"\0" for index in range(len(parts))], pa.binary()
    )
    for documents, present in parts:
        head = heads.take(pa.array(position, pa.int64()))
        lengths += (lengths_of(head) + lengths_of(documents)) * present
        position += present
        members.append((head, documents, None if present.all() else present))
    slots.repeated(bytes([bson_elements.ARRAY]) + key, where)
    slots.numbers(lengths.astype("<i4"), where)
    for head, documents, present in members:
        slots.binary(head, present)
        slots.binary(documents, present)
    slots.repeated(b"\0", where)


def _valid(array: Column) -> Mask:
    return array.is_valid().to_numpy(zero_copy_only=False)


def _column(table: pa.Table, name: str, arrow_type: pa.DataType | None) -> Column:
    """A column in one piece, without a copy where it is one piece of that type (or of any, for ``None``) already."""
    pieces = table.column(name).chunks
    if arrow_type is not None:
        pieces = [piece if piece.type == arrow_type else piece.cast(arrow_type) for piece in pieces]
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)


def _numbers(bson_type: int, array: Column) -> Numbers:
    """What BSON holds of every value; meaningless where the value is null."""
    if bson_type == bson_elements.DECIMAL128:
        return encode_decimals(array)
    if pa.types.is_boolean(array.type):
        return array.cast(pa.uint8()).fill_null(0).to_numpy()
    return np.frombuffer(buffer_of(array, 1), np.int64)[array.offset : array.offset + len(array)]


def _warnings(table: pa.Table) -> Column | None:
    """The element ``warnings`` of every row, nothing for a row without; ``None`` where no row has any."""
    if WARNINGS not in table.column_names or table.column(WARNINGS).null_count == table.num_rows:
        return None
    return pa.array(
        [
            b"" if warnings is None else bson_elements.elements({"warnings": json.loads(warnings)})
            for warnings in table.column(WARNINGS).to_pylist()
        ],
        pa.binary(),
    )


def _overflow(table: pa.Table, keys: Sequence[str]) -> Column | None:
    """The elements of ``extra`` beyond ``keys``, nothing for a row without; ``None`` where no row has any."""
    if OVERFLOW not in table.column_names or table.column(OVERFLOW).null_count == table.num_rows:
        return None
    overflow = Overflow(keys)
    return pa.array(
        [b"" if text is None else _nested(overflow.entries(text)) for text in table.column(OVERFLOW).to_pylist()],
        pa.binary(),
    )


def _nested(document: dict[str, Any]) -> bytes:
    """``bson_elements.elements`` of a subdocument; in a document ``_id`` would come first."""
    return bson.encode({"": document})[10:-2]
