"""The store of rejected rows while a retry is at them: claimed for it, read by it, and told what became of them.

A row is claimed by compare-and-set on its state and belongs to one retry until that has ended; what is told of it
afterwards asks for that retry, so that everything here may be repeated.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import UpdateOne

from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import RejectedRecord

_ROWS_AT_A_TIME: Final = 250
_ENDED: Final = (RejectedState.WRITTEN.value, RejectedState.SKIPPED.value)


@dataclass(frozen=True, slots=True)
class Correction:
    """What becomes of the cells of a row that is claimed.

    Attributes:
        row: its number.
        revision: of the row as it was looked at.
        cells: index and text of each cell that is corrected, ascending, in the place of all earlier ones.
    """

    row: int
    revision: int
    cells: list[tuple[int, str | None]]


class ClaimedRows:
    """Rejected rows of one run, for its retries."""

    def __init__(self, mongo: Mongo, tenant_id: str, run_id: str) -> None:
        self._rows = mongo.state[RejectedRecord.Settings.name]
        self._of_run: Document = {"tenant_id": tenant_id, "run_id": run_id}

    async def claim(self, session: Session, retry_id: str, rows: Sequence[int], states: Collection[str]) -> int:
        """Claim those of ``rows`` that are in one of ``states``; how many those are."""
        answer = await self._rows.update_many(
            {**self._of_run, "state": {"$in": sorted(states)}, "row": {"$in": list(rows)}},
            [
                {
                    "$set": {
                        "state_before": "$state",
                        "remaining_before": _WRONG_NOW,
                        "state": RejectedState.RETRYING.value,
                        "retry_run_id": {"$literal": retry_id},
                    }
                }
            ],
            session=session,
        )
        return answer.modified_count

    async def claim_corrected(self, session: Session, retry_id: str, corrections: Sequence[Correction]) -> None:
        """Claim rows with their corrections, but for those that are not as they were looked at any more."""
        changes: list[UpdateOne] = []
        for each in corrections:
            before = RejectedState.CORRECTED if each.cells else RejectedState.OPEN
            setting: Document = {
                "corrected": [list(cell) for cell in each.cells] or None,
                "checked": False,
                "revision": each.revision + 1,
                "bulk": None,
                "state_before": before.value,
                "state": RejectedState.RETRYING.value,
                "retry_run_id": retry_id,
            }
            literal: Document = {name: {"$literal": value} for name, value in setting.items()}
            where = {**self._of_run, "row": each.row, **untouched(each.revision)}
            changes.append(
                UpdateOne(where, [{"$set": {"remaining_before": _WRONG_NOW, "corrected_at": "$$NOW", **literal}}])
            )
        await self._rows.bulk_write(changes, ordered=False, session=session)

    async def known(self, rows: Sequence[int]) -> set[int]:
        """Those of ``rows`` that there are."""
        found = self._rows.find({**self._of_run, "row": {"$in": list(rows)}}, {"_id": 0, "row": 1})
        return {each["row"] async for each in found}

    async def among(self, rows: Sequence[int]) -> list[RejectedRecord]:
        """Those of ``rows`` that there are, whatever has become of them; ascending."""
        found = self._rows.find({**self._of_run, "row": {"$in": list(rows)}}).sort("row")
        return [RejectedRecord.read(each) async for each in found]

    async def claimable(self, states: Collection[str], after: int, limit: int) -> list[int]:
        """Numbers of the next rows behind ``after`` in one of ``states``, ascending; at most ``limit``."""
        found = self._rows.find(
            {**self._of_run, "state": {"$in": sorted(states)}, "row": {"$gt": after}}, {"_id": 0, "row": 1}
        )
        return [each["row"] async for each in found.sort("row").limit(limit)]

    async def of_retry(self, retry_id: str) -> AsyncIterator[RejectedRecord]:
        """The rows that a retry has claimed, ascending."""
        async for record in self._ascending(self._of_retry(retry_id)):
            yield record

    async def of_bulk_correction(self, version: str) -> AsyncIterator[RejectedRecord]:
        """The rows that a bulk correction was the last to correct, ascending."""
        async for record in self._ascending({**self._of_run, **bulk_corrected(version)}):
            yield record

    async def one(self, row: int) -> AsyncIterator[RejectedRecord]:
        """A row, if there is one, whatever has become of it."""
        async for record in self._ascending({**self._of_run, "row": row}):
            yield record

    async def _ascending(self, wanted: Document) -> AsyncIterator[RejectedRecord]:
        async for stored in self._rows.find(wanted, batch_size=_ROWS_AT_A_TIME).sort("row"):
            yield RejectedRecord.read(stored)

    async def reject_again(self, retry_id: str, errors: Sequence[tuple[int, list[Document]]]) -> None:
        """Rows that a retry has rejected are open again, with the errors that they have there."""
        for first in range(0, len(errors), _ROWS_AT_A_TIME):
            changes: list[UpdateOne] = [
                UpdateOne(
                    {**self._of_retry(retry_id), "row": row},
                    {"$set": {"state": RejectedState.OPEN.value, "remaining": found, "checked": True}},
                )
                for row, found in errors[first : first + _ROWS_AT_A_TIME]
            ]
            await self._rows.bulk_write(changes, ordered=False)

    async def end_some(
        self, retry_id: str, rows: Sequence[int], state: RejectedState, reason: str | None = None
    ) -> None:
        """Say of claimed rows that they are ``written``, or ``skipped`` for a reason."""
        await self._end({**self._of_retry(retry_id), "row": {"$in": list(rows)}}, state, reason)

    async def end_range(self, retry_id: str, row_from: int, row_to: int) -> None:
        """Say of claimed rows, from one to another, that they are written."""
        within = {"$gte": row_from, "$lte": row_to}
        await self._end({**self._of_retry(retry_id), "row": within}, RejectedState.WRITTEN, None)

    async def _end(self, rows: Document, state: RejectedState, reason: str | None) -> None:
        await self._rows.update_many(rows, {"$set": {"state": state.value, "skip_reason": reason, "remaining": []}})

    async def release(self, retry_id: str) -> None:
        """Rows that nothing became of are what they were before the retry."""
        await self._rows.update_many(self._of_retry(retry_id), [_AS_BEFORE])

    async def undo(self, retry_id: str, kept: Sequence[int]) -> None:
        """The retry was reverted: its rows are what they were before, but for those whose records it has kept."""
        await self._rows.update_many(
            {**self._of_run, "retry_run_id": retry_id, "state": {"$in": list(_ENDED)}, "row": {"$nin": list(kept)}},
            [_AS_BEFORE, _WRONG_AS_BEFORE],
        )

    def _of_retry(self, retry_id: str) -> Document:
        return {**self._of_run, "state": RejectedState.RETRYING.value, "retry_run_id": retry_id}


def untouched(revision: int) -> Document:
    """The filter of a row that nobody has changed since it was looked at, and that is in nobody's hands. One of release
    0.1 has no revision."""
    return {"state": {"$in": sorted(UNTOUCHED_STATES)}, "revision": revision or {"$in": [0, None]}}


def bulk_corrected(version: str) -> Document:
    """The filter of rows that a bulk correction was the last to correct, and that no retry has taken since."""
    return {"state": RejectedState.CORRECTED.value, "bulk": version}


_WRONG_NOW: Document = {"$ifNull": ["$remaining", None]}
_AS_BEFORE: Document = {
    "$set": {"state": {"$ifNull": ["$state_before", RejectedState.OPEN.value]}, "skip_reason": None}
}
_WRONG_AS_BEFORE: Document = {
    "$set": {
        "remaining": {
            # One that the release before has claimed does not say.
            "$cond": [{"$eq": [{"$type": "$remaining_before"}, "missing"]}, "$remaining", "$remaining_before"]
        }
    }
}
"""What is wrong with a row is what was before its retry."""


async def rejected_in_retry(
    mongo: Mongo, tenant_id: str, retry_id: str, after: int, limit: int
) -> list[tuple[int, list[Document]]]:
    """The next rows behind ``after`` that a retry itself has rejected, with their errors; ascending."""
    rows = mongo.state[RejectedRecord.Settings.name]
    of_retry = {"tenant_id": tenant_id, "run_id": retry_id, "row": {"$gt": after}}
    found = rows.find(of_retry, {"_id": 0, "row": 1, "errors": 1})
    return [(each["row"], each["errors"]) async for each in found.sort("row").limit(limit)]


async def give_back(mongo: Mongo, tenant_id: str, retry_id: str) -> None:
    """What a retry has rejected is told by the run that first rejected it."""
    rows = mongo.state[RejectedRecord.Settings.name]
    await rows.update_many(
        {"tenant_id": tenant_id, "run_id": retry_id, "state": {"$in": [state.value for state in UNTOUCHED_STATES]}},
        {"$set": {"state": RejectedState.RETURNED.value}},
    )
