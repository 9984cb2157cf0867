"""Retries: runs over rejected rows of a completed run, their parent.

A run has one retry at a time (``retry_at_work``), so that rows of two retries need not be compared. A single row is
claimed for it in the transaction that creates it, several by its parser before it cuts the first batch, those of a file
together with its corrections. What became of each row is settled once the retry has an end, from its ledger alone; a
step of that may be repeated by anyone.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from libs.batches.claimed_rows import ClaimedRows, Correction, give_back, rejected_in_retry
from libs.batches.tables import unpack_rows
from libs.contracts.events import RunSubmitted
from libs.contracts.messages import Message
from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.contracts.states import TERMINAL_RUN_STATUSES, BatchState, RunStatus
from libs.contracts.topics import RUN_SUBMITTED
from libs.ledger.connection import LedgerConnection
from libs.ledger.parsing import ParseLedger
from libs.ledger.runs import beginning_trace, stored_run
from libs.storage.client import Document, Session
from libs.storage.documents import CorrectionsFound, RunDocument
from libs.telemetry.failpoints import failpoint

ROWS_AT_A_TIME: Final = 1_000
PATIENCE_SECONDS: Final = 5.0
_TERMINAL: Document = {"$in": sorted(status.value for status in TERMINAL_RUN_STATUSES)}


class Submission(Enum):
    """What became of a request for a retry."""

    SUBMITTED = auto()
    PARENT_NOT_FREE = auto()
    """The run is not completed, or has a retry that has not ended."""
    ROW_NOT_FREE = auto()
    """The row is neither open nor corrected."""


class _RowNotFreeError(Exception):
    """Ends the transaction that would create a retry."""


class Retries:
    """Creates retries, claims rows for them, and settles what became of those."""

    def __init__(self, connection: LedgerConnection, parsing: ParseLedger) -> None:
        self._connection = connection
        self._parsing = parsing

    async def submit(self, run: RunDocument) -> Submission:
        """Create a retry, which claims its one row where it has just one, and tell the parser."""
        with beginning_trace(run):
            submission = await self._store(run)
        if submission is Submission.SUBMITTED:
            failpoint("ledger.retry_stored_before_hint")
            self._connection.hint(
                Message(RUN_SUBMITTED, run.id, RunSubmitted.of(run.id, run.tenant_id, run.lane), run.trace)
            )
        return submission

    async def _store(self, run: RunDocument) -> Submission:
        assert run.parent_run_id is not None
        assert run.retry is not None
        retry, document = run.retry, stored_run(run)
        free = {
            "_id": run.parent_run_id,
            "tenant_id": run.tenant_id,
            "status": RunStatus.COMPLETED.value,
            "expiring_at": None,
            "retry_at_work": None,
        }
        rows = ClaimedRows(self._connection.mongo, run.tenant_id, run.parent_run_id)

        async def body(session: Session) -> Submission:
            taken = await self._connection.runs.update_one(free, {"$set": {"retry_at_work": run.id}}, session=session)
            if taken.modified_count != 1:
                return Submission.PARENT_NOT_FREE
            if retry.row is not None and not await rows.claim(session, run.id, [retry.row], UNTOUCHED_STATES):
                raise _RowNotFreeError
            await self._connection.runs.insert_one(document, session=session)
            return Submission.SUBMITTED

        try:
            return await self._connection.mongo.transaction(body)
        except _RowNotFreeError:
            return Submission.ROW_NOT_FREE
        except DuplicateKeyError:
            return Submission.SUBMITTED  # the first attempt was committed, and its answer got lost

    async def claim_rows(self, run: RunDocument, lease_seconds: float) -> bool:
        """Claim what a retry is about, for its parser; ``False`` where the parse is no longer the caller's.

        Corrections that come meanwhile are in it or not; once this has answered, no other row joins them.
        """
        retry = run.retry
        if retry is None or retry.claimed or retry.row is not None or run.parent_run_id is None:
            return True
        rows = ClaimedRows(self._connection.mongo, run.tenant_id, run.parent_run_id)
        states = {RejectedState.CORRECTED} if retry.rows == "corrected" else UNTOUCHED_STATES
        after = 0
        while some := await rows.claimable(states, after, ROWS_AT_A_TIME):
            if not await self._claim_some(run, rows, some, states, lease_seconds):
                return False
            failpoint("parser.retry_claimed_some")
            after = some[-1]
        return await self._parsing.extend(run, lease_seconds, changes={"retry.claimed": True})

    async def _claim_some(
        self,
        run: RunDocument,
        rows: ClaimedRows,
        some: list[int],
        states: "set[RejectedState] | frozenset[RejectedState]",
        lease_seconds: float,
    ) -> bool:
        async def body(session: Session) -> bool:
            # A stop and a second parser fence it: of a run that has ended nobody would release the rows.
            fenced = await self._parsing.extend(run, lease_seconds, session)
            if fenced:
                await rows.claim(session, run.id, some, states)
            return fenced

        return await self._connection.mongo.transaction(body)

    async def claim_corrected(
        self, run: RunDocument, rows: ClaimedRows, corrections: Sequence[Correction], lease_seconds: float
    ) -> bool:
        """Claim rows with the corrections of a file, see ``ClaimedRows.claim_corrected``; ``False`` where the parse is
        no longer the caller's."""

        async def body(session: Session) -> bool:
            fenced = await self._parsing.extend(run, lease_seconds, session)
            if fenced:
                await rows.claim_corrected(session, run.id, corrections)
                failpoint("parser.corrections_claimed_before_commit")
            return fenced

        claimed = await self._connection.mongo.transaction(body)
        failpoint("parser.corrections_claimed_some")
        return claimed

    async def note_claimed(self, run: RunDocument, found: CorrectionsFound, lease_seconds: float) -> bool:
        """All rows of a file are claimed that can be; ``False`` where the parse is no longer the caller's."""
        setting: Document = {
            "retry.claimed": True,
            "retry.found": {"$literal": found.model_dump(mode="json")},
        }
        return await self._parsing.extend(run, lease_seconds, changes=setting)

    async def keys_stored(self, parent: RunDocument) -> bool:
        """Whether all values are stored that a run has written, with which those of its retries are compared."""
        return await self._connection.payloads.with_keys(parent.id) >= parent.parse.batches

    async def unsettled(self, limit: int) -> list[str]:
        """Ids of retries that have ended, of whose rows something may still be to be told."""
        found = self._connection.runs.find({"unsettled": True, "status": _TERMINAL}, {"_id": 1})
        return [run["_id"] async for run in found.limit(limit)]

    async def settle_at_work(self, parent: RunDocument) -> bool:
        """``settle_soon`` what a run has noted as its retry at work; whether none is any more."""
        return parent.retry_at_work is None or await self.settle_soon(parent.retry_at_work)

    async def settle_soon(self, run_id: str) -> bool:
        """``settle``, for whoever waits for an answer: ``False`` too where it takes long and is left to a sweep."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self.settle(run_id)
        except TimeoutError:
            return False

    async def settle(self, run_id: str) -> bool:
        """Tell of the rows of a retry that has ended what became of them; ``False`` where it has not.

        Idempotent, and harmless beside another one: a row that is told is no longer claimed by this retry.
        """
        shown = {"status": 1, "version": 1, "tenant_id": 1, "parent_run_id": 1, "unsettled": 1}
        run = await self._connection.runs.find_one({"_id": run_id, "status": _TERMINAL}, shown)
        if run is None or (parent_id := run.get("parent_run_id")) is None:
            return False
        if not run.get("unsettled"):
            return True
        rows = ClaimedRows(self._connection.mongo, run["tenant_id"], parent_id)
        await self._settle_rejected(run, rows)
        if run["status"] == RunStatus.REVERTED.value:
            kept = await self._kept_rows(run_id)
            await rows.end_some(run_id, kept, RejectedState.WRITTEN)
            await rows.release(run_id)
            await rows.undo(run_id, kept)
        else:
            await self._settle_batches(run_id, rows)
            await rows.release(run_id)
        failpoint("ledger.retry_settled_before_noted")
        await give_back(self._connection.mongo, run["tenant_id"], run_id)
        await self._connection.runs.update_one(
            {"_id": run_id, "version": run["version"]}, {"$set": {"unsettled": False}}
        )
        await self._connection.runs.update_one(
            {"_id": parent_id, "retry_at_work": run_id}, {"$set": {"retry_at_work": None}}
        )
        return True

    async def _settle_rejected(self, run: Document, rows: ClaimedRows) -> None:
        mongo, after = self._connection.mongo, 0
        while some := await rejected_in_retry(mongo, run["tenant_id"], run["_id"], after, ROWS_AT_A_TIME):
            await rows.reject_again(run["_id"], some)
            failpoint("ledger.retry_settled_some")
            after = some[-1][0]

    async def _settle_batches(self, run_id: str, rows: ClaimedRows) -> None:
        """Of batches that were written: rows that were skipped, and all others."""
        written = {"run_id": run_id, "state": BatchState.WRITTEN.value}
        shown = {"row_from": 1, "row_to": 1, "skipped_rows": 1}
        async for batch in self._connection.batches.find(written, shown).sort("seq"):
            skipped: dict[str, Any] = batch.get("skipped_rows") or {}
            for reason, packed in skipped.items():
                numbers = [int(row) for row in unpack_rows(packed)]
                await rows.end_some(run_id, numbers, RejectedState.SKIPPED, reason)
            await rows.end_range(run_id, batch["row_from"], batch["row_to"])
            failpoint("ledger.retry_settled_some")

    async def _kept_rows(self, run_id: str) -> list[int]:
        """Rows of a reverted run whose records it has left as they were."""
        kept = {"run_id": run_id, "kept.reason": {"$type": "string"}}
        return [each["row"] async for each in self._connection.before_images.find(kept, {"row": 1})]
