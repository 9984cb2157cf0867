"""Take written batches back: the ledger, the records and the notes of what is kept in one transaction a batch."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from cachetools import LRUCache

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.events import RevertCounts
from libs.contracts.lanes import Lane
from libs.contracts.reasons import KeptReason
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger
from libs.process.refill import Refill
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument
from libs.storage.mongo_errors import DUPLICATE_KEY
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.writer.domain.record_events import ChangesOfRecords
from services.writer.domain.revert_plan import RevertPlan, WrittenRows, keep_all, plan_return, plan_revert
from services.writer.work import Run, run_at_work
from services.writer.written_records import RestoreRefusedError, WrittenRecords

RUNS_AT_WORK = 64
ATTEMPTS_BESIDE_OTHERS = 50
"""So often records may turn out to be immovable, or others may change them, before a batch is handed back."""

Immovable = Mapping[Any, tuple[KeptReason, list[str]]]

logger = structlog.get_logger()


class _RefusedError(Exception):
    """A record cannot become what it was.

    Attributes:
        plan: that it belongs to.
        refusal: the server's answer.
    """

    def __init__(self, plan: RevertPlan, refusal: RestoreRefusedError) -> None:
        super().__init__(str(refusal))
        self.plan = plan
        self.refusal = refusal


class RevertBatch:
    """Takes one batch back; whoever takes a run's last batch back also ends the revert.

    A revert that has begun is only ever finished: what cannot be taken back is kept and noted, what breaks is tried
    again.
    """

    def __init__(self, mongo: Mongo, ledger: Ledger, metrics: Metrics, refill: Refill) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._metrics = metrics
        self._refill = refill
        self._payloads = BatchPayloads(mongo)
        self._runs: LRUCache[str, Run] = LRUCache(RUNS_AT_WORK)

    async def __call__(self, run_id: str, identifier: str, lane: Lane) -> None:
        """Take the batch back unless that is done; then fill its lane up again."""
        batch, reverted = None, False
        try:
            run = await self._reverting(run_id)
            batch = None if run is None else await self._ledger.batches.claim(identifier, BatchState.WRITTEN)
            if run is not None and batch is not None:
                reverted = await self._revert(run, batch)
        except PermanentError as error:
            # Whoever mends it need do no more: the rescue loop announces the batch again.
            logger.warning("revert.stuck", run_id=run_id, batch_id=identifier, code=error.code)
        failpoint("writer.reverted_before_advance")
        over = True
        if batch is not None and reverted:
            over = await self._refill.after(batch, BatchState.WRITTEN, lane)
        else:
            await self._refill(BatchState.WRITTEN, lane)
        if over:
            await self._ledger.maybe_advance(run_id)

    async def _reverting(self, run_id: str) -> Run | None:
        if (known := self._runs.get(run_id)) is not None:
            return known
        run = await self._ledger.runs.get(run_id)
        if run is None or run.plan is None or run.status is not RunStatus.REVERTING:
            return None
        found = self._runs[run_id] = run_at_work(self._mongo, run, run.plan)
        return found

    async def _revert(self, run: Run, batch: BatchDocument) -> bool:
        """Try the batch until it is taken back, without the records that cannot be; whether it was this that did it.

        Raises:
            TransientError: a key is held by a record of the run that is still to be taken back, or others change the
                records again and again.
        """
        payload = await self._payloads.find(batch.id, PayloadKind.VALID)
        written = None if payload is None else await asyncio.to_thread(_rows, run, payload)
        immovable: dict[Any, tuple[KeptReason, list[str]]] = {}
        blamed: set[Any] = set()
        for _ in range(ATTEMPTS_BESIDE_OTHERS):
            failpoint("writer.read_before_reverted")
            try:
                counts = await self._apply(run, batch, written, immovable)
            except _RefusedError as refused:
                found = await self._immovable(run, batch, refused)
                record_id = refused.plan.restore[refused.refusal.index].record_id
                if not found and record_id in blamed:
                    found = {record_id: (KeptReason.KEY_TAKEN, list(refused.refusal.fields))}
                blamed.add(record_id)
                immovable.update(found)
                continue
            for name, count in (counts or RevertCounts()).model_dump().items():
                self._metrics.rows.labels("reverting", name).inc(count)
            return counts is not None
        raise TransientError(f"records of the batch {batch.id} were changed while they were taken back")

    async def _apply(
        self, run: Run, batch: BatchDocument, written: WrittenRows | None, immovable: Immovable
    ) -> RevertCounts | None:
        """One attempt at the batch's transaction; ``None`` where another writer did it."""
        store = WrittenRecords(self._mongo, run)
        changes = ChangesOfRecords(run.template, run.id)

        async def body(session: Session) -> tuple[RevertCounts, Sequence[Document]] | None:
            # In the transaction that changes the batch's entry: whoever registers a key waits for it or ends it.
            keys = await run.target.keys(session)
            created = await store.created(batch.row_from, batch.row_to, session)
            changed = await store.changed(batch.row_from, batch.row_to, session)
            current = await store.by_ids([image.record_id for image in changed], keys, session)
            if batch.sweeps:
                plan = await asyncio.to_thread(plan_return, run.id, changed, current, keys, immovable)
            elif written is None:
                plan = keep_all(created, changed)
            else:
                plan = await asyncio.to_thread(plan_revert, written, created, changed, current, keys, immovable)
            returned = sum(each.returns for each in plan.restore)
            counts = RevertCounts(
                removed=len(plan.remove),
                restored=len(plan.restore) - returned,
                returned=returned,
                kept=len(plan.kept),
            )
            if not await self._ledger.batches.revert(session, batch, counts):
                return None
            await store.remove(plan.remove, session)
            try:
                await store.restore(plan.restore, session)
            except RestoreRefusedError as refusal:
                raise _RefusedError(plan, refusal) from refusal
            await store.keep(plan.kept, session)
            told = await asyncio.to_thread(changes.taken_back, plan, of_rows=not batch.sweeps)
            events = await self._ledger.record_events.append(
                session, run.document, batch, told, datetime.now(UTC), reverted=True
            )
            failpoint("writer.reverted_before_commit")
            return counts, events

        if (done := await self._mongo.transaction(body)) is None:
            return None
        counts, events = done
        self._ledger.record_events.committed(events)
        return counts

    async def _immovable(
        self, run: Run, batch: BatchDocument, refused: _RefusedError
    ) -> dict[Any, tuple[KeptReason, list[str]]]:
        """The records that cannot be what they were, as far as the refusal tells; none where it should be tried again.

        Raises:
            TransientError: what stands in their way is a record of the same run in a batch that is still to come.
        """
        plan, refusal = refused.plan, refused.refusal
        record_id = plan.restore[refusal.index].record_id
        if refusal.code != DUPLICATE_KEY:
            return {record_id: (KeptReason.REFUSED, [])}
        if not refusal.by_key:
            return {record_id: (KeptReason.KEY_TAKEN, list(refusal.fields))}
        names = {key.id: list(key.names) for key in await run.target.keys()}
        moving = {*plan.remove, *(each.record_id for each in plan.restore)}
        found = await WrittenRecords(self._mongo, run).holders(plan.restore, moving)
        for holders in found.values():
            for holder in holders:
                await self._wait_for(run, batch, holder)
        return {own: (KeptReason.KEY_TAKEN, names.get(holders[0]["entry"], [])) for own, holders in found.items()}

    async def _wait_for(self, run: Run, batch: BatchDocument, holder: Document) -> None:
        origin: Document = holder.get("_import") or {}
        row: int | None = origin.get("row")
        if origin.get("run_id") != run.id or row is None or batch.row_from <= row <= batch.row_to:
            return
        if await self._ledger.batches.not_reverted(run.id, row):
            raise TransientError(f"the record of row {row} is still to be taken back, and holds a key of {batch.id}")


def _rows(run: Run, payload: Payload) -> WrittenRows:
    return WrittenRows(decode_table(payload.data), run.template, run.id, run.file_fields, run.extra)
