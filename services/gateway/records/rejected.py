"""Rejected rows of runs."""

from dataclasses import dataclass

from libs.storage.documents import RejectedRecord
from services.gateway.access.principal import Principal
from services.gateway.errors import not_found
from services.gateway.stores.paging import Page
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore


@dataclass(frozen=True, slots=True)
class RejectedOfRun:
    """A page of the rejected rows of a run, and the columns that their cells follow."""

    columns: tuple[str, ...]
    rows: Page[RejectedRecord]


class RejectedRows:
    """Shows the rows that a run did not write, with the reasons."""

    async def page(self, principal: Principal, run_id: str, limit: int, after: int = 0) -> RejectedOfRun:
        """Rejected rows of a run in the order of the file, from behind row ``after``.

        Raises:
            NotFoundError: there is no such run.
        """
        run = await RunStore(principal).get(run_id)
        if run is None:
            raise not_found("run", run_id)
        rows = await RejectedStore(principal).page(run_id, limit, after)
        return RejectedOfRun(run.plan.columns if run.plan else (), rows)
