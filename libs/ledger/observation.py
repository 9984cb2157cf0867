"""What there is to do, counted over everything: for metrics, and in a time that does not grow with what is stored.

Every question goes by an index to what has not ended, or stops at a limit, or asks for what MongoDB keeps count of
anyway. So it costs the same whether ten runs have ended or a million.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError, OperationFailure

from libs.contracts.lanes import Lane
from libs.contracts.states import ACTIVE_RUN_STATUSES, HANDED_OUT, BatchState, RunStatus
from libs.ledger.handout import in_flight_in, stored_as
from libs.storage.client import Document, Mongo
from libs.storage.documents import (
    OBSERVER_ID,
    BatchDocument,
    BatchPayload,
    DeadLetter,
    ObserverDocument,
    OutboxEntry,
    RejectedRecord,
    RunDocument,
    SourceDocument,
    UndoEntry,
    WebhookDelivery,
    WebhookEndpoint,
)
from libs.storage.files import BUCKET
from libs.storage.stored_times import seconds_from_now

MOST = 10_000
"""What is more is told as so many."""
OLDEST_RUNS = 100
"""Runs of a lane whose waiting batches are counted."""
ORGANIZATIONS_FROM = 2_000
"""Runs that are looked at for the organizations that have most."""
RECENT = timedelta(minutes=10)
GROWING = (
    RunDocument.Settings.name,
    BatchDocument.Settings.name,
    BatchPayload.Settings.name,
    RejectedRecord.Settings.name,
    UndoEntry.Settings.name,
    OutboxEntry.Settings.name,
    WebhookDelivery.Settings.name,
    f"{BUCKET}.chunks",
)
NO_SUCH_COLLECTION = 26
_ACTIVE = tuple(status for status in RunStatus if status in ACTIVE_RUN_STATUSES)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a collection or database, and the documents in it."""

    data: int = 0
    storage: int = 0
    indexes: int = 0
    documents: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the file system that MongoDB stores in."""

    used: int
    total: int


@dataclass(frozen=True, slots=True)
class Organization:
    """What one has going on."""

    runs: int = 0
    queued_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """Batches by state and lane.

    Attributes:
        in_flight: that are announced.
        waiting: that are not announced yet, of the oldest runs.
        of_organizations: those that are announced, by organization.
    """

    in_flight: Mapping[tuple[BatchState, Lane], int]
    waiting: Mapping[tuple[BatchState, Lane], int]
    of_organizations: Mapping[str, int]


class Observation:
    """The questions, and the lease of whoever asks them."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._runs = mongo.state[RunDocument.Settings.name]
        self._batches = mongo.state[BatchDocument.Settings.name]
        self._observers = mongo.state[ObserverDocument.Settings.name]

    async def take(self, owner: str, seconds: float) -> bool:
        """Be the one that counts for so many seconds, again and again; ``False`` where somebody else is."""
        until = seconds_from_now(seconds)
        mine = {"$or": [{"$eq": ["$owner", {"$literal": owner}]}, {"$lt": ["$until", "$$NOW"]}]}
        taken = await self._observers.update_one(
            {"_id": OBSERVER_ID, "$expr": mine}, [{"$set": {"owner": {"$literal": owner}, "until": until}}]
        )
        if taken.matched_count:
            return True
        try:
            # Whoever is first finds it over, and takes it as anybody else would.
            never = datetime.fromtimestamp(0, UTC)
            await self._observers.insert_one({"_id": OBSERVER_ID, "owner": owner, "until": never})
        except DuplicateKeyError:
            return False
        return await self.take(owner, seconds)

    async def release(self, owner: str) -> None:
        """Let somebody else count."""
        await self._observers.update_one(
            {"_id": OBSERVER_ID, "owner": owner}, [{"$set": {"until": seconds_from_now(-1)}}]
        )

    async def active_runs(self) -> Mapping[RunStatus, int]:
        """Runs of each status that is not an end."""
        return {status: await self._count(self._runs.name, {"status": status.value}) for status in _ACTIVE}

    async def oldest_seconds(self) -> Mapping[RunStatus, float]:
        """For how long the run of a status has not changed that has not for longest; 0 where there is none."""
        now = datetime.now(UTC)
        found: dict[RunStatus, float] = {}
        for status in _ACTIVE:
            run = await self._runs.find_one(
                {"status": status.value}, {"_id": 0, "updated_at": 1}, sort=[("updated_at", 1)]
            )
            found[status] = 0.0 if run is None else max(0.0, (now - run["updated_at"]).total_seconds())
        return found

    async def work(self) -> Work:
        """Batches that are announced, and those that wait for it."""
        in_flight: dict[tuple[BatchState, Lane], int] = {}
        waiting: dict[tuple[BatchState, Lane], int] = {}
        tenants: Counter[str] = Counter()
        for status, state in HANDED_OUT.items():
            for lane in Lane:
                shown = {"_id": 0, "tenant_id": 1, "run_id": 1}
                announced = await self._batches.find(in_flight_in(state, lane), shown).limit(MOST).to_list()
                in_flight[state, lane] = len(announced)
                tenants.update(each["tenant_id"] for each in announced)
                holding = {"held_back": True, "lane": stored_as(lane), "status": status.value}
                runs = await self._runs.find(holding, {"_id": 1}).sort("_id").limit(OLDEST_RUNS).to_list()
                ids = {run["_id"] for run in runs}
                in_state = {"run_id": {"$in": sorted(ids)}, "state": state.value}
                there = await self._count(self._batches.name, in_state) if ids else 0
                waiting[state, lane] = max(0, there - sum(each["run_id"] in ids for each in announced))
        return Work(in_flight, waiting, tenants)

    async def outbox_rows(self, services: tuple[str, ...]) -> Mapping[str, int]:
        """Events that are not published yet, by the service that is to publish them."""
        return {each: await self._count(OutboxEntry.Settings.name, {"service": each}) for each in services}

    async def dead_letters(self) -> int:
        """Dead letters that nobody has decided on."""
        return await self._count(DeadLetter.Settings.name, {"state": {"$in": ["waiting", None]}})

    async def pending_deliveries(self) -> int:
        """Webhooks that are still to be sent."""
        return await self._count(WebhookDelivery.Settings.name, {"state": "pending"})

    async def endpoints_given_up(self) -> int:
        """Endpoints of webhooks that Rowdock has switched off."""
        given_up: Document = {"disabled_at": {"$type": "date"}}
        return await self._count(WebhookEndpoint.Settings.name, given_up, hint="given_up")

    async def sources(self) -> Mapping[str, int]:
        """Sources that are looked at, and those of them that cannot be used."""
        enabled: Document = {"enabled": True}
        failing: Document = {**enabled, "failing_since": {"$type": "date"}}
        name = SourceDocument.Settings.name
        return {
            "enabled": await self._count(name, enabled, hint="due"),
            "failing": await self._count(name, failing, hint="failing"),
        }

    async def sources_overdue_seconds(self) -> float:
        """For how long the source that waits longest for its turn has waited; 0 where none does."""
        now = datetime.now(UTC)
        due: Document = {"enabled": True, "look_at": {"$lt": now}, "lease.until": {"$not": {"$gt": now}}}
        sources = self._mongo.state[SourceDocument.Settings.name]
        found = await sources.find_one(due, {"_id": 0, "look_at": 1}, sort=[("look_at", 1)])
        return 0.0 if found is None else (now - found["look_at"]).total_seconds()

    async def organizations(self) -> Mapping[str, Organization]:
        """What organizations have going on; some are left out where there are very many runs."""
        active = {"status": {"$in": [status.value for status in _ACTIVE]}}
        group = {"_id": "$tenant_id", "runs": {"$sum": 1}, "bytes": {"$sum": "$file.size"}}
        found = await self._runs.aggregate(
            [
                {"$match": active},
                {"$limit": ORGANIZATIONS_FROM},
                {"$project": {"tenant_id": 1, "file.size": 1}},
                {"$group": group},
            ]
        )
        return {each["_id"]: Organization(each["runs"], each["bytes"]) async for each in found}

    async def recent_rows(self) -> Mapping[str, int]:
        """Rows of the runs that have ended within ``RECENT``, by organization."""
        found = await self._runs.aggregate(
            [
                {"$match": {"finished_at": {"$gte": datetime.now(UTC) - RECENT}}},
                {"$sort": {"finished_at": -1}},
                {"$limit": ORGANIZATIONS_FROM},
                {"$project": {"tenant_id": 1, "parse.rows": 1}},
                {"$group": {"_id": "$tenant_id", "rows": {"$sum": "$parse.rows"}}},
            ]
        )
        return {each["_id"]: each["rows"] async for each in found}

    async def collections(self) -> Mapping[str, Sizes]:
        """Sizes of the collections that grow."""
        return {name: await self._sizes(name) for name in GROWING}

    async def target(self) -> Sizes:
        """Size of the database of imported records."""
        told = await self._mongo.target.command("dbStats")
        return Sizes(
            int(told["dataSize"]), int(told["storageSize"]), int(told["indexSize"]), int(told.get("objects", 0))
        )

    async def disk(self) -> Disk:
        """The file system that MongoDB stores in; on a cluster, of all shards together."""
        told = await self._mongo.state.command("dbStats")  # a database that does not exist yet has none
        return Disk(int(told.get("fsUsedSize", 0)), int(told.get("fsTotalSize", 0)))

    async def _sizes(self, collection: str) -> Sizes:
        try:
            told = await (
                await self._mongo.state[collection].aggregate([{"$collStats": {"storageStats": {}}}])
            ).to_list()
        except OperationFailure as error:
            if error.code != NO_SUCH_COLLECTION:
                raise
            return Sizes()
        shards = [each["storageStats"] for each in told]

        def of(name: str) -> int:
            return int(sum(each.get(name, 0) for each in shards))

        return Sizes(of("size"), of("storageSize"), of("totalIndexSize"), of("count"))

    async def _count(self, collection: str, where: Document, hint: str | None = None) -> int:
        options: Document = {} if hint is None else {"hint": hint}
        return await self._mongo.state[collection].count_documents(where, limit=MOST, **options)
