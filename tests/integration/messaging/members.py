"""Consumers, relays and what a test asks the broker."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from libs.contracts.events import BatchParsed
from libs.contracts.topics import Topic
from libs.messaging.broker import create_broker
from libs.messaging.connection import KafkaSettings
from libs.messaging.consumer import Consumers
from libs.messaging.dead_letters import DeadLetters
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Mongo
from libs.storage.mongo_errors import is_transient
from libs.telemetry.metrics import Metrics

SERVICE = "test"
Answer = TypeVar("Answer")


async def eventually(check: Callable[[], Awaitable[Answer]], what: str, seconds: float = 45) -> Answer:
    """The first truthy answer of ``check``."""
    deadline = time.monotonic() + seconds
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)
    return answer


async def until(check: Callable[[], object], what: str, seconds: float = 45) -> None:
    """Wait until ``check`` is truthy."""

    async def answer() -> object:
        return check()

    await eventually(answer, what, seconds)


@dataclass(frozen=True)
class Send:
    """Sends bytes as they are."""

    producer: AIOKafkaProducer

    async def __call__(
        self,
        topic: Topic,
        value: bytes | None,
        *,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        await self.producer.send_and_wait(topic.name, value, b"key", partition, headers=list(headers))


def event(seq: int) -> BatchParsed:
    return BatchParsed(event_id=f"e{seq}", occurred_at=datetime.now(UTC), run_id="run", epoch=0, seq=seq)


def body(seq: int) -> bytes:
    return event(seq).model_dump_json().encode()


@dataclass(frozen=True)
class Member:
    """A process of the service, as far as Kafka is concerned."""

    consumers: Consumers
    publisher: EventPublisher
    metrics: Metrics

    def outcomes(self, topic: Topic) -> dict[str, float]:
        """Messages by outcome, where there are any."""
        return {
            sample.labels["outcome"]: sample.value
            for family in self.metrics.messages.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["topic"] == topic.name and sample.value
        }


@asynccontextmanager
async def member(
    kafka: KafkaSettings,
    mongo: Mongo,
    handlers: Mapping[Topic, Callable[[BatchParsed], Awaitable[None]]],
    instance: str = "member-1",
) -> AsyncGenerator[Member]:
    """A process that reads topics, started and stopped as ``libs.process.service`` does it."""
    metrics = Metrics(SERVICE)
    broker = create_broker(kafka, instance)
    broker.config.broker_config.graceful_timeout = 1.0  # seconds that a test's stuck handler may hold the end up
    publisher = EventPublisher(broker, metrics)
    consumers = Consumers(broker, SERVICE, metrics, DeadLetters(mongo, SERVICE, publisher), is_transient)
    for topic, handler in handlers.items():
        consumers.on(topic, BatchParsed)(handler)
    await broker.start()
    try:
        yield Member(consumers, publisher, metrics)
    finally:
        await consumers.stop()
        await broker.stop()


async def committed(kafka: KafkaSettings, topic: Topic) -> dict[int, int]:
    """What the service's group has committed: next offset by partition."""
    admin = AIOKafkaAdminClient(**kafka.client_options())
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"rowdock.{SERVICE}.{topic.name}")
        return {partition.partition: entry.offset for partition, entry in offsets.items() if entry.offset >= 0}
    finally:
        await admin.close()


async def until_committed(kafka: KafkaSettings, topic: Topic, offsets: dict[int, int]) -> None:
    async def check() -> bool:
        return await committed(kafka, topic) == offsets

    await eventually(check, f"{offsets} committed")


async def read_all(kafka: KafkaSettings, topic: str, of: int = 0) -> list[ConsumerRecord]:
    """Every message in one partition of a topic."""
    partition = TopicPartition(topic, of)
    consumer = AIOKafkaConsumer(**kafka.client_options(), enable_auto_commit=False)
    await consumer.start()
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        records: list[ConsumerRecord] = []
        while await consumer.position(partition) < end:
            for found in (await consumer.getmany(partition, timeout_ms=1_000)).values():
                records += found
        return records
    finally:
        await consumer.stop()
