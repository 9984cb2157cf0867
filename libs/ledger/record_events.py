"""Changes of records, told in the transaction that makes them."""

from collections.abc import Sequence
from datetime import datetime

from libs.contracts.events import RecordsChanged
from libs.contracts.ids import event_id
from libs.contracts.topics import RECORDS_CHANGED
from libs.ledger.connection import LedgerConnection
from libs.ledger.outbox import append_as_json
from libs.storage.client import Document, Session, sequence_of
from libs.storage.documents import BatchDocument, RunDocument


class RecordEvents:
    """Messages of ``records.changed.v1`` in the outbox.

    They hold what they tell, not a reference to it: what was written could be read again from the batch and the
    before-images only until somebody reverts the run, or they expire.
    """

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    async def append(
        self,
        session: Session,
        run: RunDocument,
        batch: BatchDocument,
        chunks: Sequence[str],
        occurred_at: datetime,
        *,
        reverted: bool = False,
    ) -> list[Document]:
        """Store what a batch changes.

        Args:
            session: of the transaction, in which the batch has been moved already.
            chunks: the changes of each message as JSON, with commas between them.
            occurred_at: when.
            reverted: whether the batch is taken back.

        Returns:
            The rows, for ``committed``.
        """
        if not chunks:
            return []
        sequence = sequence_of(session)
        messages: list[tuple[str, str]] = []
        for number, changes in enumerate(chunks):
            event = RecordsChanged(
                event_id=event_id("taken back" if reverted else "changed", run.id, batch.epoch, batch.seq, number),
                occurred_at=occurred_at,
                run_id=run.id,
                tenant_id=run.tenant_id,
                template_id=run.template_id,
                resource=run.template.target_resource,
                sequence=sequence,
                chunk=number,
                chunks=len(chunks),
            )
            messages.append((event.event_id, event.as_json(changes)))
        key = f"{run.id}:{batch.seq}"
        told = [(RECORDS_CHANGED, key, identifier, value) for identifier, value in messages]
        return await append_as_json(self._connection, session, told, run.trace)

    def committed(self, rows: Sequence[Document]) -> None:
        """The transaction of ``append`` is committed: others may know."""
        if rows:
            self._connection.hand_over(rows)
