"""Write validated batches: the ledger, the records and their before-images in one transaction a batch."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
from cachetools import LRUCache

from libs.batches.columns import ROW
from libs.batches.extra_keys import extra_columns
from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.rejected_rows import RejectedRows
from libs.batches.tables import BatchRejections, decode_table, pack_rows, warned_rows
from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.events import BatchReady, of_batch
from libs.contracts.reasons import RowErrorCode, RunErrorCode, SkipReason
from libs.contracts.rejections import RejectedRow, RowError, shown
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template
from libs.contracts.topics import BATCH_READY
from libs.ledger import Ledger
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult
from libs.storage.mongo_errors import DUPLICATE_KEY
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.writer.before_images import BeforeImages
from services.writer.domain.batch_plan import (
    BatchPlan,
    Fields,
    Record,
    Values,
    described,
    field_values,
    fields_from_file,
    plan_batch,
    split_conflicts,
    upsert_keys,
    without_rows,
)
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.refusals import refusal_errors
from services.writer.refused_rows import RowRefusedError, RowWrites, refused_rows
from services.writer.settings import WriterSettings
from services.writer.target_records import TargetRecords

RUNS_AT_WORK = 64
_COMMON_KEYS = frozenset({"tenant_id", "is_deleted"})
"""Fields that say nothing about a row; those of an index that Rowdock makes stand after them."""

RowErrors = Mapping[int, tuple[RowError, ...]]


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same for all batches of a run."""

    id: str
    tenant_id: str
    template: Template
    file_fields: frozenset[str]
    columns: dict[str, str]
    sources: dict[str, int]
    extra: tuple[tuple[str, str], ...]
    target: TargetRecords

    @property
    def compared(self) -> list[str]:
        """The fields of a record that the run may change."""
        extra = ["extra"] if self.template.include_unmatched_columns else []
        return [*self.file_fields, *self.template.default_values, *extra]

    def located(self, row: RejectedRow) -> RejectedRow:
        """``row`` with the column and the cell that each of its errors is about."""
        return replace(row, errors=tuple(self._located(error, row.cells) for error in row.errors))

    def _located(self, error: RowError, cells: list[str | None]) -> RowError:
        if error.field is None or (source := self.sources.get(error.field)) is None:
            return error
        cell = cells[source]
        return replace(error, column=self.columns[error.field], value=None if cell is None else shown(cell))


@dataclass(frozen=True, slots=True)
class _Work:
    """One batch, and what turned out to keep some of its rows from being written.

    Attributes:
        checked: the rows as they were checked.
        refused: rows that the server refuses for a reason of their own.
        taken: for the fields of each unique index that refused a row: the records that hold values of the batch.
        table: the rows that are to be written.
        rejections: the others.
    """

    run: _Run
    batch: BatchDocument
    checked: pa.Table
    table: pa.Table
    refused: RowErrors = field(default_factory=dict[int, tuple[RowError, ...]])
    taken: Mapping[Fields, Mapping[Values, Record]] = field(default_factory=dict[Fields, Mapping[Values, Record]])
    rejections: RowErrors = field(default_factory=dict[int, tuple[RowError, ...]])

    def without(self, refused: RowErrors) -> "_Work":
        """The batch without rows that the server refuses."""
        return replace(self, refused={**self.refused, **refused}).parted()

    def parted(self) -> "_Work":
        """Parted anew: a row that goes for one reason may be what kept another row from being written."""
        rest = without_rows(self.checked, self.refused)
        table, found = split_conflicts(rest, self.run.template, self.taken)
        rejections = {**self.refused, **{row: (error,) for row, error in found.items()}}
        return replace(self, table=table, rejections=dict(sorted(rejections.items())))


class AnnounceBatches:
    """Fans an execution out: one message for each batch of the run, to all writers."""

    def __init__(self, ledger: Ledger, publisher: EventPublisher) -> None:
        self._ledger = ledger
        self._publisher = publisher

    async def __call__(self, run_id: str) -> int:
        """Announce what the run still has to write; the number of batches."""
        if not await self._ledger.runs.executes(run_id):
            return 0
        waiting = await self._ledger.batches.sequence_numbers(run_id, BatchState.VALIDATED)
        await self._publisher.publish_all(
            BATCH_READY, (of_batch(BatchReady, run_id, epoch, seq) for epoch, seq in waiting)
        )
        failpoint("writer.announced_before_commit")
        if not waiting:
            await self._ledger.maybe_advance(run_id)
        return len(waiting)


class WriteBatch:
    """Writes one batch; whoever writes a run's last batch also completes the run."""

    def __init__(self, mongo: Mongo, ledger: Ledger, metrics: Metrics, settings: WriterSettings) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._metrics = metrics
        self._settings = settings
        self._payloads = BatchPayloads(mongo)
        self._rejected = RejectedRows(mongo)
        self._before_images = BeforeImages(mongo)
        self._runs: LRUCache[str, _Run] = LRUCache(RUNS_AT_WORK)

    async def __call__(self, run_id: str, identifier: str) -> None:
        """Write the batch unless that is done or its run was stopped."""
        try:
            run = await self._executing(run_id)
            batch = None if run is None else await self._ledger.batches.claim(identifier, BatchState.VALIDATED)
            if run is not None and batch is not None:
                await self._write(run, batch)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
            return
        await self._ledger.maybe_advance(run_id)

    async def _executing(self, run_id: str) -> _Run | None:
        """The run once it executes; nothing is written to a target before the whole file is checked."""
        if (known := self._runs.get(run_id)) is not None:
            return known
        run = await self._ledger.runs.get(run_id)
        if run is None or run.plan is None or run.status is not RunStatus.EXECUTING:
            return None
        sources = {name: at for name, at in run.plan.mapping.items() if at is not None}
        found = _Run(
            run.id,
            run.tenant_id,
            run.template,
            fields_from_file(run.template, run.plan),
            {name: run.plan.columns[at] for name, at in sources.items()},
            sources,
            extra_columns(run.plan.columns, run.plan.unmatched),
            TargetRecords(self._mongo, run.template.target_resource, run.tenant_id),
        )
        self._runs[run_id] = found
        return found

    async def _write(self, run: _Run, batch: BatchDocument) -> None:
        if batch.attempts > self._settings.max_attempts:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"writing the rows {batch.row_from} to {batch.row_to} failed {self._settings.max_attempts} times. "
                "This is a fault of Rowdock or its servers, not of the file; tell the operator the id of this run",
            )
        payload = await self._payloads.find(batch.id, PayloadKind.VALID)
        if payload is None:
            return  # Rows go only when their run has ended; the claim would have failed a moment later.
        checked = await asyncio.to_thread(decode_table, payload.data)
        work = _Work(run, batch, checked, checked)
        while True:
            failpoint("writer.read_before_written")
            try:
                result = await self._apply(work)
            except RowRefusedError as refusal:
                work = await self._without(work, refusal)
                continue
            break
        failpoint("writer.written_before_advance")
        if result is not None:
            self._metrics.rows.labels("created").inc(result.created)
            self._metrics.rows.labels("updated").inc(result.updated)
            self._metrics.rows.labels("unchanged").inc(result.unchanged)

    async def _apply(self, work: _Work) -> BatchResult | None:
        """One attempt at the batch's transaction; ``None`` where another writer did it or the run stopped.

        Raises:
            RowRefusedError: the server refuses the record of a row.
        """
        run, batch = work.run, work.batch
        written_at = datetime.now(UTC)
        encoder = RecordEncoder(run.template, run.id, run.tenant_id, written_at, run.extra)
        appended = None
        if not run.template.matches_by_key:
            plan = plan_batch(work.table, {}, run.template, run.file_fields, run.id, written_at, run.extra)
            appended = plan, await asyncio.to_thread(encoder.encode, plan.create)
        parsed = await self._parsed(batch) if work.rejections else None

        async def body(session: Session) -> BatchResult | None:
            if appended is None:
                plan = await self._plan(work, written_at, session)
                encoded = await asyncio.to_thread(encoder.encode, plan.create)
            else:
                plan, encoded = appended
            result = _result(work, plan)
            skipped = {str(reason): pack_rows(rows) for reason, rows in plan.skipped.items()}
            if not await self._ledger.batches.move(session, batch, BatchState.WRITTEN, result, skipped=skipped):
                return None
            if plan.updates:
                await self._before_images.keep(run.id, run.target.resource, plan.updates, written_at, session)
            for writes in _writes(run.target, plan, encoded):
                await writes.all(session)
            if parsed is not None:
                await self._rejected.insert(session, run.tenant_id, run.id, _rejected_rows(work, parsed))
            failpoint("writer.inserted_before_commit")
            return result

        return await self._mongo.transaction(body)

    async def _parsed(self, batch: BatchDocument) -> pa.Table:
        payload = await self._payloads.load(batch.id, PayloadKind.PARSED)
        return await asyncio.to_thread(decode_table, payload.data)

    async def _plan(self, work: _Work, written_at: datetime, session: Session) -> BatchPlan:
        run = work.run
        assert run.template.upsert_key is not None
        keys = await asyncio.to_thread(upsert_keys, work.table, run.template)
        existing = await run.target.by_key(run.template.upsert_key, keys, run.compared, session)
        return await asyncio.to_thread(
            plan_batch, work.table, existing, run.template, run.file_fields, run.id, written_at, run.extra
        )

    async def _without(self, work: _Work, refusal: RowRefusedError) -> _Work:
        """The batch without the rows that the target cannot hold for the reason of ``refusal``; they are rejected.

        Each time either a unique index joins those that are known, or at least the row is rejected that the server
        named: so this ends.

        Raises:
            TransientError: a record with the row's upsert key was created meanwhile: plan the batch anew.
        """
        if refusal.refusal.code == DUPLICATE_KEY:
            return await self._without_duplicates(work, refusal.row, refusal.refusal.reason)
        run = work.run
        found = await refused_rows(self._mongo, refusal)
        refused = {
            row: refusal_errors(each.code, each.reason, run.target.resource, run.template.sets)
            for row, each in found.items()
            if each.code != DUPLICATE_KEY
        }
        return work.without(refused)

    async def _without_duplicates(self, work: _Work, row: int, reason: Document) -> _Work:
        """Only the one row where the index is not one that Rowdock made, so that its rules are unknown, or where the
        record came a moment ago."""
        run = work.run
        fields: Fields = tuple(name for name in reason["keyPattern"] if name not in _COMMON_KEYS)
        if "_id" in fields:
            raise TransientError(f"the record of row {row} exists already")
        if run.template.matches_by_key and fields == (run.template.upsert_key,):
            position = work.checked[ROW].to_pylist().index(row)
            key = upsert_keys(work.checked, run.template)[position]
            if await run.target.by_key(fields[0], [key], ()):
                raise TransientError(f"a record with the upsert key of row {row} was created meanwhile")
        elif fields and fields not in work.taken and run.template.sets.issuperset(fields):
            taken = await self._taken(work, fields)
            parted = replace(work, taken={**work.taken, fields: taken}).parted()
            if len(parted.rejections) > len(work.rejections):
                return parted
            work = parted
        values: Document = reason["keyValue"]
        held = described((name, values.get(name)) for name in fields)
        message = (
            f"The collection {run.target.resource!r} has a unique index that allows no second record with "
            f"{held or 'the values of this row'}. Change the row, or have the index changed by whoever looks after it."
        )
        field = next((name for name in fields if name in run.template.sets), None)
        return work.without({row: (RowError(field, None, RowErrorCode.DUPLICATE_KEY, message),)})

    async def _taken(self, work: _Work, fields: Fields) -> Mapping[Values, Record]:
        template = work.run.template
        columns = [field_values(work.checked, template, name) for name in fields]
        key = [] if template.upsert_key is None else [template.upsert_key]
        return await work.run.target.by_fields(fields, zip(*columns, strict=True), key)


def _writes(target: TargetRecords, plan: BatchPlan, encoded: EncodedRecords) -> tuple[RowWrites, RowWrites]:
    """The changes of records that exist, and the new records."""

    async def update(session: Session, first: int, last: int) -> None:
        await target.update(plan.updates[first:last], session)

    async def create(session: Session, first: int, last: int) -> None:
        await target.insert(encoded.part(first, last), session)

    updated = [each.row for each in plan.updates]
    created: list[int] = plan.create[ROW].to_numpy().tolist()
    return (
        RowWrites(updated, update, partial(target.rules.broken_by_updates, plan.updates)),
        RowWrites(created, create, partial(target.rules.broken_by_new, encoded)),
    )


def _rejected_rows(work: _Work, parsed: pa.Table) -> Iterator[RejectedRow]:
    return map(work.run.located, BatchRejections(parsed, work.rejections))


def _result(work: _Work, plan: BatchPlan) -> BatchResult:
    checked = work.batch.result
    rejected = len(work.rejections)
    return checked.model_copy(
        update={
            "ok": checked.ok - rejected,
            "rejected": checked.rejected + rejected,
            "warnings": checked.warnings - (warned_rows(work.checked) - warned_rows(work.table)),
            "created": plan.create.num_rows,
            "updated": len(plan.updates),
            "unchanged": len(plan.skipped.get(SkipReason.UNCHANGED, [])),
            "duplicate_keys": checked.duplicate_keys + len(plan.skipped.get(SkipReason.DUPLICATE_UPSERT_KEY, [])),
        }
    )


class RescueInbox:
    """Finds runs and batches that wait for a writer although no message says so any more."""

    def __init__(self, ledger: Ledger, publisher: EventPublisher, metrics: Metrics, quiet_seconds: float) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._metrics = metrics
        self._quiet_seconds = quiet_seconds
        self._announce = AnnounceBatches(ledger, publisher)

    async def __call__(self) -> None:
        """Announce again what a silent run still has to write."""
        async for run in self._ledger.rescue.silent_runs([RunStatus.EXECUTING], self._quiet_seconds):
            announced = await self._announce(run.id)
            self._metrics.rescues.labels("batch_ready").inc(announced)
