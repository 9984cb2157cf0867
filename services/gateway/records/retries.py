"""Retries of rejected rows: one, all that were corrected, or those of a file; each is a run of its own."""

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.contracts.templates import Template, Unique
from libs.ledger import Ledger, Submission
from libs.storage.documents import RetryRequest, RunDocument, StoredFile
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, GatewayError
from services.gateway.records.runs_of_rows import run_of_rows, started_by
from services.gateway.runs.runs import Runs
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore
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
        files: where files of corrections are.
        large_from: size from which on one of these is large, in bytes.
    """

    def __init__(self, ledger: Ledger, runs: Runs, keeper: QuotaKeeper, files: FileStore, large_from: int) -> None:
        self._ledger = ledger
        self._runs = runs
        self._keeper = keeper
        self._files = files
        self._large_from = large_from

    async def retry_row(self, principal: Principal, run_id: str, row: int, effect_id: str | None = None) -> RunDocument:
        """Retry one rejected row of a run, corrected or not; wait for the end.

        ``effect_id``, here and below, names what is asked for: the retry of that name is never made twice.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: as ``retry_all``; ``WRONG_ROW_STATE``, the row is neither open nor corrected.
            LimitError: the organization has what it may have.
        """
        return await self._retry(principal, run_id, RetryRequest(rows="row", row=row), Lane.SMALL, effect_id)

    async def retry_all(
        self, principal: Principal, run_id: str, *, include_uncorrected: bool, effect_id: str | None = None
    ) -> RunDocument:
        """Retry all rejected rows of a run that were corrected, or all that are open too; wait for the end.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``WRONG_STATE``, it is not completed; ``IS_A_RETRY``; ``RETRY_UNDER_WAY``;
                ``BULK_CORRECTION_UNDER_WAY``; ``NOT_RETRYABLE``, what it takes is not stored, or no longer;
                ``NOTHING_TO_RETRY``.
            LimitError: the organization has what it may have.
        """
        states = UNTOUCHED_STATES if include_uncorrected else frozenset({RejectedState.CORRECTED})
        some = await RejectedStore(principal).first_rows(run_id, states, MANY_ROWS + 1)
        lane = Lane.LARGE if len(some) > MANY_ROWS else Lane.SMALL
        request = RetryRequest(rows="all" if include_uncorrected else "corrected")
        return await self._retry(principal, run_id, request, lane, effect_id, nothing=not some)

    async def retry_file(
        self, principal: Principal, run_id: str, file: StoredFile, effect_id: str | None = None
    ) -> RunDocument:
        """Retry the rows of a file of corrections that has arrived; wait for the end.

        What is wrong with the file its run tells, which has failed then and has changed nothing.

        Raises:
            NotFoundError, ConflictError, LimitError: as ``retry_all``; nothing of the file is left behind.
        """
        failpoint("gateway.corrections_stored_before_submit")
        lane = Lane.of_size(file.size, self._large_from)
        try:
            run = await self._submit(principal, run_id, RetryRequest(rows="file", file=file), lane, effect_id)
        except GatewayError:
            await self._files.delete(file.id)
            raise
        if run.id != file.id:
            await self._files.delete(file.id)
        return await self._ended(principal, run)

    async def made(self, principal: Principal, effect_id: str | None) -> RunDocument | None:
        """The retry of that name, if it was made; it is waited for like any other."""
        run = await self._made(principal, effect_id)
        return None if run is None else await self._ended(principal, run)

    async def discard(self, file: StoredFile) -> None:
        """Remove a file of corrections that is not needed."""
        await self._files.delete(file.id)

    async def _retry(
        self,
        principal: Principal,
        run_id: str,
        request: RetryRequest,
        lane: Lane,
        effect_id: str | None,
        *,
        nothing: bool = False,
    ) -> RunDocument:
        run = await self._submit(principal, run_id, request, lane, effect_id, nothing=nothing)
        return await self._ended(principal, run)

    async def _ended(self, principal: Principal, run: RunDocument) -> RunDocument:
        ended = await self._runs.wait(principal, run, TERMINAL_RUN_STATUSES)
        await self._ledger.retries.settle_soon(run.id)
        return ended

    async def _submit(
        self,
        principal: Principal,
        run_id: str,
        request: RetryRequest,
        lane: Lane,
        effect_id: str | None,
        *,
        nothing: bool = False,
    ) -> RunDocument:
        if (made := await self._made(principal, effect_id)) is not None:
            return made
        parent = await self.free_parent(principal, run_id)
        if nothing:
            message = "the run has no rejected row that was corrected and not retried since"
            if request.rows == "all":
                message = "the run has no rejected row that is open or corrected"
            raise ConflictError("NOTHING_TO_RETRY", f"{message}; see /imports/rejected?run_id={run_id}")
        size = 0 if request.file is None else request.file.size
        if (obstacle := await self._keeper.obstacle(principal, size)) is not None:
            raise obstacle
        run = run_of_rows(started_by(principal), parent, RunPurpose.RETRY, request, lane)
        run = run.model_copy(update={"idempotency_key": _effect_key(effect_id)})
        submission = await self._ledger.retries.submit(run)
        # An earlier attempt, which was only believed to be dead, may have been faster.
        if effect_id is not None and (made := await self._made(principal, effect_id)) is not None:
            return made
        match submission:
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
                self._keeper.taken_in(principal, size)
                return run

    async def _made(self, principal: Principal, effect_id: str | None) -> RunDocument | None:
        key = _effect_key(effect_id)
        return None if key is None else await RunStore(principal).by_idempotency_key(key)

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
        if await self._ledger.bulk_corrections.under_way(run_id):
            raise ConflictError(
                "BULK_CORRECTION_UNDER_WAY",
                "a correction of many rows of this run is under way; wait until "
                f"/imports/runs/{run_id}/correct-all says that it is done",
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


def _effect_key(effect_id: str | None) -> str | None:
    """The key of a retry, by which the database sees to it that there is one: with a space, no client can send it."""
    return None if effect_id is None else f"effect {effect_id}"


def compares_rows(template: Template) -> bool:
    """Whether rows of the whole file are compared."""
    unique = any(isinstance(rule, Unique) for field in template.fields for rule in field.rules)
    return template.matches_by_key or unique
