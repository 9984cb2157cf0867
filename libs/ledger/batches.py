"""Batches: claimed, and moved by compare-and-set in the transaction of their effect."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from pymongo import ReturnDocument

from libs.contracts.errors import PermanentError
from libs.contracts.events import RevertCounts
from libs.contracts.states import BatchState, batch_may_move
from libs.ledger.connection import NOT_ANNOUNCED, LedgerConnection
from libs.storage.client import Document, Session
from libs.storage.documents import BatchDocument, BatchResult


class BatchLedger:
    """The collection ``batches``."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    async def claim(self, identifier: str, state: BatchState) -> BatchDocument | None:
        """Begin work on a batch in ``state``; ``None`` where it has moved on. Counts the attempt."""
        found = await self._connection.batches.find_one_and_update(
            {"_id": identifier, "state": state.value},
            {"$inc": {"attempts": 1}, "$set": {"updated_at": datetime.now(UTC)}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else BatchDocument.read(found)

    async def move(
        self,
        session: Session,
        batch: BatchDocument,
        target: BatchState,
        result: BatchResult,
        *,
        preview: Sequence[Document] = (),
        examples: Document | None = None,
        skipped: Mapping[str, bytes] | None = None,
        written: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Compare-and-set of one ledger entry inside the transaction of its effect.

        Args:
            preview: first rows of the file, for its first batch.
            examples: texts of each column with what they were read as, likewise.
            skipped: row numbers (uint32, little-endian) by the reason why they are skipped.
            written: of a batch that is written: ``BatchDocument.written_rows``.

        ``False``: another worker did it, or the run was stopped; the caller must have no effect.
        """
        if not batch_may_move(batch.state, target):
            raise PermanentError("FORBIDDEN_TRANSITION", f"a batch cannot go from {batch.state} to {target}")
        setting: Document = {
            "state": target.value,
            "result": result.model_dump(),
            "attempts": 0,
            "updated_at": datetime.now(UTC),
        }
        if preview:
            setting["preview"] = list(preview)
        if examples:
            setting["examples"] = examples
        for reason, rows in (skipped or {}).items():
            if rows:
                setting[f"skipped_rows.{reason}"] = rows
        if written is not None:
            setting["written_rows"] = dict(written)
        answer = await self._connection.batches.update_one(
            {"_id": batch.id, "epoch": batch.epoch, "state": batch.state.value},
            {"$set": setting, "$unset": NOT_ANNOUNCED},
            session=session,
        )
        return answer.modified_count == 1

    async def revert(self, session: Session, batch: BatchDocument, counts: RevertCounts) -> bool:
        """Compare-and-set of a written batch in the transaction that takes its records back; ``False`` where another
        worker did it."""
        answer = await self._connection.batches.update_one(
            {"_id": batch.id, "epoch": batch.epoch, "state": BatchState.WRITTEN.value},
            {
                "$set": {
                    "state": BatchState.REVERTED.value,
                    "reverted": counts.model_dump(),
                    "attempts": 0,
                    "updated_at": datetime.now(UTC),
                },
                "$unset": NOT_ANNOUNCED,
            },
            session=session,
        )
        return answer.modified_count == 1

    async def not_reverted(self, run_id: str, row: int) -> bool:
        """Whether the batch with this row is written and not taken back yet."""
        of_row = {
            "run_id": run_id,
            "state": BatchState.WRITTEN.value,
            "row_from": {"$lte": row},
            "row_to": {"$gte": row},
        }
        return await self._connection.batches.find_one(of_row, {"_id": 1}) is not None

    async def sequence_numbers(self, run_id: str, *states: BatchState) -> list[tuple[int, int]]:
        """``(epoch, seq)`` of a run's batches in any of ``states``, in file order."""
        query = {"run_id": run_id, "state": {"$in": [state.value for state in states]}}
        cursor = self._connection.batches.find(query, {"epoch": 1, "seq": 1}).sort("seq")
        return [(batch["epoch"], batch["seq"]) async for batch in cursor]

    async def in_state(self, run_id: str, state: BatchState) -> AsyncIterator[BatchDocument]:
        """A run's batches in ``state``, in file order."""
        async for batch in self._connection.batches.find({"run_id": run_id, "state": state.value}).sort("seq"):
            yield BatchDocument.read(batch)
