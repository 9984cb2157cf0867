"""The live records that a sync stands for: looked through for those that its file does not hold, and deleted."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import bson
import structlog
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from libs.contracts.record_keys import KEYS
from libs.contracts.templates import SYSTEM_TIMES
from libs.storage.client import Document, Mongo, Session
from libs.storage.mongo_errors import is_transient
from libs.storage.target_keys import OF_SYNCS
from libs.telemetry.error_text import error_text
from services.writer.domain.key_digests import Digests, digests_of_records
from services.writer.domain.sync_scope import scope_conditions
from services.writer.work import Run

RECORDS_AT_A_TIME = 5_000

logger = structlog.get_logger()

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument, uuid_representation=4)
AS_COMPARED: CodecOptions[Document] = CodecOptions(
    dict, tz_aware=False, uuid_representation=4, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class ScopedRecords:
    """The records of one sync."""

    def __init__(self, mongo: Mongo, run: Run) -> None:
        assert run.template.upsert_key is not None
        self._key = run.template.upsert_key
        self._salt = run.id.encode()
        self._records = mongo.target[run.target.resource].with_options(codec_options=_RAW)
        self._conditions: Document = {
            **scope_conditions(run.template),
            "tenant_id": run.tenant_id,
            "is_deleted": False,
        }

    async def index(self) -> None:
        """See that ``all`` reads the tenant's records only; where there is no right to that, it reads the collection.

        The index comes with the first sync of a collection, because every record that is created pays for it.
        """
        try:
            await self._records.create_indexes([OF_SYNCS])
        except OperationFailure as error:
            if is_transient(error):
                raise
            logger.warning("sync.not_indexed", error=error_text(error))

    async def all(self) -> AsyncGenerator[tuple[list[Any], Digests]]:
        """Every record, some at a time: their ids and the digests of their upsert keys."""
        found = self._records.find(self._conditions, {self._key: 1}, batch_size=RECORDS_AT_A_TIME)
        async with found:
            while some := await found.to_list(RECORDS_AT_A_TIME):
                yield await asyncio.to_thread(self._told, some)

    def _told(self, some: Sequence[RawBSONDocument]) -> tuple[list[Any], Digests]:
        records = _decoded(some)
        return [record["_id"] for record in records], digests_of_records(
            [record.get(self._key) for record in records], self._salt
        )

    async def by_ids(self, ids: Sequence[Any], session: Session) -> list[tuple[Document, int]]:
        """Those of the records with these ids that are live and within the scope, each with the digest of its key."""
        fields = dict.fromkeys([self._key, KEYS, "_import", "is_deleted", "deleted_at", *SYSTEM_TIMES], 1)
        found = self._records.find({**self._conditions, "_id": {"$in": list(ids)}}, fields, session=session)
        return await asyncio.to_thread(self._with_digests, await found.to_list())

    def _with_digests(self, some: Sequence[RawBSONDocument]) -> list[tuple[Document, int]]:
        records = _decoded(some)
        told = digests_of_records([record.get(self._key) for record in records], self._salt)
        return list(zip(records, told.tolist(), strict=True))


def _decoded(found: Sequence[RawBSONDocument]) -> list[Document]:
    return [
        bson.decode(each.raw, AS_COMPARED)  # pyright: ignore[reportUnknownMemberType]
        for each in found
    ]
