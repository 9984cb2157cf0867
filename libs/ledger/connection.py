"""What every part of the ledger works with: the collections, and who makes the changes."""

from collections.abc import Callable
from dataclasses import dataclass

from libs.batches.payloads import BatchPayloads
from libs.batches.rejected_rows import RejectedRows
from libs.storage.client import Collection, Document, Mongo
from libs.storage.documents import BatchDocument, OutboxEntry, RunDocument, UndoEntry, WebhookDelivery

NOT_STOPPED: Document = {"stop": None}


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """Collections of the ledger, and the stores of the rows that belong to its batches.

    Attributes:
        mongo: the databases.
        service: name of the service that makes the changes; its relay publishes the outbox rows.
        on_outbox: called after a commit that left outbox rows, so that they leave at once.
    """

    mongo: Mongo
    service: str
    on_outbox: Callable[[], None]

    @property
    def runs(self) -> Collection:
        return self.mongo.state[RunDocument.Settings.name]

    @property
    def batches(self) -> Collection:
        return self.mongo.state[BatchDocument.Settings.name]

    @property
    def payloads(self) -> BatchPayloads:
        return BatchPayloads(self.mongo)

    @property
    def rejected(self) -> RejectedRows:
        return RejectedRows(self.mongo)

    @property
    def outbox(self) -> Collection:
        return self.mongo.state[OutboxEntry.Settings.name]

    @property
    def before_images(self) -> Collection:
        return self.mongo.state[UndoEntry.Settings.name]

    @property
    def deliveries(self) -> Collection:
        return self.mongo.state[WebhookDelivery.Settings.name]


def seconds_from_now(seconds: float) -> Document:
    """An expression: the server's time, ``seconds`` later."""
    return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": int(seconds * 1000)}}


def every_batch(run_id: str) -> Document:
    """Batches of a run by their ids, which never change: a write that goes by an index with the state in it would
    pass over a batch that moves to an earlier place of it meanwhile."""
    return {"_id": {"$gte": f"{run_id}:", "$lt": f"{run_id};"}}
