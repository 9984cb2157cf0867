"""Keys and resources of the target of all organizations: only retention asks here, and only what may be of no use."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from bson import ObjectId
from pymongo import ASCENDING

from libs.storage.client import Collection, Document, Mongo
from libs.storage.documents import TargetKeyDocument, TargetResource
from libs.storage.target_keys import TargetKey, TargetKeys


@dataclass(frozen=True, slots=True)
class Registration:
    """A key, and whose it is."""

    tenant_id: str
    resource: str
    key: TargetKey


class Registrations:
    """What is registered, whoever registered it."""

    def __init__(self, mongo: Mongo) -> None:
        self._keys = TargetKeys(mongo)
        self._registry: Collection = mongo.state[TargetKeyDocument.Settings.name]
        self._resources: Collection = mongo.state[TargetResource.Settings.name]

    async def unasked(self, older_than: timedelta, after: ObjectId | None, limit: int) -> list[Registration]:
        """Keys in force that were last asked for so long ago, by their ids, from behind ``after``."""
        further = {} if after is None else {"_id": {"$gt": after}}
        conditions = {"released_at": None, **_not_asked(older_than), **further}
        found = self._registry.find(conditions, sort=[("_id", ASCENDING)], limit=limit)
        return [_registration(document) async for document in found]

    async def released(self, limit: int) -> list[Registration]:
        """Keys that bind nobody, whose entries are still in records; the oldest first."""
        conditions = {"released_at": {"$type": "date"}}
        found = self._registry.find(conditions, sort=[("released_at", ASCENDING)], limit=limit)
        return [_registration(document) async for document in found]

    async def clear(self, registration: Registration) -> bool:
        """See ``TargetKeys.clear``."""
        return await self._keys.clear(registration.tenant_id, registration.resource, registration.key)

    async def resources_to_look_at(self, older_than: timedelta, limit: int) -> AsyncIterator[tuple[str, str]]:
        """Organization and resource where that was last named so long ago; not again before as long."""
        found = self._resources.find(_not_asked(older_than), sort=[("asked_at", ASCENDING)], limit=limit)
        for document in await found.to_list():
            await self._resources.update_one({"_id": document["_id"]}, {"$currentDate": {"asked_at": True}})
            yield document["tenant_id"], document["resource"]


def _not_asked(older_than: timedelta) -> Document:
    """Compared with the server's time, which wrote it."""
    earlier = {"startDate": "$$NOW", "unit": "second", "amount": int(older_than.total_seconds())}
    return {"$expr": {"$lt": ["$asked_at", {"$dateSubtract": earlier}]}}


def _registration(document: Document) -> Registration:
    key = TargetKey(document["_id"], tuple(document["names"]))
    return Registration(document["tenant_id"], document["resource"], key)
