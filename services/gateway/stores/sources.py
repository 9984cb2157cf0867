"""Sources of one organization, as it sees and changes them; and the files that were seen there."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from libs.storage.client import Collection as MongoCollection
from libs.storage.client import Document
from libs.storage.documents import SourceDocument, SourceFileDocument, SourceFileState
from services.gateway.access.principal import Principal
from services.gateway.errors import Versions
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore

_NEWEST = [("first_seen_at", -1), ("_id", -1)]


class SourceStore(TenantStore[SourceDocument]):
    """Sources."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(SourceDocument, principal)

    @property
    def _sources(self) -> MongoCollection:
        return cast("MongoCollection", SourceDocument.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    async def get(self, source_id: str) -> SourceDocument | None:
        """One of them."""
        return await self._read(self._one({"_id": source_id}))

    async def page(self, limit: int, after: str | None) -> Page[SourceDocument]:
        """Sources, the newest first, also of organizations that the principal looks at."""
        behind = {} if after is None else {"_id": {"$lt": after}}
        return await self._page(SourceDocument, behind, ("_id", -1), limit)

    async def count(self, most: int) -> int:
        """How many there are; no more than ``most`` are counted."""
        return await self._many({}).limit(most).count()

    async def change(self, source_id: str, changes: Mapping[str, Any], wanted: Versions) -> bool:
        """Set ``changes`` of a source, as its next version; ``False`` where there is none of a version that is wanted.

        In one statement, so that of two changes of one version one is made.
        """
        of_version = {} if wanted is None else {"version": {"$in": _numbers(wanted)}}
        answer = await self._sources.update_one(
            self._mine({"_id": source_id, **of_version}), {"$set": dict(changes), "$inc": {"version": 1}}
        )
        return answer.matched_count == 1

    async def look_now(self, source_id: str, now: datetime) -> bool:
        """Let a source be looked at as soon as possible; ``False`` where there is none that is enabled."""
        answer = await self._sources.update_one(
            self._mine({"_id": source_id, "enabled": True}), {"$set": {"look_at": now, "list_at": now}}
        )
        return answer.matched_count == 1

    async def remove(self, source_id: str, wanted: Versions) -> bool:
        """Remove a source; ``False`` where there is none of a version that is wanted."""
        of_version = {} if wanted is None else {"version": {"$in": _numbers(wanted)}}
        answer = await self._sources.delete_one(self._mine({"_id": source_id, **of_version}))
        return answer.deleted_count == 1


class SourceFileStore(TenantStore[SourceFileDocument]):
    """Files that were seen at sources."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(SourceFileDocument, principal)

    @property
    def _files(self) -> MongoCollection:
        return cast("MongoCollection", SourceFileDocument.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    async def page(
        self, source_id: str, states: list[SourceFileState] | None, limit: int, after: str | None
    ) -> Page[SourceFileDocument]:
        """Those of a source, the newest first; nothing behind an ``after`` that is gone."""
        wanted: Document = {"source_id": source_id}
        if states is not None:
            wanted["state"] = {"$in": [each.value for each in states]}
        if after is not None:
            last = await self._files.find_one(self._mine({"_id": after}), {"first_seen_at": 1})
            if last is None:
                return Page([], more=False)
            at = last["first_seen_at"]
            wanted["first_seen_at"] = {"$lte": at}
            wanted["$or"] = [{"first_seen_at": {"$lt": at}}, {"_id": {"$lt": after}}]
        cursor = self._files.find(self._mine(wanted)).sort(_NEWEST).limit(limit + 1)
        found = [SourceFileDocument.read(each) async for each in cursor]
        return Page(found[:limit], more=len(found) > limit)

    async def forget(self, source_id: str) -> None:
        """Remove what is known of the files of a source that is gone."""
        await self._files.delete_many(self._mine({"source_id": source_id}))


def _numbers(wanted: Versions) -> list[int]:
    return [int(each) for each in wanted or () if each.isascii() and each.isdecimal()]
