"""Messages that nobody could handle, of all organizations: only retention and operators ask here."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from pymongo import ReturnDocument

from libs.storage.client import Document, Mongo
from libs.storage.documents import DeadLetter
from libs.storage.stored_times import seconds_from_now
from services.gateway.stores.paging import Page

LEASE_SECONDS = 60.0
"""Longer than a gateway waits for the broker."""
MAX_IDS = 10_000
"""Most ids that are looked for in one message; a message of Rowdock's own holds a handful."""
_ID = re.compile(rb"[0-9a-f]{24}")


class LetterStatus(StrEnum):
    """What is to become of a letter."""

    WAITING = "waiting"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


_UNDECIDED = (LetterStatus.WAITING, LetterStatus.REPLAYED)
"""A letter that was replayed may be replayed again."""


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

    # --- for operators --------------------------------------------------------------------------

    async def get(self, letter_id: str) -> DeadLetter | None:
        """One letter."""
        found = await self._letters.find_one({"_id": letter_id})
        return None if found is None else DeadLetter.read(found)

    async def page(
        self, status: LetterStatus | None, topic: str | None, limit: int, after: str | None
    ) -> Page[DeadLetter]:
        """Letters without what was in them, the newest first; nothing behind an ``after`` that is gone."""
        wanted: Document = {}
        if status is not None:
            wanted["state"] = _stored(status)
        if topic is not None:
            wanted["topic"] = topic
        if after is not None:
            last = await self._letters.find_one({"_id": after}, {"created_at": 1})
            if last is None:
                return Page([], more=False)
            at = last["created_at"]
            wanted |= {"created_at": {"$lte": at}, "$or": [{"created_at": {"$lt": at}}, {"_id": {"$lt": after}}]}
        order = [("created_at", -1), ("_id", -1)]
        hint = "pages" if status is None else "state_pages"
        cursor = self._letters.find(wanted, {"value": 0}, hint=hint).sort(order).limit(limit + 1)
        found = [DeadLetter.read({**each, "value": None}) async for each in cursor]
        return Page(found[:limit], more=len(found) > limit)

    async def decide(self, letter_id: str, status: LetterStatus, by: str, reason: str | None) -> DeadLetter | None:
        """Say what is to become of a letter; ``None`` where that is decided, or there is no such letter."""
        known = {"$in": [each for state in _UNDECIDED for each in _stored(state)["$in"]]}
        change = {
            "state": status.value,
            "decided_by": {"$literal": by},
            "decided_at": "$$NOW",
            "reason": {"$literal": reason},
            "lease_until": None,
        }
        found = await self._letters.find_one_and_update(
            {"_id": letter_id, "state": known}, [{"$set": change}], return_document=ReturnDocument.AFTER
        )
        return None if found is None else DeadLetter.read(found)

    async def take_wanted(self) -> DeadLetter | None:
        """A letter that is to be published again, which nobody else publishes for ``LEASE_SECONDS``; or ``None``."""
        free = {"$lt": [{"$ifNull": ["$lease_until", datetime.fromtimestamp(0, UTC)]}, "$$NOW"]}
        until = seconds_from_now(LEASE_SECONDS)
        found = await self._letters.find_one_and_update(
            {"state": LetterStatus.REPLAYING.value, "$expr": free},
            [{"$set": {"lease_until": until}}],
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else DeadLetter.read(found)

    async def note_replayed(self, letter_id: str) -> None:
        """The broker has a letter again."""
        await self._letters.update_one(
            {"_id": letter_id, "state": LetterStatus.REPLAYING.value},
            [{"$set": {"state": LetterStatus.REPLAYED.value, "replayed_at": "$$NOW", "lease_until": None}}],
        )

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


def _stored(status: LetterStatus) -> Document:
    """The filter of a status; letters of earlier releases have none."""
    return {"$in": [status.value, None] if status is LetterStatus.WAITING else [status.value]}
