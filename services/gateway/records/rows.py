"""What became of each row of a run, in the order of the file: a batch at a time, so that a run may have any size."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from bson import ObjectId

from libs.batches.columns import ROW, WARNINGS
from libs.batches.payloads import PayloadKind, parsed_kind, payload_id
from libs.batches.tables import decode_table, original_cells
from libs.contracts.ids import record_id
from libs.contracts.rejections import RowError
from libs.contracts.states import OPEN_BATCH_STATES, BatchState
from libs.ledger import Ledger
from libs.process.shares import NoSlotError, Turns
from libs.storage.client import Document, Mongo
from libs.storage.documents import BatchResult, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError, LimitError
from services.gateway.records.row_outcomes import (
    CHANGING,
    SKIP_MESSAGES,
    BatchEntry,
    BatchOutcomes,
    Outcome,
    Rows,
)
from services.gateway.stores.row_outcomes import Holding, RowOutcomeStore
from services.gateway.stores.runs import RunStore

ROWS_AT_A_TIME = 500
"""So many rows are Python objects at the same time."""
_CLOSED = (BatchState.FAILED, BatchState.CANCELLED)
_WRITTEN = (BatchState.WRITTEN, BatchState.REVERTED)


class RowFilter(StrEnum):
    """Which rows are wanted: those with an outcome, or by what a revert has done to their record."""

    PENDING = Outcome.PENDING.value
    CREATED = Outcome.CREATED.value
    UPDATED = Outcome.UPDATED.value
    UNCHANGED = Outcome.UNCHANGED.value
    DELETED = Outcome.DELETED.value
    REJECTED = Outcome.REJECTED.value
    SKIPPED = Outcome.SKIPPED.value
    WRITTEN = Outcome.WRITTEN.value
    REVERTED = "reverted"
    """The record is as it was before the run."""
    KEPT = "kept"
    """The record was left as it is when the run was reverted."""


_HOLDING: Mapping[RowFilter, Holding] = {
    RowFilter.PENDING: Holding(states=OPEN_BATCH_STATES),
    RowFilter.CREATED: Holding(["created"]),
    RowFilter.UPDATED: Holding(["updated"]),
    RowFilter.UNCHANGED: Holding(["unchanged"]),
    RowFilter.DELETED: Holding(["deleted"]),
    RowFilter.REJECTED: Holding(["rejected"]),
    RowFilter.SKIPPED: Holding(["duplicate_keys", "not_found"], _CLOSED),
    RowFilter.WRITTEN: Holding(states=_WRITTEN),
    RowFilter.REVERTED: Holding(states=[BatchState.REVERTED]),
    RowFilter.KEPT: Holding(kept=True),
}
_HOLDING_WARNINGS = Holding(["warnings"])
_HOLDING_REASONS = Holding(["rejected", "warnings", "unchanged", "duplicate_keys", "not_found"], _CLOSED)


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which rows of a run are wanted.

    Attributes:
        only: see ``RowFilter``; ``None`` for all.
        field: of a reason or a warning.
        code: of the same one.
    """

    only: RowFilter | None = None
    field: str | None = None
    code: str | None = None

    @property
    def by_reason(self) -> bool:
        return self.field is not None or self.code is not None

    @property
    def error(self) -> dict[str, str]:
        """What a reason must be."""
        named = {"field": self.field, "code": self.code}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def holding(self) -> Holding:
        if self.only is not None:
            return _HOLDING[self.only]
        return _HOLDING_REASONS if self.by_reason else Holding()


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row.

    Attributes:
        record_id: of the record that it created, changed or deleted, as far as that is known.
        cells: as they stand in the file; ``None`` where they are no longer stored.
        reasons: why it was rejected, skipped or is unchanged: ``field``, ``column``, ``code``, ``message``, ``value``.
        warnings: what is wrong with a row that is kept all the same, likewise.
        revert: ``reverted`` or ``kept``, of a row that had changed a record when its run was reverted.
        kept: why that record was left as it is.
    """

    row: int
    outcome: Outcome
    record_id: str | None
    cells: list[str | None] | None
    reasons: list[Document]
    warnings: list[Document]
    revert: str | None
    kept: Document | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows that follow each other.

    Attributes:
        reached: all rows up to this one were looked at.
    """

    rows: list[RowOutcome]
    reached: int


class Turn(Protocol):
    """See ``RowOutcomes.turn``."""

    def __call__(self, principal: Principal, *, download: bool) -> AbstractAsyncContextManager[None]: ...


class RowOutcomes:
    """Shows them.

    Args:
        mongo: where they are stored.
        ledger: adds up how many there are.
        pages: whose turn it is to have a page.
        downloads: whose turn it is to have a download.
    """

    def __init__(self, mongo: Mongo, ledger: Ledger, pages: Turns, downloads: Turns) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._pages = pages
        self._downloads = downloads

    @asynccontextmanager
    async def turn(self, principal: Principal, *, download: bool) -> AsyncGenerator[None]:
        """Reading rows: for the length of a block the organization has one of the places for it.

        Raises:
            BusyError, LimitError: others have them all, or it has as many as it may.
        """
        try:
            async with self._turns(download=download).turn(principal.home):
                yield
        except NoSlotError as full:
            if full.own:
                message = "this organization reads as many rows as it may; try again when it has what it asked for"
                raise LimitError("TOO_MANY_READERS_OF_ORGANIZATION", message) from None
            raise BusyError("TOO_MANY_READERS", "too many read rows at the moment; try again") from None

    def _turns(self, *, download: bool) -> Turns:
        return self._downloads if download else self._pages

    async def most(self, run: RunDocument, query: RowQuery) -> int:
        """No more rows than this are wanted."""
        totals = await self._ledger.totals(run.id)
        counts = totals.result
        closed = sum(totals.states.get(state, 0) for state in (*OPEN_BATCH_STATES, *_CLOSED))
        if closed or query.holding.states or query.holding.kept or not query.holding.counts:
            return totals.rows
        return sum(getattr(counts, name) for name in query.holding.counts)

    async def pieces(
        self, principal: Principal, run: RunDocument, query: RowQuery, after: int, most: int = ROWS_AT_A_TIME
    ) -> AsyncIterator[Piece]:
        """The wanted rows behind ``after``, ``most`` at a time; at least one piece, perhaps without rows, for each
        batch that is looked at."""
        store = RowOutcomeStore(self._mongo, principal)
        async for identifier in store.batches(run, after, query.holding):
            batch = await self._batch(principal, store, run, identifier)
            if batch is None:
                return
            rows = await self._chosen(store, batch, query)
            rows = rows[rows > after]
            for first in range(0, max(len(rows), 1), most):
                some: list[int] = rows[first : first + most].tolist()
                last = first + most >= len(rows)
                yield Piece(await self._shown(store, batch, some), batch.entry.row_to if last else some[-1])

    async def first_warnings(self, principal: Principal, run: RunDocument, limit: int) -> list[tuple[int, RowError]]:
        """What is wrong with the first rows that a run keeps all the same, each with its row; nothing where these rows
        are no longer stored.

        Raises:
            BusyError, LimitError: as ``turn``.
        """
        found: list[tuple[int, RowError]] = []
        store = RowOutcomeStore(self._mongo, principal)
        async with self.turn(principal, download=False):
            async for identifier in store.batches(run, 0, _HOLDING_WARNINGS):
                payload = await store.payload(payload_id(identifier, PayloadKind.VALID))
                if payload is None:
                    continue
                found += await asyncio.to_thread(_first_warnings, payload, limit - len(found))
                if len(found) >= limit:
                    break
        return found

    async def _batch(
        self, principal: Principal, store: RowOutcomeStore, run: RunDocument, identifier: str
    ) -> "_Batch | None":
        async with store.moment() as session:
            found = await store.entry(identifier, session)
            if found is None:
                return None
            first, last = found["row_from"], found["row_to"]
            rejected = await store.rejected(run.id, first, last, session)
            kept: list[int] = []
            if found["state"] == BatchState.REVERTED.value:
                kept = await store.kept(run.id, first, last, session)
        entry = BatchEntry(
            id=identifier,
            row_from=first,
            row_to=last,
            state=BatchState(found["state"]),
            result=BatchResult.model_validate(found["result"]),
            skipped_rows=found.get("skipped_rows") or {},
            written_rows=found.get("written_rows"),
            rejected=np.array(rejected, np.int64),
        )
        if entry.state in _CLOSED and run.stop is None:
            run = await RunStore(principal).get(run.id) or run  # It was stopped since it was read.
        stop = (run.stop.code, run.stop.message) if run.stop is not None else ("CANCELLED", "the run was stopped")
        parsed, valid = None, None
        if (data := await store.payload(payload_id(identifier, parsed_kind(run.purpose)))) is not None:
            parsed = await asyncio.to_thread(decode_table, data)
        if entry.result.warnings:
            valid = await store.payload(payload_id(identifier, PayloadKind.VALID))
        warnings = {} if valid is None else await asyncio.to_thread(_warnings, valid)
        outcomes = await asyncio.to_thread(BatchOutcomes, entry, stop[0])
        present = None
        if run.purpose.traits.of_parent:  # It has some rows of a file only.
            read = np.array([], np.int64) if parsed is None else parsed[ROW].to_numpy().astype(np.int64)
            present = np.union1d(read, entry.rejected)
        return _Batch(run, entry, outcomes, stop, parsed, warnings, kept, present)

    async def _chosen(self, store: RowOutcomeStore, batch: "_Batch", query: RowQuery) -> Rows:
        """Numbers of the rows of a batch that are wanted, ascending."""
        entry = batch.entry
        rows = await asyncio.to_thread(_with_outcome, batch, query.only)
        if not query.by_reason or not len(rows):
            return rows
        async with store.moment() as session:
            found = await store.rejected(batch.run.id, entry.row_from, entry.row_to, session, query.error)
        # No row that was rejected since its outcome was read.
        with_reason: list[int] = np.intersect1d(found, entry.rejected).tolist()
        if query.code is not None and query.field is None:
            skipped = await asyncio.to_thread(batch.outcomes.skipped_with, query.code)
            with_reason += skipped.tolist()
        wanted = query.error.items()
        with_reason += [
            row for row, warned in batch.warnings.items() if any(wanted <= warning.items() for warning in warned)
        ]
        return np.intersect1d(rows, np.array(with_reason, np.int64))

    async def _shown(self, store: RowOutcomeStore, batch: "_Batch", rows: Sequence[int]) -> list[RowOutcome]:
        if not rows:
            return []
        outcomes = {row: batch.outcomes.of(row) for row in rows}
        reasons: dict[int, list[Document]] = {}
        cells = {} if batch.parsed is None else await asyncio.to_thread(_cells, batch.parsed, rows)
        rejected = [row for row, outcome in outcomes.items() if outcome is Outcome.REJECTED]
        if rejected:
            reasons = await store.reasons(batch.run.id, rejected[0], rejected[-1])
        # Of rows that could not become cells only the rejected row says what there was of it.
        if unread := [row for row in rejected if row not in cells]:
            cells |= await store.cells(batch.run.id, unread)
        changed: dict[int, Document] = {}
        if batch.entry.reverted or any(outcome in (Outcome.UPDATED, Outcome.DELETED) for outcome in outcomes.values()):
            changed = await store.changed(batch.run.id, rows[0], rows[-1])
        return [
            batch.shown(row, outcome, cells.get(row), reasons.get(row, []), changed.get(row))
            for row, outcome in outcomes.items()
        ]


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch as it is shown.

    Attributes:
        present: numbers of the rows that it has, where it has not all of those from its first to its last.
    """

    run: RunDocument
    entry: BatchEntry
    outcomes: BatchOutcomes
    stop: tuple[str, str]
    parsed: pa.Table | None
    warnings: Mapping[int, list[Document]]
    kept: Sequence[int]
    present: Rows | None = None

    def shown(
        self,
        row: int,
        outcome: Outcome,
        cells: list[str | None] | None,
        reasons: list[Document],
        changed: Document | None,
    ) -> RowOutcome:
        """One row of it."""
        if (code := self.outcomes.skipped_for(row)) is not None:
            message = self.stop[1] if code == self.stop[0] else SKIP_MESSAGES.get(code, code)
            reasons = [{"field": None, "column": None, "code": code, "message": message, "value": None}]
        found: Any = None if changed is None else changed["record_id"]
        if outcome is Outcome.CREATED:
            found = ObjectId(record_id(self.run.id, row))
        kept = None if changed is None else changed.get("kept")
        revert = None
        if self.entry.reverted and outcome in CHANGING:
            revert = "reverted" if kept is None else "kept"
        return RowOutcome(
            row=row,
            outcome=outcome,
            record_id=None if found is None else str(found),
            cells=cells,
            reasons=reasons,
            warnings=self.warnings.get(row, []),
            revert=revert,
            kept=kept,
        )


def _with_outcome(batch: _Batch, only: RowFilter | None) -> Rows:
    rows = _with_outcome_of_all(batch, only)
    return rows if batch.present is None else np.intersect1d(rows, batch.present)


def _with_outcome_of_all(batch: _Batch, only: RowFilter | None) -> Rows:
    match only:
        case None:
            return np.arange(batch.entry.row_from, batch.entry.row_to + 1)
        case RowFilter.KEPT:
            return np.array(batch.kept, np.int64)
        case RowFilter.REVERTED:
            changed = batch.outcomes.among(*CHANGING) if batch.entry.reverted else np.array([], np.int64)
            return np.setdiff1d(changed, np.array(batch.kept, np.int64))
        case _:
            return batch.outcomes.among(Outcome(only.value))


def _cells(parsed: pa.Table, rows: Sequence[int]) -> dict[int, list[str | None]]:
    """The cells of those of the rows that a parsed batch has."""
    return original_cells(parsed, np.intersect1d(parsed[ROW].to_numpy(), rows).tolist())


def _warnings(data: bytes) -> dict[int, list[Document]]:
    """The warnings of the rows of a checked batch."""
    checked = decode_table(data)
    if WARNINGS not in checked.column_names:
        return {}
    rows: list[int] = checked[ROW].to_numpy().tolist()
    texts: list[str | None] = checked[WARNINGS].to_pylist()
    return {row: json.loads(text) for row, text in zip(rows, texts, strict=True) if text is not None}


def _first_warnings(data: bytes, limit: int) -> list[tuple[int, RowError]]:
    warned = ((row, warning) for row, warnings in _warnings(data).items() for warning in warnings)
    return [
        (row, RowError(warning["field"], None, warning["code"], warning["message"]))
        for row, warning in islice(warned, limit)
    ]
