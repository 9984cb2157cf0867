"""Runs that nobody seems to be at work on."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from pymongo import ReturnDocument

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.states import RunStatus
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.ledger.stops import Stops
from libs.storage.client import Document
from libs.storage.documents import RunDocument
from libs.storage.stored_times import seconds_from_now

GOING_ON: Final[Document] = {"template.auto_execute": True}
"""What MongoDB is asked for ``RunDocument.goes_on``: none of these is left out. The others wait for their client, for
weeks perhaps, and there may be any number of them."""


class Rescue:
    """Gives silent runs out, each to one caller of this service."""

    def __init__(self, connection: LedgerConnection, stops: Stops) -> None:
        self._connection = connection
        self._stops = stops

    async def silent_runs(
        self, statuses: Sequence[RunStatus], quiet_seconds: float, *, where: Document | None = None
    ) -> AsyncIterator[RunDocument]:
        """Runs in one of ``statuses``, and as ``where`` says, whose ledger has not moved for ``quiet_seconds``.

        Each is given to one caller of this service, again after twice the time, up to 32 times it. One that cannot be
        read is failed instead.
        """
        mine = f"rescue.{self._connection.service}"
        quiet_ms = int(quiet_seconds * 1000)
        due = {"$ifNull": [f"${mine}.after", _later("$updated_at", quiet_ms)]}
        doubled = {"$multiply": [quiet_ms, {"$pow": [2, {"$min": [{"$subtract": [f"${mine}.count", 1]}, 5]}]}]}
        while True:
            found = await self._connection.runs.find_one_and_update(
                {
                    "status": {"$in": [status.value for status in statuses]},
                    **NOT_STOPPED,
                    **(where or {}),
                    "$expr": {"$lt": [due, "$$NOW"]},
                },
                [
                    {"$set": {f"{mine}.count": {"$add": [{"$ifNull": [f"${mine}.count", 0]}, 1]}}},
                    {"$set": {f"{mine}.after": _later("$$NOW", doubled)}},
                ],
                return_document=ReturnDocument.AFTER,
            )
            if found is None:
                return
            if await self._ledger_moved(found["_id"], quiet_seconds):
                # A status that was reached meanwhile has removed the entry; half of one must not come back.
                await self._connection.runs.update_one(
                    {"_id": found["_id"], f"{mine}.after": {"$exists": True}}, {"$set": {f"{mine}.count": 0}}
                )
                continue
            try:
                run = RunDocument.read(found)
            except UnreadableDocumentError as error:
                await self._stops.stop_unreadable(found["_id"], error)
                continue
            yield run

    async def _ledger_moved(self, run_id: str, within_seconds: float) -> bool:
        moved = await self._connection.batches.find_one(
            {"run_id": run_id, "$expr": {"$gt": ["$updated_at", seconds_from_now(-within_seconds)]}},
            {"_id": 1},
        )
        return moved is not None


def _later(start: str, milliseconds: int | Document) -> Document:
    return {"$dateAdd": {"startDate": start, "unit": "millisecond", "amount": milliseconds}}
