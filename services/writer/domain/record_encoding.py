"""From a checked batch to the BSON of its records, column by column.

A document is a row of *slots*: runs of adjacent bytes whose width is the same in every row
(keys, element types, numbers, dates, the length in front of a string), filled as one numpy
matrix, alternate with strings, which stay the Arrow columns they were. All slots go into one
Arrow array, and one ``take`` in row order copies them side by side: its values buffer *is*
the concatenation of the documents. An empty value takes the empty slot. No Python per row,
except for rows that carry warnings or have more than the file's columns.

The format is that of https://bsonspec.org/spec.html, version 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import bson
import numpy as np
import numpy.typing as npt
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
from libs.contracts.errors import PermanentError
from libs.contracts.ids import record_prefix
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import SYSTEM_TIMES, Template, TemplateField
from services.writer.domain.decimal128 import encode_decimals

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
Column: TypeAlias = "pa.Array[Any]"

_DOUBLE, _STRING, _DOCUMENT, _OBJECT_ID, _BOOLEAN, _DATE, _NULL, _INT64, _DECIMAL128 = 1, 2, 3, 7, 8, 9, 10, 18, 19
_BSON_TYPES = {
    CellKind.TEXT: _STRING,
    CellKind.BOOLEAN: _BOOLEAN,
    CellKind.DATE: _DATE,
    CellKind.INTEGER: _INT64,
    CellKind.DOUBLE: _DOUBLE,
    CellKind.DECIMAL: _DECIMAL128,
}
_ARROW_TYPES = {
    CellKind.TEXT: TEXT,
    CellKind.BOOLEAN: BOOLEAN,
    CellKind.DATE: DATE,
    CellKind.INTEGER: INTEGER,
    CellKind.DOUBLE: DOUBLE,
}
"""As they are encoded; both forms of exact numbers are."""
_LONGEST_BLOB = 2**31 - 1


@dataclass(frozen=True, slots=True)
class EncodedRecords:
    """Documents one after another.

    Attributes:
        blob: the BSON of all documents.
        offsets: int64, ``count + 1`` entries; document ``i`` is ``blob[offsets[i]:offsets[i + 1]]``.
    """

    blob: memoryview
    offsets: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> bytes:
        """The BSON of one document."""
        return bytes(self.blob[self.offsets.item(index) : self.offsets.item(index + 1)])

    def part(self, first: int, last: int) -> EncodedRecords:
        """The documents from ``first`` up to ``last``, without a copy."""
        return EncodedRecords(self.blob, self.offsets[first : last + 1])


class RecordEncoder:
    """Encodes the rows of one run as new records of its target collection.

    A record is ``{_id, tenant_id, <fields in template order>, <default_values>[, extra: {…}], is_deleted,
    deleted_at[, created_at][, updated_at], _import: {run_id, row, version, created_at, updated_at[, warnings]}}``.
    The times outside ``_import`` are those inside it, unless the template itself sets a field of that name.
    Numbers are 64-bit integers, doubles or Decimal128, dates UTC milliseconds, empty values null.
    ``extra`` is there where the template includes unmatched columns.
    """

    def __init__(
        self,
        template: Template,
        run_id: str,
        tenant_id: str,
        written_at: datetime,
        extra: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Prepare the bytes that all records share.

        Args:
            template: the run's copy of its template.
            run_id: decides the records' ids, see ``libs.contracts.ids.record_id``.
            tenant_id: owner of the records.
            written_at: aware; cut to milliseconds, when the records are created and updated.
            extra: columns of the checked batch and their keys in ``extra``, see ``extra_keys.extra_columns``.

        Raises:
            OverflowError: a default value is an integer beyond 64 bits.
        """
        self._fields = [(field, field.name.encode() + b"\0") for field in template.fields]
        self._before_row = bytes([_OBJECT_ID]) + b"_id\0" + record_prefix(run_id)
        self._tenant = _elements({"tenant_id": tenant_id})
        self._default_values = _elements(template.default_values)
        self._has_extra = template.include_unmatched_columns
        self._extra = [(column, key.encode() + b"\0") for column, key in extra]
        self._extra_keys = [key for _, key in extra]
        times = dict.fromkeys(SYSTEM_TIMES, written_at)
        at_top = {name: time for name, time in times.items() if name not in template.sets}
        self._after_extra = _elements({"is_deleted": False, "deleted_at": None, **at_top})
        self._import_before_row = _elements({"run_id": run_id}) + bytes([_INT64]) + b"row\0"
        self._import_after_row = _elements({"version": 1, **times})

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
        slots = _Slots(table.num_rows)
        document_lengths = np.empty(table.num_rows, "<i4")
        row_numbers = _column(table, ROW, ROW_TYPE).to_numpy()
        slots.numbers(document_lengths)
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
        slots.constant(b"\0")
        document_lengths[:] = slots.lengths
        return slots.joined()

    def _add_extra(self, slots: _Slots, table: pa.Table) -> None:
        slots.constant(bytes([_DOCUMENT]) + b"extra\0")
        before = slots.lengths
        lengths = np.empty(table.num_rows, "<i4")
        slots.numbers(lengths)
        for column, key in self._extra:
            _add_element(slots, key, [(_STRING, _column(table, column, TEXT))])
        if (overflow := _overflow(table, self._extra_keys)) is not None:
            slots.binary(overflow)
        slots.constant(b"\0")
        lengths[:] = slots.lengths - before

    def _add_import(self, slots: _Slots, row_numbers: Numbers, warnings: Column | None) -> None:
        slots.constant(bytes([_DOCUMENT]) + b"_import\0")
        length = 4 + len(self._import_before_row) + 8 + len(self._import_after_row) + 1
        lengths = np.full(len(row_numbers), length, "<i4")
        if warnings is not None:
            lengths += _lengths(warnings)
        slots.numbers(lengths)
        slots.constant(self._import_before_row)
        slots.numbers(row_numbers.astype("<i8"))
        slots.constant(self._import_after_row)
        if warnings is not None:
            slots.binary(warnings)
        slots.constant(b"\0")


class _Slots:
    """The slots of all documents of a batch, in document order."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._constant_length = 0
        self._variable_lengths = np.zeros(rows, np.int64)
        self._open = bytearray()
        self._open_numbers: list[tuple[int, Numbers]] = []
        self._slots: list[_FixedSlot | Column] = []
        self._present: list[Mask | None] = []

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes that each document has so far."""
        return self._variable_lengths + self._constant_length

    def constant(self, data: bytes) -> None:
        """The same bytes in every document."""
        self._open += data
        self._constant_length += len(data)

    def numbers(self, values: Numbers, present: Mask | None = None) -> None:
        """The memory of each number; nothing where ``present`` is false.

        Without ``present`` the numbers are read when the slots are joined.
        """
        if present is None:
            self._open_numbers.append((len(self._open), values))
            self.constant(bytes(values.itemsize))
        else:
            self.binary(_fixed_width(np.ascontiguousarray(values), values.itemsize), present)

    def binary(self, values: Column, present: Mask | None = None) -> None:
        """The bytes of each value as they are; nothing where ``present`` is false."""
        self._close()
        self._slots.append(values)
        self._present.append(present)
        lengths = _lengths(values)
        self._variable_lengths += lengths if present is None else lengths * present

    def _close(self) -> None:
        if self._open:
            self._slots.append(_FixedSlot(bytes(self._open), self._open_numbers))
            self._present.append(None)
            self._open, self._open_numbers = bytearray(), []

    def joined(self) -> EncodedRecords:
        """Copy the slots of every document side by side."""
        self._close()
        offsets = np.zeros(self._rows + 1, np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
        total = int(offsets[-1])
        if total > _LONGEST_BLOB:
            raise PermanentError(
                RunErrorCode.RECORDS_TOO_LARGE,
                f"{self._rows:,} records would take {total:,} bytes, and at most {_LONGEST_BLOB:,} can be written at "
                "once; shorten the template's default values, or the transforms that lengthen the text",
            )
        nothing = len(self._slots) * self._rows
        choice = np.arange(self._rows, dtype=np.int32)[:, None] + np.arange(0, nothing, self._rows, dtype=np.int32)
        for index, present in enumerate(self._present):
            if present is not None:
                np.copyto(choice[:, index], nothing, where=~present)
        arrays = [slot.array(self._rows) if isinstance(slot, _FixedSlot) else slot for slot in self._slots]
        pool = pa.concat_arrays([*arrays, pa.array([b""], pa.binary())])
        documents = pc.take(pool, pa.array(choice.ravel(), pa.int32()), boundscheck=False)
        return EncodedRecords(_buffer(documents, 2)[:total], offsets)


@dataclass(frozen=True, slots=True)
class _FixedSlot:
    """Bytes common to all rows, with numbers that differ per row at some offsets."""

    common: bytes
    numbers: list[tuple[int, Numbers]]

    def array(self, rows: int) -> Column:
        width = len(self.common)
        matrix = np.empty((rows, width), np.uint8)
        matrix[:] = np.frombuffer(self.common, np.uint8)
        for offset, values in self.numbers:
            # A view of one number per row, so that numpy copies whole numbers instead of bytes.
            np.ndarray(rows, values.dtype, matrix.data, offset, (width,))[:] = values
        return _fixed_width(matrix, width)


def _alternatives(table: pa.Table, field: TemplateField) -> list[tuple[int, Column]]:
    """What a cell of a field may be, by precedence: BSON type and column."""
    return [
        (_BSON_TYPES[column.kind], _column(table, column.name, _ARROW_TYPES.get(column.kind)))
        for column in cell_columns(field, table.column_names)
    ]


def _add_element(slots: _Slots, key: bytes, alternatives: list[tuple[int, Column]]) -> None:
    """Add one element per document: the first alternative that is not null there, else null."""
    rows = len(alternatives[0][1])
    types = np.full(rows, _NULL, np.uint8)
    parts: list[tuple[int, Column, Mask | None]] = []
    for bson_type, array in alternatives:
        present = types == _NULL
        if array.null_count:
            present &= array.is_valid().to_numpy(zero_copy_only=False)
        if present.any():
            types[present] = bson_type
            parts.append((bson_type, array, None if present.all() else present))
    if not parts:
        slots.constant(bytes([_NULL]))
    elif parts[0][2] is None:
        slots.constant(bytes([parts[0][0]]))
    else:
        slots.numbers(types)
    slots.constant(key)
    for bson_type, array, present in parts:
        if bson_type == _STRING:
            # Without the validity bitmap, which ``present`` says already, ``take`` is twice as fast.
            buffers = [None, *array.buffers()[1:]]
            text = pa.Array.from_buffers(pa.binary(), rows, buffers, offset=array.offset)
            slots.numbers((_lengths(text) + 1).astype("<i4"), present)
            slots.binary(text, present)
            slots.numbers(np.zeros(rows, np.uint8), present)
        else:
            slots.numbers(_numbers(bson_type, array), present)


def _column(table: pa.Table, name: str, arrow_type: pa.DataType | None) -> Column:
    """A column in one piece, without a copy where it is one piece of that type (or of any, for ``None``) already."""
    pieces = table.column(name).chunks
    if arrow_type is not None:
        pieces = [piece if piece.type == arrow_type else piece.cast(arrow_type) for piece in pieces]
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)


def _numbers(bson_type: int, array: Column) -> Numbers:
    """What BSON holds of every value; meaningless where the value is null."""
    if bson_type == _DECIMAL128:
        return encode_decimals(array)
    if pa.types.is_boolean(array.type):
        return array.cast(pa.uint8()).fill_null(0).to_numpy()
    return np.frombuffer(_buffer(array, 1), np.int64)[array.offset : array.offset + len(array)]


def _lengths(array: Column) -> npt.NDArray[np.int32]:
    """Bytes of each value."""
    offsets = np.frombuffer(_buffer(array, 1), np.int32)
    return np.diff(offsets[array.offset : array.offset + len(array) + 1])


def _buffer(array: Column, index: int) -> memoryview:
    buffer = array.buffers()[index]
    if buffer is None:
        raise ValueError(f"Arrow column of type {array.type} without buffer {index}")
    return memoryview(buffer)


def _fixed_width(values: Numbers, width: int) -> Column:
    """Contiguous values of ``width`` bytes each as a binary column, without a copy."""
    offsets = np.arange(0, values.nbytes + 1, width, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets.data), pa.py_buffer(values.data)]
    )


def _elements(document: dict[str, Any]) -> bytes:
    """The elements of a document without its length and its end."""
    return bson.encode(document)[4:-1]


def _warnings(table: pa.Table) -> Column | None:
    """The element ``warnings`` of every row, nothing for a row without; ``None`` where no row has any."""
    if WARNINGS not in table.column_names or table.column(WARNINGS).null_count == table.num_rows:
        return None
    return pa.array(
        [
            b"" if warnings is None else _elements({"warnings": json.loads(warnings)})
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
    """``_elements`` of a subdocument; in a document ``_id`` would come first."""
    return bson.encode({"": document})[10:-2]
