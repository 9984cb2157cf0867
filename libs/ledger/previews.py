"""Previews of runs: asked for by a gateway, worked out by one writer at a time, and removed with their run.

A preview changes nothing but its own document, so nothing is lost where its writer dies: another begins it anew.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.contracts.events import ExecutionRequested, RunCounts
from libs.contracts.ids import event_id
from libs.contracts.lanes import Lane
from libs.contracts.topics import EXECUTION_REQUESTED
from libs.ledger.connection import LedgerConnection, seconds_from_now
from libs.storage.client import Collection, Document
from libs.storage.documents import PreviewDocument, PreviewState, RunDocument, SeenTarget

MOST_LOOKED_AT = 1_000
"""Waiting previews among which the next one is chosen."""
MOST_ATTEMPTS = 5
MOST_TOLD = 20
"""Runs that have changed a target, which are named."""
_WAITING = {"state": PreviewState.WAITING.value}


@dataclass(frozen=True, slots=True)
class HeldPreview:
    """One taking of a preview."""

    run_id: str
    version: str
    token: str
    attempts: int

    @property
    def filter(self) -> Document:
        return {"_id": self.run_id, "version": self.version, "owner": self.token, **_WAITING}


@dataclass(frozen=True, slots=True)
class ChangingRun:
    """A run that writes to a target, or wrote to it or was reverted, since it was looked at."""

    id: str
    status: str
    counts: RunCounts | None
    ended_at: datetime | None


class PreviewLedger:
    """The collection ``previews``."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    @property
    def _previews(self) -> Collection:
        return self._connection.mongo.state[PreviewDocument.Settings.name]

    async def get(self, run_id: str) -> PreviewDocument | None:
        """The last preview of a run, or ``None``."""
        found = await self._previews.find_one({"_id": run_id})
        return None if found is None else PreviewDocument.read(found)

    async def request(self, run: RunDocument) -> str:
        """Have a preview worked out anew, unless one is under way already; its version."""
        new: Document = {
            "tenant_id": run.tenant_id,
            "version": secrets.token_hex(12),
            "lane": run.lane.value,
            "state": PreviewState.WAITING.value,
            "owner": None,
            "until": None,
            "attempts": 0,
            "rows": 0,
            "requested_at": datetime.now(UTC),
        }
        gone = dict.fromkeys(("counts", "samples", "seen", "failure", "finished_at"), "")
        not_waiting = {"_id": run.id, "state": {"$ne": PreviewState.WAITING.value}}
        with suppress(DuplicateKeyError):  # One is under way.
            await self._previews.update_one(not_waiting, {"$set": new, "$unset": gone}, upsert=True)
        found = await self._previews.find_one({"_id": run.id}, {"version": 1})
        version: str = new["version"] if found is None else found["version"]
        self._connection.hint(
            EXECUTION_REQUESTED,
            run.id,
            ExecutionRequested(
                event_id=event_id("preview", run.id, version),
                occurred_at=datetime.now(UTC),
                run_id=run.id,
                tenant_id=run.tenant_id,
                preview=True,
            ),
        )
        return version

    async def take_next(self, owner: str, seconds: float, lane: Lane | None) -> HeldPreview | None:
        """Take the oldest waiting preview of whichever organization has the fewest at work, if there is any.

        Args:
            owner: name of this process.
            seconds: how long the lease holds unless it is renewed.
            lane: only of runs in this lane.
        """
        of_lane = {} if lane is None else {"lane": lane.value}
        fields = {"tenant_id": 1, "version": 1, "until": 1}
        found = await self._previews.find({**_WAITING, **of_lane}, fields, limit=MOST_LOOKED_AT).to_list()
        now = datetime.now(UTC)
        at_work = Counter(each["tenant_id"] for each in found if each["until"] is not None and each["until"] > now)
        free = [each for each in found if each["until"] is None or each["until"] <= now]
        for each in sorted(free, key=lambda each: at_work[each["tenant_id"]]):
            token = f"{owner}#{secrets.token_hex(8)}"
            expired = {"$or": [{"$eq": ["$until", None]}, {"$lt": ["$until", "$$NOW"]}]}
            lease = {
                "owner": {"$literal": token},
                "until": seconds_from_now(seconds),
                "attempts": {"$add": ["$attempts", 1]},
            }
            taken = await self._previews.find_one_and_update(
                {"_id": each["_id"], "version": each["version"], **_WAITING, "$expr": expired},
                [{"$set": lease}],
                return_document=ReturnDocument.AFTER,
            )
            if taken is not None:
                return HeldPreview(taken["_id"], taken["version"], token, taken["attempts"])
        return None

    async def renew(self, held: HeldPreview, seconds: float, rows: int) -> bool:
        """Keep a preview, of which ``rows`` rows are planned; ``False`` where it is no longer the caller's."""
        change = [{"$set": {"until": seconds_from_now(seconds), "rows": rows}}]
        return (await self._previews.update_one(held.filter, change)).matched_count == 1

    async def finish(self, held: HeldPreview, counts: RunCounts, samples: Document, seen: SeenTarget) -> bool:
        """Store what was found; ``False`` where the preview is no longer the caller's."""
        found: Document = {
            "counts": counts.model_dump(),
            "samples": samples,
            "seen": seen.model_dump(),
            "rows": counts.rows,
        }
        return await self._end(held, PreviewState.DONE, found)

    async def fail(self, held: HeldPreview, code: str, message: str) -> bool:
        """Store why there is no preview; ``False`` where it is no longer the caller's."""
        return await self._end(held, PreviewState.FAILED, {"failure": {"code": code, "message": message}})

    async def _end(self, held: HeldPreview, state: PreviewState, found: Document) -> bool:
        over: Document = {"state": state.value, "owner": None, "until": None, "finished_at": datetime.now(UTC)}
        return (await self._previews.update_one(held.filter, {"$set": {**found, **over}})).matched_count == 1

    async def give_back(self, held: HeldPreview) -> None:
        """Let another writer begin it anew."""
        await self._previews.update_one(held.filter, {"$set": {"owner": None, "until": None}})

    async def drop(self, run_id: str) -> None:
        """Remove the preview of a run."""
        await self._previews.delete_one({"_id": run_id})

    # --- what has changed since ------------------------------------------------------------------

    async def seen(self, run: RunDocument) -> SeenTarget:
        """The target of a run as it is now."""
        newest = await self._connection.runs.find_one(
            {**_writing_to_target_of(run), "finished_at": {"$type": "date"}},
            {"finished_at": 1},
            sort=[("finished_at", DESCENDING)],
        )
        return SeenTarget(ended_at=None if newest is None else newest["finished_at"])

    async def changed_since(self, run: RunDocument, seen: SeenTarget) -> Sequence[ChangingRun]:
        """The other runs of the organization that have written to the target of ``run`` since, or are at it."""
        wanted = _writing_to_target_of(run)
        later: Document = {"$type": "date"} if seen.ended_at is None else {"$gt": seen.ended_at}
        fields = {"status": 1, "counts": 1, "finished_at": 1}
        runs: list[Document] = []
        for ended in ({"finished_at": None}, {"finished_at": later}):
            runs += await self._connection.runs.find({**wanted, **ended}, fields, limit=MOST_TOLD).to_list()
        return [_changing(each) for each in runs]


def _writing_to_target_of(run: RunDocument) -> Document:
    return {
        "tenant_id": run.tenant_id,
        "template.target_resource": run.template.target_resource,
        "executing_at": {"$type": "date"},
        "_id": {"$ne": run.id},
    }


def _changing(found: dict[str, Any]) -> ChangingRun:
    counts = None if found.get("counts") is None else RunCounts.model_validate(found["counts"])
    return ChangingRun(found["_id"], found["status"], counts, found.get("finished_at"))
