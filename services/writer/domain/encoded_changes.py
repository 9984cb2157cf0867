"""Changes of records and their before-images, encoded for all records of a batch at once.

They are byte for byte what ``batch_plan``, ``record_changes.statement`` and the store of before-images make of the same
records one by one; that is the rule, this is the fast way for records as Rowdock itself has left them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import bson
import numpy as np
import numpy.typing as npt
from bson import Int64

from libs.contracts.ids import record_prefix
from libs.contracts.templates import Template
from services.writer.domain.bson_elements import DOCUMENT, OBJECT_ID, elements
from services.writer.domain.document_slots import Column, EncodedRecords, Mask, Slots
from services.writer.domain.document_walk import DocumentWalk, Element, Places
from services.writer.domain.record_changes import MEMBERS_OF_ORIGIN

_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), "V2")
_INT32_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class EncodedChanges:
    """Rows that change a record, ascending.

    Attributes:
        rows: their numbers.
        ids: of their records, 12 bytes each.
        differing: the fields that any of them changes, in the order in which they are set, and which rows change each.
        statements: of an ``update`` command, see ``record_changes.statement``.
        before_images: what undoes them; the run has none of these records yet.
    """

    rows: list[int]
    ids: npt.NDArray[np.uint8]
    differing: list[tuple[str, Mask]]
    statements: EncodedRecords
    before_images: EncodedRecords


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of some records.

    Attributes:
        name: of the field.
        becomes: the element that the row writes.
        was: the element of the record.
        differs: in which records it does.
    """

    name: str
    becomes: Column
    was: Column
    differs: Mask


class ChangeEncoder:
    """Encodes what one run changes in one batch.

    Args:
        template: of the run.
        run_id: of the run.
        tenant_id: owner of the records.
        resource: the target collection.
        written_at: when they are changed.
    """

    def __init__(self, template: Template, run_id: str, tenant_id: str, resource: str, written_at: datetime) -> None:
        self._run_id = run_id
        self._prefix = np.frombuffer(record_prefix(run_id), np.uint8)
        self._updated_at = b"" if "updated_at" in template.sets else elements({"updated_at": written_at})
        self._set_run = elements({MEMBERS_OF_ORIGIN["run_id"]: run_id})
        self._set_row = _head({MEMBERS_OF_ORIGIN["row"]: Int64(0)}, 8)
        self._set_version = _head({MEMBERS_OF_ORIGIN["version"]: 0}, 4)
        self._set_time = elements({MEMBERS_OF_ORIGIN["updated_at"]: written_at})
        self._tenant = elements({"tenant_id": tenant_id, "run_id": run_id, "resource": resource})
        self._kind = elements({"remove": [], "deletes": False})
        self._saved_at = elements({"created_at": written_at})
        origin = {"run_id": run_id, "row": Int64(0), "version": 0, "created_at": written_at, "updated_at": written_at}
        self._origin = np.frombuffer(bson.encode(origin), np.uint8)
        self._open = np.zeros(len(self._origin), np.bool_)
        self._places: dict[str, slice] = {}
        for name, width in (("run_id", 24), ("row", 8), ("version", 4), ("created_at", 8), ("updated_at", 8)):
            at = bytes(self._origin).index(name.encode() + b"\0") + len(name) + 1 + (4 if name == "run_id" else 0)
            self._places[name] = slice(at, at + width)
            self._open[self._places[name]] = True

    def can_encode(
        self,
        walk: DocumentWalk,
        records: Places,
        rows: npt.NDArray[np.int64],
        record_id: Element,
        origin: Element,
    ) -> Mask:
        """Which of ``records`` are as an import has left them, and certainly without a before-image of the run.

        Of those that the run has created there is none to be made, and where a record names the run there may be one.
        Of ``rows``, the numbers of their rows, those beyond 32 bits are stored in another form.
        """
        begins = origin.values[records]
        known = (record_id.types[records] == OBJECT_ID) & (origin.types[records] == DOCUMENT)
        known &= origin.ends[records] - begins == len(self._origin)
        held = walk.window(np.where(known, begins, 0), len(self._origin))
        known &= ((held == self._origin) | self._open).all(axis=1)
        known &= (held[:, self._places["run_id"]] != self._origin[self._places["run_id"]]).any(axis=1)
        known &= _numbers(held[:, self._places["version"]], "<i4") < _INT32_MOST
        known &= rows <= _INT32_MOST
        own = walk.window(record_id.values[records], len(self._prefix)) == self._prefix
        return known & ~own.all(axis=1)

    def encode(
        self,
        walk: DocumentWalk,
        records: Places,
        rows: npt.NDArray[np.int64],
        fields: Sequence[FieldChange],
        record_id: Element,
        origin: Element,
        updated_at: Element | None,
    ) -> EncodedChanges:
        """Encode the changes of ``records``, of which ``can_encode`` holds and a field of each differs.

        Args:
            walk: where they were read.
            records: which documents of it.
            rows: numbers of their rows, ascending.
            fields: those that differ in any of them, in the order in which they are set.
            record_id: ``_id``.
            origin: ``_import``.
            updated_at: where the template does not set it.
        """
        ids = np.ascontiguousarray(walk.window(record_id.values[records], 12))
        held = walk.window(origin.values[records], len(self._origin))
        versions = _numbers(held[:, self._places["version"]], "<i4")
        noted = [] if updated_at is None else [walk.slices(updated_at.begins[records], updated_at.ends[records])]
        noted.append(walk.slices(origin.begins[records], origin.ends[records]))
        return EncodedChanges(
            rows.tolist(),
            ids,
            [(field.name, field.differs) for field in fields],
            self._statements(ids.view("V12")[:, 0], rows, versions + 1, fields),
            self._before_images(ids, rows, fields, noted),
        )

    def _statements(
        self,
        ids: npt.NDArray[Any],
        rows: npt.NDArray[np.int64],
        versions: npt.NDArray[np.int32],
        fields: Sequence[FieldChange],
    ) -> EncodedRecords:
        slots = Slots(len(rows))
        with slots.document():
            with slots.document(b"q"):
                slots.constant(bytes([OBJECT_ID]) + b"_id\0")
                slots.numbers(ids)
            with slots.document(b"u"), slots.document(b"$set"):
                for field in fields:
                    slots.binary(field.becomes, _unless_all(field.differs))
                slots.constant(self._updated_at + self._set_run + self._set_row)
                slots.numbers(rows.astype("<i8"))
                slots.constant(self._set_version)
                slots.numbers(versions.astype("<i4"))
                slots.constant(self._set_time)
        return slots.joined()

    def _before_images(
        self,
        ids: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.int64],
        fields: Sequence[FieldChange],
        noted: Sequence[Column],
    ) -> EncodedRecords:
        slots = Slots(len(rows))
        with slots.document():
            slots.constant(_head({"_id": f"{self._run_id}:{24 * '0'}"}, 24 + 1))
            slots.numbers(np.ascontiguousarray(_HEX[ids]).view("V24")[:, 0])
            slots.constant(b"\0" + self._tenant + bytes([OBJECT_ID]) + b"record_id\0")
            slots.numbers(ids.view("V12")[:, 0])
            with slots.document(b"restore"):
                for field in fields:
                    slots.binary(field.was, _unless_all(field.differs))
                for column in noted:
                    slots.binary(column)
            slots.constant(self._kind)
            slots.constant(_head({"row": 0}, 4))
            slots.numbers(rows.astype("<i4"))
            slots.constant(self._saved_at)
        return slots.joined()


def _unless_all(mask: Mask) -> Mask | None:
    return None if mask.all() else mask


def _numbers(held: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[Any]:
    return np.ascontiguousarray(held).view(kind)[:, 0]


def _head(document: dict[str, Any], width: int) -> bytes:
    """``elements`` without the last ``width`` bytes, which differ."""
    return elements(document)[:-width]
