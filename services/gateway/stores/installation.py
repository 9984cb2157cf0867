"""The installation as a whole, for operators: each question is answered from an index, and has a bound."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from libs.contracts.states import BatchState, RunStatus
from libs.storage.client import Document, Mongo
from libs.storage.documents import (
    BatchDocument,
    DeadLetter,
    Lease,
    Organization,
    OutboxEntry,
    ParseProgress,
    ProcessDocument,
    Rescue,
    RunDocument,
    StopRequest,
)
from libs.storage.documents.state_document import read_stored
from services.gateway.stores.dead_letters import LetterStatus

MOST_COUNTED = 10_000
"""More of something is not told apart."""
MAX_PROCESSES = 500
MAX_LETTERS = 1_000
MAX_BATCHES = 20_000
MAX_MILLISECONDS = 5_000


class SyncLook(BaseModel):
    """Of a sync what tells why it stands still."""

    stage: str
    waiting_for: str | None = None
    owner: str | None = None
    until: datetime | None = None


class RunLook(BaseModel):
    """Of a run that has not ended what tells why it stands still."""

    id: str = Field(alias="_id")
    tenant_id: str
    status: RunStatus
    stop: StopRequest | None = None
    parse: ParseProgress = ParseProgress()
    barrier: Lease | None = None
    syncing: SyncLook | None = None
    held_back: bool = False
    rescue: dict[str, Rescue] = Field(default_factory=dict[str, Rescue])
    created_at: datetime
    updated_at: datetime


_RUN_FIELDS = tuple(name for name in RunLook.model_fields if name != "id")


@dataclass(frozen=True, slots=True)
class BatchesLook:
    """Of the batches of a run so much.

    Attributes:
        by_state: how many there are.
        announced: of those that wait, how many were handed out to workers.
        attempts: most attempts at one that have ended without a result.
        moved_at: when the last of them moved.
    """

    by_state: Mapping[BatchState, int]
    announced: int
    attempts: int
    moved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many there are, at most ``MOST_COUNTED``, and the time of the oldest."""

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """In bytes; ``disk_used`` and ``disk_total`` of the file system that the database is on."""

    name: str
    data: int
    stored: int
    indexes: int
    disk_used: int
    disk_total: int


class InstallationStore:
    """The collections of all organizations."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._runs = mongo.state[RunDocument.Settings.name]
        self._batches = mongo.state[BatchDocument.Settings.name]
        self._letters = mongo.state[DeadLetter.Settings.name]
        self._outbox = mongo.state[OutboxEntry.Settings.name]

    async def now(self) -> datetime:
        """The server's time."""
        hello = await self._mongo.state.command("hello")
        found: datetime = hello["localTime"]
        return found.replace(tzinfo=UTC)  # commands are not decoded as documents are

    async def processes(self) -> list[ProcessDocument]:
        """Processes that were heard of within a day, the last first; at most ``MAX_PROCESSES``."""
        found = self._mongo.state[ProcessDocument.Settings.name].find(hint="seen").sort("seen_at", -1)
        return [ProcessDocument.read(each) async for each in found.limit(MAX_PROCESSES)]

    async def runs_in(self, status: RunStatus) -> Backlog:
        """Runs in a status; the oldest is that whose document has not changed for longest."""
        return await self._backlog(self._runs.name, {"status": status.value}, "updated_at", "status_updated")

    async def quiet_runs(self, status: RunStatus, before: datetime, limit: int) -> AsyncIterator[RunLook]:
        """Runs in a status whose document has not changed since then, the quietest first; their batches may move."""
        wanted = {"status": status.value, "updated_at": {"$lt": before}}
        found = self._runs.find(wanted, dict.fromkeys(_RUN_FIELDS, 1), hint="status_updated")
        async for each in found.sort("updated_at", 1).limit(limit):
            yield read_stored(RunLook, each, self._runs.name)

    async def batches_of(self, run_id: str) -> BatchesLook:
        """The batches of a run, of the first ``MAX_BATCHES``."""
        groups = await self._batches.aggregate(
            [
                {"$match": {"run_id": run_id}},
                {"$limit": MAX_BATCHES},
                {
                    "$group": {
                        "_id": "$state",
                        "count": {"$sum": 1},
                        "announced": {"$sum": {"$cond": [{"$eq": ["$announced", "$state"]}, 1, 0]}},
                        "attempts": {"$max": "$attempts"},
                        "moved_at": {"$max": "$updated_at"},
                    }
                },
            ],
            hint="run_state",
            maxTimeMS=MAX_MILLISECONDS,
        )
        found = await groups.to_list()
        return BatchesLook(
            by_state={BatchState(each["_id"]): each["count"] for each in sorted(found, key=lambda each: each["_id"])},
            announced=sum(each["announced"] for each in found),
            attempts=max((each["attempts"] or 0 for each in found), default=0),
            moved_at=max((each["moved_at"] for each in found), default=None),
        )

    async def letters(self) -> dict[LetterStatus, Backlog]:
        """Dead letters by what is to become of them."""
        wanted = {
            status: {"$in": [status.value, None]} if status is LetterStatus.WAITING else status.value
            for status in LetterStatus
        }
        return {
            status: await self._backlog(self._letters.name, {"state": state}, "created_at", "state_pages")
            for status, state in wanted.items()
        }

    async def newest_letters(self) -> list[DeadLetter]:
        """Without their values; at most ``MAX_LETTERS``."""
        found = self._letters.find({}, {"value": 0, "headers": 0}, hint="newest").sort("created_at", -1)
        return [DeadLetter.read({**each, "value": None, "headers": []}) async for each in found.limit(MAX_LETTERS)]

    async def outbox_of(self, service: str) -> Backlog:
        """Events that a service has not published yet."""
        return await self._backlog(self._outbox.name, {"service": service}, "created_at", "service_oldest")

    async def oldest_ended_run(self) -> datetime | None:
        """When the run ended that has been kept for longest."""
        found = await self._runs.find_one(
            {"finished_at": {"$type": "date"}}, {"finished_at": 1}, sort=[("finished_at", 1)], hint="ended"
        )
        return None if found is None else found["finished_at"]

    async def leaving_organizations(self) -> int:
        """Organizations that are to be deleted and are not gone yet, at most ``MOST_COUNTED``."""
        organizations = self._mongo.state[Organization.Settings.name]
        return await organizations.count_documents({"deletion.requested_at": {"$type": "date"}}, limit=MOST_COUNTED)

    async def sizes(self) -> list[DatabaseSize]:
        """How large the two databases are."""
        return [_size(await each.command("dbStats")) for each in (self._mongo.state, self._mongo.target)]

    async def _backlog(self, collection: str, wanted: Document, time: str, index: str) -> Backlog:
        found = self._mongo.state[collection]
        count = await found.count_documents(wanted, limit=MOST_COUNTED, hint=index)
        if not count:
            return Backlog(0, None)
        oldest = await found.find_one(wanted, {time: 1}, sort=[(time, 1)], hint=index)
        return Backlog(count, None if oldest is None else oldest[time])


def _size(stats: Mapping[str, Any]) -> DatabaseSize:
    return DatabaseSize(
        str(stats["db"]),
        int(stats["dataSize"]),
        int(stats["storageSize"]),
        int(stats["indexSize"]),
        int(stats.get("fsUsedSize", 0)),
        int(stats.get("fsTotalSize", 0)),
    )
