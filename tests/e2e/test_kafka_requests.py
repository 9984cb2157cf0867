"""Imports without HTTP, through the whole stack: producer and consumer are plain ``aiokafka``, of no code of ours."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.local.stack import Stack, make_organization
from rowdock_client.kafka import ImportRequests, RunEvents, Signer
from rowdock_client.messages import RequestAccepted, RunStatusChanged
from tests.client import GatewayClient, eventually, planted_template
from tests.kafka_requests import TOPIC, Headers, encoded, public_pem, request, signed
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CHECKOUT = Path(__file__).resolve().parents[2]
EVENTS = "imports.run-events.v1"
PARTITIONS = 6
ENDED = {"completed", "failed", "cancelled"}
SECONDS = 120


def admin(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    databases = {"ROWDOCK_DATABASE": stack.database, "ROWDOCK_TARGET_DATABASE": stack.target_database}
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway.admin", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **stack.servers.environment(), **databases},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Producer:
    """A registered producer."""

    def __init__(self, stack: Stack, tenant_id: str, folder: Path) -> None:
        self.tenant_id = tenant_id
        self.key = Ed25519PrivateKey.generate()
        file = folder / f"{uuid4().hex}.pem"
        file.write_text(public_pem(self.key))
        [made] = admin(stack, "producers", "create", tenant_id, "e2e", str(file))
        self.id: str = made["id"]

    @property
    def private_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def signed(self, asked: dict[str, Any]) -> tuple[bytes, Headers]:
        value = encoded(asked)
        return value, signed(value, self.key, self.id, asked["tenant_id"], asked["request_id"])


@asynccontextmanager
async def broker(stack: Stack) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """A producer, and a consumer that reads the events from now on."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, enable_auto_commit=False)
    await producer.start()
    await consumer.start()
    try:
        partitions = [TopicPartition(EVENTS, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        yield producer, consumer
    finally:
        await consumer.stop()
        await producer.stop()


async def told(consumer: AIOKafkaConsumer, *request_ids: str) -> dict[str, list[dict[str, Any]]]:
    """The events of requests, until each was rejected or has a run that has ended."""
    events: dict[str, list[dict[str, Any]]] = {request_id: [] for request_id in request_ids}

    def ended(some: list[dict[str, Any]]) -> bool:
        kinds = {event["kind"] for event in some}
        return "request-rejected" in kinds or (
            "request-accepted" in kinds and any(event.get("status") in ENDED for event in some)
        )

    async with asyncio.timeout(SECONDS):
        while not all(map(ended, events.values())):
            event = json.loads((await consumer.getone()).value)
            if event.get("request_id") in events:
                events[event["request_id"]].append(event)
    return events


def tenant_of(oracle: Oracle, gateway: GatewayClient, template_id: str) -> str:
    found = oracle.state["templates"].find_one({"_id": template_id})
    assert found is not None
    del gateway
    return found["tenant_id"]


async def test_a_plain_producer_imports_and_a_plain_consumer_is_told(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str, tmp_path: Path
) -> None:
    template_id = gateway.create_template(planted_template(resource, file_type="csv"))["id"]
    tenant_id = tenant_of(oracle, gateway, template_id)
    producer = Producer(stack, tenant_id, tmp_path)
    rows = [
        {"sku": f"K{number}", "name": "Anvil", "email": f"a{number}@example.com", "amount": 1.25, "day": "2024-02-29"}
        for number in range(10)
    ]
    good = request(tenant_id, template_id=template_id, rows=[*rows, {"sku": "bad", "name": "x", "email": "nobody"}])
    wrong = request(tenant_id, template_id="0" * 24, nonsense=1, rows=[3])
    oversized = request(tenant_id, template_id=template_id, rows=[{"sku": "x" * 300_000}])
    unsigned = request(tenant_id, template_id=template_id)
    newer = request(tenant_id, template_id=template_id, schema_version=7)
    async with broker(stack) as (kafka, consumer):
        poison: list[tuple[bytes | None, Headers]] = [(b"no JSON", []), (None, []), (encoded(unsigned), [])]
        first = producer.signed(good)
        for value, headers in [
            *poison, first, first, producer.signed(wrong), producer.signed(oversized), producer.signed(newer), first,
        ]:  # fmt: skip
            await kafka.send_and_wait(TOPIC, value, tenant_id.encode(), headers=headers)
        named = [asked["request_id"] for asked in (good, wrong, oversized, newer)]
        events = await told(consumer, *named)
    imported = events[good["request_id"]]
    [run_id] = {event["run_id"] for event in imported}
    counts = next(event["counts"] for event in imported if event.get("status") == "completed")
    assert (counts["rows"], counts["written"], counts["rejected"]) == (11, 10, 1)
    assert len(list(oracle.target[resource].find({"tenant_id": tenant_id, "amount": 1.25}))) == 10
    assert oracle.state["runs"].count_documents({"request_id": good["request_id"]}) == 1
    eventually(lambda: oracle.state["outbox"].count_documents({"value": {"$regex": run_id}}) == 0, "all is told")
    codes = {name: [each["code"] for each in events[asked["request_id"]]] for name, asked in
             (("wrong", wrong), ("oversized", oversized), ("newer", newer))}  # fmt: skip
    assert codes["oversized"] == ["REQUEST_TOO_LARGE"]
    assert codes["newer"] == ["UNSUPPORTED_SCHEMA_VERSION"]
    problems = events[wrong["request_id"]][0]["problems"]
    assert {(each["location"], each["code"]) for each in problems} >= {
        ("nonsense", "UNKNOWN_FIELD"),
        ("rows[0]", "INVALID"),
    }

    def dead() -> bool:
        letters = oracle.state["dead_letters"].find({"service": "requests", "topic": TOPIC, "key": tenant_id.encode()})
        return [letter["code"] for letter in letters] == ["UNAUTHORIZED_REQUEST"] * len(poison)

    eventually(dead, "what nobody signed is a dead letter")
    everything = await asyncio.to_thread(oracle.messages, EVENTS)
    assert not [event for event in everything if event.get("request_id") == unsigned["request_id"]]


async def test_a_dead_letter_that_is_replayed_makes_its_run(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str, tmp_path: Path
) -> None:
    template_id = gateway.create_template(planted_template(resource))["id"]
    parent = Producer(stack, tenant_of(oracle, gateway, template_id), tmp_path)
    below = f"below {uuid4().hex}"
    with GatewayClient(stack.gateway, make_organization(stack, below)) as other:
        theirs = other.create_template(planted_template(resource))["id"]
    tenant_id = tenant_of(oracle, gateway, theirs)
    asked = request(tenant_id, template_id=theirs)
    value, headers = parent.signed(asked)
    async with broker(stack) as (kafka, consumer):
        await kafka.send_and_wait(TOPIC, value, tenant_id.encode(), headers=headers)
        mine = {"service": "requests", "key": tenant_id.encode()}
        letter = eventually(lambda: oracle.state["dead_letters"].find_one(mine), "it may not ask for a stranger")
        assert letter["code"] == "UNAUTHORIZED_REQUEST"
        admin(stack, "organizations", "place", tenant_id, "--parent", parent.tenant_id)
        admin(stack, "dead-letters", "replay", letter["_id"])
        events = (await told(consumer, asked["request_id"]))[asked["request_id"]]
    assert events[-1]["tenant_id"] == tenant_id
    assert oracle.state["runs"].count_documents({"request_id": asked["request_id"]}) == 1


async def test_the_client_and_its_example(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str, tmp_path: Path
) -> None:
    mapping = [{"source": "sku", "target": "sku", "required": True}, {"source": "name", "target": "name"}]
    body = {"name": "example", "target_resource": resource, "import_mode": "append", "field_mapping": mapping}
    template_id = gateway.create_template(body)["id"]
    tenant_id = tenant_of(oracle, gateway, template_id)
    producer = Producer(stack, tenant_id, tmp_path)
    private = tmp_path / "private.pem"
    private.write_text(producer.private_pem)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHECKOUT / "clients/python/examples/kafka_service.py"), "--kafka", stack.kafka,
        "--organization", tenant_id, "--template", template_id, "--producer", producer.id, "--key", str(private),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, out.decode()
    assert "accepted: run" in out.decode()
    assert "completed: 2 written" in out.decode()

    signer = Signer(producer.id, producer.private_pem)
    seen: list[object] = []
    async with (
        ImportRequests(stack.kafka, signer) as requests,
        RunEvents(stack.kafka, f"e2e-{uuid4().hex}") as events,
        asyncio.timeout(SECONDS),
    ):
        asked = await requests.ask(tenant_id, template_id=template_id, rows=[{"sku": "C1"}], metadata={"by": "client"})
        await requests.send(asked)
        async for event in events:
            if event.request_id == asked.request_id:
                seen.append(event)
            accepted = any(isinstance(each, RequestAccepted) for each in seen)
            if accepted and any(isinstance(each, RunStatusChanged) and each.status in ENDED for each in seen):
                break
    assert oracle.target[resource].count_documents({"tenant_id": tenant_id}) == 3
