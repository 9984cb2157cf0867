"""Retries of rejected rows: one, or all that were corrected; each is a run of its own."""

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.contracts.templates import Template, Unique
from libs.ledger import Ledger, Submission
from libs.storage.documents import RetryRequest, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError
from services.gateway.records.runs_of_rows import run_of_rows
from services.gateway.runs.runs import Runs
from services.gateway.stores.rejected import RejectedStore
from services.gateway.uploads.quotas import QuotaKeeper

MANY_ROWS = 5_000
"""Retries of more rows queue with large files."""
SETTLED_AT_A_TIME = 16


class Retries:
    """Submits retries, waits for them, and has what became of their rows told.

    Args:
        ledger: where they are.
        runs: by which they are waited for.
        keeper: what an organization may have.
    """

    def __init__(self, ledger: Ledger, runs: Runs, keeper: QuotaKeeper) -> None:
        self._ledger = ledger
        self._runs = runs
        self._keeper = keeper

    async def retry_row(self, principal: Principal, run_id: str, row: int) -> RunDocument:
        """Retry one rejected row of a run, corrected or not; wait for the end.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: as ``retry_all``; ``WRONG_ROW_STATE``, the row is neither open nor corrected.
            LimitError: the organization has what it may have.
        """
        return await self._retry(principal, run_id, RetryRequest(rows="row", row=row), Lane.SMALL)

    async def retry_all(self, principal: Principal, run_id: str, *, include_uncorrected: bool) -> RunDocument:
        """Retry all rejected rows of a run that were corrected, or all that are open too; wait for the end.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``WRONG_STATE``, it is not completed; ``IS_A_RETRY``; ``RETRY_UNDER_WAY``;
                ``NOT_RETRYABLE``, what it takes is not stored, or no longer; ``NOTHING_TO_RETRY``.
            LimitError: the organization has what it may have.
        """
        states = UNTOUCHED_STATES if include_uncorrected else frozenset({RejectedState.CORRECTED})
        some = await RejectedStore(principal).first_rows(run_id, states, MANY_ROWS + 1)
        lane = Lane.LARGE if len(some) > MANY_ROWS else Lane.SMALL
        request = RetryRequest(rows="all" if include_uncorrected else "corrected")
        return await self._retry(principal, run_id, request, lane, nothing=not some)

    async def _retry(
        self, principal: Principal, run_id: str, request: RetryRequest, lane: Lane, *, nothing: bool = False
    ) -> RunDocument:
        parent = await self.free_parent(principal, run_id)
        if nothing:
            message = "the run has no rejected row that was corrected and not retried since"
            if request.rows == "all":
                message = "the run has no rejected row that is open or corrected"
            raise ConflictError("NOTHING_TO_RETRY", f"{message}; see /imports/rejected?run_id={run_id}")
        if (obstacle := await self._keeper.obstacle(principal, 0)) is not None:
            raise obstacle
        run = run_of_rows(principal, parent, RunPurpose.RETRY, request, lane)
        match await self._ledger.retries.submit(run):
            case Submission.PARENT_NOT_FREE:
                await self.free_parent(principal, run_id)
                raise ConflictError("RETRY_UNDER_WAY", "another retry of the run has just ended; try again")
            case Submission.ROW_NOT_FREE:
                raise ConflictError(
                    "WRONG_ROW_STATE",
                    "the row is neither open nor corrected, so it cannot be retried: somebody has discarded it, or a "
                    "retry has written it",
                )
            case Submission.SUBMITTED:
                self._keeper.taken_in(principal, 0)
        ended = await self._runs.wait(principal, run, TERMINAL_RUN_STATUSES)
        await self._ledger.retries.settle_soon(run.id)
        return ended

    async def free_parent(self, principal: Principal, run_id: str) -> RunDocument:
        """A run whose rejected rows can be retried now.

        Raises:
            NotFoundError, ConflictError: as ``retry_all``.
        """
        run = await self.completed(principal, run_id)
        if not await self._ledger.retries.settle_at_work(run):
            raise ConflictError(
                "RETRY_UNDER_WAY",
                f"the run {run.retry_at_work} is retrying rejected rows of this one; wait until it has ended",
            )
        compared = compares_rows(run.template)
        if run.plan is None or (compared and not await self._ledger.retries.keys_stored(run)):
            raise ConflictError(
                "NOT_RETRYABLE",
                "the template compares values over the whole file, and those that the run has written are no longer "
                "stored (they are for 30 days, and those of runs that an earlier release has executed are not); import "
                "the corrected rows as a file",
            )
        return run

    async def completed(self, principal: Principal, run_id: str) -> RunDocument:
        """A run whose rejected rows can be changed.

        Raises:
            NotFoundError, ConflictError: as ``retry_all``.
        """
        run = await self._runs.get(principal, run_id)
        if run.parent_run_id is not None:
            raise ConflictError(
                "IS_A_RETRY",
                f"the run is a retry; its rejected rows are told, corrected and retried as those of the run "
                f"{run.parent_run_id}",
            )
        if run.status is not RunStatus.COMPLETED:
            raise ConflictError(
                "WRONG_STATE",
                f"the run is {run.status.value}; rejected rows can be corrected and retried once it is completed, "
                "otherwise correct the file and upload it again",
            )
        return run

    async def sweep(self) -> int:
        """Settle retries that nobody waited for; how many those were."""
        ended = await self._ledger.retries.unsettled(SETTLED_AT_A_TIME)
        for run_id in ended:
            await self._ledger.retries.settle(run_id)
        return len(ended)


def compares_rows(template: Template) -> bool:
    """Whether rows of the whole file are compared."""
    unique = any(isinstance(rule, Unique) for field in template.fields for rule in field.rules)
    return template.matches_by_key or unique
