"""Keys of requests that may be repeated: one document for each, changed by single operations on the server's clock."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.storage.client import Document, Mongo
from libs.storage.documents import IdempotencyRecord, RecordedAnswer
from libs.storage.stored_times import seconds_from_now

LEASE_SECONDS: Final = 10.0
"""So long a key is kept for an attempt that does not renew it: its process is gone."""


class Claim(Enum):
    """What became of the question for a key."""

    MINE = auto()
    """This attempt is the one at work."""
    OF_ANOTHER = auto()
    """Another attempt is."""
    ANSWERED = auto()
    """The first answer is there."""
    REUSED = auto()
    """It belongs to a request of another method, path or query."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key that was asked for, and what is stored under it.

    Attributes:
        claim: what became of it.
        record: as it is stored now.
        again: an earlier attempt was begun, and it is not known how far it came.
    """

    claim: Claim
    record: IdempotencyRecord
    again: bool


class IdempotencyStore:
    """The collection of keys.

    Args:
        mongo: the databases.
        keep_seconds: how long a key is remembered.
    """

    def __init__(self, mongo: Mongo, keep_seconds: float) -> None:
        self._keys = mongo.state[IdempotencyRecord.Settings.name]
        self._keep_seconds = keep_seconds

    async def claim(self, key: str, tenant_id: str, request: str, *, exclusive: bool) -> Claimed:
        """Ask for a key.

        Args:
            key: the digest under which it is stored.
            tenant_id: the organization of the caller.
            request: a digest of method, path and query.
            exclusive: also where the answer is there already, one attempt at a time works with the key.
        """
        token, effect_id = str(ObjectId()), str(ObjectId())
        update = _claiming(key, tenant_id, request, token, effect_id, self._keep_seconds, exclusive=exclusive)
        try:
            found = await self._upserted(key, update)
        except DuplicateKeyError:  # somebody has inserted it at the same moment
            found = await self._upserted(key, update)
        record = IdempotencyRecord.read(found)
        if record.request != request:
            claim = Claim.REUSED
        elif record.token == token:
            claim = Claim.MINE
        else:
            claim = Claim.OF_ANOTHER if record.answer is None or exclusive else Claim.ANSWERED
        return Claimed(claim, record, again=record.effect_id != effect_id)

    async def _upserted(self, key: str, update: list[Document]) -> Document:
        found = await self._keys.find_one_and_update(
            {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
        )
        return found or {}

    async def get(self, key: str) -> IdempotencyRecord | None:
        """What is stored under a key."""
        found = await self._keys.find_one({"_id": key})
        return None if found is None else IdempotencyRecord.read(found)

    async def note_content(self, record: IdempotencyRecord, content: str) -> bool:
        """Note what was sent; ``False`` where an earlier attempt had sent something else, or another is at work now."""
        mine = {"_id": record.id, "token": record.token, "content": {"$in": [None, content]}}
        return (await self._keys.update_one(mine, {"$set": {"content": content}})).matched_count == 1

    async def renew(self, record: IdempotencyRecord) -> None:
        """The attempt is still at work."""
        await self._keys.update_one(_at_work(record), [{"$set": {"lease_until": seconds_from_now(LEASE_SECONDS)}}])

    async def record(self, record: IdempotencyRecord, answer: RecordedAnswer, tag: str | None) -> bool:
        """Store the answer of an attempt; ``False`` where it is no longer the one at work."""
        stored: dict[str, Any] = {"answer": {"$literal": answer.model_dump()}, "tag": tag, "lease_until": "$$NOW"}
        return (await self._keys.update_one(_at_work(record), [{"$set": stored}])).matched_count == 1

    async def free(self, record: IdempotencyRecord) -> None:
        """Let the next attempt go on from here: how far this one came is not known."""
        await self._keys.update_one(_at_work(record), [{"$set": {"lease_until": "$$NOW"}}])

    async def forget(self, record: IdempotencyRecord) -> None:
        """Give the key up: the attempt has had no effect."""
        await self._keys.delete_one({**_at_work(record), "answer": None})


def _at_work(record: IdempotencyRecord) -> Document:
    return {"_id": record.id, "token": record.token}


def _claiming(
    key: str, tenant_id: str, request: str, token: str, effect_id: str, keep_seconds: float, *, exclusive: bool
) -> list[Document]:
    """The update that takes a key where it is free, and else leaves it as it is."""
    at_work: Document = {"token": token, "lease_until": seconds_from_now(LEASE_SECONDS)}
    fresh: Document = {
        "_id": {"$literal": key},
        "tenant_id": {"$literal": tenant_id},
        "request": request,
        "effect_id": effect_id,
        "began_at": "$$NOW",
        "expires_at": seconds_from_now(keep_seconds),
        **at_work,
    }
    unknown: Document = {"$or": [{"$eq": [{"$type": "$token"}, "missing"]}, {"$lte": ["$expires_at", "$$NOW"]}]}
    unanswered: Document = {"$eq": [{"$ifNull": ["$answer", None]}, None]}
    left: Document = {
        "$and": [
            {"$eq": ["$request", request]},
            {"$lte": ["$lease_until", "$$NOW"]},
            *([] if exclusive else [unanswered]),
        ]
    }
    taken_over: Document = {"$mergeObjects": ["$$ROOT", at_work]}
    return [{"$replaceWith": {"$cond": [unknown, fresh, {"$cond": [left, taken_over, "$$ROOT"]}]}}]
