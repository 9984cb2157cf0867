"""The records that one run has created or updated, as they are now, in the order of its file."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bson import ObjectId

from libs.contracts.ids import record_id
from libs.contracts.states import BatchState
from libs.storage.client import Document, Mongo
from libs.storage.documents import BatchResult, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.records.records import MAX_PAGE_OCTETS, RECORDS_AT_A_TIME, Record, Records, key_of
from services.gateway.records.row_outcomes import BatchEntry, BatchOutcomes, Outcome
from services.gateway.stores.row_outcomes import Holding, RowOutcomeStore

_WRITTEN = Holding(["created", "updated"])
_OUTCOMES = (Outcome.CREATED, Outcome.UPDATED, Outcome.WRITTEN)


@dataclass(frozen=True, slots=True)
class WrittenRecord:
    """A record, and the row that wrote it."""

    row: int
    outcome: Outcome
    record: Record


@dataclass(frozen=True, slots=True)
class WrittenPiece:
    """Records of some rows that follow each other.

    Attributes:
        reached: all rows up to this one were looked at.
    """

    records: list[WrittenRecord]
    reached: int


class RecordsOfRuns:
    """Finds them by the ledger, see ``RowOutcomes``; what somebody has removed since is not there."""

    def __init__(self, mongo: Mongo, records: Records) -> None:
        self._mongo = mongo
        self._records = records

    def fields(self, run: RunDocument) -> list[str]:
        """Names of the fields that a run writes."""
        return [*(field.name for field in run.template.fields), *run.template.default_values]

    async def pieces(
        self, principal: Principal, run: RunDocument, after: int, most: int = RECORDS_AT_A_TIME
    ) -> AsyncIterator[WrittenPiece]:
        """The records of the rows behind ``after``, of at most ``most`` rows at a time.

        Raises:
            TookTooLongError: as ``RecordStore.part``.
        """
        store = RowOutcomeStore(self._mongo, principal)
        async for identifier in store.batches(run, after, _WRITTEN):
            entry = await self._entry(store, run, identifier)
            if entry is None:
                return
            outcomes = await asyncio.to_thread(BatchOutcomes, entry, "")
            numbers = outcomes.among(*_OUTCOMES) if entry.state is BatchState.WRITTEN else np.array([], np.int64)
            rows: list[int] = numbers[numbers > after].tolist()
            for first in range(0, len(rows), most):
                async for piece in self._found(principal, store, run, outcomes, rows[first : first + most]):
                    yield piece
            yield WrittenPiece([], entry.row_to)

    async def _entry(self, store: RowOutcomeStore, run: RunDocument, identifier: str) -> BatchEntry | None:
        async with store.moment() as session:
            found = await store.entry(identifier, session)
            if found is None:
                return None
            rejected = await store.rejected(run.id, found["row_from"], found["row_to"], session)
        return _entry_of(identifier, found, rejected)

    async def _found(
        self,
        principal: Principal,
        store: RowOutcomeStore,
        run: RunDocument,
        outcomes: BatchOutcomes,
        rows: Sequence[int],
    ) -> AsyncIterator[WrittenPiece]:
        known = {row: outcomes.of(row) for row in rows}
        written = {row: ObjectId(record_id(run.id, row)) for row in rows}
        identifiers: dict[int, Any] = {row: written[row] for row in rows if known[row] is Outcome.CREATED}
        if len(identifiers) < len(rows):
            changed = await store.changed(run.id, rows[0], rows[-1])
            # Of rows that release 0.1 wrote nothing is noted where they created their record.
            identifiers = {
                row: written[row] if row in identifiers or row not in changed else changed[row]["record_id"]
                for row in rows
            }
        resource, names = run.template.target_resource, self.fields(run)
        sizes = await self._records.sizes(principal, resource, list(identifiers.values()))
        for some in _portions({row: sizes.get(key_of(identifiers[row]), 0) for row in rows}):
            found = await self._records.with_ids(principal, resource, names, [identifiers[row] for row in some])
            records = [
                WrittenRecord(row, known[row], record)
                for row in some
                if (record := found.get(key_of(identifiers[row]))) is not None
            ]
            yield WrittenPiece(records, some[-1])


def _portions(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Rows that follow each other, with records that are no larger than ``MAX_PAGE_OCTETS`` together, or with one."""
    some: list[int] = []
    octets = 0
    for row, size in sizes.items():
        if some and octets + size > MAX_PAGE_OCTETS:
            yield some
            some, octets = [], 0
        some.append(row)
        octets += size
    if some:
        yield some


def _entry_of(identifier: str, found: Document, rejected: Sequence[int]) -> BatchEntry:
    return BatchEntry(
        id=identifier,
        row_from=found["row_from"],
        row_to=found["row_to"],
        state=BatchState(found["state"]),
        result=BatchResult.model_validate(found["result"]),
        skipped_rows=found.get("skipped_rows") or {},
        written_rows=found.get("written_rows"),
        rejected=np.array(rejected, np.int64),
    )
