"""Documents built from columns: slots of fixed width and of text, copied side by side in one go.

A document is a row of *slots*: runs of adjacent bytes whose width is the same in every row
(keys, element types, numbers, dates, the length in front of a string), filled as one numpy
matrix, alternate with strings, which stay the Arrow columns they were. All slots go into one
Arrow array, and one ``take`` in row order copies them side by side: its values buffer *is*
the concatenation of the documents. An empty value takes the empty slot. No Python per row.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from libs.contracts.errors import PermanentError
from libs.contracts.reasons import RunErrorCode
from services.writer.domain.bson_elements import DOCUMENT

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
Column: TypeAlias = "pa.Array[Any]"

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

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> EncodedRecords:
        """The BSON of each document, put together."""
        offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        return cls(memoryview(b"".join(documents)), offsets)

    @property
    def count(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> bytes:
        """The BSON of one document."""
        return bytes(self.blob[self.offsets.item(index) : self.offsets.item(index + 1)])

    def column(self) -> Column:
        """The documents as a binary column, without a copy."""
        buffers = [None, pa.py_buffer(self.offsets.astype(np.int32).data), pa.py_buffer(self.blob)]
        return pa.Array.from_buffers(pa.binary(), self.count, buffers)

    def part(self, first: int, last: int) -> EncodedRecords:
        """The documents from ``first`` up to ``last``, without a copy."""
        return EncodedRecords(self.blob, self.offsets[first : last + 1])


def in_order(parts: Sequence[EncodedRecords], order: Sequence[int]) -> EncodedRecords:
    """The documents of all parts, which together have at most 2 GiB, in another order.

    Args:
        parts: one after another.
        order: which document of them all comes where.
    """
    if sum(len(part.blob) for part in parts) > _LONGEST_BLOB:
        raise _too_large(len(order), sum(len(part.blob) for part in parts))
    column = pa.concat_arrays([part.column() for part in parts]).take(pa.array(order, pa.int64()))
    offsets = np.frombuffer(buffer_of(column, 1), np.int32)[column.offset : column.offset + len(column) + 1]
    return EncodedRecords(buffer_of(column, 2), offsets.astype(np.int64))


class Slots:
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

    def repeated(self, data: bytes, present: Mask | None) -> None:
        """The same bytes in every document; in none where ``present`` is false."""
        if present is None:
            self.constant(data)
        else:
            self.numbers(np.frombuffer(data * self._rows, f"V{len(data)}"), present)

    @contextmanager
    def document(self, name: bytes | None = None) -> Generator[None]:
        """What is added within a block is one document: a member of this name, or the whole."""
        if name is not None:
            self.constant(bytes([DOCUMENT]) + name + b"\0")
        before = self.lengths
        lengths = np.empty(self._rows, "<i4")
        self.numbers(lengths)
        yield
        self.constant(b"\0")
        lengths[:] = self.lengths - before

    def binary(self, values: Column, present: Mask | None = None) -> None:
        """The bytes of each value as they are; nothing where ``present`` is false."""
        self._close()
        self._slots.append(values)
        self._present.append(present)
        lengths = lengths_of(values)
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
            raise _too_large(self._rows, total)
        nothing = len(self._slots) * self._rows
        choice = np.arange(self._rows, dtype=np.int32)[:, None] + np.arange(0, nothing, self._rows, dtype=np.int32)
        for index, present in enumerate(self._present):
            if present is not None:
                np.copyto(choice[:, index], nothing, where=~present)
        arrays = [slot.array(self._rows) if isinstance(slot, _FixedSlot) else slot for slot in self._slots]
        pool = pa.concat_arrays([*arrays, pa.array([b""], pa.binary())])
        documents = pc.take(pool, pa.array(choice.ravel(), pa.int32()), boundscheck=False)
        return EncodedRecords(buffer_of(documents, 2)[:total], offsets)


def _too_large(records: int, size: int) -> PermanentError:
    return PermanentError(
        RunErrorCode.RECORDS_TOO_LARGE,
        f"{records:,} records would take {size:,} bytes, and at most {_LONGEST_BLOB:,} can be written at "
        "once; shorten the template's default values, or the transforms that lengthen the text",
    )


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


def lengths_of(array: Column) -> npt.NDArray[np.int32]:
    """Bytes of each value."""
    offsets = np.frombuffer(buffer_of(array, 1), np.int32)
    return np.diff(offsets[array.offset : array.offset + len(array) + 1])


def buffer_of(array: Column, index: int) -> memoryview:
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
