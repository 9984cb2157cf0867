"""Publish events, each under its own id, and wait until the broker has them."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from libs.contracts.errors import TransientError
from libs.contracts.events import Event
from libs.contracts.messages import Message
from libs.contracts.topics import Topic
from libs.messaging.broker import PUBLISH_TIMEOUT_SECONDS
from libs.telemetry import tracing
from libs.telemetry.metrics import Metrics


class EventPublisher:
    """Sends to the topics of the table; a send that is not confirmed in time raises."""

    def __init__(self, broker: KafkaBroker, metrics: Metrics) -> None:
        self._broker = broker
        self._metrics = metrics

    async def publish(self, topic: Topic, key: str, event: Event, trace: str | None = None) -> None:
        """Publish ``event``.

        Args:
            topic: of the table.
            key: of the message.
            event: what is told.
            trace: ``traceparent`` of what it is about.

        Raises:
            TransientError: not confirmed within ``PUBLISH_TIMEOUT_SECONDS``; it may have arrived.
        """
        await self.publish_raw(topic.name, key, event.event_id, event.model_dump_json(), trace)

    async def publish_all(self, messages: Iterable[Message]) -> None:
        """Publish messages side by side; raises as ``publish`` does."""
        await asyncio.gather(*(self.publish(*message) for message in messages))

    async def publish_raw(self, topic: str, key: str, event_id: str, value: str, trace: str | None = None) -> None:
        """Publish a serialised event, see ``publish``."""
        headers = {"content-type": "application/json", "event-id": event_id}
        if trace is not None:
            headers[tracing.HEADER] = trace
        await self.publish_bytes(topic, key.encode(), value.encode(), headers)

    async def publish_bytes(self, topic: str, key: bytes | None, value: bytes, headers: dict[str, str]) -> None:
        """Publish any message, see ``publish``."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                await self._broker.publish(value, topic, key=key, headers=headers)
        except (KafkaError, TimeoutError, OSError) as error:
            self._metrics.publish_failures.labels(topic).inc()
            raise TransientError(f"{topic}: {type(error).__name__}: {error}") from error
        self._metrics.published.labels(topic).inc()
        self._metrics.publish_seconds.observe(time.perf_counter() - started)
