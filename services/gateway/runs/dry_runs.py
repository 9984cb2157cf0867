"""Files that are only tried: checked like any other, then removed with every trace."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from libs.contracts.rejections import RowError
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.process.shares import NoSlotError, Shares
from libs.storage.documents import RunDocument
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError, LimitError, TookTooLongError
from services.gateway.runs.pauses import pauses
from services.gateway.runs.runs import CHECKED_STATUSES
from services.gateway.stores.rejected import RejectedStore

GRACE_SECONDS = 60.0
"""How much longer than anybody waits for a dry run it is left alone: clocks differ, answers are written."""


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """What a check found: the run, validated or failed, and the first errors of its rejected rows, by row."""

    run: RunDocument
    errors: list[tuple[int, RowError]]


class DryRuns:
    """Submits dry runs, waits for them and purges them.

    Args:
        ledger: where they are.
        wait_seconds: how long a check may take.
        max_errors: most errors that an answer lists.
        shares: how many are tried at the same time.
    """

    def __init__(self, ledger: Ledger, wait_seconds: float, max_errors: int, shares: Shares) -> None:
        self._ledger = ledger
        self._wait_seconds = wait_seconds
        self._max_errors = max_errors
        self._shares = shares

    @contextmanager
    def trying(self, principal: Principal) -> Generator[None]:
        """Trying a file, from its upload to what was found.

        Raises:
            BusyError, LimitError: too many are being tried, by others or by the organization itself.
        """
        try:
            with self._shares.slot(principal.home):
                yield
        except NoSlotError as full:
            if full.own:
                message = "this organization tries as many files as it may; try again when one of them is done"
                raise LimitError("TOO_MANY_DRY_RUNS_OF_ORGANIZATION", message) from None
            raise BusyError("TOO_MANY_DRY_RUNS", "too many files are being tried at the moment; try again") from None

    @asynccontextmanager
    async def submitted(self, run: RunDocument) -> AsyncGenerator[None]:
        """A run that is there only for as long as the block lasts. Nothing is left of it, however that ends."""
        submission = asyncio.ensure_future(self._ledger.runs.submit(run))
        try:
            await asyncio.shield(submission)
            failpoint("gateway.dry_run_submitted")
            yield
        finally:
            await asyncio.shield(self._purge(run.id, submission))

    async def _purge(self, run_id: str, submission: asyncio.Future[None]) -> None:
        """Purge a run once it is there: before, a submission that was broken off could outlive it."""
        await asyncio.wait([submission])
        await self._ledger.purge.run(run_id)

    async def result(self, principal: Principal, run: RunDocument) -> DryRunResult:
        """What the check of a dry run finds. Nothing is left of it afterwards.

        Raises:
            TookTooLongError: ``DRY_RUN_TOO_LONG``.
        """
        async with self.submitted(run):
            if (checked := await self.checked(run)) is None:
                raise TookTooLongError(
                    "DRY_RUN_TOO_LONG",
                    f"checking the file took longer than {self._wait_seconds:g} seconds and was given up; "
                    "upload a smaller sample of it",
                )
            return DryRunResult(checked, await RejectedStore(principal).first_errors(run.id, self._max_errors))

    @property
    def wait_seconds(self) -> float:
        """How long a check may take."""
        return self._wait_seconds

    async def checked(self, run: RunDocument) -> RunDocument | None:
        """A submitted run once it is validated or has failed; ``None`` where that takes longer than it may."""
        await _reach(lambda: self._status(run.id), CHECKED_STATUSES, self._wait_seconds)
        checked = await self._ledger.runs.get(run.id)
        if checked is None or checked.status not in {RunStatus.VALIDATED, RunStatus.FAILED}:
            return None
        return checked

    async def _status(self, run_id: str) -> RunStatus | None:
        return await self._ledger.runs.status(run_id)

    async def sweep(self) -> int:
        """Purge dry runs that a gateway did not live to purge; how many those were."""
        forgotten = await self._ledger.purge.forgotten(self._wait_seconds + GRACE_SECONDS)
        for run_id in forgotten:
            await self._ledger.purge.run(run_id)
        return len(forgotten)


async def _reach(ask: Callable[[], Awaitable[RunStatus | None]], until: Collection[RunStatus], seconds: float) -> None:
    """Return once ``ask`` answers one of ``until``, or there is no such run, or ``seconds`` are over.

    It has to ask again and again, for dry runs tell nothing.
    """
    for pause in pauses(seconds):
        await asyncio.sleep(pause)
        status = await ask()
        if status is None or status in until:
            return
