"""Makes each migration once, in order, whoever else tries at the same time.

The collection ``migrations`` says which are made and how far the one under way is. Who works on one holds a lease
on it; another waits until it is made, or until the lease has expired.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from pymongo import ReturnDocument

from libs.process.loops import repeating
from libs.storage.client import Collection, Document, Mongo

COLLECTION = "migrations"
LEASE_SECONDS = 30.0
POLL_SECONDS = 0.5

logger = structlog.get_logger()


class Progress:
    """How far a migration is, kept for whoever goes on with it."""

    def __init__(self, made: Collection, name: str, document: Document) -> None:
        self._made = made
        self._name = name
        self.changed: int = document.get("changed", 0)
        self.position: dict[str, Any] | None = document.get("position")

    async def note(self, changed: int, position: dict[str, Any] | None = None) -> None:
        """``changed`` more documents are changed, and all before ``position`` is done."""
        self.changed += changed
        self.position = position
        await self._made.update_one({"_id": self._name}, {"$set": {"changed": self.changed, "position": position}})


@dataclass(frozen=True, slots=True)
class Migration:
    """One change of what is stored.

    Attributes:
        name: its number and what it is about; the key under which it is recorded.
        migrate: makes it, see ``deploy.migrations``.
        waits: until no process of the release before is left: who knows that says so.
    """

    name: str
    migrate: Callable[[Mongo, Progress], Awaitable[None]]
    waits: bool = False


async def make_migrations(
    mongo: Mongo, migrations: Sequence[Migration], *, finish: bool = True, lease_seconds: float = LEASE_SECONDS
) -> list[str]:
    """Make those that are not made yet, one after another; the names of those that this call made.

    Args:
        mongo: the databases.
        migrations: in their order.
        finish: those too that wait until no process of the release before is left.
        lease_seconds: how long who works on one is believed alive.
    """
    return [
        migration.name
        for migration in migrations
        if (finish or not migration.waits) and await _make(mongo.state[COLLECTION], mongo, migration, lease_seconds)
    ]


async def forget(mongo: Mongo, name: str) -> None:
    """Let a migration be made again from the start."""
    await mongo.state[COLLECTION].delete_one({"_id": name})


async def made_migrations(mongo: Mongo) -> dict[str, Document]:
    """What is recorded of each migration, by its name."""
    return {document["_id"]: document async for document in mongo.state[COLLECTION].find()}


async def _make(made: Collection, mongo: Mongo, migration: Migration, lease_seconds: float) -> bool:
    owner = uuid4().hex
    while (document := await _claim(made, migration.name, owner, lease_seconds)) is None:
        found = await made.find_one({"_id": migration.name}, {"finished_at": 1})
        if found is not None and found["finished_at"] is not None:
            return False
        await asyncio.sleep(POLL_SECONDS)
    logger.info("migration.begun", migration=migration.name, position=document.get("position"))
    progress = Progress(made, migration.name, document)
    lease = {"_id": migration.name, "owner": owner}

    async def extend() -> None:
        await made.update_one(lease, [{"$set": {"lease_until": _from_now(lease_seconds)}}])

    async with repeating(lease_seconds / 3, extend, "migration lease"):
        await migration.migrate(mongo, progress)
    await made.update_one(
        {"_id": migration.name},
        {"$set": {"owner": None, "lease_until": None, "position": None}, "$currentDate": {"finished_at": True}},
    )
    logger.info("migration.made", migration=migration.name, changed=progress.changed)
    return True


async def _claim(made: Collection, name: str, owner: str, lease_seconds: float) -> Document | None:
    """What is recorded of a migration that the owner has now; ``None``: it is made, or another is at work on it."""
    unmade = {"finished_at": None, "lease_until": None, "changed": 0, "position": None}
    await made.update_one({"_id": name}, {"$setOnInsert": unmade}, upsert=True)
    return await made.find_one_and_update(
        {
            "_id": name,
            "finished_at": None,
            "$expr": {"$or": [{"$eq": ["$lease_until", None]}, {"$lt": ["$lease_until", "$$NOW"]}]},
        },
        [
            {
                "$set": {
                    "owner": owner,
                    "lease_until": _from_now(lease_seconds),
                    "begun_at": {"$ifNull": ["$begun_at", "$$NOW"]},
                }
            }
        ],
        return_document=ReturnDocument.AFTER,
    )


def _from_now(seconds: float) -> Document:
    return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": int(seconds * 1000)}}
