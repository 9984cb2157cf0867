"""Delete what the file of a sync does not hold: the ledger, the records and their before-images in one transaction a
batch."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import bson

from libs.batches.payloads import BatchPayloads
from libs.contracts.errors import PermanentError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import BatchState
from libs.ledger import Ledger
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult
from libs.telemetry.failpoints import failpoint
from services.writer.before_images import BeforeImages
from services.writer.domain.batch_plan import RecordUpdate, swept
from services.writer.domain.key_digests import Digests
from services.writer.domain.record_events import ChangesOfRecords
from services.writer.scoped_records import AS_COMPARED, ScopedRecords
from services.writer.sync_planning import unpacked
from services.writer.target_records import WriteRefusedError
from services.writer.work import Run


class SweepBatch:
    """Deletes the records of one batch that are still what they were when the sync was planned."""

    def __init__(self, mongo: Mongo, ledger: Ledger) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._payloads = BatchPayloads(mongo)
        self._before_images = BeforeImages(mongo)

    async def __call__(self, run: Run, batch: BatchDocument) -> int:
        """Delete the records; how many these were. None where another writer did it, or the run was stopped.

        Raises:
            PermanentError: ``DELETE_REFUSED``; the collection does not let one be marked as deleted.
        """
        data = await self._payloads.find_going(batch.id, batch.digest)
        if data is None:
            return 0  # It goes only when the run has ended; the claim would have failed a moment later.
        ids, keys = await asyncio.to_thread(unpacked, data)
        written_at = datetime.now(UTC)
        store = ScopedRecords(self._mongo, run)

        async def body(session: Session) -> tuple[int, Sequence[Document]]:
            deletions = await self._still_missing(store, ids, keys, run, batch, written_at, session)
            result = BatchResult(not_in_file=len(deletions))
            if not await self._ledger.batches.move(session, batch, BatchState.WRITTEN, result):
                return 0, ()
            told = await asyncio.to_thread(ChangesOfRecords(run.template, run.id).swept, deletions)
            events = await self._ledger.record_events.append(session, run.document, batch, told, written_at)
            if deletions:
                await self._before_images.keep(
                    run.id, run.target, (), deletions, written_at, session, others_since=True
                )
                await run.target.update(deletions, session)
            failpoint("writer.swept_before_commit")
            return len(deletions), events

        try:
            deleted, events = await self._mongo.transaction(body)
        except WriteRefusedError as refusal:
            raise PermanentError(
                RunErrorCode.DELETE_REFUSED,
                f"the collection {run.target.resource!r} has a rule of its own by which a record that the file does "
                f"not hold cannot be marked as deleted (MongoDB's error {refusal.code}); have the rule changed by "
                "whoever looks after the collection, or the record removed. What was deleted before stays deleted",
            ) from refusal
        self._ledger.record_events.committed(events)
        failpoint("writer.swept_before_advance")
        return deleted

    async def _still_missing(
        self,
        store: ScopedRecords,
        ids: list[object],
        keys: Digests,
        run: Run,
        batch: BatchDocument,
        written_at: datetime,
        session: Session,
    ) -> list[RecordUpdate]:
        """The deletions of the records that are live and within the scope, and have the key that they had."""
        planned = {
            _exactly(each): (number, key) for number, (each, key) in enumerate(zip(ids, keys.tolist(), strict=True))
        }
        found: list[RecordUpdate] = []
        for record, key in await store.by_ids(ids, session):
            number, was = planned[_exactly(record["_id"])]
            if key == was:
                found.append(swept(record, batch.row_from + number, run.template, run.id, written_at))
        return found


def _exactly(identifier: object) -> bytes:
    return bson.encode({"": identifier}, codec_options=AS_COMPARED)
