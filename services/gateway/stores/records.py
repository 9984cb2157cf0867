"""Records of the target, of one organization or of some: a part of a list at a time, each by an index.

A list is in the order of organizations, and of ids within each. That is the order of one index, which the first list of
a collection makes; nobody else's records are ever looked at. A place in a list is the record that comes next, so a list
that is read in parts has everything once that is there all the while.
"""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import bson
from bson import MaxKey, MinKey
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from cachetools import TTLCache
from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout, OperationFailure

from libs.contracts.record_keys import key_value
from libs.storage.client import Document, Mongo
from libs.storage.documents import TargetResource, TemplateDocument
from libs.storage.target_keys import FOREIGN_INDEX, KEYS_INDEX, TargetKeys, holders_of
from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError, TookTooLongError
from services.gateway.stores.templates import shared_by

RECORDS_INDEX: Final = "rowdock_records"
_ORDER: Final = [("tenant_id", ASCENDING), ("_id", ASCENDING)]
OF_LISTS: Final = IndexModel(_ORDER, name=RECORDS_INDEX)
"""No change that an import makes to a record touches these fields, so only new records have to pay for it."""
MAX_MILLISECONDS: Final = 10_000
"""Of one query."""
MOST_TEMPLATES: Final = 200
"""The newest ones of a resource say which fields there are."""
MOST_FIELDS: Final = 5_000
_MADE_SECONDS: Final = 60.0
_MADE: Final = 10_000
_HINT_IS_GONE: Final = frozenset({2, 27})
"""Codes of MongoDB where an index is named that is not there."""
_FETCHED: Final = 101
_AS_STORED: CodecOptions[RawBSONDocument] = CodecOptions(
    RawBSONDocument, uuid_representation=4, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_DECODED: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=4,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_NARROWING: Final = frozenset({"partialFilterExpression", "sparse", "collation"})
"""An index with one of these has not every record, or another order."""
Stored = RawBSONDocument
_Records = AsyncCollection[RawBSONDocument]


def decode_record(stored: Stored) -> Document:
    """A record, whatever another application has written into it."""
    return decoded(stored.raw)


def decoded(octets: bytes | memoryview) -> Document:
    """What ``encoded`` made; raises a ``BSONError`` of anything else."""
    return bson.decode(octets, _DECODED)  # pyright: ignore[reportUnknownMemberType]


def encoded(document: Document) -> bytes:
    """A document with whatever a record may hold, as bytes."""
    return bson.encode(document, codec_options=_DECODED)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: with this record, or with what follows if it is gone."""

    tenant_id: str
    record_id: Any


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a list, and where the next one begins; ``None`` behind its end."""

    records: list[Stored]
    following: Place | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a part may be.

    Attributes:
        records: of it.
        octets: of the records as they are stored; there is one at least.
        looked: so many records are looked through.
    """

    records: int
    octets: int
    looked: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Which records a list has.

    Attributes:
        conditions: all hold.
        named: values of which a record has one, by the name of a field.
        deleted: whether those are there too that are marked as deleted.
    """

    conditions: Sequence[Document] = ()
    named: Mapping[str, Sequence[Any]] | None = None
    deleted: bool = False

    def filter(self, tenant_id: str) -> Document:
        """Of one organization."""
        live: list[Document] = [] if self.deleted else [{"is_deleted": False}]
        every = [*live, *self.conditions]
        return {"tenant_id": tenant_id, **({"$and": every} if every else {})}


@dataclass(frozen=True, slots=True)
class ListIndex:
    """By what a collection is listed.

    Attributes:
        name: of the index.
        keyed: whether records can be found by keys, too.
    """

    name: str
    keyed: bool


class ListIndexes:
    """Makes the index of lists, once for each collection, and not before somebody lists it.

    Args:
        mongo: where collections are.
        wait_seconds: how long whoever asks first waits for it.
    """

    def __init__(self, mongo: Mongo, wait_seconds: float) -> None:
        self._mongo = mongo
        self._wait_seconds = wait_seconds
        self._made = TTLCache[str, ListIndex, float](_MADE, _MADE_SECONDS)
        self._being_made: dict[str, asyncio.Task[ListIndex | None]] = {}

    async def of(self, resource: str) -> ListIndex | None:
        """That of a collection; ``None`` where the collection does not exist.

        Raises:
            BusyError: ``RECORDS_BEING_PREPARED``: it is being made still, of many records.
        """
        if (known := self._made.get(resource)) is not None:
            return known
        task = self._being_made.get(resource)
        if task is None:
            task = self._being_made[resource] = asyncio.create_task(self._make(resource))
            task.add_done_callback(lambda _: self._being_made.pop(resource, None))
        try:
            index = await asyncio.wait_for(asyncio.shield(task), self._wait_seconds)
        except TimeoutError:
            message = f"{resource!r} is listed for the first time, and has many records; try again in a minute"
            raise BusyError("RECORDS_BEING_PREPARED", message) from None
        if index is not None:
            self._made[resource] = index
        return index

    def forget(self, resource: str) -> None:
        """Somebody has removed it."""
        self._made.pop(resource, None)

    async def close(self) -> None:
        """Nobody waits any more. What the server has begun it ends by itself."""
        tasks = list(self._being_made.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, resource: str) -> ListIndex | None:
        if not await self._mongo.target.list_collection_names(filter={"name": resource}):
            return None
        records = self._mongo.target[resource]
        found = await (await records.list_indexes()).to_list()
        keyed = {KEYS_INDEX, FOREIGN_INDEX} <= {index["name"] for index in found}
        for index in found:
            if list(index["key"].items()) == _ORDER and not (_NARROWING & index.keys()):
                return ListIndex(index["name"], keyed)
        await records.create_indexes([OF_LISTS])
        return ListIndex(RECORDS_INDEX, keyed)


class RecordStore:
    """Reads records of those organizations that a principal sees."""

    def __init__(self, mongo: Mongo, principal: Principal, indexes: ListIndexes) -> None:
        self._mongo = mongo
        self._tenant_id = principal.tenant_id
        self._seen = sorted({principal.tenant_id, *principal.reach})
        self._indexes = indexes
        self._keys = TargetKeys(mongo)

    def _records(self, resource: str) -> _Records:
        return self._mongo.target[resource].with_options(codec_options=_AS_STORED)

    async def has(self, resource: str) -> bool:
        """Whether one of the organizations writes to a resource."""
        identifiers = [f"{tenant}:{resource}" for tenant in self._seen]
        resources = self._mongo.state[TargetResource.Settings.name]
        return await resources.find_one({"_id": {"$in": identifiers}}, {"_id": 1}) is not None

    async def resources(self, limit: int, after: str) -> list[str]:
        """The names of the first ``limit`` resources behind ``after`` that the organization itself writes to."""
        behind = {"$gt": f"{self._tenant_id}:{after}", "$lt": f"{self._tenant_id};"}
        mine = {"_id": behind, "tenant_id": self._tenant_id}
        resources = self._mongo.state[TargetResource.Settings.name]
        found = await resources.find(mine, {"resource": 1}, sort=[("_id", ASCENDING)], limit=limit).to_list()
        return [each["resource"] for each in found]

    async def fields(self, resource: str, above: Sequence[str]) -> tuple[list[tuple[str, str]], bool]:
        """Names and types of the fields that templates write to a resource, in the order of the templates, with those
        that the organizations ``above`` share; of a default value the type that BSON has for it. And whether columns
        without a field are kept.

        Raises:
            TookTooLongError: as ``part``.
        """
        live = {"template.target_resource": resource, "deleted_at": None}
        whose: Document = {"tenant_id": {"$in": self._seen}, **live}
        if above:
            whose = {"$or": [whose, {**shared_by(above), **live}]}
        templates = self._mongo.state[TemplateDocument.Settings.name]
        with _in_time():
            found = await (await templates.aggregate(_fields_of(whose), maxTimeMS=MAX_MILLISECONDS)).to_list()
        named = [(each["_id"]["name"], each["_id"]["type"]) for each in found]
        return named, any(each["extra"] for each in found)

    async def count(self, resource: str, most: int) -> int:
        """How many records there are, deleted ones among them, or ``most`` where there are more.

        Raises:
            BusyError, TookTooLongError: as ``part``.
        """
        index = await self._indexes.of(resource)
        if index is None:
            return 0
        mine = {"tenant_id": {"$in": self._seen}}
        with _in_time():
            return await self._mongo.target[resource].count_documents(
                mine, limit=most, hint=index.name, maxTimeMS=MAX_MILLISECONDS
            )

    async def part(self, resource: str, sought: Sought, start: Place | None, bounds: Bounds) -> Part:
        """The records from ``start`` on, of one organization.

        Raises:
            ValueError: ``start`` is not the principal's.
            BusyError: ``RECORDS_BEING_PREPARED``.
            TookTooLongError: ``RECORDS_TOOK_TOO_LONG``.
        """
        if start is not None and start.tenant_id not in self._seen:
            raise ValueError(f"{start.tenant_id} is not among the organizations that are seen")
        for again in (False, True):
            index = await self._indexes.of(resource)
            if index is None:
                break
            try:
                with _in_time():
                    return await self._part(self._records(resource), index, resource, sought, start, bounds)
            except OperationFailure as error:
                if again or error.code not in _HINT_IS_GONE:
                    raise
                self._indexes.forget(resource)
        return Part([], None)

    async def with_ids(self, resource: str, ids: Sequence[Any]) -> list[Stored]:
        """Those of the records of the organization with these ids that are there, in no order.

        Raises:
            TookTooLongError: as ``part``.
        """
        mine = {"_id": {"$in": list(ids)}, "tenant_id": self._tenant_id}
        with _in_time():
            return await self._records(resource).find(mine, max_time_ms=MAX_MILLISECONDS).to_list()

    async def sizes(self, resource: str, ids: Sequence[Any]) -> list[tuple[Any, int]]:
        """The ids of those that ``with_ids`` would find, and their sizes in bytes.

        Raises:
            TookTooLongError: as ``part``.
        """
        mine = {"_id": {"$in": list(ids)}, "tenant_id": self._tenant_id}
        query = [{"$match": mine}, {"$project": {"size": {"$bsonSize": "$$ROOT"}}}]
        with _in_time():
            records = self._mongo.target[resource]
            found = await (await records.aggregate(query, maxTimeMS=MAX_MILLISECONDS)).to_list()
        return [(each["_id"], each["size"]) for each in found]

    async def _part(
        self, records: _Records, by: ListIndex, resource: str, sought: Sought, start: Place | None, bounds: Bounds
    ) -> Part:
        index = by.name
        if start is None:
            start = await self._first(records, index, self._seen)
            if start is None:
                return Part([], None)
        tenant = start.tenant_id
        limits: dict[str, Any] = {
            "limit": bounds.records + 1,
            "batch_size": min(bounds.records + 1, _FETCHED),
            "max_time_ms": MAX_MILLISECONDS,
        }
        end: Any = None
        if by.keyed and (holders := await self._holders(tenant, resource, sought)) is not None:
            from_here = {"$expr": {"$gte": ["$_id", {"$literal": start.record_id}]}}
            query = records.find(
                {"$and": [holders, from_here, sought.filter(tenant)]},
                sort=[("_id", ASCENDING)],
                hint=KEYS_INDEX,
                **limits,
            )
        else:
            end = await self._entry_behind(records, index, start, bounds.looked)
            query = records.find(
                sought.filter(tenant),
                sort=_ORDER,
                hint=index,
                **limits,
            )
            query = query.min(_bound(start)).max(_bound(Place(tenant, MaxKey() if end is None else end)))
        found: list[Stored] = []
        octets = 0
        async with query as cursor:
            async for record in cursor:
                octets += len(record.raw)
                if len(found) == bounds.records or (found and octets > bounds.octets):
                    return Part(found, Place(tenant, record["_id"]))
                found.append(record)
        if end is not None:
            return Part(found, Place(tenant, end))
        return Part(found, await self._first(records, index, [each for each in self._seen if each > tenant]))

    async def _first(self, records: _Records, index: str, tenants: Sequence[str]) -> Place | None:
        """The first place of those organizations that have records."""
        if not tenants:
            return None
        theirs = {"tenant_id": {"$in": list(tenants)}}
        found = await records.find_one(
            theirs, {"_id": 0, "tenant_id": 1}, sort=_ORDER, hint=index, max_time_ms=MAX_MILLISECONDS
        )
        return None if found is None else Place(found["tenant_id"], MinKey())

    async def _entry_behind(self, records: _Records, index: str, start: Place, looked: int) -> Any:  # noqa: ANN401
        """The id that comes ``looked`` records behind; ``None`` where there are not so many. Only the index is read."""
        query = records.find(
            {"tenant_id": start.tenant_id},
            {"_id": 1},
            sort=_ORDER,
            hint=index,
            skip=looked,
            limit=1,
            max_time_ms=MAX_MILLISECONDS,
        )
        found = await query.min(_bound(start)).max(_bound(Place(start.tenant_id, MaxKey()))).to_list()
        return found[0]["_id"] if found else None

    async def _holders(self, tenant_id: str, resource: str, sought: Sought) -> Document | None:
        """The filter that finds the wanted records by a key, where they are named by one."""
        if not sought.named or sought.deleted:
            return None
        for key in await self._keys.of(tenant_id, resource):
            values = sought.named.get(key.names[0])
            if len(key.names) == 1 and values and not await self._keys.has_unadopted(tenant_id, resource):
                return holders_of(tenant_id, key, [[key_value(value)] for value in values])
        return None


@contextmanager
def _in_time() -> Generator[None]:
    try:
        yield
    except ExecutionTimeout:
        message = (
            f"the database was looking for more than {MAX_MILLISECONDS // 1_000} seconds; ask for fewer at a time, or "
            "by a field that is a key"
        )
        raise TookTooLongError("RECORDS_TOOK_TOO_LONG", message) from None


def _bound(place: Place) -> list[tuple[str, Any]]:
    return [("tenant_id", place.tenant_id), ("_id", place.record_id)]


def _fields_of(templates: Document) -> list[Document]:
    """The query for ``RecordStore.fields``."""
    of_field = {"name": "$$each.name", "type": "$$each.type"}
    of_default = {"name": "$$each.k", "type": {"$type": "$$each.v"}}
    defaults: Document = {"$objectToArray": {"$ifNull": ["$template.default_values", {}]}}
    fields: list[Document] = [
        {"$map": {"input": "$template.fields", "as": "each", "in": of_field}},
        {"$map": {"input": defaults, "as": "each", "in": of_default}},
    ]
    return [
        {"$match": templates},
        {"$sort": {"_id": -1}},
        {"$limit": MOST_TEMPLATES},
        {"$project": {"extra": "$template.include_unmatched_columns", "field": {"$concatArrays": fields}}},
        {"$unwind": {"path": "$field", "includeArrayIndex": "at"}},
        {"$group": {"_id": "$field", "at": {"$min": "$at"}, "extra": {"$max": "$extra"}}},
        {"$sort": {"at": 1, "_id.name": 1, "_id.type": 1}},
        {"$limit": MOST_FIELDS},
    ]
