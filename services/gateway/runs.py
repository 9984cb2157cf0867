"""What an organization can do with its runs: look, wait, execute, cancel."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from libs.contracts.states import CANCELLABLE_RUN_STATUSES, TERMINAL_RUN_STATUSES, RunStatus
from libs.ledger import Ledger
from libs.storage.documents import RunDocument
from services.gateway.http_errors import ApiError, not_found
from services.gateway.tenant_store import TenantStore
from services.gateway.views import RunView, is_active, present_run

FIRST_POLL_SECONDS, MAX_POLL_SECONDS, POLL_GROWTH = 0.03, 0.5, 1.25
CHECKED_STATUSES = frozenset(RunStatus) - {RunStatus.PENDING, RunStatus.VALIDATING}


class Runs:
    """Moves runs by the ledger only.

    Args:
        wait_seconds: bounds every wait for somebody else's work.
        max_errors: most errors that a run lists.
    """

    def __init__(self, ledger: Ledger, wait_seconds: float, max_errors: int) -> None:
        self._ledger = ledger
        self._wait_seconds = wait_seconds
        self._max_errors = max_errors

    async def get(self, store: TenantStore, run_id: str) -> RunDocument:
        """A run; 404 where there is none."""
        if (run := await store.run(run_id)) is None:
            raise not_found("run", run_id)
        return run

    async def view(self, store: TenantStore, run: RunDocument) -> RunView:
        """A run with its first errors and, while it is active, its progress."""
        totals = await self._ledger.totals(run.id) if is_active(run) else None
        return present_run(run, totals=totals, errors=await store.row_errors(run.id, self._max_errors))

    async def wait(self, store: TenantStore, run: RunDocument, until: frozenset[RunStatus]) -> RunDocument:
        """The run as soon as its status is one of ``until``, or as it is when the time is over."""
        if run.status not in until:
            await reach(lambda: store.run_status(run.id), until, self._wait_seconds)
        return await self.get(store, run.id)

    async def execute(self, store: TenantStore, run_id: str) -> RunDocument:
        """Let a validated run be written; wait for the end.

        Raises:
            ApiError: 404; 409 in any other status, also where the run is executing already.
        """
        run = await self.get(store, run_id)
        started = None
        if run.status is RunStatus.VALIDATED and run.stop is None:
            started = await self._ledger.runs.request_execution(run)
        if started is None:
            raise _wrong_state(await self.get(store, run_id), "executed", {RunStatus.VALIDATED})
        return await self.wait(store, started, TERMINAL_RUN_STATUSES)

    async def cancel(self, store: TenantStore, run_id: str) -> RunDocument:
        """Stop an active run; what was written before stays written and is counted.

        Raises:
            ApiError: 404; 409 where the run has ended or is being stopped for another reason.
        """
        await self.get(store, run_id)
        won = await self._ledger.stops.request(
            run_id, RunStatus.CANCELLED, "CANCELLED", "cancelled by request", tenant_id=store.tenant_id
        )
        run = await self.get(store, run_id)
        stopping = run.stop is not None and run.stop.status is RunStatus.CANCELLED and is_active(run)
        if not won and not stopping:
            raise _wrong_state(run, "cancelled", CANCELLABLE_RUN_STATUSES)
        await self._ledger.stops.finish(run_id)
        return await self.wait(store, run, TERMINAL_RUN_STATUSES)


async def reach(ask: Callable[[], Awaitable[RunStatus | None]], until: frozenset[RunStatus], seconds: float) -> None:
    """Return once ``ask`` answers one of ``until``, or there is no such run, or ``seconds`` are over."""
    deadline, pause = time.monotonic() + seconds, FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        await asyncio.sleep(pause)
        pause = min(pause * POLL_GROWTH, MAX_POLL_SECONDS)
        status = await ask()
        if status is None or status in until:
            return


def _wrong_state(run: RunDocument, deed: str, allowed: frozenset[RunStatus] | set[RunStatus]) -> ApiError:
    state = f"is {run.status.value}"
    if run.stop is not None and is_active(run):
        state = f"is {run.status.value} and being stopped ({run.stop.code})"
    possible = ", ".join(sorted(status.value for status in allowed))
    return ApiError(
        HTTPStatus.CONFLICT,
        "WRONG_STATE",
        f"the run {state} and cannot be {deed}; only a run that is {possible} can",
    )
