"""Records of a target resource: one, pages of them, all of them."""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from bson import ObjectId
from bson.errors import BSONError

from libs.contracts.templates.parts import SYSTEM_TIMES
from libs.storage.client import Document, Mongo
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.errors import Problem, invalid_input, not_found
from services.gateway.records.record_filters import OWN_FIELDS, Field, Kind, Wanted, read_filters
from services.gateway.records.rows import Turn
from services.gateway.stores.records import (
    Bounds,
    ListIndexes,
    Place,
    RecordStore,
    Sought,
    decode_record,
    decoded,
    encoded,
)

MAX_PAGE_OCTETS: Final = 4 * 1024 * 1024
"""Of the records of a page, or of a piece of a file, as they are stored."""
RECORDS_AT_A_TIME: Final = 500
FIRST_LOOK, MOST_LOOKED, LOOK_GROWTH = 1_000, 20_000, 4
"""Records that are looked through at once for those that are wanted: few at first, more while nothing is found."""
PAGE_SECONDS: Final = 2.0
"""So long a page is looked for; what is found then is the page, even if that is nothing."""
MAX_DEPTH: Final = 50
"""Of an id of a record; MongoDB takes no more than 180."""
_KINDS: Final = {
    "number": Kind.NUMBER,
    "date": Kind.DATE,
    "boolean": Kind.BOOLEAN,
    "int": Kind.NUMBER,
    "long": Kind.NUMBER,
    "double": Kind.NUMBER,
    "decimal": Kind.NUMBER,
    "bool": Kind.BOOLEAN,
}
"""By the type of a field, or by the one that BSON has for a default value; all others are texts."""
_OWN: Final = frozenset({"_id", "tenant_id", "extra", "is_deleted", "deleted_at", "_import", "_keys"})


@dataclass(frozen=True, slots=True)
class Resource:
    """What is known of a target resource.

    Attributes:
        fields: names of those that templates write, in their order.
        filters: what records can be filtered by.
        has_extra: whether columns without a field are kept.
    """

    name: str
    fields: tuple[str, ...]
    filters: dict[str, Field]
    has_extra: bool


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which records of a resource are wanted.

    Attributes:
        filters: see ``read_filters``.
        deleted: whether those are wanted too that are marked as deleted.
        after: the ``following`` of the part before.
    """

    filters: Sequence[str] = ()
    deleted: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is now, with values as they are stored.

    Attributes:
        fields: without what Rowdock itself notes, times among it unless a template sets them.
        noted: ``run_id``, ``row``, ``version``, ``created_at``, ``updated_at``; not of what others have inserted.
    """

    id: Any
    tenant_id: str
    fields: Document
    extra: Any
    is_deleted: bool
    deleted_at: Any
    noted: Document


@dataclass(frozen=True, slots=True)
class RecordPart:
    """Some records, and what to ask for behind them; ``None`` where nothing is."""

    records: list[Record]
    following: str | None


class Records:
    """Shows them.

    Args:
        mongo: where they are.
        reach: tells the organizations above, whose shared templates write records too.
        indexes: of lists.
        turn: see ``RowOutcomes.turn``: records are read in turn with rows.
    """

    def __init__(self, mongo: Mongo, reach: Reach, indexes: ListIndexes, turn: Turn) -> None:
        self._mongo = mongo
        self._reach = reach
        self._indexes = indexes
        self.turn = turn

    async def resources(self, principal: Principal, limit: int, after: str) -> tuple[list[str], bool]:
        """Names of the resources that the organization writes to, from behind ``after``; and whether there are more."""
        found = await self._store(principal).resources(limit + 1, after)
        return found[:limit], len(found) > limit

    async def resource(self, principal: Principal, name: str) -> Resource:
        """What is known of a resource.

        Raises:
            NotFoundError: ``RESOURCE_NOT_FOUND``: no organization that is seen writes to it.
        """
        store = self._store(principal)
        if not await store.has(name):
            raise not_found("resource", name)
        named, has_extra = await store.fields(name, await self._reach.above(principal.tenant_id))
        kinds: dict[str, set[Kind]] = {}
        for field, kind in named:
            kinds.setdefault(field, set()).add(_KINDS.get(kind, Kind.TEXT))
        filters = {field: Field(field, frozenset(found)) for field, found in kinds.items()}
        return Resource(name, tuple(kinds), {**filters, **OWN_FIELDS}, has_extra)

    async def get(self, principal: Principal, resource: Resource, identifier: str) -> Record:
        """One record, also one that is marked as deleted.

        Raises:
            NotFoundError: ``RECORD_NOT_FOUND``.
        """
        meant = _meant_ids(identifier)
        found = await self._store(principal).with_ids(resource.name, meant)
        if not found:
            raise not_found("record", identifier)
        records = {str(record.id): record for record in _read(found, resource.fields)}
        return records.get(identifier) or next(iter(records.values()))

    async def page(self, principal: Principal, resource: Resource, query: RecordQuery, limit: int) -> RecordPart:
        """At most ``limit`` records; fewer where they are large or hard to find.

        Raises:
            InvalidInputError: by ``filter`` or ``after``.
            BusyError, TookTooLongError: as ``RecordStore.part``.
        """
        store, sought = self._store(principal), _sought(resource, query)
        place = _place(query.after, principal)
        records: list[Record] = []
        looked, octets = FIRST_LOOK, MAX_PAGE_OCTETS
        until = time.monotonic() + PAGE_SECONDS
        while True:
            part = await store.part(resource.name, sought, place, Bounds(limit - len(records), octets, looked))
            octets -= sum(len(record.raw) for record in part.records)
            records += await asyncio.to_thread(_read, part.records, resource.fields)
            place = part.following
            if place is None or len(records) >= limit or octets <= 0 or time.monotonic() > until:
                return RecordPart(records, None if place is None else _text_of(place))
            looked = min(looked * LOOK_GROWTH, MOST_LOOKED)

    async def all(self, principal: Principal, resource: Resource, query: RecordQuery) -> AsyncIterator[list[Record]]:
        """All wanted records, some at a time. No query is open while the caller is busy with them.

        Raises:
            InvalidInputError, BusyError: as ``page``; the iterator raises ``TookTooLongError`` only.
        """
        sought, place = _sought(resource, query), _place(query.after, principal)
        await self._indexes.of(resource.name)
        return self._all(principal, resource, sought, place)

    async def _all(
        self, principal: Principal, resource: Resource, sought: Sought, place: Place | None
    ) -> AsyncIterator[list[Record]]:
        store = self._store(principal)
        looked = FIRST_LOOK
        while True:
            part = await store.part(resource.name, sought, place, Bounds(RECORDS_AT_A_TIME, MAX_PAGE_OCTETS, looked))
            yield await asyncio.to_thread(_read, part.records, resource.fields)
            if (place := part.following) is None:
                return
            looked = MOST_LOOKED if not part.records else looked

    async def most(self, principal: Principal, resource: Resource, limit: int) -> int:
        """No more records than this are there, or more than ``limit``."""
        return await self._store(principal).count(resource.name, limit + 1)

    async def sizes(self, principal: Principal, resource: str, identifiers: Sequence[Any]) -> dict[bytes, int]:
        """Sizes, in bytes, of those of some records of the organization that are there, by the ``key_of`` their ids.

        Raises:
            TookTooLongError: as ``RecordStore.part``.
        """
        return {key_of(each): size for each, size in await self._store(principal).sizes(resource, identifiers)}

    async def with_ids(
        self, principal: Principal, resource: str, names: Sequence[str], identifiers: Sequence[Any]
    ) -> dict[bytes, Record]:
        """Those of some records of the organization that are there, by the ``key_of`` their ids. They are in memory
        all at once.

        Args:
            principal: who asks.
            resource: where they are.
            names: of the fields.
            identifiers: ids.

        Raises:
            TookTooLongError: as ``RecordStore.part``.
        """
        stored = await self._store(principal).with_ids(resource, identifiers)
        return {key_of(record.id): record for record in await asyncio.to_thread(_read, stored, names)}

    def _store(self, principal: Principal) -> RecordStore:
        return RecordStore(self._mongo, principal, self._indexes)


def key_of(identifier: object) -> bytes:
    """An id of a record, of any type, as a key of a dictionary."""
    return encoded({"": identifier})


def _sought(resource: Resource, query: RecordQuery) -> Sought:
    wanted: Wanted = read_filters(query.filters, resource.filters)
    return Sought(wanted.conditions, wanted.named, query.deleted)


def _read(stored: Sequence[Any], names: Sequence[str]) -> list[Record]:
    return [_record(decode_record(each), names) for each in stored]


def _record(document: Document, names: Sequence[str]) -> Record:
    hidden = _OWN | {name for name in SYSTEM_TIMES if name not in names}
    noted = document.get("_import")
    return Record(
        id=document["_id"],
        tenant_id=document["tenant_id"],
        fields={name: value for name, value in document.items() if name not in hidden},
        extra=document.get("extra"),
        is_deleted=document.get("is_deleted") is True,
        deleted_at=document.get("deleted_at"),
        noted=cast("Document", noted) if isinstance(noted, dict) else {},
    )


def _meant_ids(text: str) -> list[Any]:
    """The ids of which a text may be the text."""
    meant: list[Any] = [text]
    if ObjectId.is_valid(text):
        meant.append(ObjectId(text))
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20 and -(2**63) <= int(text) < 2**63:
        meant.append(int(text))
    try:
        meant.append(UUID(text))
    except ValueError:
        return meant
    return meant


def _depth(value: object) -> int:
    """How many documents and lists lie in each other."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = cast("dict[object, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    return max((1 + _depth(each) for each in inner), default=0)


def _text_of(place: Place) -> str:
    return base64.urlsafe_b64encode(encoded({"t": place.tenant_id, "i": place.record_id})).decode().rstrip("=")


def _place(text: str | None, principal: Principal) -> Place | None:
    """The place that ``_text_of`` wrote; of an organization that is seen."""
    if text is None:
        return None
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = decoded(octets)
        place = Place(found["t"], found["i"])
    except (binascii.Error, BSONError, KeyError, ValueError, RecursionError):
        place = None
    known = place is not None and place.tenant_id in (principal.tenant_id, *principal.reach)
    if place is None or not known or _depth(place.record_id) > MAX_DEPTH:
        raise invalid_input(Problem("after", "INVALID", "is no next_after of this list; begin anew without it"))
    return place
