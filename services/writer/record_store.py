"""Reads and writes records of a target collection, and the before-images of those that a run changes.

Every write belongs to the transaction that also moves the batch's entry of the ledger, so
nothing here is retried or undone: the transaction is.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson
import numpy as np
import numpy.typing as npt
from bson import Decimal128
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from libs.contracts.errors import TransientError
from libs.contracts.templates import SYSTEM_TIMES
from libs.storage.client import Collection, Document, Session
from libs.storage.unique_keys import KEY_TYPES, live_with
from services.writer.domain.batch_plan import Fields, RecordUpdate, Values
from services.writer.domain.decimal128 import comparable
from services.writer.domain.record_encoding import EncodedRecords

_COMMAND_BYTES = 16 * 1024 * 1024
"""PyMongo refuses a command beyond the server's limit for one document and 16 KiB for the rest."""
_DOCUMENT_BYTES = 16 * 1024 * 1024
"""The server's ``maxBsonObjectSize``."""
TOO_LARGE = 10334
"""The server's code for a document beyond that."""
TOO_LARGE_AFTER_UPDATE = 17419
"""The same for one that an update would make."""
_VALUES_PER_QUERY = 500
_COMMAND_DOCUMENTS = 100_000
"""The server's ``maxWriteBatchSize``."""


class _Documents(RawBSONDocument):
    """Several BSON documents where PyMongo expects one.

    PyMongo copies the ``raw`` of a ``RawBSONDocument`` unread into the document sequence of the
    message, and a document sequence is nothing but documents one after another
    (https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md). So one
    object stands for all of them, and no document costs any Python. As a mapping, which only
    a debug log looks at, it shows the first.
    """

    __slots__ = ("_documents",)

    def __init__(self, documents: memoryview, first_bytes: int) -> None:
        super().__init__(documents[:first_bytes])
        self._documents = documents

    @property
    def raw(self) -> memoryview:
        return self._documents


async def insert_encoded(collection: Collection, encoded: EncodedRecords, session: Session) -> int:
    """Insert all documents and return how many they are.

    Args:
        session: in a transaction; outside one PyMongo would repeat the command after a lost
            connection without the server knowing it for a repetition.

    Raises:
        BulkWriteError: the server refuses a document; ``details["writeErrors"][0]["index"]`` is
            its index in ``encoded``. With code ``TOO_LARGE`` where it is greater than 16 MiB. The
            transaction is lost.
        ValueError: no transaction is open.
    """
    if not session.in_transaction:
        raise ValueError("insert_encoded needs an open transaction")
    lengths = np.diff(encoded.offsets)
    if (lengths > _DOCUMENT_BYTES).any():
        raise _too_large(lengths.argmax().item(), lengths.max().item())
    for first, last in _commands(encoded.offsets):
        start, second, end = (encoded.offsets.item(index) for index in (first, first + 1, last))
        answer = await collection.database.command(
            "insert",
            collection.name,
            documents=[_Documents(encoded.blob[start:end], second - start)],
            ordered=True,
            session=session,
        )
        if errors := answer.get("writeErrors"):
            raise BulkWriteError(
                {
                    "writeErrors": [{**error, "index": first + error["index"]} for error in errors],
                    "writeConcernErrors": [],
                    "nInserted": first + answer["n"],
                    "errorLabels": answer.get("errorLabels", []),
                }
            )
    return encoded.count


def _too_large(index: int, size: int) -> BulkWriteError:
    """The error that the server would answer, if PyMongo sent it such a document."""
    message = f"the document has {size:,} bytes"
    return BulkWriteError({"writeErrors": [{"index": index, "code": TOO_LARGE, "errmsg": message}], "nInserted": 0})


def _commands(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and one past the last document of each command, as large as the limits allow."""
    first, count = 0, len(offsets) - 1
    while first < count:
        fitting = offsets.searchsorted(offsets.item(first) + _COMMAND_BYTES, side="right").item() - 1
        last = min(max(fitting, first + 1), first + _COMMAND_DOCUMENTS, count)
        yield first, last
        first = last


async def find_by_keys(
    collection: Collection,
    tenant_id: str,
    key: str,
    values: Sequence[Any],
    fields: Iterable[str],
    session: Session | None,
) -> dict[Any, Document]:
    """The tenant's live records whose ``key`` is one of ``values``, by their key.

    Null is no key: it finds nothing. A Decimal128 is found by a ``Decimal``, which is also the key here.
    Each record holds ``_id``, ``_import``, its times, ``key`` and ``fields``; dates
    are naive UTC, or ``DatetimeMS`` where Python has no such year.
    """
    wanted = [_stored(value) for value in values if value is not None]
    records = _as_compared(collection).find(
        {"tenant_id": tenant_id, "is_deleted": False, key: {"$in": wanted, "$type": KEY_TYPES}},
        projection=["_import", *SYSTEM_TIMES, key, *fields],
        # One answer instead of a first of 101 records.
        batch_size=len(wanted) + 1,
        session=session,
    )
    # A list matches when one of its elements does; as a key it is equal to none of the values.
    return {comparable(record[key]): record for record in await records.to_list() if not isinstance(record[key], list)}


async def find_by_fields(
    collection: Collection, tenant_id: str, fields: Fields, values: Iterable[Values], more: Iterable[str]
) -> dict[Values, Document]:
    """The tenant's live records that hold one of ``values`` in ``fields``, by these.

    Each holds ``fields`` and ``more``, in the form of ``find_by_keys``. Values with a null find nothing.
    """
    wanted = [each for each in dict.fromkeys(values) if None not in each]
    live = {"tenant_id": tenant_id, **live_with(fields)}
    found: dict[Values, Document] = {}
    for first in range(0, len(wanted), _VALUES_PER_QUERY):
        alternatives = [
            {name: _stored(value) for name, value in zip(fields, each, strict=True)}
            for each in wanted[first : first + _VALUES_PER_QUERY]
        ]
        records = _as_compared(collection).find(
            {**live, "$or": alternatives}, projection=[*fields, *more], batch_size=len(alternatives) + 1
        )
        async for record in records:
            held = tuple(comparable(record[name]) for name in fields)
            if not any(isinstance(value, list) for value in held):
                found[held] = record
    return found


def _as_compared(collection: Collection) -> Collection:
    """``collection`` that answers with dates as checked batches hold them."""
    options = collection.codec_options.with_options(
        tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    return collection.with_options(codec_options=options)


def _stored(value: object) -> object:
    """What is stored for a value in the form that Python compares."""
    return Decimal128(value) if isinstance(value, Decimal) else value


async def apply_updates(
    collection: Collection, tenant_id: str, updates: Sequence[RecordUpdate], session: Session
) -> int:
    """Write the planned changes and return how many they are.

    Args:
        session: in the transaction in which the records were looked up.

    Raises:
        TransientError: a record is gone; the transaction must be aborted and the batch planned anew.
        BulkWriteError: the server refuses a change, e.g. for a unique index;
            ``details["writeErrors"][0]["index"]`` is its index in ``updates``. With code ``TOO_LARGE``
            where the change or the record that it would make is greater than 16 MiB.
    """
    if not updates:
        return 0
    try:
        result = await collection.bulk_write(
            [
                UpdateOne({"_id": update.record_id, "tenant_id": tenant_id}, {"$set": update.changes})
                for update in updates
            ],
            session=session,
        )
    except (DocumentTooLarge, OperationFailure) as error:
        if isinstance(error, BulkWriteError) or getattr(error, "code", TOO_LARGE) != TOO_LARGE:
            raise
        sizes = [len(bson.encode(update.changes)) for update in updates]
        raise _too_large(sizes.index(max(sizes)), max(sizes)) from error
    if result.matched_count != len(updates):
        raise TransientError(
            f"{len(updates) - result.matched_count} of {len(updates)} records to update are gone from {collection.name}"
        )
    return len(updates)


async def save_before_images(
    undo: Collection,
    run_id: str,
    collection: Collection,
    updates: Sequence[RecordUpdate],
    saved_at: datetime,
    session: Session,
) -> int:
    """Save what undoes ``updates`` of ``collection``, and return how many images are new.

    Where a run changes a record twice, the first image stays: it is the state before the run.
    A duplicate would abort the transaction, so the ones that exist are asked for first.
    """
    images = {
        f"{run_id}:{update.record_id}": {
            "_id": f"{run_id}:{update.record_id}",
            "run_id": run_id,
            "resource": collection.name,
            "record_id": update.record_id,
            "restore": update.before.restore,
            "remove": update.before.remove,
            "created_at": saved_at,
        }
        for update in updates
        if update.before is not None
    }
    async for image in undo.find({"_id": {"$in": list(images)}}, projection=["_id"], session=session):
        del images[image["_id"]]
    if images:
        await undo.insert_many(images.values(), session=session)
    return len(images)
