"""Whether a phase of a run is over: derived from its batches, never counted up."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.events import RevertCounts, RunCounts
from libs.contracts.ids import batch_id
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import HANDED_OUT, TERMINAL_RUN_STATUSES, BatchState, RunStatus
from libs.contracts.templates import InvalidRows
from libs.ledger.connection import NOT_STOPPED, LedgerConnection, every_batch
from libs.ledger.runs import MovedRun, RunLedger
from libs.ledger.stops import Stops
from libs.ledger.syncs import NOT_PLANNED
from libs.ledger.totals import Totals, add_up
from libs.storage.client import Document, Session
from libs.storage.documents import PAYLOAD_DAYS, RunDocument, SyncStage
from libs.telemetry.failpoints import failpoint


class Stage(StrEnum):
    """What ``maybe_advance`` found."""

    WAITING = "waiting"
    """Work of this phase is still open, or the run waits for somebody's decision."""
    WHOLE_FILE_CHECK = "whole_file_check"
    """Every batch is checked on its own; what rows of different batches may not share is to be compared."""
    DELETIONS = "deletions"
    """Every row of a sync is written; its deletions may be handed out."""
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
                return await self._advance(run)
            case RunStatus.VALIDATED if run.goes_on:
                await self._runs.request_execution(run)
                return Stage.ADVANCED
            case RunStatus.EXECUTING | RunStatus.REVERTING:
                return await self._advance(run)
            case _:
                return Stage.WAITING

    async def advance_with_only_batch(self, session: Session, run: RunDocument) -> MovedRun | None:
        """Move a run on in the transaction that has just moved its only batch.

        With more batches there would be nobody to do it: transactions side by side do not see each other's batch, so
        that none of them might find the phase over.

        Returns:
            What was done, for ``RunLedger.committed``; ``None`` where it is left to ``maybe_advance``.
        """
        if not run.parse.closed or run.parse.batches != 1:
            return None
        # All of the ledger, by what shows too where it has more than the parser counted.
        shown = {"state": 1, "rows": 1, "result": 1, "preview": 1, "examples": 1}
        batches = await self._connection.batches.find({"run_id": run.id}, shown, limit=2, session=session).to_list()
        verdict = _judged(run, Totals.of({**batch, **batch["result"], "batches": 1} for batch in batches))
        if not isinstance(verdict, _Over):
            return None
        if verdict.target is RunStatus.VALIDATED:
            verdict.changes.update(_shown_of(batches[0]))
        return await self._runs.move(session, run, verdict.target, changes=verdict.changes, counts=verdict.counts)

    async def _advance(self, run: RunDocument) -> Stage:
        match await self._verdict(run):
            case _Failed(code, message):
                await self._stops.stop(run.id, RunStatus.FAILED, code, message)
                return Stage.TERMINAL
            case _Over() as over:
                moved = await self._runs.transition(
                    run, over.target, changes=over.changes, counts=over.counts, reverted=over.reverted
                )
                if moved is not None and moved.status is RunStatus.VALIDATED and moved.goes_on:
                    await self._runs.request_execution(moved)
                return Stage.ADVANCED
            case Stage.DELETIONS:
                await self._release_deletions(run)
                return Stage.DELETIONS
            case Stage() as stage:
                return stage

    async def _release_deletions(self, run: RunDocument) -> None:
        """Let the batches of deletions be handed out, by whoever fills the lane of the run up next."""
        await self._connection.batches.update_many(
            {**every_batch(run.id), "state": BatchState.CHECKED.value, "sweeps": True},
            {"$set": {"state": BatchState.VALIDATED.value, "updated_at": datetime.now(UTC)}},
        )
        failpoint("ledger.deletions_released_before_announced")
        await self._connection.runs.update_one(
            {"_id": run.id, "status": RunStatus.EXECUTING.value, **NOT_STOPPED}, {"$set": {"held_back": True}}
        )

    async def _verdict(self, run: RunDocument) -> "Stage | _Over | _Failed":
        """What the ledger proves about the phase of a run that is parsed."""
        verdict = _judged(run, await add_up(self._connection, run.id))
        if isinstance(verdict, _Over) and verdict.target is RunStatus.VALIDATED:
            first = {"_id": batch_id(run.id, run.epoch, 0)}
            found = await self._connection.batches.find_one(first, {"preview": 1, "examples": 1})
            verdict.changes.update(_shown_of(found or {}))
        return verdict

    async def _still_at_work(self, run_id: str) -> bool:
        """Two index look-ups, so that only the last batch of a phase pays for adding up the ledger."""
        found = await self._connection.runs.find_one({"_id": run_id}, {"status": 1, "stop": 1, "parse.closed": 1})
        if found is None or found["stop"] is not None:
            return False
        waiting = HANDED_OUT.get(found["status"])
        if waiting is None:
            return False
        if not found["parse"]["closed"]:
            return True
        return (
            await self._connection.batches.find_one({"run_id": run_id, "state": waiting.value}, {"_id": 1}) is not None
        )


@dataclass(frozen=True, slots=True)
class _Over:
    """The phase is over, and the run is to move."""

    target: RunStatus
    counts: RunCounts
    changes: Document = field(default_factory=dict[str, Any])
    reverted: RevertCounts | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """The run is to be failed."""

    code: str
    message: str


def _shown_of(first: Document) -> Document:
    """What a run shows of its first batch."""
    return {"preview_rows": first.get("preview", []), "examples": first.get("examples", {})}


def _judged(run: RunDocument, totals: Totals) -> Stage | _Over | _Failed:
    match run.status:
        case RunStatus.EXECUTING:
            return _after_writing(run, totals)
        case RunStatus.REVERTING:
            return _after_reverting(run, totals)
        case _:
            return _after_checking(run, totals)


def _after_reverting(run: RunDocument, totals: Totals) -> "Stage | _Over":
    if totals.batches != run.all_batches or not totals.all_in(BatchState.REVERTED):
        return Stage.WAITING
    return _Over(RunStatus.REVERTED, run.counts or RunCounts(), reverted=totals.reverted)


def _after_checking(run: RunDocument, totals: Totals) -> Stage | _Over | _Failed:
    if totals.batches != run.parse.batches:
        return _broken(run, f"{totals.batches} batches in the ledger")
    if not totals.all_in(BatchState.CHECKED, BatchState.VALIDATED):
        return Stage.WAITING
    if totals.states.get(BatchState.CHECKED):
        return Stage.WHOLE_FILE_CHECK
    result = totals.result
    accounted = result.ok + result.rejected + result.duplicate_keys
    if not totals.rows == run.parse.rows == accounted:
        return _broken(run, f"{totals.rows} rows in batches, {accounted} accounted for")
    if run.template.invalid_rows is InvalidRows.BLOCK and result.rejected:
        return _Failed(
            RunErrorCode.INVALID_ROWS,
            f"{result.rejected} of {totals.rows} rows are invalid and the template lets none pass; "
            "correct them in the file and upload it again",
        )
    return _Over(RunStatus.VALIDATED, totals.counts(totals.rows), {"validated_at": datetime.now(UTC)})


def _after_writing(run: RunDocument, totals: Totals) -> Stage | _Over | _Failed:
    if run.sweeps and (run.syncing is None or run.syncing.stage is not SyncStage.PLANNED):
        return _Failed(RunErrorCode.MODE_NOT_SUPPORTED, NOT_PLANNED)
    if not totals.all_in(BatchState.WRITTEN):
        deletions_due = totals.states.get(BatchState.CHECKED) and totals.all_in(BatchState.WRITTEN, BatchState.CHECKED)
        return Stage.DELETIONS if deletions_due else Stage.WAITING
    counts = totals.counts(run.parse.rows)
    if (
        totals.batches != run.all_batches
        or not totals.rows == counts.rows == counts.written + counts.rejected + counts.skipped
    ):
        return _broken(run, f"{totals.batches} batches, {totals.rows} rows, {counts!r}")
    until = run.created_at + timedelta(days=PAYLOAD_DAYS)
    return _Over(RunStatus.COMPLETED, counts, {"revertible_until": until})


def _broken(run: RunDocument, found: str) -> _Failed:
    return _Failed(
        RunErrorCode.INTEGRITY,
        f"the ledger does not add up: the parser counted {run.parse.batches} batches and {run.parse.rows} rows, "
        f"but there are {found}. This is a fault of Rowdock, not of the file",
    )
