"""What an organization can do with its runs: look, wait, execute, cancel, revert."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from libs.contracts.events import RunCounts
from libs.contracts.rejections import RejectedState
from libs.contracts.states import (
    ACTIVE_RUN_STATUSES,
    CANCELLABLE_RUN_STATUSES,
    TERMINAL_RUN_STATUSES,
    BatchState,
    RunStatus,
)
from libs.ledger import Ledger, Totals
from libs.storage.documents import PAYLOAD_DAYS, BatchResult, RunDocument, SyncStage
from services.gateway.access.gathering import Gathering
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, Problem, invalid_input, not_found
from services.gateway.runs.announcements import Announcements
from services.gateway.runs.first_errors import Errors, FirstErrors
from services.gateway.runs.pauses import pauses
from services.gateway.stores.before_images import BeforeImageStore, KeptRecord
from services.gateway.stores.paging import Page
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import Counted, CountedRuns, GlancedRun, ListedRun, RunStore

SYNC_LOOK_SECONDS, SYNC_LOOK_GROWTH = 0.05, 1.5
"""How soon whoever executes a sync looks at it again; each time later, up to ``LOOK_SECONDS``."""
LOOK_SECONDS = 1.0
"""How often whoever waits looks at the run itself: announcements may get lost."""
MAX_DELETED_IDS = 1_000
"""Most ids of deleted records that a run lists."""
MAX_KEPT = 1_000
"""Most records that a run lists which its revert has kept."""
REVERT_STATUSES = frozenset({RunStatus.REVERTING, RunStatus.REVERTED})
CHECKED_STATUSES = frozenset(RunStatus) - {RunStatus.PENDING, RunStatus.VALIDATING}


@dataclass(frozen=True, slots=True)
class RunFindings:
    """A run with what was found in its file.

    Attributes:
        totals: its ledger, added up; ``None`` unless the run is active.
        errors: the first errors of its rejected rows, each with its row.
    """

    run: RunDocument
    totals: Totals | None
    errors: Errors


@dataclass(frozen=True, slots=True)
class RunDetails(RunFindings):
    """A run with everything that is not on its document.

    Attributes:
        deleted_ids: the first ids of the records that it has deleted.
        kept: the first records that its revert has left as they were.
        rejected_rows: how many of its rejected rows are in each state.
    """

    deleted_ids: list[str]
    kept: list[KeptRecord]
    rejected_rows: Mapping[RejectedState, int]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What somebody lets a sync delete.

    Attributes:
        most: so many records.
        whatever: any number of them.
    """

    most: int | None = None
    whatever: bool = False


def question_of(run: RunDocument) -> str | None:
    """What a sync asks that waits for confirmation; ``None`` of any other run."""
    waits = run.status is RunStatus.VALIDATED and run.syncing and run.syncing.stage is SyncStage.UNCONFIRMED
    return run.history[-1].error_message if waits and run.history else None


class Runs:
    """Moves runs by the ledger only.

    Args:
        ledger: what moves them.
        announcements: what they tell of it.
        wait_seconds: bounds every wait for somebody else's work.
        max_errors: most errors that a run lists.
    """

    def __init__(self, ledger: Ledger, announcements: Announcements, wait_seconds: float, max_errors: int) -> None:
        self._ledger = ledger
        self._announcements = announcements
        self._wait_seconds = wait_seconds
        self._first_errors = FirstErrors(max_errors)
        self._adding_up = Gathering(self._add_up)
        """Of those who look at a run at the same moment, its batches are added up together."""

    async def get(self, principal: Principal, run_id: str) -> RunDocument:
        """A run.

        Raises:
            NotFoundError: there is none.
        """
        return await RunStore(principal).required(run_id)

    async def glance(self, principal: Principal, run_id: str) -> GlancedRun:
        """A little of a run: whether what was shown of it is still right.

        Raises:
            NotFoundError: there is none.
        """
        if (run := await RunStore(principal).glance(run_id)) is None:
            raise not_found("run", run_id)
        return run

    async def page(
        self,
        principal: Principal,
        limit: int,
        *,
        status: RunStatus | None = None,
        template_id: str | None = None,
        after: str | None = None,
    ) -> Page[ListedRun]:
        """Runs, newest first, from behind the id ``after``."""
        return await RunStore(principal).page(limit, status=status, template_id=template_id, after=after)

    async def findings(self, principal: Principal, run: RunDocument) -> RunFindings:
        """A run with its first errors and, while it is active, its progress."""
        totals = await self._totals(run)
        return RunFindings(run, totals, await self._first_errors.of(principal, run.id, _rejected(run, totals)))

    async def window(
        self,
        principal: Principal,
        skip: int,
        limit: int,
        *,
        template_id: str | None = None,
        statuses: Collection[RunStatus] | None = None,
    ) -> Counted:
        """Runs of the vocabulary that counts them, behind the first ``skip``, the newest first, and how many there
        are."""
        return await CountedRuns(principal).window(skip, limit, template_id, statuses)

    async def by_template(self, principal: Principal, template_ids: Collection[str]) -> dict[str, int]:
        """How many such runs there are of each template that has any."""
        return await CountedRuns(principal).by_template(template_ids)

    async def details(self, principal: Principal, run: RunDocument) -> RunDetails:
        """A run with its findings, and the first records that it deleted or that its revert has kept."""
        findings = await self.findings(principal, run)
        deletes = (run.template.delete_column is not None or run.sweeps) and run.executing_at is not None
        deleted_ids = await BeforeImageStore(principal).deleted_ids(run.id, MAX_DELETED_IDS) if deletes else []
        kept: list[KeptRecord] = []
        if run.status in REVERT_STATUSES:
            kept = await BeforeImageStore(principal).kept(run.id, MAX_KEPT)
        rows = await self.rejected_rows(principal, run)
        return RunDetails(run, findings.totals, findings.errors, deleted_ids, kept, rows)

    async def rejected_rows(self, principal: Principal, run: RunDocument) -> Mapping[RejectedState, int]:
        """What has become of the rejected rows, told only once their number is settled."""
        if run.counts is None or not run.counts.rejected or run.status not in TERMINAL_RUN_STATUSES:
            return {}
        await self._ledger.retries.settle_at_work(run)
        others = await RejectedStore(principal).count(run.id)
        return {RejectedState.OPEN: run.counts.rejected - sum(others.values()), **others}

    async def deleted(self, principal: Principal, run_id: str, limit: int, after: str | None) -> Page[str]:
        """Ids of the records that a run has deleted, from behind the id ``after``.

        Raises:
            NotFoundError: there is no such run.
        """
        run = await self.get(principal, run_id)
        return await BeforeImageStore(principal).deleted(run.id, limit, after)

    async def _totals(self, run: RunDocument) -> Totals | None:
        if run.status is RunStatus.VALIDATED and run.counts is not None:
            return checked_totals(run, run.counts)
        return await self._adding_up.answer(run.id) if is_active(run) else None

    async def _add_up(self, run_id: str, callers: int) -> list[Totals]:
        return [await self._ledger.totals(run_id)] * callers

    async def wait(
        self, principal: Principal, run: RunDocument, until: Collection[RunStatus], at_most: float | None = None
    ) -> RunDocument:
        """The run as soon as its status is one of ``until``, or as it is when the time is over.

        Args:
            principal: who asks.
            run: as it was seen last.
            until: statuses.
            at_most: seconds, where that is less than everybody waits.
        """
        if run.status not in until:
            seconds = self._wait_seconds if at_most is None else min(at_most, self._wait_seconds)
            await self._reach(principal, run.id, until, seconds)
        return await self.get(principal, run.id)

    async def _reach(self, principal: Principal, run_id: str, until: Collection[RunStatus], seconds: float) -> None:
        store, deadline = RunStore(principal), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await self._announcements.reached(run_id, until)
                    return
            except TimeoutError:
                status = await store.status(run_id)
                if status is None or status in until:
                    return

    async def execute(
        self,
        principal: Principal,
        run_id: str,
        confirmation: Confirmation | None = None,
        at_most: float | None = None,
    ) -> RunDocument:
        """Let a validated run be written; wait for the end.

        Args:
            principal: who asks.
            run_id: of the run.
            confirmation: how many records a sync may delete.
            at_most: seconds to wait, where that is less than everybody waits. For a sync it is waited longer, until it
                is known whether it may delete what it would.

        Raises:
            NotFoundError: there is none.
            ConflictError: ``WRONG_STATE``, also where the run is executing already; ``DELETES_NOT_CONFIRMED``, a sync
                would delete more than it may without being told so.
            InvalidInputError: something is confirmed of a run that is no sync.
        """
        run = await self.get(principal, run_id)
        if run.sweeps:
            return await self._execute_sync(principal, run, confirmation or Confirmation())
        if confirmation is not None:
            message = "only a run of the mode 'sync' asks before it deletes; leave it out"
            raise invalid_input(Problem("confirm_deletes", "CONFLICT", message))
        started = None
        if run.status is RunStatus.VALIDATED and run.stop is None:
            started = await self._ledger.runs.request_execution(run)
        if started is None:
            raise _wrong_state(await self.get(principal, run_id), "executed", {RunStatus.VALIDATED})
        return await self.wait(principal, started, TERMINAL_RUN_STATUSES, at_most)

    async def _execute_sync(self, principal: Principal, run: RunDocument, confirmation: Confirmation) -> RunDocument:
        asked = None
        if run.status is RunStatus.VALIDATED and run.stop is None:
            most, whatever = confirmation.most, confirmation.whatever
            asked = await self._ledger.syncs.request(run, confirmed=most, confirmed_all=whatever)
        if asked is None or asked.syncing is None:
            run = await self.get(principal, run.id)
            if run.status is RunStatus.VALIDATED and run.stop is None:
                raise ConflictError("WRONG_STATE", "the run is asked to be executed already and will begin by itself")
            raise _wrong_state(run, "executed", {RunStatus.VALIDATED})
        store = RunStore(principal)
        for pause in pauses(self._wait_seconds, SYNC_LOOK_SECONDS, LOOK_SECONDS, SYNC_LOOK_GROWTH):
            await asyncio.sleep(pause)
            now = await store.syncing(run.id)
            if now is None or now.status in TERMINAL_RUN_STATUSES:
                break
            same = now.syncing is not None and now.syncing.requested_at == asked.syncing.requested_at
            if same and now.syncing is not None and now.syncing.stage is SyncStage.UNCONFIRMED:
                raise ConflictError("DELETES_NOT_CONFIRMED", question_of(await self.get(principal, run.id)))
        return await self.get(principal, run.id)

    async def cancel(self, principal: Principal, run_id: str) -> RunDocument:
        """Stop an active run; what was written before stays written and is counted.

        Raises:
            NotFoundError: there is none.
            ConflictError: ``WRONG_STATE``, the run has ended or is being stopped for another reason.
        """
        await self.get(principal, run_id)
        won = await self._ledger.stops.request(
            run_id, RunStatus.CANCELLED, "CANCELLED", "cancelled by request", tenant_id=principal.tenant_id
        )
        run = await self.get(principal, run_id)
        stopping = run.stop is not None and run.stop.status is RunStatus.CANCELLED and is_active(run)
        if not won and not stopping:
            raise _wrong_state(run, "cancelled", CANCELLABLE_RUN_STATUSES)
        await self._ledger.stops.finish(run_id)
        return await self.wait(principal, run, TERMINAL_RUN_STATUSES)

    async def revert(self, principal: Principal, run_id: str, at_most: float | None = None) -> RunDocument:
        """Take back what a completed run has written; wait for the end, or ``at_most`` so many seconds.

        Raises:
            NotFoundError: there is none.
            ConflictError: ``WRONG_STATE``, it is not completed, or reverted already; ``NOT_REVERTIBLE``, what it takes
                is not stored, or no longer; ``HAS_RETRIES``, rejected rows of it were written since, or are being.
        """
        run = await self.get(principal, run_id)
        if run.status is RunStatus.COMPLETED and not await self._ledger.runs.revertible(run):
            raise ConflictError(
                "NOT_REVERTIBLE",
                "the run cannot be reverted: the rows that it has written are kept for "
                f"{PAYLOAD_DAYS} days, and those of runs that an earlier release has executed are not; import a file "
                "that sets the records right",
            )
        started = None
        if run.status is RunStatus.COMPLETED:
            await self._refuse_with_retries(principal, run)
            started = await self._ledger.runs.request_revert(run)
        if started is None:
            raise _wrong_state(await self.get(principal, run_id), "reverted", {RunStatus.COMPLETED})
        if not started.parse.batches:
            await self._ledger.maybe_advance(run_id)
        reverted = await self.wait(principal, started, {RunStatus.REVERTED}, at_most)
        if reverted.parent_run_id is not None and reverted.status is RunStatus.REVERTED:
            # Its rows are its parent's again: whoever hears that it is reverted may correct them.
            await self._ledger.retries.settle_soon(run_id)
        return reverted

    async def _refuse_with_retries(self, principal: Principal, run: RunDocument) -> None:
        await self._ledger.retries.settle_at_work(run)
        retries = await RunStore(principal).standing_retries(run.id)
        if retries:
            raise ConflictError(
                "HAS_RETRIES",
                "retries have written rejected rows of this run, perhaps over records of it; revert these runs first, "
                f"in this order: {', '.join(retries)}",
            )


def _rejected(run: RunDocument, totals: Totals | None) -> int | None:
    """How many rows a run has rejected. Its own counts are older than what the writer rejects while it executes."""
    if totals is not None:
        return totals.result.rejected
    return None if run.counts is None else run.counts.rejected


def checked_totals(run: RunDocument, counts: RunCounts) -> Totals:
    """The ledger of a run that is checked and not yet executed, which its counts were derived from."""
    ok = counts.rows - counts.rejected - counts.skipped
    result = BatchResult(ok=ok, rejected=counts.rejected, duplicate_keys=counts.skipped, warnings=counts.warnings)
    return Totals(run.parse.batches, run.parse.rows, {BatchState.VALIDATED: run.parse.batches}, result)


def is_active(run: RunDocument) -> bool:
    """Whether the run may still change, and so has progress to show."""
    return run.status in ACTIVE_RUN_STATUSES


def _wrong_state(run: RunDocument, deed: str, allowed: Collection[RunStatus]) -> ConflictError:
    state = f"is {run.status.value}"
    if run.stop is not None and is_active(run):
        state = f"is {run.status.value} and being stopped ({run.stop.code})"
    possible = ", ".join(sorted(status.value for status in allowed))
    return ConflictError("WRONG_STATE", f"the run {state} and cannot be {deed}; only a run that is {possible} can")
