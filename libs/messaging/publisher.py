"""Publish events, each under its own id, and wait until the broker has them."""

import asyncio
from collections.abc import Iterable

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from libs.contracts.errors import TransientError
from libs.contracts.events import Event
from libs.contracts.topics import Topic
from libs.messaging.broker import PUBLISH_TIMEOUT_SECONDS
from libs.telemetry.metrics import Metrics


class EventPublisher:
    """Sends to the topics of the table; a send that is not confirmed in time raises."""

    def __init__(self, broker: KafkaBroker, metrics: Metrics) -> None:
        self._broker = broker
        self._metrics = metrics

    async def publish(self, topic: Topic, key: str, event: Event) -> None:
        """Publish ``event``.

        Raises:
            TransientError: not confirmed within ``PUBLISH_TIMEOUT_SECONDS``; it may have arrived.
        """
        await self.publish_raw(topic.name, key, event.event_id, event.model_dump_json())

    async def publish_all(self, messages: Iterable[tuple[Topic, str, Event]]) -> None:
        """Publish ``(topic, key, event)`` side by side; raises as ``publish`` does."""
        await asyncio.gather(*(self.publish(topic, key, event) for topic, key, event in messages))

    async def publish_raw(self, topic: str, key: str, event_id: str, value: str) -> None:
        """Publish a serialised event, see ``publish``."""
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                await self._broker.publish(
                    value.encode(),
                    topic,
                    key=key.encode(),
                    headers={"content-type": "application/json", "event-id": event_id},
                )
        except (KafkaError, TimeoutError, OSError) as error:
            raise TransientError(f"{topic}: {type(error).__name__}: {error}") from error
        self._metrics.published.labels(topic).inc()
