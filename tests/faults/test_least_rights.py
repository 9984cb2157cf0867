"""Every service does its work with the rights that ``deploy.mongodb_roles`` gives it, and has no others."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.kafka_rights import user_of
from deploy.local.stack import Stack
from deploy.mongodb_roles import SERVICES, role_of
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_kafka_requests import Producer, tenant_of
from tests.e2e.test_reverting import reverted
from tests.kafka_requests import TOPIC, request
from tests.oracle import Oracle
from tests.receiver import Receiver
from tests.secured import PRODUCER, STRANGER, AuthorizedKafka, send, stack_with_least_rights

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, AuthorizedKafka]]:
    with stack_with_least_rights(tmp_path_factory.mktemp("rights")) as started:
        yield started


@pytest.fixture(scope="module")
def stack(started: tuple[Stack, AuthorizedKafka]) -> Stack:
    return started[0]


@pytest.fixture(scope="module")
def kafka(started: tuple[Stack, AuthorizedKafka]) -> AuthorizedKafka:
    return started[1]


def refused_messages(stack: Stack) -> dict[str, float]:
    """Messages that Kafka has not taken, by service and topic."""
    return {
        f"{service} {sample.labels['topic']}": sample.value
        for service, processes in stack.services.items()
        for process in processes
        for family in text_string_to_metric_families(httpx.get(f"{process.url}/metrics", trust_env=False).text)
        if family.name == "rowdock_publish_failures"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


def test_imports_are_done_with_least_rights(
    gateway: GatewayClient, oracle: Oracle, resource: str, receiver: Receiver, stack: Stack
) -> None:
    planted = planted_file(12_000, bad_share=0.02)
    changes = {"import_mode": "upsert", "upsert_key": "sku", "webhook_url": receiver.url, "record_events": "ids"}
    template = gateway.create_template(planted_template(resource, **changes))
    run = gateway.wait(gateway.upload(template["id"], planted.content)["id"], "validated")
    gateway.execute(run["id"])
    run = gateway.wait(run["id"])
    oracle.assert_exactly_once(run["id"], planted, resource)
    retried = gateway.http.post(f"/imports/runs/{run['id']}/retry-all", params={"include_uncorrected": "true"})
    assert retried.status_code in {200, 201, 202}, retried.text
    gateway.wait(retried.json()["id"])
    assert gateway.http.get(f"/imports/runs/{run['id']}/rows", params={"limit": 100}).status_code == 200
    assert gateway.http.get(f"/records/{resource}").status_code == 200
    preview = gateway.wait(gateway.upload(template["id"], planted.content)["id"], "validated")
    previewed = gateway.http.post(f"/imports/runs/{preview['id']}/preview")
    assert previewed.status_code in {200, 202}, previewed.text
    assert reverted(gateway, run["id"])["status"] == "reverted"

    def told() -> bool:
        types = {body["type"] for _, body in receiver.verified(template["webhook_secret"])}
        return {"import.completed", "import.reverted"} <= types

    eventually(told, "webhooks arrive")
    for name in sorted(stack.services):
        log = (stack.directory / "logs" / f"{name}-1.log").read_text(errors="replace")
        assert "not authorized" not in log, name
        assert "MongoDB answers 13 " not in log, name
        assert "AuthorizationFailed" not in log, name
    assert refused_messages(stack) == {}


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "gateway"])
def test_a_worker_sees_no_keys_and_no_organizations(service: str, stack: Stack) -> None:
    uri = stack.mongodb.replace("alice:s3cret-of-alice", f"{role_of(service)}:s3cret-of-{service}")
    with MongoClient[dict[str, object]](uri) as client:
        state, target = client[stack.database], client[stack.target_database]
        assert state["runs"].find_one({}, {"_id": 1}) is not None
        for collection in ("api_keys", "organizations", "templates", "users", "idempotency_keys"):
            with pytest.raises(OperationFailure, match="not authorized"):
                state[collection].find_one({})
        if service != "writer":
            with pytest.raises(OperationFailure, match="not authorized"):
                target["anything"].insert_one({})


async def test_kafka_takes_requests_of_whom_it_was_told_and_of_nobody_else(
    kafka: AuthorizedKafka, gateway: GatewayClient, oracle: Oracle, stack: Stack, resource: str, tmp_path: Path
) -> None:
    template = gateway.create_template(planted_template(resource))
    tenant_id = tenant_of(oracle, gateway, template["id"])
    producer = Producer(stack, tenant_id, tmp_path)
    row = {"sku": "A1", "name": "Anvil", "email": "anvil@example.com"}
    value, headers = producer.signed(request(tenant_id, template_id=template["id"], rows=[row]))
    for user in (STRANGER, user_of("parser")):
        with pytest.raises(TopicAuthorizationFailedError):
            await send(kafka.settings_of(user), TOPIC, value, headers)
    await send(kafka.settings_of(PRODUCER), TOPIC, value, headers)
    eventually(lambda: oracle.target[resource].find_one({"sku": "A1"}), "what the producer asked for is imported")
    assert refused_messages(stack) == {}
