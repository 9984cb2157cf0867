"""Write validated batches: the ledger, the records and their before-images in one transaction a batch."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa
from cachetools import LRUCache
from pymongo.errors import BulkWriteError

from libs.batches.columns import ROW
from libs.batches.extra_keys import extra_columns
from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.rejected_rows import RejectedRows
from libs.batches.tables import decode_table, original_cells, pack_rows, warned_rows
from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.events import BatchReady, of_batch
from libs.contracts.reasons import RowErrorCode, RunErrorCode, SkipReason
from libs.contracts.rejections import RejectedRow, RowError
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import ImportMode, Template
from libs.contracts.topics import BATCH_READY
from libs.ledger import Ledger
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Collection, Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, UndoEntry
from libs.storage.mongo_errors import DUPLICATE_KEY
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.writer.domain.batch_plan import (
    BatchPlan,
    Fields,
    Record,
    Rejection,
    Values,
    cut,
    described,
    field_values,
    fields_from_file,
    plan_batch,
    split_conflicts,
    upsert_keys,
    without_rows,
)
from services.writer.domain.record_encoding import EncodedRecords, RecordEncoder
from services.writer.record_store import (
    TOO_LARGE,
    TOO_LARGE_AFTER_UPDATE,
    apply_updates,
    find_by_fields,
    find_by_keys,
    insert_encoded,
    save_before_images,
)
from services.writer.settings import WriterSettings

RUNS_AT_WORK = 64
_REFUSALS = frozenset({DUPLICATE_KEY, TOO_LARGE, TOO_LARGE_AFTER_UPDATE})
_COMMON_KEYS = frozenset({"tenant_id", "is_deleted"})
"""Fields that say nothing about a row; those of an index that Rowdock makes stand after them."""


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
    target: Collection

    @property
    def compared(self) -> list[str]:
        """The fields of a record that the run may change."""
        extra = ["extra"] if self.template.include_unmatched_columns else []
        return [*self.file_fields, *self.template.default_values, *extra]


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
    refused: tuple[Rejection, ...] = ()
    taken: Mapping[Fields, Mapping[Values, Record]] = field(default_factory=dict[Fields, Mapping[Values, Record]])
    rejections: tuple[Rejection, ...] = ()

    def again(self) -> "_Work":
        """Parted anew: a row that goes for one reason may be what kept another row from being written."""
        rest = without_rows(self.checked, {rejection.row for rejection in self.refused})
        table, found = split_conflicts(rest, self.run.template, self.taken)
        return replace(self, table=table, rejections=(*self.refused, *found))


class _RowRefusedError(Exception):
    """The server refuses the record of one row; the transaction is lost.

    Attributes:
        row: 1-based row of the file.
        reason: the server's write error.
    """

    def __init__(self, row: int, reason: Document) -> None:
        super().__init__(row, reason)
        self.row = row
        self.reason = reason


@contextmanager
def _refusals(row_at: Callable[[int], int]) -> Generator[None]:
    """Name the row whose record the server refuses because of its values.

    Args:
        row_at: the row of the file of each record that is written.
    """
    try:
        yield
    except BulkWriteError as error:
        reason: Document = error.details["writeErrors"][0]
        if reason["code"] not in _REFUSALS:
            raise
        raise _RowRefusedError(row_at(reason["index"]), reason) from error


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
        self._undo = mongo.state[UndoEntry.Settings.name]
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
            self._mongo.target[run.template.target_resource],
        )
        self._runs[run_id] = found
        return found

    async def _write(self, run: _Run, batch: BatchDocument) -> None:
        if batch.attempts > self._settings.max_attempts:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"writing rows {batch.row_from} to {batch.row_to} failed {self._settings.max_attempts} times",
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
            except _RowRefusedError as refusal:
                work = await self._without(work, refusal)
                continue
            break
        failpoint("writer.written_before_advance")
        if result is not None:
            self._metrics.rows.labels("created").inc(result.created)
            self._metrics.rows.labels("updated").inc(result.updated)
            self._metrics.rows.labels("unchanged").inc(result.unchanged)

    async def _apply(self, work: _Work) -> BatchResult | None:
        """One attempt at the batch's transaction; ``None`` where another writer did it or the run stopped."""
        run, batch = work.run, work.batch
        written_at = datetime.now(UTC)
        encoder = RecordEncoder(run.template, run.id, run.tenant_id, written_at, run.extra)
        appended = None
        if run.template.mode is ImportMode.APPEND:
            appended = await asyncio.to_thread(encoder.encode, work.table)
        rejected = await self._rejected_rows(work)

        async def body(session: Session) -> BatchResult | None:
            plan: BatchPlan | None = None
            encoded: EncodedRecords
            if appended is None:
                plan = await self._plan(work, written_at, session)
                encoded = await asyncio.to_thread(encoder.encode, plan.create)
            else:
                encoded = appended
            result = _result(work, encoded.count, plan)
            skipped = {} if plan is None else {str(reason): pack_rows(rows) for reason, rows in plan.skipped.items()}
            if not await self._ledger.batches.move(session, batch, BatchState.WRITTEN, result, skipped=skipped):
                return None
            if plan is not None and plan.updates:
                await save_before_images(self._undo, run.id, run.target, plan.updates, written_at, session)
                with _refusals(lambda index: plan.updates[index].row):
                    await apply_updates(run.target, run.tenant_id, plan.updates, session)
            if encoded.count:
                created = work.table if plan is None else plan.create
                with _refusals(lambda index: created[ROW][index].as_py()):
                    await insert_encoded(run.target, encoded, session)
            await self._rejected.insert(session, run.tenant_id, run.id, rejected)
            failpoint("writer.inserted_before_commit")
            return result

        return await self._mongo.transaction(body)

    async def _plan(self, work: _Work, written_at: datetime, session: Session) -> BatchPlan:
        run = work.run
        assert run.template.upsert_key is not None
        keys = await asyncio.to_thread(upsert_keys, work.table, run.template)
        existing = await find_by_keys(run.target, run.tenant_id, run.template.upsert_key, keys, run.compared, session)
        return await asyncio.to_thread(
            plan_batch, work.table, existing, run.template, run.file_fields, run.id, written_at, run.extra
        )

    async def _without(self, work: _Work, refusal: _RowRefusedError) -> _Work:
        """The batch without the rows that the target cannot hold for the reason of ``refusal``; they are rejected.

        Each time either a unique index joins those that are known, or the one row is rejected that the server
        named: so this ends. The second is for an index that Rowdock did not make, and whose rules it cannot
        know, and for a record that came a moment ago.

        Raises:
            TransientError: a record with the row's upsert key was created meanwhile: plan the batch anew.
        """
        run = work.run
        if refusal.reason["code"] != DUPLICATE_KEY:
            message = "the record would be greater than 16 MiB, the most that MongoDB can hold"
            return _refused(work, Rejection(refusal.row, None, RowErrorCode.RECORD_TOO_LARGE, message))
        fields: Fields = tuple(name for name in refusal.reason["keyPattern"] if name not in _COMMON_KEYS)
        if "_id" in fields:
            raise TransientError(f"the record of row {refusal.row} exists: {refusal.reason.get('errmsg')}")
        if run.template.mode is ImportMode.UPSERT and fields == (run.template.upsert_key,):
            position = work.checked[ROW].to_pylist().index(refusal.row)
            key = upsert_keys(work.checked, run.template)[position]
            if await find_by_keys(run.target, run.tenant_id, fields[0], [key], (), None):
                raise TransientError(f"a record was created meanwhile: {refusal.reason.get('errmsg')}")
        elif fields and fields not in work.taken and run.template.sets.issuperset(fields):
            taken = await self._taken(work, fields)
            parted = replace(work, taken={**work.taken, fields: taken}).again()
            if len(parted.rejections) > len(work.rejections):
                return parted
            work = parted
        values: Document = refusal.reason["keyValue"]
        held = described((name, values.get(name)) for name in fields)
        message = f"a unique index of {run.target.name!r} allows no second record with {held}"
        return _refused(work, Rejection(refusal.row, next(iter(fields), None), RowErrorCode.DUPLICATE_KEY, message))

    async def _taken(self, work: _Work, fields: Fields) -> Mapping[Values, Record]:
        template = work.run.template
        columns = [field_values(work.checked, template, name) for name in fields]
        key = [] if template.upsert_key is None else [template.upsert_key]
        return await find_by_fields(work.run.target, work.run.tenant_id, fields, zip(*columns, strict=True), key)

    async def _rejected_rows(self, work: _Work) -> list[RejectedRow]:
        if not work.rejections:
            return []
        payload = await self._payloads.load(work.batch.id, PayloadKind.PARSED)
        parsed = await asyncio.to_thread(decode_table, payload.data)
        return list(_rejected_rows(work.run, parsed, work.rejections))


def _refused(work: _Work, rejection: Rejection) -> _Work:
    return replace(work, refused=(*work.refused, rejection)).again()


def _result(work: _Work, created: int, plan: BatchPlan | None) -> BatchResult:
    checked = work.batch.result
    skipped = {} if plan is None else plan.skipped
    rejected = len(work.rejections)
    return checked.model_copy(
        update={
            "ok": checked.ok - rejected,
            "rejected": checked.rejected + rejected,
            "warnings": checked.warnings - (warned_rows(work.checked) - warned_rows(work.table)),
            "created": created,
            "updated": 0 if plan is None else len(plan.updates),
            "unchanged": len(skipped.get(SkipReason.UNCHANGED, [])),
            "duplicate_keys": checked.duplicate_keys + len(skipped.get(SkipReason.DUPLICATE_UPSERT_KEY, [])),
        }
    )


def _rejected_rows(run: _Run, parsed: pa.Table, rejections: Iterable[Rejection]) -> Iterable[RejectedRow]:
    cells_of = original_cells(parsed, sorted(rejection.row for rejection in rejections))
    for rejection in rejections:
        cells = cells_of[rejection.row]
        source = run.sources.get(rejection.field or "")
        column = run.columns.get(rejection.field or "")
        value = None if source is None else cut(cells[source])
        error = RowError(rejection.field, column, rejection.code, rejection.message, value)
        yield RejectedRow(rejection.row, cells, (error,))


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
