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
        lease_owner, lease_until: the relay that is about to publish it, and until when nobody else does.
    """

    service: str
    topic: str
    key: str
    value: str
    created_at: datetime
    lease_owner: str | None = None
    lease_until: datetime | None = None

    class Settings:
        name = "outbox"
        indexes: ClassVar = [
            IndexModel([("service", ASCENDING), ("created_at", ASCENDING)], name="service_oldest"),
        ]


class DeadLetter(StateDocument):
    """A message nobody could handle, as it came, so that it can be replayed."""

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

    class Settings:
        name = "dead_letters"
        indexes: ClassVar = [IndexModel([("created_at", DESCENDING)], name="newest")]
