"""Every service does its work with the rights that ``deploy.mongodb_roles`` gives it, and has no others."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.stack import Stack
from deploy.mongodb_roles import SERVICES, role_of
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_reverting import reverted
from tests.oracle import Oracle
from tests.receiver import Receiver
from tests.secured import stack_with_least_rights

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_with_least_rights(tmp_path_factory.mktemp("rights")) as started:
        yield started


def test_imports_are_done_with_least_rights(
    gateway: GatewayClient, oracle: Oracle, resource: str, receiver: Receiver, stack: Stack
) -> None:
    planted = planted_file(12_000, bad_share=0.02)
    changes = {"import_mode": "upsert", "upsert_key": "sku", "webhook_url": receiver.url}
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
