"""What is kept for a time only: files of ended runs, and, longer, the runs themselves with all that belongs to them.

Runs that are under way, or of which something is still to be told, are never touched, however old they are.
"""

from datetime import UTC, datetime, timedelta

from libs.contracts.ids import run_event_id
from libs.contracts.states import TERMINAL_RUN_STATUSES
from libs.ledger.connection import LedgerConnection
from libs.ledger.purge import remove_run
from libs.storage.client import Document
from libs.storage.files import FileStore
from libs.storage.stored_times import seconds_from_now
from libs.telemetry.failpoints import failpoint

GIVEN_UP_AFTER = timedelta(minutes=5)
"""How long a removal may take before another process thinks that whoever began it has died."""

_ENDED: Document = {"status": {"$in": [status.value for status in TERMINAL_RUN_STATUSES]}}
_NOT_EXPIRING: Document = {"expiring_at": None}
_PARTS: Document = {"tenant_id": 1, "file.id": 1, "history.version": 1}


class Expiry:
    """Removes what was kept long enough. Any number of processes may do so at once, and repeat what one died of."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    async def remove_files(self, ended_before: datetime, limit: int) -> int:
        """Remove the files of at most ``limit`` runs that ended before then; how many those were.

        Each run notes that its file is gone.
        """
        old = {"file_removed_at": None, "finished_at": {"$lt": ended_before}, **_ENDED, **_NOT_EXPIRING}
        found = self._connection.runs.find(old, {"file.id": 1}).sort("finished_at", 1).limit(limit)
        runs = await found.to_list()
        for run in runs:
            # The run tells what is true: its file goes first, and one that is gone already may go again.
            await FileStore(self._connection.mongo).delete(run["file"]["id"])
            failpoint("ledger.file_removed_before_noted")
            await self._connection.runs.update_one(
                {"_id": run["_id"], "file_removed_at": None}, {"$set": {"file_removed_at": datetime.now(UTC)}}
            )
        return len(runs)

    async def remove_runs(self, ended_before: datetime, limit: int) -> int:
        """Remove at most ``limit`` runs that ended before then, the oldest first; how many those were."""
        removed = await self._finish_removals(limit)
        old = {"finished_at": {"$lt": ended_before}, **_ENDED, **_NOT_EXPIRING}
        async for run in self._connection.runs.find(old, _PARTS).sort("finished_at", 1):
            if removed >= limit:
                break
            if not await self._something_to_tell(run) and await self.remove(run["_id"]):
                removed += 1
        return removed

    async def remove(self, run_id: str) -> bool:
        """Remove one run that has ended, however old it is; ``False`` where it has not, or is gone.

        First it is marked: from then on nobody sees it, and should this process die, ``remove_runs`` of any other goes
        on.
        """
        run = await self._connection.runs.find_one_and_update(
            {"_id": run_id, **_ENDED},
            [{"$set": {"expiring_at": "$$NOW", "idempotency_key": None}}],
            _PARTS,
        )
        if run is None:
            return False
        failpoint("ledger.run_marked_before_removed")
        await remove_run(self._connection, run)
        return True

    async def _finish_removals(self, limit: int) -> int:
        """Go on with removals that somebody began and did not live to finish."""
        given_up: Document = {
            "expiring_at": {"$type": "date"},
            "$expr": {"$lt": ["$expiring_at", seconds_from_now(-GIVEN_UP_AFTER.total_seconds())]},
        }
        runs = await self._connection.runs.find(given_up, {"_id": 1}).limit(limit).to_list()
        return sum([await self.remove(run["_id"]) for run in runs])

    async def _something_to_tell(self, run: Document) -> bool:
        """Whether an event of the run waits for Kafka, or a webhook for its receiver."""
        events = [run_event_id(run["_id"], change["version"]) for change in run["history"]]
        if await self._connection.outbox.find_one({"_id": {"$in": events}}, {"_id": 1}) is not None:
            return True
        pending = {"tenant_id": run["tenant_id"], "run_id": run["_id"], "state": "pending"}
        return await self._connection.deliveries.find_one(pending, {"_id": 1}) is not None
