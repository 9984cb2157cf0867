"""What processes tell of their health, while the servers that they need come and go."""

import asyncio

import httpx
import pytest

from deploy.local.stack import Stack
from libs.contracts.topics import BATCH_PARSED
from libs.messaging.connection import KafkaSettings, open_admin
from tests.client import eventually

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

CONSUMING = ("parser", "validator", "writer", "webhooks")


def told(stack: Stack, service: str, what: str) -> tuple[int, str]:
    """Status and text of an answer of the first instance."""
    answer = httpx.get(f"{stack.services[service][0].url}/health/{what}", timeout=30, trust_env=False)
    return answer.status_code, answer.text


def test_readiness_goes_and_comes_with_kafka(stack: Stack) -> None:
    stack.wait_ready()
    pids = {name: process.pid for name, process in stack.supervisor.processes().items() if name != "broker"}
    stack.supervisor.stop(["broker"])
    try:
        for service in CONSUMING:
            eventually(lambda service=service: told(stack, service, "ready")[0] == 503, f"{service} is unready")
        status, text = told(stack, "gateway", "ready")
        assert status == 200, text
        eventually(lambda: "Kafka does not answer" in told(stack, "gateway", "ready")[1], "the gateway tells it")
        for service in (*CONSUMING, "gateway"):
            assert told(stack, service, "live")[0] == told(stack, service, "startup")[0] == 200
    finally:
        stack.supervisor.start(["broker"])
    stack.wait_ready()
    assert pids == {name: process.pid for name, process in stack.supervisor.processes().items() if name != "broker"}


def test_readiness_goes_and_comes_with_mongodb(stack: Stack) -> None:
    stack.wait_ready()
    stack.supervisor.stop(["mongod"])
    try:
        for service in (*CONSUMING, "gateway"):
            eventually(lambda service=service: told(stack, service, "ready")[0] == 503, f"{service} is unready")
            assert "MongoDB does not answer" in told(stack, service, "ready")[1]
            assert told(stack, service, "live")[0] == 200
    finally:
        stack.supervisor.start(["mongod"])
        stack.servers.wait_ready()
    stack.wait_ready()


def test_a_topic_that_is_gone_is_made_again(stack: Stack) -> None:
    settings = KafkaSettings(kafka=stack.kafka)

    async def delete() -> None:
        async with open_admin(settings) as admin:
            await admin.delete_topics([BATCH_PARSED.name])

    async def partitions() -> int:
        async with open_admin(settings) as admin:
            topics = {each["topic"]: each["partitions"] for each in await admin.describe_topics()}
            return len(topics.get(BATCH_PARSED.name, ()))

    asyncio.run(delete())
    eventually(lambda: asyncio.run(partitions()) == BATCH_PARSED.partitions, "the topic is as declared again", 90)
    stack.wait_ready()
