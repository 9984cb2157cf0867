"""The records of one tenant in a target collection: looked up, created, updated.

They are found by the entries that they carry for the tenant's keys, see ``libs.storage.target_keys``. Other
applications may change a record and leave its entries as they were; what is found is therefore held against its fields.

Every write belongs to the transaction that also moves the batch's entry of the ledger, so
nothing here is retried or undone: the transaction is.
"""

import asyncio
from collections.abc import AsyncIterable, Generator, Iterable, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

import bson
from bson import Decimal128
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.errors import BulkWriteError, OperationFailure

from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.record_keys import KEYS, SCOPE_PATH, key_value
from libs.contracts.templates import SYSTEM_TIMES
from libs.storage.client import Document, Mongo, Session
from libs.storage.mongo_errors import is_transient, is_unwritable, refuses_document
from libs.storage.target_keys import (
    KEY_TYPES,
    KeysNotUniqueError,
    TargetKey,
    TargetKeys,
    holders_of,
    spelled_unadopted,
)
from services.writer.collection_rules import CollectionRules
from services.writer.domain.batch_plan import AS_IN_FILE, CHANGED, Fields, Record, RecordUpdate, Values
from services.writer.domain.decimal128 import comparable
from services.writer.domain.document_slots import EncodedRecords, in_order
from services.writer.domain.encoded_changes import ChangeEncoder, EncodedChanges
from services.writer.domain.record_changes import statement
from services.writer.domain.record_keys import carried
from services.writer.domain.row_comparison import RowComparison
from services.writer.raw_insert import insert_encoded, update_encoded

_VALUES_PER_QUERY = 500
_RECORDS_PER_ANSWER = 1_000
"""Few answers instead of a first of 101 records, and none that takes the event loop long to decode."""

_AS_COMPARED: CodecOptions[Document] = CodecOptions(
    dict, tz_aware=False, uuid_representation=4, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Dates as checked batches hold them."""


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


class StaleKeysError(Exception):
    """Records carry entries that do not follow from their fields; ``TargetRecords.renew_keys`` mends it.

    Attributes:
        record_ids: ids of the records.
    """

    def __init__(self, record_ids: Sequence[Any]) -> None:
        super().__init__(f"{len(record_ids)} records carry entries that do not follow from their fields")
        self.record_ids = record_ids


class TargetRecords:
    """Live records of one tenant in one collection of the target database."""

    def __init__(self, mongo: Mongo, resource: str, tenant_id: str) -> None:
        self.resource = resource
        self._keys = TargetKeys(mongo)
        self._records = mongo.target[resource]
        self.rules = CollectionRules(mongo, self._records)
        self._as_compared = self._records.with_options(codec_options=_AS_COMPARED)
        self.tenant_id = tenant_id
        self._unadopted: dict[tuple[Fields, tuple[str, ...]], dict[Values, Document]] = {}

    async def require_keys(self, wanted: Sequence[tuple[str, ...]]) -> tuple[TargetKey, ...]:
        """See that the tenant's records can be found by what is ``wanted``; all keys that bind them.

        Raises:
            PermanentError: ``KEYS_NOT_UNIQUE``, records break one already; ``TARGET_UNWRITABLE``, the collection can
                have no indexes.
        """
        if not wanted and not await self._keys.of(self.tenant_id, self.resource):
            return ()
        try:
            return await self._keys.require(self.tenant_id, self.resource, wanted)
        except KeysNotUniqueError as error:
            raise error.of_run(self.resource) from error
        except OperationFailure as error:
            if is_transient(error):
                raise
            raise self._unwritable(error.code) from error

    async def keys(self, session: Session | None = None) -> tuple[TargetKey, ...]:
        """All keys that bind the tenant's records now."""
        return await self._keys.of(self.tenant_id, self.resource, session)

    async def has_unadopted(self) -> bool:
        """Whether records of other applications carry no entries yet; ``require_keys`` gives them theirs."""
        return await self._keys.has_unadopted(self.tenant_id, self.resource)

    async def renew_keys(self, record_ids: Sequence[Any]) -> None:
        """Give records the entries that follow from their fields."""
        await self._keys.renew(self.tenant_id, self.resource, record_ids)

    async def without_entry(self, key: TargetKey, values: Values) -> list[Any]:
        """Ids of the records that hold ``values`` in the fields of ``key`` and carry no entry of it.

        Writers of an earlier release make such records; an index of that release finds them.
        """
        fields = {name: _stored(value) for name, value in zip(key.names, values, strict=True)}
        lacking = {**self._live_with(key.names), SCOPE_PATH: {"$ne": key.id}, "$and": [fields]}
        found = self._records.find(lacking, {"_id": 1})
        return [record["_id"] async for record in found]

    async def by_key(
        self,
        key: TargetKey,
        values: Sequence[Any],
        fields: Iterable[str],
        session: Session | None = None,
    ) -> dict[Any, Record]:
        """The records whose field of ``key`` is one of ``values``, by these, however they spell it.

        Null is no key: it finds nothing. A Decimal128 is found by a ``Decimal``, which is also the key here.
        Each record holds ``_id``, ``_import``, ``_keys``, its times, the field and ``fields``; dates are naive UTC, or
        ``DatetimeMS`` where Python has no such year.

        Raises:
            StaleKeysError: a record holds another value than its entry says.
        """
        found = await self._with_key(key, values, fields, session)
        return await asyncio.to_thread(_by_value, found, key)

    async def compared(
        self,
        key: TargetKey,
        values: Sequence[Any],
        fields: Iterable[str],
        session: Session,
        rows: RowComparison,
        encoder: ChangeEncoder | None,
    ) -> tuple[dict[Any, Record], EncodedChanges | None]:
        """The same, where only those records are read that ``rows`` cannot be compared with by their bytes.

        ``AS_IN_FILE`` stands for a record that equals its row, and ``CHANGED`` for one whose change is encoded already.

        Raises:
            StaleKeysError: a record holds another value than its entry says.
        """
        found = await self._with_key(key, values, fields, session)

        def apart() -> tuple[dict[Any, Record], EncodedChanges | None]:
            told = rows.of(found, encoder)
            records: dict[Any, Record] = dict.fromkeys(told.unchanged, AS_IN_FILE)
            records |= dict.fromkeys(told.changed, CHANGED)
            return records | _by_value([told.others], key), told.changes

        return await asyncio.to_thread(apart)

    async def _with_key(
        self, key: TargetKey, values: Sequence[Any], fields: Iterable[str], session: Session | None
    ) -> list[bytes]:
        wanted = [(value,) for value in values if value is not None]
        return await self._found(key, wanted, ["_import", *SYSTEM_TIMES, *fields], session)

    async def by_values(
        self, names: Fields, values: Iterable[Values], more: Iterable[str], key: TargetKey | None
    ) -> dict[Values, Document]:
        """The records that hold one of ``values`` in the fields ``names``, by these.

        Each holds these fields and ``more``, in the form of ``by_key``. Values with a null find nothing.

        Args:
            names: the fields.
            values: of the fields.
            more: further fields.
            key: of these fields; ``None`` where only an index that somebody else made is about them.

        Raises:
            StaleKeysError: a record holds other values than its entry says.
        """
        wanted = [each for each in dict.fromkeys(values) if None not in each]
        found: dict[Values, Document] = {}
        for first in range(0, len(wanted), _VALUES_PER_QUERY):
            some = wanted[first : first + _VALUES_PER_QUERY]
            found |= await (self._with_values(names, some, more) if key is None else self._holders(key, some, more))
        return found

    async def _holders(self, key: TargetKey, wanted: Sequence[Values], more: Iterable[str]) -> dict[Values, Document]:
        found = await self._found(key, wanted, more)
        return await asyncio.to_thread(lambda: _by_values(_decoded(found), key))

    async def _found(
        self, key: TargetKey, wanted: Sequence[Values], more: Iterable[str], session: Session | None = None
    ) -> list[bytes]:
        """The records that carry an entry, as they came: of each answer the BSON of all, one after another."""
        asked = [[_stored(value) for value in values] for values in wanted]
        cursor = self._records.find_raw_batches(
            holders_of(self.tenant_id, key, asked),
            projection=[KEYS, *key.names, *more],
            batch_size=_RECORDS_PER_ANSWER,
            session=session,
        )
        return cast("list[bytes]", await cursor.to_list())  # PyMongo's annotation says documents

    async def _with_values(
        self, names: Fields, wanted: Sequence[Values], more: Iterable[str]
    ) -> dict[Values, Document]:
        alternatives = [{name: _stored(value) for name, value in zip(names, each, strict=True)} for each in wanted]
        records = self._as_compared.find(
            {**self._live_with(names), "$or": alternatives}, projection=[*names, *more], batch_size=len(wanted) + 1
        )
        return await _as_held(records, names)

    async def unadopted(self, names: Fields, more: Iterable[str]) -> dict[Values, Document]:
        """Those records of other applications that carry no entries yet and may spell a value of ``names`` in another
        way than it is compared, by the values as these are compared; in the form of ``by_values``, which misses them.

        They are looked up once for all batches of a run.
        """
        fields = tuple(more)
        if (known := self._unadopted.get((names, fields))) is None:
            spelled = spelled_unadopted(self.tenant_id, names)
            found = self._as_compared.find(spelled, projection=[*names, *fields])
            known = self._unadopted[names, fields] = await _as_held(found, names)
        return known

    def _live_with(self, names: Iterable[str]) -> Document:
        """The filter of live records with values of a key's type, as indexes of earlier releases hold them."""
        with_values = {name: {"$type": KEY_TYPES} for name in names}
        return {"tenant_id": self.tenant_id, "is_deleted": False, **with_values}

    async def insert(self, encoded: EncodedRecords, session: Session) -> None:
        """Create records.

        Raises:
            WriteRefusedError: the server refuses one of them.
            IncompleteInsertError: it acknowledges fewer of them.
            PermanentError: ``TARGET_UNWRITABLE``; it takes none at all.
        """
        with self._judged():
            await insert_encoded(self._records, encoded, session)

    async def update(
        self, updates: Sequence[RecordUpdate], session: Session, encoded: EncodedChanges | None = None
    ) -> None:
        """Write planned changes, in the order of their rows.

        Args:
            updates: changes that are to be encoded; those of ``encoded`` come in between.
            session: in the transaction in which the records were looked up.
            encoded: changes that are encoded already.

        Raises:
            TransientError: a record is gone; the transaction must be aborted and the batch planned anew.
            WriteRefusedError: the server refuses one of them, with code ``TOO_LARGE`` where the change or the
                record that it would make is greater than 16 MiB.
            PermanentError: ``TARGET_UNWRITABLE``; it takes none at all.
        """
        statements = await asyncio.to_thread(_statements, updates, encoded)
        if not statements.count:
            return
        with self._judged():
            matched = await update_encoded(self._records, statements, session)
        if (gone := statements.count - matched) != 0:
            raise TransientError(f"{gone} of {statements.count} records to update are gone from {self.resource}")

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


def _statements(updates: Sequence[RecordUpdate], encoded: EncodedChanges | None) -> EncodedRecords:
    own = EncodedRecords.of([statement(each.record_id, each.changes, origin=each.origin) for each in updates])
    if encoded is None:
        return own
    if not own.count:
        return encoded.statements
    rows = [*(each.row for each in updates), *encoded.rows]
    return in_order([own, encoded.statements], sorted(range(len(rows)), key=rows.__getitem__))


def _stored(value: object) -> object:
    """What is stored for a value in the form that Python compares."""
    return Decimal128(value) if isinstance(value, Decimal) else value


async def _as_held(records: AsyncIterable[Document], names: Fields) -> dict[Values, Document]:
    """The records that hold one value in each of these fields, by these as they are compared."""
    found: dict[Values, Document] = {}
    async for record in records:
        held = tuple(key_value(comparable(record.get(name))) for name in names)
        if not any(value is None or isinstance(value, list) for value in held):
            found[held] = record
    return found


def _decoded(found: Sequence[bytes]) -> list[Document]:
    return bson.decode_all(b"".join(found), _AS_COMPARED)  # pyright: ignore[reportUnknownMemberType]


def _by_value(found: Sequence[bytes], key: TargetKey) -> dict[Any, Record]:
    """Records by the value that they hold of a key with one field.

    Raises:
        StaleKeysError: some carry other entries.
    """
    return {value: record for (value,), record in _by_values(_decoded(found), key).items()}


def _by_values(records: Sequence[Document], key: TargetKey) -> dict[Values, Document]:
    """Records by the values that they hold of a key.

    Raises:
        StaleKeysError: some carry other entries.
    """
    by_values: dict[Values, Document] = {}
    stale: list[Any] = []
    for record in records:
        if (values := carried(record, key)) is None:
            stale.append(record["_id"])
        else:
            by_values[tuple([comparable(value) for value in values])] = record
    if stale:
        raise StaleKeysError(stale)
    return by_values
