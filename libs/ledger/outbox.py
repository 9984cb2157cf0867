"""What a change of the ledger tells others, stored in the transaction of the change."""

from datetime import UTC, datetime

from libs.contracts.events import Event
from libs.contracts.topics import Topic
from libs.ledger.connection import LedgerConnection
from libs.storage.client import Document, Session
from libs.storage.documents import OUTBOX_LEASE


async def append_to_outbox(
    connection: LedgerConnection, session: Session, *messages: tuple[Topic, str, Event]
) -> list[Document]:
    """Store ``(topic, key, event)`` to be published once the transaction of ``session`` is committed.

    Returns:
        The rows, for ``LedgerConnection.hand_over`` after the commit.
    """
    now = datetime.now(UTC)
    relay = connection.relay
    rows: list[Document] = [
        {
            "_id": event.event_id,
            "service": connection.service,
            "topic": topic.name,
            "key": key,
            "value": event.model_dump_json(),
            "created_at": now,
            "lease_owner": None if relay is None else relay.owner,
            "lease_until": None if relay is None else now + OUTBOX_LEASE,
        }
        for topic, key, event in messages
    ]
    await connection.outbox.insert_many(rows, session=session)
    return rows
