"""Reads many BSON documents side by side, element by element: numpy for all of them, no Python for each.

That needs documents of one shape, as records of one template are. One that has another shape is passed over from the
element on that differs, see ``DocumentWalk.follows``. (https://bsonspec.org/spec.html)
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.writer.domain.bson_elements import (
    BOOLEAN,
    DATE,
    DECIMAL128,
    DOCUMENT,
    DOUBLE,
    INT32,
    INT64,
    NULL,
    OBJECT_ID,
    STRING,
)
from services.writer.domain.document_slots import Column, Mask

Places: TypeAlias = npt.NDArray[np.int64]

MOST_BYTES: Final = 2**31 - 2**20 - 2
"""Of the documents together: Arrow counts what stands behind them, too."""
_UNKNOWN, _TEXT, _NESTED = -1, -2, -3


def _lengths() -> npt.NDArray[np.int64]:
    """Bytes of a value by the type of its element; of a string and a document they stand in front of it."""
    lengths = np.full(256, _UNKNOWN, np.int64)
    fixed = {
        DOUBLE: 8,
        OBJECT_ID: 12,
        BOOLEAN: 1,
        DATE: 8,
        NULL: 0,
        INT32: 4,
        INT64: 8,
        DECIMAL128: 16,
        STRING: _TEXT,
        DOCUMENT: _NESTED,
    }
    lengths[list(fixed)] = list(fixed.values())
    return lengths


_LENGTHS: Final = _lengths()
WIDEST: Final = 512
"""Bytes of the widest window beside names."""
_length_at = struct.Struct("<i").unpack_from


@dataclass(frozen=True, slots=True)
class Element:
    """One element of every document: its type, where it begins, where its value does and where that ends.

    Meaningless for documents that do not follow.
    """

    types: npt.NDArray[np.uint8]
    begins: Places
    values: Places
    ends: Places


class DocumentWalk:
    """Where the elements of documents are.

    Attributes:
        starts: where each document begins.
        ends: where it ends.
        follows: whether it had all the elements that were asked for, in this order and with nothing between them.

    Args:
        found: documents, in each part one after another.
        longest_name: bytes of the longest name that will be asked for.
    """

    def __init__(self, found: Sequence[bytes], longest_name: int) -> None:
        # Who looks for a name at the end of the last document looks behind it.
        documents = b"".join([*found, bytes(longest_name + WIDEST)])
        places = _places(documents, sum(map(len, found)))
        self.starts, self.ends = places[:-1], places[1:]
        self.follows: Mask = np.ones(len(self.starts), np.bool_)
        self._bytes = np.frombuffer(documents, np.uint8)
        self._position = self.starts + 4

    def element(self, name: bytes) -> Element:
        """The next element of each document, which follows as long as that has this name."""
        begins = self._position
        types = self._bytes[begins]
        named = name + b"\0"
        self.follows &= (self.window(begins + 1, len(named)) == np.frombuffer(named, np.uint8)).all(axis=1)
        values = begins + 1 + len(named)
        lengths = _LENGTHS[types]
        told = self.window(values, 4).view("<i4")[:, 0].astype(np.int64)
        lengths = np.where(lengths == _TEXT, told + 4, np.where(lengths == _NESTED, told, lengths))
        ends = values + lengths
        self.follows &= (lengths >= 0) & (ends < self.ends)
        self._position = np.where(self.follows, ends, self.starts)
        return Element(types, begins, values, ends)

    def parts(self, documents: Mask) -> bytes:
        """Some of the documents, one after another."""
        wanted = np.flatnonzero(documents).tolist()
        return b"".join([self._bytes[self.starts[at] : self.ends[at]].tobytes() for at in wanted])

    def window(self, places: Places, width: int) -> npt.NDArray[np.uint8]:
        """The ``width`` bytes, ``WIDEST`` or a name at most, from each of some places within a document, a row each."""
        return np.lib.stride_tricks.sliding_window_view(self._bytes, width)[places]

    def slices(self, begins: Places, ends: Places) -> Column:
        """The bytes between places, as a binary column.

        Args:
            begins: of each slice, in any order.
            ends: of each slice; no two slices have a byte in common.
        """
        # Arrow has the slices and what is between them as the values of one array, in the order of the bytes.
        order = np.argsort(begins, kind="stable")
        places = np.zeros(2 * len(begins) + 1, np.int32)
        places[0:-1:2], places[1::2] = begins[order], ends[order]
        places[-1] = places[-2] if len(begins) else 0
        rank = np.empty(len(begins), np.int64)
        rank[order] = np.arange(0, 2 * len(begins), 2)
        buffers = [None, pa.py_buffer(places.data), pa.py_buffer(self._bytes.data)]
        array: pa.Array[Any] = pa.Array.from_buffers(pa.binary(), 2 * len(begins), buffers)
        return array.take(pa.array(rank, pa.int64()))


def _places(documents: bytes, end: int) -> Places:
    """Where each document begins, and the end of the last one."""
    places, at = [0], 0
    while at < end:
        at += _length_at(documents, at)[0]
        places.append(at)
    return np.array(places, np.int64)
