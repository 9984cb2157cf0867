"""What a change of the ledger tells others, stored in the transaction of the change."""

from datetime import UTC, datetime

from libs.contracts.events import Event
from libs.contracts.topics import Topic
from libs.ledger.connection import LedgerConnection
from libs.storage.client import Session


async def append_to_outbox(connection: LedgerConnection, session: Session, *messages: tuple[Topic, str, Event]) -> None:
    """Store ``(topic, key, event)`` to be published once the transaction of ``session`` is committed."""
    now = datetime.now(UTC)
    await connection.outbox.insert_many(
        [
            {
                "_id": event.event_id,
                "service": connection.service,
                "topic": topic.name,
                "key": key,
                "value": event.model_dump_json(),
                "created_at": now,
                "lease_until": None,
            }
            for topic, key, event in messages
        ],
        session=session,
    )
