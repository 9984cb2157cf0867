"""Every client of Kafka over TLS and with a login, and what is said where that fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from libs.contracts.errors import TransientError
from libs.contracts.events import BatchParsed
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from libs.messaging.watchdog import group_lag
from libs.storage.client import Mongo
from tests.integration.messaging.conftest import login, unique_topic
from tests.integration.messaging.members import SERVICE, Send, body, member, read_all, until_committed
from tests.secured import MECHANISMS, Certificates, SecuredKafka

pytestmark = pytest.mark.servers


def certificate(cluster: SecuredKafka, **changes: Any) -> KafkaSettings:  # noqa: ANN401
    """With a certificate over TLS."""
    return KafkaSettings.model_validate(
        {
            "kafka": cluster.certificate,
            "kafka_security_protocol": "SSL",
            "kafka_ca_file": cluster.certificates.authority,
            "kafka_cert_file": cluster.certificates.client,
            "kafka_key_file": cluster.certificates.client,
            **changes,
        }
    )


def without_tls(secured: SecuredKafka) -> KafkaSettings:
    return login(secured, kafka=secured.password_only, kafka_security_protocol="SASL_PLAINTEXT", kafka_ca_file=None)


@pytest.mark.parametrize("way", [*MECHANISMS, "certificate", "without TLS"])
async def test_a_service_works_over_it(secured: SecuredKafka, mongo: Mongo, way: str) -> None:
    """Topics, producer, consumers, offsets, lag."""
    settings = {"certificate": certificate, "without TLS": without_tls}.get(way, lambda it: login(it, way))(secured)
    topic = unique_topic()
    await Topics(settings, (topic,)).ensure()
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        handled.append(told.seq)

    async with member(settings, mongo, {topic: handler}) as process:
        await process.publisher.publish(topic, "run", BatchParsed.model_validate_json(body(1)))
        await until_committed(settings, topic, {0: 1})
    assert handled == [1]
    producer = AIOKafkaProducer(**settings.client_options())
    await producer.start()
    await Send(producer)(topic, body(2))
    await producer.stop()
    assert await group_lag(settings, {topic.name: f"rowdock.{SERVICE}.{topic.name}"}) == 1
    assert len(await read_all(settings, topic.name)) == 2


def foreign(directory: Path) -> Certificates:
    return Certificates.issue(directory / "foreign")


REFUSALS: dict[str, tuple[Callable[[SecuredKafka, Path], KafkaSettings], str]] = {
    "wrong password": (
        lambda kafka, _: login(kafka, kafka_password=SecretStr("wr0ng")),
        "invalid credentials with SASL mechanism SCRAM-SHA-512",
    ),
    "wrong password, plain": (
        lambda kafka, _: login(kafka, "PLAIN", kafka_password=SecretStr("wr0ng")),
        "Invalid username or password",
    ),
    "unknown user": (lambda kafka, _: login(kafka, kafka_username="mallory"), "invalid credentials"),
    "authority unknown to the system": (lambda kafka, _: login(kafka, kafka_ca_file=None), "CERTIFICATE_VERIFY_FAILED"),
    "another authority": (
        lambda kafka, directory: login(kafka, kafka_ca_file=foreign(directory).authority),
        "CERTIFICATE_VERIFY_FAILED",
    ),
    "no TLS": (lambda kafka, _: KafkaSettings(kafka=kafka.login), "SECURITY_PROTOCOL=PLAINTEXT: .*closed"),
    "no certificate": (
        lambda kafka, _: certificate(kafka, kafka_cert_file=None, kafka_key_file=None),
        "SECURITY_PROTOCOL=SSL: .*closed",
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_refusal_is_told_with_its_reason(secured: SecuredKafka, tmp_path: Path, why: str) -> None:
    settings, reason = REFUSALS[why]
    with pytest.raises(TransientError, match=reason) as refused:
        await Topics(settings(secured, tmp_path)).ensure()
    assert "wr0ng" not in str(refused.value)
