"""Messages that nobody could handle, of all organizations: only retention asks here."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from libs.storage.client import Mongo
from libs.storage.documents import DeadLetter

MAX_IDS = 10_000
"""Most ids that are looked for in one message; a message of Rowdock's own holds a handful."""
_ID = re.compile(rb"[0-9a-f]{24}")


class DeadLetterStore:
    """The collection ``dead_letters``."""

    def __init__(self, mongo: Mongo) -> None:
        self._letters = mongo.state[DeadLetter.Settings.name]

    async def remove_older(self, before: datetime, limit: int) -> int:
        """Remove at most ``limit`` letters from before then, the oldest first; how many those were."""
        oldest = self._letters.find({"created_at": {"$lt": before}}, {"_id": 1}).sort("created_at", 1).limit(limit)
        return await self.remove([letter["_id"] async for letter in oldest])

    async def remove(self, ids: Sequence[str]) -> int:
        """Remove letters; how many there were."""
        return (await self._letters.delete_many({"_id": {"$in": list(ids)}})).deleted_count if ids else 0

    async def mentioned_ids(self) -> AsyncIterator[tuple[str, frozenset[str]]]:
        """Each letter's id, and the ids of runs and organizations that its message mentions anywhere."""
        async for letter in self._letters.find({}, {"key": 1, "value": 1, "headers": 1}):
            parts = [letter["key"], letter["value"], *(header["value"] for header in letter["headers"])]
            found: set[str] = set()
            for part in filter(None, parts):
                for match in _ID.finditer(part):
                    if len(found) == MAX_IDS:
                        break
                    found.add(match.group().decode())
            yield letter["_id"], frozenset(found)
