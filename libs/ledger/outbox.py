"""What a change of the ledger tells others, stored in the transaction of the change."""

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.contracts.messages import Message
from libs.contracts.topics import Topic
from libs.ledger.connection import LedgerConnection
from libs.storage.client import Document, Session
from libs.storage.documents import OUTBOX_LEASE


async def append_to_outbox(connection: LedgerConnection, session: Session, *messages: Message) -> list[Document]:
    """Store messages to be published once the transaction of ``session`` is committed.

    Returns:
        The rows, for ``LedgerConnection.hand_over`` after the commit.
    """
    told = [(topic, key, event.event_id, event.model_dump_json(), trace) for topic, key, event, trace in messages]
    return await _append(connection, session, told)


async def append_as_json(
    connection: LedgerConnection,
    session: Session,
    messages: Sequence[tuple[Topic, str, str, str]],
    trace: str | None,
) -> list[Document]:
    """The same of ``(topic, key, id of the event, the event as JSON)``, all of them about what has this context."""
    return await _append(connection, session, [(*message, trace) for message in messages])


async def _append(
    connection: LedgerConnection, session: Session, messages: Sequence[tuple[Topic, str, str, str, str | None]]
) -> list[Document]:
    now = datetime.now(UTC)
    relay = connection.relay
    rows: list[Document] = [
        {
            "_id": identifier,
            "service": connection.service,
            "topic": topic.name,
            "key": key,
            "value": value,
            **({} if trace is None else {"trace": trace}),
            "created_at": now,
            "lease_owner": None if relay is None else relay.owner,
            "lease_until": None if relay is None else now + OUTBOX_LEASE,
        }
        for topic, key, identifier, value, trace in messages
    ]
    await connection.outbox.insert_many(rows, session=session)
    return rows
