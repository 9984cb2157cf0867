"""Removing what is of no more use: dry runs with every trace, and the rows of runs that have ended."""

from datetime import UTC, datetime, timedelta

from libs.contracts.ids import event_id
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.ledger.connection import LedgerConnection, every_batch
from libs.ledger.runs import keeps_keys
from libs.storage.client import Document
from libs.storage.documents import PURGED_RUNS, BulkCorrectionDocument, PreviewDocument, StopRequest
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint

RECENTLY = timedelta(hours=1)
"""How long the sweep looks for what is left of a run that has ended."""


async def remove_run(connection: LedgerConnection, run: Document) -> None:
    """Remove everything that belongs to a run, its file too, then the run itself. May be repeated.

    The caller has made sure that nobody adds to it any more, and that the run is found again should this call die on
    the way.

    Args:
        run: its ``_id``, ``tenant_id`` and ``file.id``.
    """
    run_id, tenant_id = run["_id"], run["tenant_id"]
    await connection.batches.delete_many(every_batch(run_id))
    failpoint("ledger.batches_purged_before_run")
    await connection.payloads.drop([run_id])
    for request in (PreviewDocument, BulkCorrectionDocument):
        await connection.mongo.state[request.Settings.name].delete_one({"_id": run_id})
    await connection.rejected.drop(tenant_id, run_id)
    await connection.before_images.delete_many({"run_id": run_id})
    await connection.deliveries.delete_many({"tenant_id": tenant_id, "run_id": run_id})
    await connection.outbox.delete_one({"_id": event_id("submitted", run_id)})
    await FileStore(connection.mongo).delete(run["file"]["id"])
    failpoint("ledger.parts_purged_before_run")
    await connection.runs.delete_one({"_id": run_id})


class Purge:
    """Removes. Whatever it removes it may be asked to remove again."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    async def run(self, run_id: str) -> None:
        """Remove a run with everything of it, whatever is at work on it. Idempotent; spares runs whose purpose is kept.

        Once it is stopped its parser stores nothing more, and once its batches are gone no check of them can
        commit. The run itself goes last, so that the sweep finds what a crash on the way has left.
        """
        stop = StopRequest(
            status=RunStatus.CANCELLED,
            code=RunErrorCode.DRY_RUN_OVER,
            message="it was only tried",
            at=datetime.now(UTC),
        )
        run = await self._connection.runs.find_one_and_update(
            {"_id": run_id, **PURGED_RUNS},
            {"$set": {"stop": {**stop.model_dump(), "status": stop.status.value}}, "$inc": {"epoch": 1}},
            {"tenant_id": 1, "file.id": 1},
        )
        if run is not None:
            await remove_run(self._connection, run)

    async def forgotten(self, seconds: float) -> list[str]:
        """Ids of runs that should have been purged ``seconds`` after they were made: nobody waits for them any more."""
        old = {**PURGED_RUNS, "created_at": {"$lt": datetime.now(UTC) - timedelta(seconds=seconds)}}
        return [run["_id"] async for run in self._connection.runs.find(old, {"_id": 1})]

    async def rows_of_ended_runs(self) -> int:
        """Delete payloads that whoever ended their run did not live to delete; the number of such runs.

        Checked rows, which only completed runs keep, are looked for in what has ended lately. Whatever nobody looks for
        in time goes with the age of payloads.
        """
        lately = datetime.now(UTC) - RECENTLY
        not_completed = [status.value for status in TERMINAL_RUN_STATUSES - {RunStatus.COMPLETED}]
        recent = self._connection.runs.find(
            {"finished_at": {"$gt": lately}, "status": {"$in": not_completed}}, {"_id": 1}
        )
        kept = await self._connection.payloads.with_checked_rows([run["_id"] async for run in recent])
        stored = {*await self._connection.payloads.runs(), *kept}
        ended = self._connection.runs.find(
            {"_id": {"$in": list(stored)}, "status": {"$in": [status.value for status in TERMINAL_RUN_STATUSES]}},
            {"status": 1, "counts.rejected": 1, "parent_run_id": 1},
        )
        runs = await ended.to_list()
        completed = [run for run in runs if run["status"] == RunStatus.COMPLETED.value]
        others = [run["_id"] for run in runs if run["status"] != RunStatus.COMPLETED.value]
        for keys in (True, False):
            if some := [run["_id"] for run in completed if keeps_keys(run) is keys]:
                await self._connection.payloads.drop_all_but_written(some, keys=keys)
        if others:
            await self._connection.payloads.drop_all_but_read(others)
        return len(runs)
