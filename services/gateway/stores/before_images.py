"""What runs of one organization have changed, by their before-images."""

from typing import Any

from pydantic import BaseModel
from pymongo import ASCENDING

from libs.storage.documents import Kept, UndoEntry
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore


class _Changed(BaseModel):
    record_id: Any


class KeptRecord(BaseModel):
    """A record that a revert left as it was."""

    record_id: Any
    row: int
    kept: Kept


class BeforeImageStore(TenantStore[UndoEntry]):
    """Before-images, by run."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(UndoEntry, principal)

    async def deleted_ids(self, run_id: str, limit: int) -> list[str]:
        """The first ``limit`` ids of records that a run has deleted, as text, in their own order."""
        deleted = {"run_id": run_id, "deletes": True}
        page = await self._page(_Changed, deleted, ("_id", ASCENDING), limit, {"record_id": 1})
        return [str(each.record_id) for each in page.items]

    async def deleted(self, run_id: str, limit: int, after: str | None) -> Page[str]:
        """Ids of records that a run has deleted, as text, in their own order, from behind ``after``."""
        deleted: dict[str, Any] = {"run_id": run_id, "deletes": True}
        if after is not None:
            deleted["_id"] = {"$gt": f"{run_id}:{after}"}
        page = await self._page(_Changed, deleted, ("_id", ASCENDING), limit, {"record_id": 1})
        return Page([str(each.record_id) for each in page.items], page.more)

    async def kept(self, run_id: str, limit: int) -> list[KeptRecord]:
        """The first ``limit`` records that the revert of a run has kept, in the order of the file."""
        kept = {"run_id": run_id, "kept.reason": {"$type": "string"}}
        fields = {"record_id": 1, "row": 1, "kept": 1}
        return list((await self._page(KeptRecord, kept, ("row", ASCENDING), limit, fields)).items)
