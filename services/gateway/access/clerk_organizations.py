"""Organizations that Clerk knows: which of ours each of them is."""

from contextlib import suppress
from datetime import UTC, datetime

from bson import ObjectId
from cachetools import TTLCache
from pymongo.errors import DuplicateKeyError

from libs.storage.client import Document, Mongo
from libs.storage.documents import ClerkTombstone, Organization

REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 10_000


class ClerkOrganizations:
    """An organization of Clerk's is one of ours, made when it is first heard of: by its webhook, or by the token of one
    of its members, whichever comes first."""

    def __init__(self, mongo: Mongo) -> None:
        self._organizations = mongo.state[Organization.Settings.name]
        self._tombstones = mongo.state[ClerkTombstone.Settings.name]
        self._remembered = TTLCache[str, str, float](MAX_REMEMBERED, REMEMBERED_SECONDS)

    async def tenant(self, clerk_id: str, name: str | None = None) -> str | None:
        """The id of our organization; ``None`` where it is being deleted, or Clerk's was."""
        if (known := self._remembered.get(clerk_id)) is not None:
            return known
        shown = {"deletion": 1, "suspended_at": 1}
        found = await self._organizations.find_one(with_clerk_id(clerk_id), shown)
        if found is None and await self._tombstones.find_one({"_id": clerk_id}) is None:
            found = await self._made(clerk_id, name or clerk_id, shown)
        if found is None or any(found.get(ended) is not None for ended in shown):
            return None
        self._remembered[clerk_id] = tenant_id = str(found["_id"])
        return tenant_id

    async def _made(self, clerk_id: str, name: str, shown: Document) -> Document | None:
        new = {"_id": str(ObjectId()), "name": name, "created_at": datetime.now(UTC)}
        with suppress(DuplicateKeyError):  # somebody else was faster
            await self._organizations.update_one(with_clerk_id(clerk_id), {"$setOnInsert": new}, upsert=True)
        return await self._organizations.find_one(with_clerk_id(clerk_id), shown)


def with_clerk_id(clerk_id: str) -> Document:
    """The filter of the organization that is Clerk's of that id."""
    # Without the type MongoDB does not see that the index, which holds texts alone, has all that is asked for.
    return {"clerk_id": {"$eq": clerk_id, "$type": "string"}}
