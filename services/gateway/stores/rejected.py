"""Rejected rows of one organization."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from pydantic import BaseModel, Field
from pymongo import ASCENDING

from libs.batches.claimed_rows import untouched
from libs.contracts.rejections import RejectedState, RowError
from libs.storage.documents import RejectedRecord
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore

_IN_FILE_ORDER = ("row", ASCENDING)
_ERROR_ROWS = 100


class _RowErrors(BaseModel):
    row: int
    errors: list[RowError]


class _StateCount(BaseModel):
    id: RejectedState = Field(alias="_id")
    rows: int


class _RowOnly(BaseModel):
    row: int


class RejectedStore(TenantStore[RejectedRecord]):
    """Rows that were not written, by run."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(RejectedRecord, principal)

    async def get(self, record_id: str) -> RejectedRecord | None:
        """A rejected row, or ``None``."""
        return await self._read(self._one({"_id": record_id}))

    async def page(
        self, run_id: str, limit: int, after: int, states: Collection[RejectedState] = ()
    ) -> Page[RejectedRecord]:
        """Rejected rows of a run in the order of the file, from behind row ``after``; fewer where they are large.

        Args:
            run_id: the run.
            limit: most rows.
            after: the last row of the page before.
            states: only rows in one of these; all rows where empty.
        """
        wanted = {"state": {"$in": sorted(states)}} if states else {}
        return await self._page(RejectedRecord, {**_behind(run_id, after), **wanted}, _IN_FILE_ORDER, limit)

    async def first_rows(self, run_id: str, states: Collection[RejectedState], limit: int, after: int = 0) -> list[int]:
        """Numbers of the first rows of a run behind row ``after`` in one of ``states``, at most ``limit``."""
        wanted = {**_behind(run_id, after), "state": {"$in": sorted(states)}}
        found = await self._many(wanted).sort("row").limit(limit).project(_RowOnly).to_list()
        return [each.row for each in found]

    async def count(self, run_id: str) -> dict[RejectedState, int]:
        """How many rejected rows of a run are in each state but ``open``."""
        others = sorted(state.value for state in RejectedState if state is not RejectedState.OPEN)
        groups = [{"$group": {"_id": "$state", "rows": {"$sum": 1}}}]
        # One command, from the index alone, which holds the state; unless told, MongoDB may take that of the rows.
        found = (
            await self._many({"run_id": run_id, "state": {"$in": others}})
            .aggregate(groups, projection_model=_StateCount, hint="tenant_run_state")
            .to_list()
        )
        counts = {each.id: each.rows for each in found}
        return {state: counts.get(state, 0) for state in RejectedState if state is not RejectedState.OPEN}

    async def correct(self, record: RejectedRecord, cells: Sequence[tuple[int, str | None]]) -> bool:
        """Store the corrections of a row; ``False`` where somebody else has changed it, or a retry is at it."""
        state = RejectedState.CORRECTED if cells else RejectedState.OPEN
        changes = {
            "corrected": [list(cell) for cell in cells] or None,
            "state": state.value,
            "checked": False,
            "revision": record.revision + 1,
            "bulk": None,
        }
        return await self._set(_untouched(record), changes, None, "corrected_at")

    async def note_errors(self, record: RejectedRecord, revision: int, errors: Sequence[RowError]) -> bool:
        """Store what is wrong with the corrections of that revision; ``False`` where there are others by now, or it is
        known already."""
        of_revision = {**_untouched(record), "revision": revision, "checked": False}
        return await self._set(of_revision, {"remaining": [asdict(error) for error in errors], "checked": True}, None)

    async def discard(self, record: RejectedRecord) -> bool:
        """Give a row up; ``False`` where somebody else has changed it, or a retry is at it."""
        return await self._set(_untouched(record), {"state": RejectedState.DISCARDED.value}, None)

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


def _untouched(record: RejectedRecord) -> dict[str, object]:
    """The row as it was seen."""
    return {"_id": record.id, **untouched(record.revision)}


def _behind(run_id: str, row: int) -> dict[str, object]:
    return {"run_id": run_id, "row": {"$gt": row}}
