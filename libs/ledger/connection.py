"""What every part of the ledger works with: the collections, and who makes the changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.batches.payloads import BatchPayloads
from libs.batches.rejected_rows import RejectedRows
from libs.contracts.messages import Message
from libs.storage.client import Collection, Document, Mongo
from libs.storage.documents import BatchDocument, OutboxEntry, RunDocument, UndoEntry, WebhookDelivery
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics

NOT_STOPPED: Document = {"stop": None}
NOT_ANNOUNCED: Document = {"announced": "", "announced_by": ""}
"""What to unset of a batch that leaves the state in which it was announced, see ``libs.ledger.handout``."""


class Relay(Protocol):
    """Publishes outbox rows that this process has committed.

    Attributes:
        owner: by what name it leases them.
    """

    owner: str

    def hand_over(self, rows: Sequence[Document]) -> None: ...

    def hint(self, message: Message) -> None: ...


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """Collections of the ledger, and the stores of the rows that belong to its batches.

    Attributes:
        mongo: the databases.
        service: name of the service that makes the changes; its relays publish the outbox rows.
        relay: that of this process, to which rows are handed over after their commit; without it they wait for others.
        metrics: where it is counted what runs do, if anywhere.
    """

    mongo: Mongo
    service: str
    relay: Relay | None = None
    metrics: Metrics | None = None

    def hand_over(self, rows: Sequence[Document]) -> None:
        """Have outbox rows published whose transaction is committed."""
        failpoint("ledger.committed_before_relay")
        if self.relay is not None and rows:
            self.relay.hand_over(rows)

    def hint(self, message: Message) -> None:
        """Have a message published that is not stored: its reader finds what it tells by itself, only later."""
        failpoint("ledger.stored_before_hint")
        if self.relay is not None:
            self.relay.hint(message)

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


def every_batch(run_id: str) -> Document:
    """Batches of a run by their ids, which never change: a write that goes by an index with the state in it would
    pass over a batch that moves to an earlier place of it meanwhile."""
    return {"_id": {"$gte": f"{run_id}:", "$lt": f"{run_id};"}}
