"""Write validated batches: the ledger, the records and their before-images in one transaction a batch."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
from cachetools import LRUCache

from libs.batches.payloads import BatchPayloads, PayloadKind, parsed_kind
from libs.batches.rejected_rows import RejectedRows
from libs.batches.tables import BatchRejections, decode_table, pack_bits, pack_rows
from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.lanes import Lane
from libs.contracts.reasons import RunErrorCode
from libs.contracts.rejections import RejectedRow
from libs.contracts.states import HANDED_OUT, BatchState, RunStatus
from libs.ledger import Ledger, MovedRun, Stage
from libs.ledger.syncs import NOT_PLANNED, REQUESTED_SYNCS
from libs.process.refill import Refill
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, SyncStage
from libs.storage.target_keys import TargetKey
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.writer.before_images import BeforeImages, ImageExistsError
from services.writer.conflicts import KeysChangedError, OutOfScopeError, without_refused
from services.writer.domain.batch_plan import BatchPlan, row_numbers
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_events import ChangesOfRecords
from services.writer.planning import existing_records, plan_of, result_of
from services.writer.refused_rows import RowRefusedError, RowWrites
from services.writer.settings import WriterSettings
from services.writer.sweeping import SweepBatch
from services.writer.sync_planning import PlanSync
from services.writer.target_records import StaleKeysError, TargetRecords, WriteRefusedError
from services.writer.work import Run, Work, rows_to_delete, run_at_work

WRITERS_STATUSES = (RunStatus.EXECUTING, RunStatus.REVERTING)
"""Of runs that writers work at."""
RUNS_AT_WORK = 64
REMEMBERED_RESOURCES = 1_000
"""Of a tenant each, where it had no keys when they were last looked for."""
ATTEMPTS_BESIDE_OTHERS = 50
"""So often others may change what a batch was planned with, before it is handed back."""

Written = tuple[BatchResult, MovedRun | None]
"""What became of a batch, and of its run where that moved on with it."""


class BeginExecution:
    """Announces what a run has to write or to take back, and ends a run that has nothing of it.

    The release before leaves all of the announcing to this; this one announces a run's first batches as it begins.
    """

    def __init__(self, ledger: Ledger, refill: Refill, syncs: PlanSync) -> None:
        self._ledger = ledger
        self._refill = refill
        self._syncs = syncs

    async def __call__(self, run_id: str) -> int:
        """Announce what there is room for; the number of batches. A sync that is validated is to be planned first."""
        try:
            run = await self._ledger.runs.get(run_id)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
            return 0
        if run is not None and run.status is RunStatus.VALIDATED and run.syncing is not None:
            self._syncs.begin(run_id)
            return 0
        if run is None or run.status not in WRITERS_STATUSES or run.stop is not None:
            return 0
        announced = await self._refill.again(run, HANDED_OUT[run.status])
        if not announced and await self._ledger.maybe_advance(run_id) is Stage.DELETIONS:
            await self._refill(BatchState.VALIDATED, run.lane)
        return announced


class RecordsNotReadError(Exception):
    """The server refuses one of some changes that were encoded without reading the records; the transaction is lost."""


class WriteBatch:
    """Writes one batch; whoever writes a run's last batch also completes the run."""

    def __init__(
        self, mongo: Mongo, ledger: Ledger, metrics: Metrics, settings: WriterSettings, refill: Refill
    ) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._metrics = metrics
        self._settings = settings
        self._refill = refill
        self._payloads = BatchPayloads(mongo)
        self._rejected = RejectedRows(mongo)
        self._before_images = BeforeImages(mongo)
        self._sweep = SweepBatch(mongo, ledger)
        self._runs: LRUCache[str, Run] = LRUCache(RUNS_AT_WORK)
        self._keys: LRUCache[str, tuple[TargetKey, ...]] = LRUCache(RUNS_AT_WORK)
        self._without_keys: LRUCache[tuple[str, str], None] = LRUCache(REMEMBERED_RESOURCES)

    async def __call__(self, run_id: str, identifier: str, lane: Lane) -> None:
        """Write the batch unless that is done or its run was stopped; then fill its lane up again."""
        batch, written, advanced = None, False, False
        try:
            run = await self._executing(run_id)
            batch = None if run is None else await self._ledger.batches.claim(identifier, BatchState.VALIDATED)
            if run is not None and batch is not None:
                written, advanced = await self._write(run, batch)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
        if batch is not None and written and not advanced:
            over = await self._refill.after(batch, BatchState.VALIDATED, lane)
        else:
            await self._refill(BatchState.VALIDATED, lane)
            over = not advanced
        if over and await self._ledger.maybe_advance(run_id) is Stage.DELETIONS:
            await self._refill(BatchState.VALIDATED, lane)

    async def _executing(self, run_id: str) -> Run | None:
        """The run once it executes; nothing is written to a target before the whole file is checked."""
        if (known := self._runs.get(run_id)) is not None:
            return known
        run = await self._ledger.runs.get(run_id)
        if run is None or run.plan is None or run.status is not RunStatus.EXECUTING:
            return None
        if run.sweeps and (run.syncing is None or run.syncing.stage is not SyncStage.PLANNED):
            raise PermanentError(RunErrorCode.MODE_NOT_SUPPORTED, NOT_PLANNED)
        found = self._runs[run_id] = run_at_work(self._mongo, run, run.plan)
        return found

    async def _write(self, run: Run, batch: BatchDocument) -> tuple[bool, bool]:
        """Write a batch; whether it was this that did it, and whether that also moved its run on."""
        if batch.attempts > self._settings.max_attempts:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"writing the rows {batch.row_from} to {batch.row_to} failed {self._settings.max_attempts} times. "
                "This is a fault of Rowdock or its servers, not of the file; tell the operator the id of this run",
            )
        if batch.sweeps:
            self._metrics.rows.labels("writing", "deleted").inc(await self._sweep(run, batch))
            return False, False
        payload = await self._payloads.find(batch.id, PayloadKind.VALID)
        if payload is None:
            return False, False  # Rows go only when their run has ended; the claim would have failed a moment later.
        checked = await asyncio.to_thread(decode_table, payload.data)
        to_delete = await rows_to_delete(self._payloads, run, batch)
        work = Work(run, batch, await self._expected_keys(run), checked, checked, to_delete, to_delete)
        written = await self._written(work)
        failpoint("writer.written_before_advance")
        if written is None:
            return False, False
        result, moved_run = written
        self._metrics.rows.labels("writing", "created").inc(result.created)
        self._metrics.rows.labels("writing", "updated").inc(result.updated)
        self._metrics.rows.labels("writing", "unchanged").inc(result.unchanged)
        self._metrics.rows.labels("writing", "deleted").inc(result.deleted)
        if moved_run is not None:
            await self._ledger.advanced(run.document, moved_run)
        return True, moved_run is not None

    async def _expected_keys(self, run: Run) -> tuple[TargetKey, ...]:
        """The tenant's keys as they were last seen; the transaction that goes by them finds out whether they still are
        the same."""
        if (known := self._keys.get(run.id)) is not None:
            return known
        if not run.asked_keys and (run.tenant_id, run.target.resource) in self._without_keys:
            return ()
        return await self._required_keys(run)

    async def _required_keys(self, run: Run) -> tuple[TargetKey, ...]:
        """The tenant's keys, and the records can be found by them; kept for the batches of the run that follow."""
        keys = await run.target.require_keys(run.asked_keys)
        self._keys[run.id] = keys
        resource = run.tenant_id, run.target.resource
        if keys:
            self._without_keys.pop(resource, None)
        else:
            self._without_keys[resource] = None
        return keys

    async def _written(self, work: Work) -> Written | None:
        """Try the batch until it is written: without the rows that cannot be, and anew where the records or the
        tenant's keys are others than was thought.

        Raises:
            TransientError: others change them again and again.
        """
        beside_others = 0
        while beside_others < ATTEMPTS_BESIDE_OTHERS:
            failpoint("writer.read_before_written")
            try:
                return await self._apply(work)
            except RowRefusedError as refusal:
                rest = await without_refused(self._mongo, work, refusal)
                beside_others += rest is work
                work = rest
            except StaleKeysError as stale:
                await work.run.target.renew_keys(stale.record_ids)
                beside_others += 1
            except OutOfScopeError as beyond:
                work = work.without(beyond.errors)
            except ImageExistsError:
                work = replace(work, others_since=True)
            except RecordsNotReadError:
                work = replace(work, reads_records=True)
            except KeysChangedError:
                work = work.with_keys(await self._required_keys(work.run))
                beside_others += 1
        raise TransientError(
            f"others changed the records of the rows {work.batch.row_from} to {work.batch.row_to} "
            f"{ATTEMPTS_BESIDE_OTHERS} times while these were planned"
        )

    async def _apply(self, work: Work) -> Written | None:
        """One attempt at the batch's transaction; ``None`` where another writer did it or the run stopped.

        Raises:
            RowRefusedError: the server refuses the record of a row.
            StaleKeysError: records carry entries that do not follow from their fields.
            KeysChangedError: the tenant's keys are others than those of ``work``.
            ImageExistsError: the run has changed a record before, which does not tell.
            RecordsNotReadError: the server refuses a change that was encoded without reading its record.
        """
        run, batch = work.run, work.batch
        written_at = datetime.now(UTC)
        encoder = RecordEncoder(run.template, run.id, run.tenant_id, written_at, run.extra, work.keys)
        changes = ChangesOfRecords(run.template, run.id, run.extra)

        def encoded_and_told(plan: BatchPlan) -> tuple[EncodedRecords, list[str]]:
            return encoder.encode(plan.create), changes.written(plan, work.table)

        appended = None
        if not run.template.matches_by_key:
            plan = plan_of(work, {}, written_at)
            appended = plan, *await asyncio.to_thread(encoded_and_told, plan)
        parsed = await self._parsed(run, batch) if work.rejections else None

        async def body(session: Session) -> tuple[Written, Sequence[Document]] | None:
            # In the transaction that changes the batch's entry: whoever registers a key waits for it or ends it.
            if await run.target.keys(session) != work.keys:
                raise KeysChangedError
            if appended is None:
                existing, changes_encoded = await existing_records(work, session, written_at)
                plan = await asyncio.to_thread(plan_of, work, existing, written_at, changes_encoded)
                encoded, told = await asyncio.to_thread(encoded_and_told, plan)
            else:
                plan, encoded, told = appended
            result = result_of(work, plan)
            skipped, noted = _skipped(batch, plan), _written_rows(batch, plan)
            if not await self._ledger.batches.move(
                session, batch, BatchState.WRITTEN, result, skipped=skipped, written=noted
            ):
                return None
            await self._before_images.keep(
                run.id,
                run.target,
                plan.updates,
                plan.deletions,
                written_at,
                session,
                others_since=work.others_since,
                encoded=None if plan.encoded is None else plan.encoded.before_images,
            )
            for writes in _writes(run.target, plan, encoded):
                await writes.all(session)
            if parsed is not None:
                await self._rejected.insert(session, run.tenant_id, run.id, _rejected_rows(work, parsed))
            events = await self._ledger.record_events.append(session, run.document, batch, told, written_at)
            moved_run = await self._ledger.advance_with_only_batch(session, run.document)
            failpoint("writer.inserted_before_commit")
            return (result, moved_run), events

        if (done := await self._mongo.transaction(body)) is None:
            return None
        written, events = done
        self._ledger.record_events.committed(events)
        return written

    async def _parsed(self, run: Run, batch: BatchDocument) -> pa.Table:
        payload = await self._payloads.load(batch.id, parsed_kind(run.document.purpose))
        return await asyncio.to_thread(decode_table, payload.data)


def _writes(target: TargetRecords, plan: BatchPlan, encoded: EncodedRecords) -> tuple[RowWrites, ...]:
    """The changes of records that exist, the new records, and the deletions.

    These come last: a value that a deletion frees is free for later runs. What the validator has asked the target about
    unique values says the same.
    """

    async def update(session: Session, first: int, last: int) -> None:
        if plan.encoded is None:
            await target.update(plan.updates[first:last], session)
            return
        try:
            await target.update(plan.updates, session, plan.encoded)
        except WriteRefusedError as refusal:
            raise RecordsNotReadError from refusal

    async def delete(session: Session, first: int, last: int) -> None:
        await target.update(plan.deletions[first:last], session)

    async def create(session: Session, first: int, last: int) -> None:
        await target.insert(encoded.part(first, last), session)

    created = row_numbers(plan.create)
    return (
        RowWrites(plan.updated_rows, update, partial(target.rules.broken_by_updates, plan.updates)),
        RowWrites(created, create, partial(target.rules.broken_by_new, encoded)),
        RowWrites(
            [each.row for each in plan.deletions], delete, partial(target.rules.broken_by_updates, plan.deletions)
        ),
    )


def _skipped(batch: BatchDocument, plan: BatchPlan) -> dict[str, bytes]:
    """The rows that the plan skips by reason, with those that the validator has skipped for the same one."""
    return {
        str(reason): batch.skipped_rows.get(str(reason), b"") + pack_rows(rows) for reason, rows in plan.skipped.items()
    }


def _written_rows(batch: BatchDocument, plan: BatchPlan) -> dict[str, bytes]:
    """``BatchDocument.written_rows``: what became of each row that met a record."""
    count = batch.row_to - batch.row_from + 1
    return {
        name: pack_bits(rows, batch.row_from, count)
        for name, rows in (("updated", plan.updated_rows), ("deleted", [each.row for each in plan.deletions]))
        if rows
    }


def _rejected_rows(work: Work, parsed: pa.Table) -> Iterator[RejectedRow]:
    return map(work.run.located, BatchRejections(parsed, work.rejections))


class RescueInbox:
    """Finds runs and batches that wait for a writer although no message says so any more."""

    def __init__(self, ledger: Ledger, begin: BeginExecution, metrics: Metrics, quiet_seconds: float) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._quiet_seconds = quiet_seconds
        self._announce = begin

    async def __call__(self) -> None:
        """Announce again what a silent run has in flight, and what there is room for."""
        async for run in self._ledger.rescue.silent_runs(WRITERS_STATUSES, self._quiet_seconds):
            announced = await self._announce(run.id)
            self._metrics.rescues.labels("batch_ready").inc(announced)
        validated = [RunStatus.VALIDATED]
        async for run in self._ledger.rescue.silent_runs(validated, self._quiet_seconds, where=REQUESTED_SYNCS):
            await self._announce(run.id)
            self._metrics.rescues.labels("sync").inc()
