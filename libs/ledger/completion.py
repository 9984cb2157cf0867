"""Whether a phase of a run is over: derived from its batches, never counted up."""

from datetime import UTC, datetime
from enum import StrEnum

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.ids import batch_id
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import TERMINAL_RUN_STATUSES, BatchState, RunStatus
from libs.contracts.templates import InvalidRows
from libs.ledger.connection import LedgerConnection
from libs.ledger.runs import RunLedger
from libs.ledger.stops import Stops
from libs.ledger.totals import add_up
from libs.storage.documents import RunDocument


class Stage(StrEnum):
    """What ``maybe_advance`` found."""

    WAITING = "waiting"
    """Work of this phase is still open, or the run waits for somebody's decision."""
    WHOLE_FILE_CHECK = "whole_file_check"
    """Every batch is checked on its own; what rows of different batches may not share is to be compared."""
    ADVANCED = "advanced"
    TERMINAL = "terminal"


class Completion:
    """Moves runs on once their ledger proves that a phase is over."""

    def __init__(self, connection: LedgerConnection, runs: RunLedger, stops: Stops) -> None:
        self._connection = connection
        self._runs = runs
        self._stops = stops

    async def maybe_advance(self, run_id: str) -> Stage:
        """Move the run on if the ledger proves that its phase is over. Idempotent; anyone may call it.

        A run that cannot be read is failed.
        """
        if await self._still_at_work(run_id):
            return Stage.WAITING
        try:
            run = await self._runs.get(run_id)
        except UnreadableDocumentError as error:
            await self._stops.stop_unreadable(run_id, error)
            return Stage.TERMINAL
        if run is None or run.status in TERMINAL_RUN_STATUSES:
            return Stage.TERMINAL
        if run.stop is not None:
            await self._stops.finish(run_id)
            return Stage.TERMINAL
        match run.status:
            case RunStatus.VALIDATING if run.parse.closed:
                return await self._after_checking(run)
            case RunStatus.VALIDATED if run.goes_on:
                await self._runs.request_execution(run)
                return Stage.ADVANCED
            case RunStatus.EXECUTING:
                return await self._after_writing(run)
            case _:
                return Stage.WAITING

    async def _after_checking(self, run: RunDocument) -> Stage:
        totals = await add_up(self._connection, run.id)
        if await self._broken(run, totals.batches == run.parse.batches, f"{totals.batches} batches in the ledger"):
            return Stage.TERMINAL
        if not totals.all_in(BatchState.CHECKED, BatchState.VALIDATED):
            return Stage.WAITING
        if totals.states.get(BatchState.CHECKED):
            return Stage.WHOLE_FILE_CHECK
        result = totals.result
        accounted = result.ok + result.rejected + result.duplicate_keys
        whole = totals.rows == run.parse.rows == accounted
        if await self._broken(run, whole, f"{totals.rows} rows in batches, {accounted} accounted for"):
            return Stage.TERMINAL
        if run.template.invalid_rows is InvalidRows.BLOCK and result.rejected:
            await self._stops.stop(
                run.id,
                RunStatus.FAILED,
                RunErrorCode.INVALID_ROWS,
                f"{result.rejected} of {totals.rows} rows are invalid and the template lets none pass; "
                "correct them in the file and upload it again",
            )
            return Stage.TERMINAL
        first = await self._connection.batches.find_one({"_id": batch_id(run.id, run.epoch, 0)}, {"preview": 1})
        moved = await self._runs.transition(
            run,
            RunStatus.VALIDATED,
            changes={"validated_at": datetime.now(UTC), "preview_rows": (first or {}).get("preview", [])},
            counts=totals.counts(totals.rows),
        )
        if moved is not None and moved.goes_on:
            await self._runs.request_execution(moved)
        return Stage.ADVANCED

    async def _after_writing(self, run: RunDocument) -> Stage:
        totals = await add_up(self._connection, run.id)
        if not totals.all_in(BatchState.WRITTEN):
            return Stage.WAITING
        counts = totals.counts(run.parse.rows)
        whole = (
            totals.batches == run.parse.batches
            and totals.rows == counts.rows == counts.written + counts.rejected + counts.skipped
        )
        if await self._broken(run, whole, f"{totals.batches} batches, {totals.rows} rows, {counts!r}"):
            return Stage.TERMINAL
        await self._runs.transition(run, RunStatus.COMPLETED, counts=counts)
        return Stage.ADVANCED

    async def _broken(self, run: RunDocument, conserved: bool, found: str) -> bool:  # noqa: FBT001
        if conserved:
            return False
        await self._stops.stop(
            run.id,
            RunStatus.FAILED,
            RunErrorCode.INTEGRITY,
            f"the ledger does not add up: the parser counted {run.parse.batches} batches and {run.parse.rows} rows, "
            f"but there are {found}. This is a fault of Rowdock, not of the file",
        )
        return True

    async def _still_at_work(self, run_id: str) -> bool:
        """Two index look-ups, so that only the last batch of a phase pays for adding up the ledger."""
        found = await self._connection.runs.find_one({"_id": run_id}, {"status": 1, "stop": 1, "parse.closed": 1})
        if found is None or found["stop"] is not None:
            return False
        match found["status"]:
            case RunStatus.VALIDATING:
                waiting = BatchState.PARSED
            case RunStatus.EXECUTING:
                waiting = BatchState.VALIDATED
            case _:
                return False
        if not found["parse"]["closed"]:
            return True
        return (
            await self._connection.batches.find_one({"run_id": run_id, "state": waiting.value}, {"_id": 1}) is not None
        )
