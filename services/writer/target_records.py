"""The records of one tenant in a target collection: looked up, created, updated.

Every write belongs to the transaction that also moves the batch's entry of the ledger, so
nothing here is retried or undone: the transaction is.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import bson
from bson import Decimal128
from bson.codec_options import DatetimeConversion
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import SYSTEM_TIMES
from libs.storage.client import Document, Mongo, Session
from libs.storage.mongo_errors import is_transient, is_unwritable, refuses_document
from libs.storage.unique_keys import KEY_TYPES, live_with
from services.writer.collection_rules import CollectionRules
from services.writer.domain.batch_plan import Fields, RecordUpdate, Values
from services.writer.domain.decimal128 import comparable
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.refusals import TOO_LARGE
from services.writer.raw_insert import insert_encoded, too_large

_VALUES_PER_QUERY = 500


class WriteRefusedError(Exception):
    """The server refuses one record for what it holds; the transaction is lost.

    Attributes:
        index: which of those that were written.
        code: the server's.
        reason: its write error; it holds values, so it belongs into no log.
    """

    def __init__(self, index: int, code: int, reason: Document) -> None:
        super().__init__(f"MongoDB refuses record {index} with error {code}")
        self.index = index
        self.code = code
        self.reason = reason


class TargetRecords:
    """Live records of one tenant in one collection of the target database."""

    def __init__(self, mongo: Mongo, resource: str, tenant_id: str) -> None:
        self.resource = resource
        self._records = mongo.target[resource]
        self.rules = CollectionRules(mongo, self._records)
        # Dates as checked batches hold them.
        self._as_compared = self._records.with_options(
            codec_options=self._records.codec_options.with_options(
                tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO
            )
        )
        self._tenant_id = tenant_id

    async def by_key(
        self, key: str, values: Sequence[Any], fields: Iterable[str], session: Session | None = None
    ) -> dict[Any, Document]:
        """The records whose ``key`` is one of ``values``, by their key.

        Null is no key: it finds nothing. A Decimal128 is found by a ``Decimal``, which is also the key here.
        Each record holds ``_id``, ``_import``, its times, ``key`` and ``fields``; dates
        are naive UTC, or ``DatetimeMS`` where Python has no such year.
        """
        wanted = [_stored(value) for value in values if value is not None]
        found = self._as_compared.find(
            {"tenant_id": self._tenant_id, "is_deleted": False, key: {"$in": wanted, "$type": KEY_TYPES}},
            projection=["_import", *SYSTEM_TIMES, key, *fields],
            # One answer instead of a first of 101 records.
            batch_size=len(wanted) + 1,
            session=session,
        )
        # A list matches when one of its elements does; as a key it is equal to none of the values.
        return {
            comparable(record[key]): record for record in await found.to_list() if not isinstance(record[key], list)
        }

    async def by_fields(self, fields: Fields, values: Iterable[Values], more: Iterable[str]) -> dict[Values, Document]:
        """The records that hold one of ``values`` in ``fields``, by these.

        Each holds ``fields`` and ``more``, in the form of ``by_key``. Values with a null find nothing.
        """
        wanted = [each for each in dict.fromkeys(values) if None not in each]
        live = {"tenant_id": self._tenant_id, **live_with(fields)}
        found: dict[Values, Document] = {}
        for first in range(0, len(wanted), _VALUES_PER_QUERY):
            alternatives = [
                {name: _stored(value) for name, value in zip(fields, each, strict=True)}
                for each in wanted[first : first + _VALUES_PER_QUERY]
            ]
            records = self._as_compared.find(
                {**live, "$or": alternatives}, projection=[*fields, *more], batch_size=len(alternatives) + 1
            )
            async for record in records:
                held = tuple(comparable(record[name]) for name in fields)
                if not any(isinstance(value, list) for value in held):
                    found[held] = record
        return found

    async def insert(self, encoded: EncodedRecords, session: Session) -> None:
        """Create records.

        Raises:
            WriteRefusedError: the server refuses one of them.
            IncompleteInsertError: it acknowledges fewer of them.
            PermanentError: ``TARGET_UNWRITABLE``; it takes none at all.
        """
        with self._judged():
            await insert_encoded(self._records, encoded, session)

    async def update(self, updates: Sequence[RecordUpdate], session: Session) -> None:
        """Write planned changes.

        Args:
            session: in the transaction in which the records were looked up.

        Raises:
            TransientError: a record is gone; the transaction must be aborted and the batch planned anew.
            WriteRefusedError: the server refuses one of them, with code ``TOO_LARGE`` where the change or the
                record that it would make is greater than 16 MiB.
            PermanentError: ``TARGET_UNWRITABLE``; it takes none at all.
        """
        if not updates:
            return
        with self._judged():
            result = await self._bulk_update(updates, session)
        if (gone := len(updates) - result) != 0:
            raise TransientError(f"{gone} of {len(updates)} records to update are gone from {self.resource}")

    async def _bulk_update(self, updates: Sequence[RecordUpdate], session: Session) -> int:
        changes = [
            UpdateOne({"_id": update.record_id, "tenant_id": self._tenant_id}, {"$set": update.changes})
            for update in updates
        ]
        try:
            return (await self._records.bulk_write(changes, session=session)).matched_count
        except (DocumentTooLarge, OperationFailure) as error:
            if isinstance(error, BulkWriteError) or getattr(error, "code", TOO_LARGE) != TOO_LARGE:
                raise
            sizes = [len(bson.encode(update.changes)) for update in updates]
            raise too_large(sizes.index(max(sizes)), max(sizes)) from error

    @contextmanager
    def _judged(self) -> Generator[None]:
        """Tell whether an error is about one record, about the collection, or about neither."""
        try:
            yield
        except BulkWriteError as error:
            reasons: list[Document] = error.details["writeErrors"]
            if is_transient(error) or not reasons:
                raise
            code: int = reasons[0]["code"]
            if refuses_document(code):
                raise WriteRefusedError(reasons[0]["index"], code, reasons[0]) from error
            if is_unwritable(code):
                raise self._unwritable(code) from error
            raise
        except OperationFailure as error:
            if is_unwritable(error.code):
                raise self._unwritable(error.code) from error
            raise

    def _unwritable(self, code: int | None) -> PermanentError:
        return PermanentError(
            RunErrorCode.TARGET_UNWRITABLE,
            f"the collection {self.resource!r} cannot be imported into (MongoDB's error {code}): it is a view, capped, "
            "or one of time series, or Rowdock has no right to write there; choose another target_resource in the "
            "template, or have the rights changed",
        )


def _stored(value: object) -> object:
    """What is stored for a value in the form that Python compares."""
    return Decimal128(value) if isinstance(value, Decimal) else value
