"""Requests on Kafka whose services die at the worst moments: none is lost, none makes two runs, each is answered."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stack import Stack
from tests.client import GatewayClient, eventually, planted_template
from tests.e2e.test_kafka_requests import Producer, tenant_of
from tests.faults.test_faults import armed, pick  # noqa: F401 - a fixture
from tests.kafka_requests import TOPIC, request
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

REQUESTS = 20
ROWS = 10


@pytest.mark.parametrize(
    "point",
    [
        "gateway.file_stored_before_submit",
        "ledger.stored_before_hint",
        "gateway.submitted_before_answer",
        pytest.param("requests.submitted_before_answer", marks=pick),
        "requests.refused_before_answer",
        "ledger.committed_before_relay",
        "outbox.published_before_delete",
        "requests.answered_before_commit",
        "requests.effect_before_commit",
    ],
)
def test_kill_while_requests_are_taken_in(
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    stack: Stack,
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
    tmp_path: Path,
) -> None:
    template_id = gateway.create_template(planted_template(resource))["id"]
    producer = Producer(stack, tenant_of(oracle, gateway, template_id), tmp_path)

    def rows(number: int) -> list[dict[str, str]]:
        return [
            {"sku": f"R{number}-{row}", "name": "x", "email": "a@example.com", "amount": "1", "day": "2024-02-29"}
            for row in range(ROWS)
        ]

    good = [request(producer.tenant_id, template_id=template_id, rows=rows(each)) for each in range(REQUESTS)]
    bad = [request(producer.tenant_id, template_id="0" * 24) for _ in range(REQUESTS)]
    given_up = {"key": producer.tenant_id.encode(), "service": "requests"}
    letters = oracle.state["dead_letters"].count_documents(given_up)
    hits = armed("requests", point)

    async def send() -> None:
        kafka = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
        await kafka.start()
        try:
            for pair in zip(good, bad, strict=True):
                for asked in pair:
                    value, headers = producer.signed(asked)
                    await kafka.send_and_wait(TOPIC, value, producer.tenant_id.encode(), headers=headers)
        finally:
            await kafka.stop()

    asyncio.run(send())
    wanted = {asked["request_id"] for asked in good}

    def completed() -> bool:
        runs = oracle.state["runs"].find({"request_id": {"$in": list(wanted)}}, {"status": 1})
        return [run["status"] for run in runs] == ["completed"] * REQUESTS

    eventually(completed, "every request has one run, which is completed", 300)
    assert any(hits.iterdir()), f"{point} was never passed"
    stack.wait_ready()
    named = {asked["request_id"] for asked in (*good, *bad)}

    def answered() -> bool:
        told = [event for event in oracle.messages("imports.run-events.v1") if event.get("request_id") in named]
        answers = {(each["request_id"], each["kind"], each["event_id"]) for each in told if "request-" in each["kind"]}
        expected = {(asked, "request-accepted") for asked in wanted}
        expected |= {(asked, "request-rejected") for asked in named - wanted}
        assert {answer[:2] for answer in answers} <= expected, "a request was answered in two ways"
        return len(answers) == len(named)

    eventually(answered, "every request is answered, under one id", 120)
    skus = [record["sku"] for record in oracle.target[resource].find({}, {"sku": 1})]
    assert len(skus) == len(set(skus)) == REQUESTS * ROWS
    assert oracle.state["dead_letters"].count_documents(given_up) == letters
    eventually(lambda: oracle.state["outbox"].count_documents({"service": "requests"}) == 0, "nothing waits", 60)
