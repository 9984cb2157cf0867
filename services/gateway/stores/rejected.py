"""Rejected rows of one organization."""

from pydantic import BaseModel
from pymongo import ASCENDING

from libs.contracts.rejections import RowError
from libs.storage.documents import RejectedRecord
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore

_IN_FILE_ORDER = ("row", ASCENDING)
_ERROR_ROWS = 100


class _RowErrors(BaseModel):
    row: int
    errors: list[RowError]


class RejectedStore(TenantStore[RejectedRecord]):
    """Rows that were not written, by run."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(RejectedRecord, principal)

    async def page(self, run_id: str, limit: int, after: int) -> Page[RejectedRecord]:
        """Rejected rows of a run in the order of the file, from behind row ``after``; fewer where they are large."""
        return await self._page(RejectedRecord, _behind(run_id, after), _IN_FILE_ORDER, limit)

    async def first_errors(self, run_id: str, limit: int) -> list[tuple[int, RowError]]:
        """The first errors of a run's rejected rows, each with its row, in the order of the file."""
        errors: list[tuple[int, RowError]] = []
        after, more = 0, limit > 0
        while more and len(errors) < limit:
            rows = min(limit - len(errors), _ERROR_ROWS)
            fields = {"row": 1, "errors": 1}
            page = await self._page(_RowErrors, _behind(run_id, after), _IN_FILE_ORDER, rows, fields)
            errors += [(record.row, error) for record in page.items for error in record.errors]
            after, more = page.items[-1].row if page.items else after, page.more
        return errors[:limit]


def _behind(run_id: str, row: int) -> dict[str, object]:
    return {"run_id": run_id, "row": {"$gt": row}}
