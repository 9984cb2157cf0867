"""Files that are only tried: checked like any other, then removed with every trace."""

import asyncio
from http import HTTPStatus

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.documents import RunDocument
from services.gateway.http_errors import ApiError
from services.gateway.runs import CHECKED_STATUSES, reach
from services.gateway.tenant_store import TenantStore
from services.gateway.views import DryRunView, present_dry_run

GRACE_SECONDS = 60.0
"""How much longer than anybody waits for a dry run it is left alone: clocks differ, answers are written."""


class DryRuns:
    """Waits for dry runs and purges them.

    Args:
        wait_seconds: how long a check may take.
        max_errors: most errors that an answer lists.
    """

    def __init__(self, ledger: Ledger, wait_seconds: float, max_errors: int) -> None:
        self._ledger = ledger
        self._wait_seconds = wait_seconds
        self._max_errors = max_errors

    async def result(self, store: TenantStore, run: RunDocument) -> DryRunView:
        """What the check of a submitted dry run found. Nothing is left of it afterwards, whatever happens here.

        Raises:
            ApiError: 504; it took too long and was given up.
        """
        try:
            await reach(lambda: self._status(run.id), CHECKED_STATUSES, self._wait_seconds)
            checked = await self._ledger.runs.get(run.id)
            if checked is None or checked.status not in {RunStatus.VALIDATED, RunStatus.FAILED}:
                raise ApiError(
                    HTTPStatus.GATEWAY_TIMEOUT,
                    "DRY_RUN_TOO_LONG",
                    f"checking the file took longer than {self._wait_seconds:g} seconds and was given up; "
                    "upload a smaller sample of it",
                )
            return present_dry_run(checked, await store.row_errors(run.id, self._max_errors))
        finally:
            await asyncio.shield(self._ledger.purge.run(run.id))

    async def _status(self, run_id: str) -> RunStatus | None:
        return await self._ledger.runs.status(run_id)

    async def sweep(self) -> int:
        """Purge dry runs that a gateway did not live to purge; how many those were."""
        forgotten = await self._ledger.purge.forgotten(self._wait_seconds + GRACE_SECONDS)
        for run_id in forgotten:
            await self._ledger.purge.run(run_id)
        return len(forgotten)
