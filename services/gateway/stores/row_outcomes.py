"""What is stored of the rows of one organization's runs: entries of the ledger, cells, reasons, ids of records."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pymongo import ASCENDING

from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchPayload, RejectedRecord, RunDocument, UndoEntry
from services.gateway.access.principal import Principal

_ENTRY = dict.fromkeys(("row_from", "row_to", "state", "result", "skipped_rows", "written_rows"), 1)
_IDS = 1_000


@dataclass(frozen=True, slots=True)
class Holding:
    """What a batch must have something of; any, where nothing is named.

    Attributes:
        counts: members of its ``result``.
        states: those that it may be in instead.
        kept: instead, records that a revert left as they are.
    """

    counts: Sequence[str] = ()
    states: Collection[BatchState] = ()
    kept: bool = False

    def condition(self) -> Document:
        """The filter of such batches."""
        ways: list[Document] = [{f"result.{name}": {"$gt": 0}} for name in self.counts]
        if self.states:
            ways.append({"state": {"$in": [state.value for state in self.states]}})
        if self.kept:
            ways.append({"reverted.kept": {"$gt": 0}})
        return {"$or": ways} if ways else {}


class RowOutcomeStore:
    """Reads, always of the principal's organization; one batch at one moment where it is given a session."""

    def __init__(self, mongo: Mongo, principal: Principal) -> None:
        self._mongo = mongo
        self._tenant_id = principal.tenant_id
        self._batches = mongo.state[BatchDocument.Settings.name]
        self._payloads = mongo.state[BatchPayload.Settings.name]
        self._rejected = mongo.state[RejectedRecord.Settings.name]
        self._images = mongo.state[UndoEntry.Settings.name]

    def moment(self) -> AbstractAsyncContextManager[Session]:
        """A session whose reads see one moment, the one of the first of them. For seconds only."""
        return self._mongo.client.start_session(snapshot=True)

    async def batches(self, run: RunDocument, after: int, holding: "Holding") -> AsyncIterator[str]:
        """Ids of the batches with rows behind ``after`` and with something of ``holding``, in the order of the file."""
        start = await self._first_behind(run, after)
        if start is None:
            return
        place = {"$gte": start, "$lt": f"{run.id};"}
        while True:
            # No cursor stays open while a slow client takes its rows.
            # What a sync deletes because its file does not hold it belongs to no row.
            mine = {"_id": place, "tenant_id": self._tenant_id, "sweeps": {"$ne": True}}
            wanted = {**mine, **holding.condition()}
            found = await self._batches.find(wanted, {"_id": 1}, sort=[("_id", ASCENDING)], limit=_IDS).to_list()
            for batch in found:
                yield batch["_id"]
            if len(found) < _IDS:
                return
            place = {"$gt": found[-1]["_id"], "$lt": f"{run.id};"}

    async def _first_behind(self, run: RunDocument, after: int) -> str | None:
        """Id of the batch that row ``after + 1`` is in, by as many looks as the number of batches has digits; ``None``
        where the run has no batches."""
        of_run = {"_id": {"$gte": f"{run.id}:", "$lt": f"{run.id};"}, "tenant_id": self._tenant_id}
        first = await self._batches.find_one(of_run, {"epoch": 1, "row_to": 1}, sort=[("_id", ASCENDING)])
        if first is None:
            return None
        epoch: int = first["epoch"]
        low, high = 0, max(run.parse.batches - 1, 0)
        while low < high:
            middle = (low + high) // 2
            found = await self._batches.find_one({"_id": batch_id(run.id, epoch, middle)}, {"row_to": 1})
            if found is not None and found["row_to"] <= after:
                low = middle + 1
            else:
                high = middle
        return batch_id(run.id, epoch, low)

    async def entry(self, identifier: str, session: Session) -> Document | None:
        """What the ledger says about a batch, or ``None`` where it is gone."""
        mine = {"_id": identifier, "tenant_id": self._tenant_id}
        return await self._batches.find_one(mine, _ENTRY, session=session)

    async def payload(self, identifier: str) -> bytes | None:
        """A table of a batch that ``entry`` has found, or ``None`` where it is not stored, or no longer."""
        found = await self._payloads.find_one({"_id": identifier}, {"data": 1})
        return None if found is None else found["data"]

    async def rejected(
        self, run_id: str, first: int, last: int, session: Session, error: Mapping[str, str] | None = None
    ) -> list[int]:
        """Numbers of the rejected rows from ``first`` to ``last``, ascending; with such an ``error`` only."""
        rows = self._rows(run_id, first, last)
        if error:
            rows["errors"] = {"$elemMatch": dict(error)}
        found = self._rejected.find(rows, {"_id": 0, "row": 1}, session=session).sort("row", ASCENDING)
        return [each["row"] async for each in found]

    async def reasons(self, run_id: str, first: int, last: int) -> dict[int, list[Document]]:
        """The errors of the rejected rows from ``first`` to ``last``, by row."""
        found = self._rejected.find(self._rows(run_id, first, last), {"_id": 0, "row": 1, "errors": 1})
        return {each["row"]: each["errors"] async for each in found}

    async def cells(self, run_id: str, rows: Sequence[int]) -> dict[int, list[str | None]]:
        """The cells of rejected rows, by row."""
        wanted = {"tenant_id": self._tenant_id, "run_id": run_id, "row": {"$in": list(rows)}}
        return {
            each["row"]: each["cells"] async for each in self._rejected.find(wanted, {"_id": 0, "row": 1, "cells": 1})
        }

    async def changed(self, run_id: str, first: int, last: int) -> dict[int, Document]:
        """``record_id``, and ``kept`` of a record that a revert left as it is, by the row that changed it."""
        found = self._images.find(self._rows(run_id, first, last), {"_id": 0, "row": 1, "record_id": 1, "kept": 1})
        return {each["row"]: each async for each in found}

    async def kept(self, run_id: str, first: int, last: int, session: Session) -> list[int]:
        """Numbers of the rows from ``first`` to ``last`` whose records a revert left as they are, ascending."""
        rows = {**self._rows(run_id, first, last), "kept.reason": {"$type": "string"}}
        found = self._images.find(rows, {"_id": 0, "row": 1}, session=session).sort("row", ASCENDING)
        return [each["row"] async for each in found]

    def _rows(self, run_id: str, first: int, last: int) -> Document:
        return {"tenant_id": self._tenant_id, "run_id": run_id, "row": {"$gte": first, "$lte": last}}
