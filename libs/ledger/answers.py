"""Answers to requests of internal producers, told with the events of runs.

That a request was accepted its run says. That a message was rejected is kept for longer than Kafka keeps the message,
so that one which comes again after a crash is not judged anew, and answered in two ways.
"""

from datetime import UTC, datetime

from libs.contracts.events import Event
from libs.contracts.messages import Message
from libs.contracts.requests import RequestAccepted, RequestRejected
from libs.contracts.topics import RUN_EVENTS
from libs.ledger.connection import LedgerConnection
from libs.ledger.outbox import append_to_outbox
from libs.storage.client import Document, Session
from libs.storage.documents import RejectedRequest


class Answers:
    """Tells each answer at least once, under one id."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection
        self._rejected = connection.mongo.state[RejectedRequest.Settings.name]

    async def accepted(self, answer: RequestAccepted) -> None:
        """Tell that a request has made a run."""
        await self._tell(answer.run_id, answer, None)

    async def rejected(self, answer: RequestRejected) -> None:
        """Tell that a message has made no run, and remember it by the id of the answer."""
        kept = RejectedRequest(
            _id=answer.event_id,
            tenant_id=answer.tenant_id,
            answer=answer.model_dump_json(),
            created_at=datetime.now(UTC),
        )
        await self._tell(answer.tenant_id, answer, kept.model_dump(by_alias=True))

    async def rejection(self, event_id: str) -> RequestRejected | None:
        """The answer of that id, or ``None``."""
        found = await self._rejected.find_one({"_id": event_id})
        return None if found is None else RequestRejected.model_validate_json(found["answer"])

    async def _tell(self, key: str, answer: Event, kept: Document | None) -> None:
        async def body(session: Session) -> list[Document]:
            if kept is not None:
                await self._rejected.update_one(
                    {"_id": kept["_id"]}, {"$setOnInsert": kept}, upsert=True, session=session
                )
            if await self._connection.outbox.find_one({"_id": answer.event_id}, {"_id": 1}, session=session):
                return []  # It waits to be published, from an earlier time.
            return await append_to_outbox(self._connection, session, Message(RUN_EVENTS, key, answer))

        self._connection.hand_over(await self._connection.mongo.transaction(body))
