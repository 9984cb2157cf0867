"""A topic of the test's own on the real broker."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import Servers
from libs.contracts.topics import DAY_MS, Topic
from libs.messaging.broker import ensure_topics
from tests.integration.messaging.members import Send


def unique_topic(partitions: int = 1) -> Topic:
    return Topic(f"test.t{uuid4().hex[:12]}.v1", "none", partitions, DAY_MS, False, "Of one test.")


@pytest.fixture(scope="session")
async def kafka(servers: Servers) -> str:
    """Address of the broker, which has the topics of the table."""
    await ensure_topics(servers.kafka)
    return servers.kafka


@pytest.fixture
async def topic(kafka: str) -> Topic:
    """A topic of one partition."""
    topic = unique_topic()
    await ensure_topics(kafka, topics=(topic,))
    return topic


@pytest.fixture
async def send(kafka: str) -> AsyncIterator[Send]:
    """Sends bytes as they are: ``await send(topic, value, partition=0, headers=[…])``."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    yield Send(producer)
    await producer.stop()
