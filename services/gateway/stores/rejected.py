"""Rejected rows of one organization."""

from itertools import islice

from pydantic import BaseModel

from libs.contracts.rejections import RowError
from libs.storage.documents import RejectedRecord
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page, cut
from services.gateway.stores.tenant import TenantStore


class _RowErrors(BaseModel):
    row: int
    errors: list[RowError]


class RejectedStore(TenantStore[RejectedRecord]):
    """Rows that were not written, by run."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(RejectedRecord, principal)

    async def page(self, run_id: str, limit: int, after: int) -> Page[RejectedRecord]:
        """Rejected rows of a run in the order of the file, from behind row ``after``."""
        behind = {"run_id": run_id, "row": {"$gt": after}}
        query = self._many(behind).sort("+row").limit(limit + 1)
        return cut(await self._read(query.to_list()), limit)

    async def first_errors(self, run_id: str, limit: int) -> list[tuple[int, RowError]]:
        """The first errors of a run's rejected rows, each with its row, in the order of the file."""
        if not limit:
            return []
        records = await self._many({"run_id": run_id}).sort("+row").limit(limit).project(_RowErrors).to_list()
        errors = ((record.row, error) for record in records for error in record.errors)
        return list(islice(errors, limit))
