"""Every client of Kafka over TLS and with a login, and what is said where that fails."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from cryptography.fernet import Fernet
from pydantic import SecretStr

from libs.contracts.errors import TransientError
from libs.contracts.events import BatchParsed
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from libs.messaging.watchdog import look_at_groups
from libs.storage.client import Mongo
from tests.integration.messaging.conftest import login, unique_topic
from tests.integration.messaging.members import SERVICE, Send, body, member, read_all, until, until_committed
from tests.secured import MECHANISMS, PASSWORD, Certificates, SecuredKafka

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


def settings_of(way: str, secured: SecuredKafka) -> KafkaSettings:
    others = {"certificate": certificate, "without TLS": without_tls}
    return others[way](secured) if way in others else login(secured, way)


@pytest.mark.parametrize("way", [*MECHANISMS, "certificate", "without TLS"])
async def test_a_service_works_over_it(secured: SecuredKafka, mongo: Mongo, way: str) -> None:
    """Topics, producer, consumers, offsets, lag."""
    settings = settings_of(way, secured)
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
    looks = await look_at_groups(settings, {topic.name: f"rowdock.{SERVICE}.{topic.name}"})
    assert sum(looks[topic.name].waiting.values()) == 1
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


@dataclass(frozen=True)
class Process:
    """A whole service, at its most talkative."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200
        return False


@contextmanager
def webhooks(settings: KafkaSettings, mongodb: str, directory: Path) -> Iterator[Process]:
    """The webhooks service; killed at the end if it is still there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = settings.model_dump(mode="json", exclude_none=True)
    password = settings.kafka_password
    environment = {
        **os.environ,
        **{f"ROWDOCK_{name.upper()}": str(value) for name, value in given.items()},
        "ROWDOCK_KAFKA_PASSWORD": password.get_secret_value() if password else "",
        "ROWDOCK_MONGODB": mongodb,
        "ROWDOCK_DATABASE": f"t{uuid4().hex[:12]}",
        "ROWDOCK_SECRET_KEY": Fernet.generate_key().decode(),
        "ROWDOCK_OPS_PORT": str(port),
        "ROWDOCK_INSTANCE": "webhooks-1",
        "ROWDOCK_LOG_LEVEL": "DEBUG",
    }
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.webhooks"], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield Process(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-512", "certificate"])
async def test_a_process_gets_ready_and_logs_no_password(
    secured: SecuredKafka, mongodb_uri: str, tmp_path: Path, way: str
) -> None:
    with webhooks(settings_of(way, secured), mongodb_uri, tmp_path) as started:
        await until(started.ready, "ready", 90)
        started.process.terminate()
        await asyncio.to_thread(started.process.wait, 60)
        assert started.process.returncode == 0
    assert PASSWORD not in started.log.read_text()


async def test_a_process_that_is_refused_ends_and_says_why(
    secured: SecuredKafka, mongodb_uri: str, tmp_path: Path
) -> None:
    wrong = login(secured, "PLAIN", kafka_password=SecretStr("wr0ng"))
    with webhooks(wrong, mongodb_uri, tmp_path) as started:
        await asyncio.to_thread(started.process.wait, 60)
    said = started.log.read_text()
    assert started.process.returncode
    assert "TransientError: Kafka cannot be reached with ROWDOCK_KAFKA_SECURITY_PROTOCOL=SASL_SSL: " in said
    assert "Invalid username or password" in said
    assert "wr0ng" not in said
