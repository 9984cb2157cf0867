"""A topic of the test's own on the real broker."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from deploy.local.servers import Servers
from libs.contracts.topics import DAY_MS, Topic
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from tests.integration.messaging.members import Send
from tests.secured import PASSWORD, USER, SecuredKafka, secured_kafka


def unique_topic(partitions: int = 1) -> Topic:
    return Topic(f"test.t{uuid4().hex[:12]}.v1", "none", partitions, DAY_MS, False, "Of one test.")


@pytest.fixture(scope="package")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Two brokers that ask who is there."""
    with secured_kafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def login(cluster: SecuredKafka, mechanism: str = "SCRAM-SHA-512", **changes: Any) -> KafkaSettings:  # noqa: ANN401
    """With user and password over TLS, as ``changes`` say otherwise."""
    return KafkaSettings.model_validate(
        {
            "kafka": cluster.login,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": mechanism,
            "kafka_username": USER,
            "kafka_password": SecretStr(PASSWORD),
            "kafka_ca_file": cluster.certificates.authority,
            **changes,
        }
    )


@pytest.fixture(scope="session")
async def kafka(servers: Servers) -> KafkaSettings:
    """Where the broker is, which has the topics of the table."""
    settings = KafkaSettings(kafka=servers.kafka)
    await Topics(settings).ensure()
    return settings


@pytest.fixture
async def topic(kafka: KafkaSettings) -> Topic:
    """A topic of one partition."""
    topic = unique_topic()
    await Topics(kafka, (topic,)).ensure()
    return topic


@pytest.fixture
async def send(kafka: KafkaSettings) -> AsyncIterator[Send]:
    """Sends bytes as they are: ``await send(topic, value, partition=0, headers=[…])``."""
    producer = AIOKafkaProducer(**kafka.client_options())
    await producer.start()
    yield Send(producer)
    await producer.stop()
