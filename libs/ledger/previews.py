"""Previews of runs: asked for by a gateway, worked out by one writer at a time, and removed with their run.

A preview changes nothing but its own document, so nothing is lost where its writer dies: another begins it anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING

from libs.contracts.events import ExecutionRequested, RunCounts
from libs.contracts.ids import event_id
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.topics import EXECUTION_REQUESTED
from libs.ledger.connection import LedgerConnection
from libs.ledger.leases import Leases
from libs.ledger.run_requests import HeldRequest, RunRequests
from libs.storage.client import Document
from libs.storage.documents import PreviewDocument, RunDocument, SeenTarget

MOST_TOLD = 20
"""Runs that have changed a target, which are named."""


@dataclass(frozen=True, slots=True)
class ChangingRun:
    """A run that writes to a target, or wrote to it or was reverted, since it was looked at."""

    id: str
    status: str
    counts: RunCounts | None
    ended_at: datetime | None


class PreviewLedger:
    """The collection ``previews``."""

    def __init__(self, connection: LedgerConnection, leases: Leases) -> None:
        self._connection = connection
        self._requests = RunRequests(connection, leases, PreviewDocument.Settings.name, ("counts", "samples", "seen"))
        self.fail, self.give_back, self.drop = self._requests.fail, self._requests.give_back, self._requests.drop

    async def get(self, run_id: str) -> PreviewDocument | None:
        """The last preview of a run, or ``None``."""
        found = await self._requests.collection.find_one({"_id": run_id})
        return None if found is None else PreviewDocument.read(found)

    async def request(self, run: RunDocument) -> str:
        """Have a preview worked out anew, unless one is under way already; its version."""
        version = await self._requests.ask(run.id, run.tenant_id, {"lane": run.lane.value, "rows": 0}) or ""
        requested = ExecutionRequested(
            event_id=event_id("preview", run.id, version),
            occurred_at=datetime.now(UTC),
            run_id=run.id,
            tenant_id=run.tenant_id,
            preview=True,
        )
        self._connection.hint(Message(EXECUTION_REQUESTED, run.id, requested, run.trace))
        return version

    async def take_next(self, owner: str, seconds: float, lane: Lane | None) -> HeldRequest | None:
        """See ``RunRequests.take_next``; only of runs in this lane, where one is given."""
        taken = await self._requests.take_next(owner, seconds, {} if lane is None else {"lane": lane.value})
        return None if taken is None else taken[0]

    async def renew(self, held: HeldRequest, seconds: float, rows: int) -> bool:
        """Keep a preview, of which ``rows`` rows are planned; ``False`` where it is no longer the caller's."""
        return await self._requests.renew(held, seconds, {"rows": rows})

    async def finish(self, held: HeldRequest, counts: RunCounts, samples: Document, seen: SeenTarget) -> bool:
        """Store what was found; ``False`` where the preview is no longer the caller's."""
        found: Document = {
            "counts": counts.model_dump(),
            "samples": samples,
            "seen": seen.model_dump(),
            "rows": counts.rows,
        }
        return await self._requests.finish(held, found)

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
