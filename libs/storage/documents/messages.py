"""Messages that wait to be published, and messages that nobody could handle."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument

OUTBOX_LEASE = timedelta(seconds=20)
"""Longer than a relay waits for the confirmation of what it has published."""


class OutboxEntry(StateDocument):
    """An event not yet published; its ``_id`` is the event's id. Deleted once the broker has it.

    Attributes:
        trace: ``traceparent`` of what it is about.
        lease_owner, lease_until: the relay that is about to publish it, and until when nobody else does.
    """

    service: str
    topic: str
    key: str
    value: str
    trace: str | None = None
    created_at: datetime
    lease_owner: str | None = None
    lease_until: datetime | None = None

    class Settings:
        name = "outbox"
        indexes: ClassVar = [
            IndexModel([("service", ASCENDING), ("created_at", ASCENDING)], name="service_oldest"),
        ]


class RejectedRequest(StateDocument):
    """The answer to a message that asked for an import and has made none, under the id of the answer.

    Attributes:
        answer: the event, as JSON.
        created_at: some days later than Kafka has forgotten the message, this is forgotten too.
    """

    tenant_id: str
    answer: str
    created_at: datetime

    class Settings:
        name = "rejected_requests"
        indexes: ClassVar = [
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=10 * 86_400),
            IndexModel([("tenant_id", ASCENDING)], name="tenant"),
        ]


class DeadLetter(StateDocument):
    """A message nobody could handle, as it came, so that it can be replayed.

    Attributes:
        state: ``waiting`` for somebody to look at it, ``replaying``, ``replayed`` or ``discarded``.
        decided_by, decided_at: who wanted that, and when.
        reason: why it was discarded.
        replayed_at: when the broker had it again.
        lease_until: until when nobody else publishes it.
    """

    service: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[dict[str, Any]]
    code: str
    message: str
    created_at: datetime
    state: str = "waiting"
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    replayed_at: datetime | None = None
    lease_until: datetime | None = None

    class Settings:
        name = "dead_letters"
        indexes: ClassVar = [
            IndexModel([("created_at", DESCENDING)], name="newest"),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="pages"),
            IndexModel([("state", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="state_pages"),
        ]
