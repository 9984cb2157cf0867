"""Stopping a run, as failed or cancelled, in two steps.

After ``request`` it can only end that way; ``finish`` closes the open batches, after which no effect of theirs can
commit, and only then reports the terminal status. So a run reported as cancelled makes no further change.
"""

from datetime import UTC, datetime

from libs.contracts.states import (
    ACTIVE_RUN_STATUSES,
    CANCELLABLE_RUN_STATUSES,
    OPEN_BATCH_STATES,
    TERMINAL_RUN_STATUSES,
    BatchState,
    RunStatus,
)
from libs.ledger.connection import NOT_STOPPED, LedgerConnection, every_batch, seconds_from_now
from libs.ledger.runs import RunLedger
from libs.ledger.totals import add_up
from libs.telemetry.failpoints import failpoint


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
        run = await self._runs.get(run_id)
        if run is None or run.stop is None or run.status in TERMINAL_RUN_STATUSES:
            return
        closed = BatchState.CANCELLED if run.stop.status is RunStatus.CANCELLED else BatchState.FAILED
        await self._connection.batches.update_many(
            {**every_batch(run_id), "state": {"$in": [state.value for state in OPEN_BATCH_STATES]}},
            {"$set": {"state": closed.value, "updated_at": datetime.now(UTC)}},
        )
        failpoint("ledger.batches_closed_before_stop")
        totals = await add_up(self._connection, run_id)
        rows = run.parse.rows if run.parse.closed else totals.rows
        await self._runs.transition(
            run,
            run.stop.status,
            changes={"failure": {"code": run.stop.code, "message": run.stop.message}},
            counts=totals.counts(rows, rest=run.stop.code),
        )

    async def stop(self, run_id: str, status: RunStatus, code: str, message: str) -> None:
        """``request``, then ``finish``; also finishes what another caller requested."""
        await self.request(run_id, status, code, message)
        await self.finish(run_id)

    async def unfinished(self) -> list[str]:
        """Ids of runs whose stop was requested and never finished."""
        cursor = self._connection.runs.find(
            {
                "status": {"$in": [status.value for status in ACTIVE_RUN_STATUSES]},
                "stop": {"$ne": None},
                "$expr": {"$lt": ["$stop.at", seconds_from_now(-5)]},
            },
            {"_id": 1},
        )
        return [run["_id"] async for run in cursor]
