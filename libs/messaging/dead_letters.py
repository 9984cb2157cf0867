"""Messages nobody could handle: stored whole in MongoDB, announced on their topic."""

from datetime import UTC, datetime
from typing import Any

import structlog
from aiokafka import ConsumerRecord

from libs.contracts.errors import TransientError
from libs.contracts.events import MessageDeadLettered
from libs.contracts.ids import event_id
from libs.contracts.topics import DEAD_LETTERS
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Mongo
from libs.storage.documents import DeadLetter
from libs.telemetry import tracing

MAX_STORED_BYTES = 1024 * 1024

logger = structlog.get_logger()


class DeadLetters:
    """Stores each message once, however often it is given up."""

    def __init__(self, mongo: Mongo, service: str, publisher: EventPublisher) -> None:
        self._collection = mongo.state[DeadLetter.Settings.name]
        self._service = service
        self._publisher = publisher

    async def store(self, record: ConsumerRecord[Any, Any], code: str, message: str) -> None:
        """Store ``record`` with the reason; its announcement on Kafka is best effort."""
        now = datetime.now(UTC)
        identifier = event_id("dead", self._service, record.topic, record.partition, record.offset, record.timestamp)
        await self._collection.update_one(
            {"_id": identifier},
            {
                "$setOnInsert": {
                    "service": self._service,
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                    "key": record.key,
                    "value": record.value[:MAX_STORED_BYTES] if record.value is not None else None,
                    "headers": [{"name": name, "value": value} for name, value in record.headers],
                    "code": code,
                    "message": message[:2_000],
                    "created_at": now,
                }
            },
            upsert=True,
        )
        announcement = MessageDeadLettered(
            event_id=identifier,
            occurred_at=now,
            dead_letter_id=identifier,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            service=self._service,
            code=code,
            message=message[:500],
        )
        try:
            await self._publisher.publish(DEAD_LETTERS, "", announcement, tracing.current_traceparent())
        except TransientError as error:
            logger.warning("dead_letter.not_announced", dead_letter_id=identifier, error=str(error))
