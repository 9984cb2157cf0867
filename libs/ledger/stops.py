"""Stopping a run, as failed or cancelled, in two steps.

After ``request`` it can only end that way; ``finish`` closes the open batches, after which no effect of theirs can
commit, and only then reports the terminal status. So a run reported as cancelled makes no further change.
"""

from datetime import UTC, datetime

import structlog

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.states import (
    ACTIVE_RUN_STATUSES,
    CANCELLABLE_RUN_STATUSES,
    OPEN_BATCH_STATES,
    TERMINAL_RUN_STATUSES,
    BatchState,
    RunStatus,
)
from libs.ledger.connection import NOT_ANNOUNCED, NOT_STOPPED, LedgerConnection, every_batch
from libs.ledger.runs import RunLedger
from libs.ledger.totals import add_up
from libs.storage.documents import RunHead
from libs.storage.stored_times import seconds_from_now
from libs.telemetry.failpoints import failpoint

logger = structlog.get_logger()


class Stops:
    """Ends runs before their work is done."""

    def __init__(self, connection: LedgerConnection, runs: RunLedger) -> None:
        self._connection = connection
        self._runs = runs

    async def request(
        self, run_id: str, status: RunStatus, code: str, message: str, *, tenant_id: str | None = None
    ) -> bool:
        """Decide that an active run ends as ``status``; ``False`` where it has ended or is being stopped."""
        answer = await self._connection.runs.update_one(
            {
                "_id": run_id,
                "status": {"$in": [source.value for source in CANCELLABLE_RUN_STATUSES]},
                **NOT_STOPPED,
                **({} if tenant_id is None else {"tenant_id": tenant_id}),
            },
            {
                "$set": {
                    "stop": {"status": status.value, "code": code, "message": message[:2_000], "at": datetime.now(UTC)}
                },
                "$inc": {"epoch": 1},
            },
        )
        failpoint("ledger.stop_requested")
        return answer.modified_count == 1

    async def finish(self, run_id: str) -> None:
        """Close what is open of a run that is to stop, then report it. Idempotent."""
        run = await self._head(run_id)
        if run is None or run.stop is None or run.status in TERMINAL_RUN_STATUSES:
            return
        closed = BatchState.CANCELLED if run.stop.status is RunStatus.CANCELLED else BatchState.FAILED
        await self._connection.batches.update_many(
            {**every_batch(run_id), "state": {"$in": [state.value for state in OPEN_BATCH_STATES]}},
            {"$set": {"state": closed.value, "updated_at": datetime.now(UTC)}, "$unset": NOT_ANNOUNCED},
        )
        failpoint("ledger.batches_closed_before_stop")
        totals = await add_up(self._connection, run_id)
        rows = run.parse.rows if run.parse.closed else totals.rows
        await self._runs.end(run, run.stop, totals.counts(rows, rest=run.stop.code))

    async def stop(self, run_id: str, status: RunStatus, code: str, message: str) -> None:
        """``request``, then ``finish``; also finishes what another caller requested."""
        if await self._head(run_id) is not None:
            await self.request(run_id, status, code, message)
            await self.finish(run_id)

    async def stop_unreadable(self, run_id: str, error: UnreadableDocumentError) -> None:
        """Fail a run that cannot be read, so that it does not wait for ever."""
        logger.warning("run.unreadable", run_id=run_id, error=error.detail)
        await self.stop(run_id, RunStatus.FAILED, error.code, error.detail)

    async def _head(self, run_id: str) -> RunHead | None:
        """What it takes to stop a run. One that lacks even this is left to the release that made it: only that knows
        whether others are to hear of it."""
        try:
            return await self._runs.head(run_id)
        except UnreadableDocumentError as error:
            logger.warning("run.left_to_a_newer_release", run_id=run_id, error=error.detail)
            return None

    async def unfinished(self) -> list[str]:
        """Ids of runs whose stop was requested and never finished."""
        cursor = self._connection.runs.find(
            {
                "status": {"$in": [status.value for status in ACTIVE_RUN_STATUSES]},
                # The type is what lets the index be used that holds nothing else; others hold all that is active.
                "stop.at": {"$type": "date"},
                "$expr": {"$lt": ["$stop.at", seconds_from_now(-5)]},
            },
            {"_id": 1},
        )
        return [run["_id"] async for run in cursor]
