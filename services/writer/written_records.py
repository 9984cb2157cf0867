"""What a run has written to a target collection, and its before-images: looked up and taken back.

Every call that takes a session belongs to the transaction that also moves the batch's entry of the ledger.
"""

import asyncio
from collections.abc import Collection as Several
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from libs.contracts.errors import TransientError
from libs.contracts.ids import record_id
from libs.contracts.record_keys import KEYS, SCOPE, SCOPE_PATH
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import UndoEntry
from libs.storage.mongo_errors import is_transient, refuses_document
from libs.storage.target_keys import TargetKey
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.record_changes import statement
from services.writer.domain.revert_plan import Changed, KeptRecord, Restore
from services.writer.raw_insert import update_encoded
from services.writer.work import Run

_AS_STORED: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument, uuid_representation=4)
_AS_COMPARED: CodecOptions[Document] = CodecOptions(
    dict, tz_aware=False, uuid_representation=4, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Dates as checked batches hold them, also those that Python has no name for."""
_ENTRIES_PER_QUERY = 100


class RestoreRefusedError(Exception):
    """The server refuses a record as it was before; the transaction is lost.

    Attributes:
        index: which of those that were restored.
        code: the server's.
        fields: names of the fields of the index that is broken; empty where it is not about one.
        by_key: whether that is the index of the tenants' keys.
    """

    def __init__(self, index: int, code: int, fields: Sequence[str], *, by_key: bool) -> None:
        super().__init__(f"MongoDB refuses record {index} with error {code}")
        self.index = index
        self.code = code
        self.fields = fields
        self.by_key = by_key


class WrittenRecords:
    """The records that one run has written."""

    def __init__(self, mongo: Mongo, run: Run) -> None:
        self._run = run
        self._target = mongo.target[run.target.resource]
        self._records = self._target.with_options(codec_options=_AS_STORED)
        self._images = mongo.state[UndoEntry.Settings.name]

    async def created(self, row_from: int, row_to: int, session: Session) -> list[Document]:
        """What there is now of the records that these rows created."""
        first, last = (ObjectId(record_id(self._run.id, row)) for row in (row_from, row_to))
        return await self._found({"_id": {"$gte": first, "$lte": last}}, session)

    async def by_ids(self, ids: Sequence[Any], keys: Sequence[TargetKey], session: Session) -> dict[Any, Document]:
        """The tenant's records with these ids, by id: the fields that the run may have changed, and those of ``keys``.

        What else other applications have put there may be large, and is of no account.
        """
        names = {*self._run.template.sets, "extra", *(name for key in keys for name in key.names)}
        fields = dict.fromkeys([*names, KEYS, "_import", "is_deleted"], 1)
        found = await self._found({"_id": {"$in": list(ids)}}, session, fields)
        return {record["_id"]: record for record in found}

    async def _found(
        self, conditions: Document, session: Session, fields: dict[str, int] | None = None
    ) -> list[Document]:
        found = self._records.find({**conditions, "tenant_id": self._run.tenant_id}, fields, session=session)
        return await asyncio.to_thread(_decoded, await found.to_list())

    async def changed(self, row_from: int, row_to: int, session: Session) -> list[Changed]:
        """The before-images of the records that these rows changed or deleted."""
        of_rows = {"run_id": self._run.id, "row": {"$gte": row_from, "$lte": row_to}}
        images = self._images.with_options(codec_options=_AS_STORED).find(of_rows, session=session)
        found = await asyncio.to_thread(_decoded, await images.to_list())
        return [
            Changed(image["row"], image["record_id"], image["restore"], image["remove"], image.get("deletes", False))
            for image in found
        ]

    async def remove(self, ids: Sequence[Any], session: Session) -> None:
        """Remove records.

        Raises:
            TransientError: some are gone meanwhile; the transaction must be aborted.
        """
        if not ids:
            return
        mine = {"_id": {"$in": list(ids)}, "tenant_id": self._run.tenant_id}
        removed = (await self._target.delete_many(mine, session=session)).deleted_count
        if removed != len(ids):
            raise TransientError(f"{len(ids) - removed} of {len(ids)} records to remove are gone")

    async def restore(self, restores: Sequence[Restore], session: Session) -> None:
        """Give records their values back, one after another.

        Raises:
            RestoreRefusedError: the server refuses one.
            TransientError: some are gone meanwhile; the transaction must be aborted.
        """
        if not restores:
            return
        try:
            restored = await update_encoded(self._target, await asyncio.to_thread(_statements, restores), session)
        except BulkWriteError as error:
            reasons: list[Document] = error.details["writeErrors"]
            if is_transient(error) or not reasons or not refuses_document(reasons[0]["code"]):
                raise
            pattern: Document = reasons[0].get("keyPattern", {})
            fields = [name for name in pattern if name in self._run.template.sets]
            raise RestoreRefusedError(
                reasons[0]["index"], reasons[0]["code"], fields, by_key=SCOPE_PATH in pattern
            ) from error
        if restored != len(restores):
            raise TransientError(f"{len(restores) - restored} records to restore are gone")

    async def keep(self, kept: Sequence[KeptRecord], session: Session) -> None:
        """Note which records stay as they are, and why."""
        if not kept:
            return
        await self._images.bulk_write([self._note(each) for each in kept], session=session)

    def _note(self, kept: KeptRecord) -> UpdateOne:
        new: Document = {
            "run_id": self._run.id,
            "resource": self._run.target.resource,
            "record_id": kept.record_id,
            "restore": {},
            "remove": [],
            "created_at": datetime.now(UTC),
        }
        noted = {
            "kept": {"reason": kept.reason.value, "fields": kept.fields},
            "tenant_id": self._run.tenant_id,
            "row": kept.row,
        }
        return UpdateOne(
            {"_id": f"{self._run.id}:{kept.record_id}"}, {"$set": noted, "$setOnInsert": new}, upsert=kept.created
        )

    async def holders(self, restores: Sequence[Restore], moving: Several[Any]) -> dict[Any, list[Document]]:
        """For records that would carry other keys, by id, the live records that carry one of these keys already.

        Args:
            restores: the records.
            moving: ids of records that give their keys up in the same transaction.
        """
        wanted = [(each.record_id, entry) for each in restores for entry in each.values.get(KEYS, ())]
        found: dict[Any, list[Document]] = {}
        for first in range(0, len(wanted), _ENTRIES_PER_QUERY):
            some = wanted[first : first + _ENTRIES_PER_QUERY]
            anyone = {"$or": [{KEYS: {"$elemMatch": entry}} for _, entry in some]}
            carrying = {SCOPE_PATH: {"$type": "objectId"}, "is_deleted": False, "tenant_id": self._run.tenant_id}
            cursor = self._target.with_options(codec_options=_AS_COMPARED).find(
                {**anyone, **carrying}, {KEYS: 1, "_import": 1}
            )
            async for record in cursor:
                held = [_exactly(entry) for entry in record[KEYS]]
                for own, entry in some:
                    if own != record["_id"] and record["_id"] not in moving and _exactly(entry) in held:
                        found.setdefault(own, []).append({**record, "entry": entry[SCOPE]})
        return found


def _statements(restores: Sequence[Restore]) -> EncodedRecords:
    return EncodedRecords.of([statement(each.record_id, each.values, each.remove, each.origin) for each in restores])


def _decoded(found: Sequence[RawBSONDocument]) -> list[Document]:
    return [
        bson.decode(each.raw, _AS_COMPARED)  # pyright: ignore[reportUnknownMemberType]
        for each in found
    ]


def _exactly(entry: Document) -> bytes:
    return bson.encode(entry)
