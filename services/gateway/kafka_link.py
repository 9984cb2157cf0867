"""The gateway's connection to Kafka, without which it works all the same."""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from libs.contracts.errors import TransientError
from libs.messaging.cancellation import run_together
from libs.messaging.topics import Topics
from libs.process.loops import Background
from libs.telemetry.metrics import Metrics

KAFKA_RETRY_SECONDS = 2.0
HEALTH_TIMEOUT_SECONDS = 3.0

logger = structlog.get_logger()


class KafkaLink:
    """Connects in the background: without Kafka the gateway works, and the outbox holds the events."""

    def __init__(self, topics: Topics, broker: KafkaBroker, metrics: Metrics) -> None:
        self._metrics = metrics
        self._topics = topics
        self._broker = broker
        self._connected = False

    async def run(self, loops: Sequence[Background]) -> None:
        """Connect, as often as it takes; then run what needs the connection."""
        while not self._connected:
            try:
                await self._topics.ensure()
                await self._broker.start()
                self._connected = True
                self._metrics.kafka_reachable.set(1)
            except (TransientError, KafkaError, OSError) as error:
                self._metrics.kafka_reachable.set(0)
                logger.warning("kafka.waiting", error=str(error))
                await asyncio.sleep(KAFKA_RETRY_SECONDS)
        await run_together([loop() for loop in loops])

    async def answers(self) -> bool:
        """Whether Kafka can be used now."""
        return self._connected and await self._broker.ping(timeout=HEALTH_TIMEOUT_SECONDS)
