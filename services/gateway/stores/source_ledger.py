"""The ledger of sources: which is whose turn, and how far each file is. Every change is one compare-and-set.

Whoever works at a source holds its lease. A file is claimed under the token of that, and goes on only under it: where
a lease was lost, what its former holder still does changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pymongo import InsertOne, ReturnDocument, UpdateOne

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.ids import event_id
from libs.contracts.states import ACTIVE_RUN_STATUSES
from libs.contracts.webhooks import SOURCE_FILE_MISSING
from libs.ledger.leases import HeldLease, LeaseFields, Leases
from libs.storage.client import Collection as MongoCollection
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import (
    LISTENING,
    MAX_LISTENERS,
    RunDocument,
    SourceDocument,
    SourceFileDocument,
    SourceFileOutcome,
    SourceFileState,
    WebhookDelivery,
    WebhookEndpoint,
    listener,
    of_organization,
)
from libs.storage.stored_times import seconds_from_now
from services.gateway.stores.organizations import OrganizationStore

LOOKED_AT_A_TIME: Final = 50
OPEN_AT_A_TIME: Final = 500
REMEMBERED: Final = timedelta(days=90)
"""How long it is known what became of a file that was moved away."""
WAITED_FOR: Final = timedelta(days=1)
"""How long a file is remembered that is not seen any more."""
_SOURCE: Final = LeaseFields("lease.owner", "lease.until", {"lease": None}, SourceDocument.Settings.name)
_GOES_ON: Final = {"$in": [SourceFileState.SEEN.value, SourceFileState.CLAIMED.value]}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was seen.

    Attributes:
        path: as text.
        known: the entry of its last arrival, where there is one.
    """

    path: str
    size: int
    modified_ns: int
    identity: str
    known: SourceFileDocument | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that did not come.

    Attributes:
        event_id: derived from the source and the time.
        deliveries: one for each endpoint that hears of it.
    """

    event_id: str
    deliveries: Sequence[WebhookDelivery]


def identity(source_id: str, path: str, size: int, modified_ns: int) -> str:
    """What a file is recognised by."""
    return event_id("source file", source_id, size, modified_ns, path)


class SourceLedger:
    """The collections ``sources`` and ``source_files``.

    Args:
        mongo: the databases.
        leases: those of this process.
        instance: its name.
    """

    def __init__(self, mongo: Mongo, leases: Leases, instance: str) -> None:
        self._mongo = mongo
        self._leases = leases
        self._instance = instance

    @property
    def _sources(self) -> MongoCollection:
        return self._mongo.state[SourceDocument.Settings.name]

    @property
    def _files(self) -> MongoCollection:
        return self._mongo.state[SourceFileDocument.Settings.name]

    # --- sources --------------------------------------------------------------------------------

    async def due(self, now: datetime, without: Collection[str]) -> list[tuple[str, str]]:
        """Ids and organizations of sources whose turn may be, but for some organizations', the longest due first."""
        wanted: Document = {"enabled": True, "look_at": {"$lte": now}}
        if without:
            wanted["tenant_id"] = {"$nin": list(without)}
        found = self._sources.find(wanted, {"tenant_id": 1}).sort("look_at").limit(LOOKED_AT_A_TIME)
        return [(each["_id"], each["tenant_id"]) async for each in found]

    async def take(self, source_id: str, seconds: float) -> tuple[HeldLease, SourceDocument] | None:
        """Take a source that is due by the server's time, unless somebody has it; ``looked_at`` is that time then.

        Raises:
            UnreadableDocumentError: this release does not understand it.
        """
        due = {"enabled": True, "$and": [{"$expr": {"$lte": ["$look_at", "$$NOW"]}}]}
        taken = await self._leases.take(
            _SOURCE, source_id, self._instance, seconds, where=due, changes={"looked_at": "$$NOW"}
        )
        if taken is None:
            return None
        held, stored = taken
        try:
            return held, SourceDocument.read(stored)
        except UnreadableDocumentError:
            await self._leases.release(held)
            raise

    async def renew(self, held: HeldLease, seconds: float) -> bool:
        """Keep a source; ``False`` where it is no longer the caller's."""
        return await self._leases.renew(held, seconds)

    async def put_back(self, held: HeldLease, source: SourceDocument, changes: Document) -> None:
        """End a turn, and note how it was; nothing where the source is no longer the caller's.

        Its next times are kept where somebody has asked for a look meanwhile.
        """
        self._leases.forget(held.token)
        times = {name: changes[name] for name in ("look_at", "list_at") if name in changes}
        others = {name: {"$literal": value} for name, value in changes.items() if name not in times}
        same = {"$eq": ["$list_at", {"$literal": source.list_at}]}
        kept = {
            name: {"$cond": [same, {"$literal": value}, {"$min": [f"${name}", {"$literal": value}]}]}
            for name, value in times.items()
        }
        await self._sources.update_one(
            {"_id": source.id, "lease.owner": held.token}, [{"$set": {**others, **kept, "lease": None}}]
        )

    async def note_arrival(self, source_id: str) -> None:
        """A file of it was taken."""
        await self._sources.update_one({"_id": source_id}, [{"$set": {"arrived_at": "$$NOW", "missing_since": None}}])

    async def arrived_at(self, source_id: str) -> datetime | None:
        """When the last file of it was taken."""
        found = await self._sources.find_one({"_id": source_id}, {"arrived_at": 1})
        return None if found is None else found.get("arrived_at")

    async def note_expectation(
        self, source: SourceDocument, next_at: datetime, *, missing: Missing | None, since: datetime | None = None
    ) -> bool:
        """Expect the next file, and tell that one is missing, once; ``False`` where somebody else has.

        Args:
            source: as it was read.
            next_at: when the next one has to be there.
            missing: what is told.
            since: from when on the next one counts.
        """

        async def body(session: Session) -> bool:
            changes: Document = {"expect_since": since, "expect_at": next_at}
            if missing is not None:
                changes["missing_since"] = source.expect_at
            answer = await self._sources.update_one(
                {"_id": source.id, "expect_at": source.expect_at, "expected_by": source.expected_by},
                {"$set": changes},
                session=session,
            )
            if answer.modified_count and missing is not None and missing.deliveries:
                documents = [each.model_dump(by_alias=True) for each in missing.deliveries]
                await self._mongo.state[WebhookDelivery.Settings.name].insert_many(documents, session=session)
            return answer.modified_count == 1

        return await self._mongo.transaction(body)

    async def owner_at_work(self, source: SourceDocument) -> bool:
        """Whether there is the organization of a source, neither suspended nor being deleted."""
        return await OrganizationStore(self._mongo).at_work([source.tenant_id])

    async def listeners(self, source: SourceDocument, now: datetime) -> list[str]:
        """Ids of the endpoints, of those that are switched on, that hear when a file of a source is missing."""
        endpoints = self._mongo.state[WebhookEndpoint.Settings.name]
        found = endpoints.find({**of_organization(source.tenant_id), "enabled": {"$ne": False}}, LISTENING)
        return [
            each["_id"]
            async for each in found.limit(MAX_LISTENERS)
            if listener(each).hears(SOURCE_FILE_MISSING, source.template_id, now)
        ]

    # --- files ----------------------------------------------------------------------------------

    async def with_known(self, source_id: str, sightings: Sequence[Sighting]) -> list[Sighting]:
        """The same, with what is known of each."""
        by_identity: dict[str, Document] = {}
        wanted = {"source_id": source_id, "identity": {"$in": [each.identity for each in sightings]}}
        async for each in self._files.find(wanted).sort([("identity", 1), ("arrival", 1)]):
            by_identity[each["identity"]] = each  # the last arrival comes last
        return [
            Sighting(
                each.path,
                each.size,
                each.modified_ns,
                each.identity,
                None if (known := by_identity.get(each.identity)) is None else SourceFileDocument.read(known),
            )
            for each in sightings
        ]

    async def see(self, source: SourceDocument, sightings: Sequence[Sighting]) -> list[SourceFileDocument]:
        """Note files that are waited for; what was seen under the same path before, and not taken, is forgotten.

        Returns:
            Their entries, in the same order.
        """
        ids: list[str] = []
        writes: list[UpdateOne | InsertOne[Document]] = []
        for each in sightings:
            arrival = 0 if each.known is None else each.known.arrival
            if each.known is not None and each.known.state is SourceFileState.SETTLED:
                arrival += 1
            ids.append(event_id(each.identity, arrival))
            new: Document = {
                "tenant_id": source.tenant_id,
                "source_id": source.id,
                "identity": each.identity,
                "arrival": arrival,
                "path": each.path,
                "size": each.size,
                "modified_ns": each.modified_ns,
                "state": SourceFileState.SEEN.value,
                "attempts": 0,
            }
            setting = {name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in new.items()}
            setting["first_seen_at"] = {"$ifNull": ["$first_seen_at", "$$NOW"]}
            waited_for = {"$in": ["$state", [None, SourceFileState.SEEN.value]]}
            setting["forget_at"] = {"$cond": [waited_for, seconds_from_now(WAITED_FOR.total_seconds()), "$forget_at"]}
            writes.append(UpdateOne({"_id": ids[-1]}, [{"$set": setting}], upsert=True))
        if not writes:
            return []
        await self._files.bulk_write(writes, ordered=False)
        await self._files.delete_many(
            {
                "source_id": source.id,
                "path": {"$in": [each.path for each in sightings]},
                "state": SourceFileState.SEEN.value,
                "_id": {"$nin": ids},
            }
        )
        found = {each["_id"]: each async for each in self._files.find({"_id": {"$in": ids}})}
        return [SourceFileDocument.read(found[each]) for each in ids if each in found]

    async def open(self, source_id: str) -> list[SourceFileDocument]:
        """Files of a source that are claimed, have a run, or are refused, and not put away yet; the oldest first."""
        states = [SourceFileState.CLAIMED, SourceFileState.SUBMITTED, SourceFileState.REFUSED]
        wanted = {"source_id": source_id, "state": {"$in": [each.value for each in states]}}
        found = self._files.find(wanted).sort("first_seen_at").limit(OPEN_AT_A_TIME)
        return [SourceFileDocument.read(each) async for each in found]

    async def under_way(self, tenant_id: str, run_ids: Collection[str]) -> set[str]:
        """Those of the runs that have not ended."""
        if not run_ids:
            return set()
        active = {"$in": [status.value for status in ACTIVE_RUN_STATUSES]}
        wanted = {"_id": {"$in": list(run_ids)}, "tenant_id": tenant_id, "status": active}
        return {each["_id"] async for each in self._mongo.state[RunDocument.Settings.name].find(wanted, {"_id": 1})}

    async def claim(self, entry: SourceFileDocument, held: HeldLease) -> SourceFileDocument | None:
        """Be the one that imports a file; ``None`` where it has gone on already."""
        return await self._moved(
            entry,
            {"state": _GOES_ON},
            {"state": SourceFileState.CLAIMED.value, "owner": held.token, "forget_at": None},
            dated="claimed_at",
        )

    async def note_content(self, entry: SourceFileDocument, sha256: str) -> None:
        """What a claimed file holds."""
        await self._files.update_one({"_id": entry.id, **_claimed(entry)}, {"$set": {"sha256": sha256}})

    async def submitted(self, entry: SourceFileDocument, run_id: str) -> SourceFileDocument | None:
        """A claimed file has its run."""
        return await self._moved(entry, _claimed(entry), {"state": SourceFileState.SUBMITTED.value, "run_id": run_id})

    async def refused(self, entry: SourceFileDocument, code: str, message: str) -> SourceFileDocument | None:
        """A claimed file gets no run, because of what it is."""
        trouble = {"code": code, "message": message}
        changes = {
            "state": SourceFileState.REFUSED.value, "outcome": SourceFileOutcome.REFUSED.value, "trouble": trouble
        }  # fmt: skip
        return await self._moved(entry, _claimed(entry), changes)

    async def give_back(self, entry: SourceFileDocument) -> None:
        """A claimed file waits again."""
        await self._moved(entry, _claimed(entry), {"state": SourceFileState.SEEN.value, "owner": None})

    async def drop(self, entry: SourceFileDocument) -> None:
        """A claimed file is another one by now, which has an entry of its own."""
        await self._files.delete_one({"_id": entry.id, **_claimed(entry)})

    async def settle(
        self, entry: SourceFileDocument, outcome: SourceFileOutcome, moved_to: str | None, changes: Document
    ) -> None:
        """Nothing more is done about a file."""
        gone = moved_to is not None or outcome is SourceFileOutcome.VANISHED
        settled: Document = {
            "state": SourceFileState.SETTLED.value,
            "outcome": outcome.value,
            "moved_to": moved_to,
            "owner": None,
            **changes,
        }
        setting = {name: {"$literal": value} for name, value in settled.items()}
        forget = {"forget_at": seconds_from_now(REMEMBERED.total_seconds())} if gone else {}
        await self._files.update_one(
            {"_id": entry.id, "state": entry.state.value, "owner": entry.owner},
            [{"$set": {**setting, **forget, "settled_at": "$$NOW"}}],
        )

    async def note_trouble(self, entry: SourceFileDocument, code: str, message: str) -> None:
        """A file could not be put away."""
        await self._files.update_one(
            {"_id": entry.id, "state": entry.state.value},
            {"$set": {"trouble": {"code": code, "message": message}}, "$inc": {"attempts": 1}},
        )

    async def has_imported(self, source_id: str, path: str, sha256: str) -> bool:
        """Whether a file of that content came from that path before, and was imported."""
        wanted = {
            "source_id": source_id,
            "path": path,
            "sha256": sha256,
            "state": {"$in": [SourceFileState.SUBMITTED.value, SourceFileState.SETTLED.value]},
            "run_id": {"$type": "string"},
        }
        return await self._files.find_one(wanted, {"_id": 1}) is not None

    async def _moved(
        self, entry: SourceFileDocument, where: Document, changes: Document, dated: str | None = None
    ) -> SourceFileDocument | None:
        now = {} if dated is None else {"$currentDate": {dated: True}}
        found = await self._files.find_one_and_update(
            {"_id": entry.id, **where}, {"$set": changes, **now}, return_document=ReturnDocument.AFTER
        )
        return None if found is None else SourceFileDocument.read(found)


def _claimed(entry: SourceFileDocument) -> Document:
    return {"state": SourceFileState.CLAIMED.value, "owner": entry.owner}
