"""Nobody waits for the end of somebody else's import, however large it is, whatever is in it, however many they are."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from bson import ObjectId
from pymongo.read_concern import ReadConcern

from deploy.local.stack import Stack
from tests.client import TERMINAL, GatewayClient, eventually
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 10.0
"""Generous: on an idle machine a tiny import takes 0.2 s, and behind the whole of a large one it takes minutes."""
ROWS = 150_000


@pytest.fixture
def neighbour(stack: Stack, oracle: Oracle) -> Iterator[GatewayClient]:
    """A client of another organization."""
    key, tenant, now = "sk_live_" + secrets.token_urlsafe(32), str(ObjectId()), datetime.now(UTC)
    oracle.state["organizations"].insert_one({"_id": tenant, "name": "neighbour", "created_at": now})
    oracle.state["api_keys"].insert_one(
        {
            "_id": str(ObjectId()),
            "tenant_id": tenant,
            "name": "neighbour",
            "prefix": key[:14],
            "digest": hashlib.sha256(key.encode()).hexdigest(),
            "created_at": now,
            "revoked_at": None,
            "last_used_at": None,
        }
    )
    with GatewayClient(stack.gateway, key) as client:
        yield client


def template(client: GatewayClient, resource: str) -> str:
    fields = [{"target": "sku"}, {"target": "name"}]
    body = {"name": "fair", "target_resource": resource, "field_mapping": fields, "auto_execute": True}
    return client.create_template(body)["id"]


def tiny_import(client: GatewayClient, template_id: str) -> float:
    """Seconds that an import of two rows takes."""
    began = time.monotonic()
    run = client.upload(template_id, b"sku,name\n1,a\n2,b\n")
    run = client.wait(run["id"])
    assert (run["status"], run["written_count"]) == ("completed", 2)
    return time.monotonic() - began


def large_file(rows: int) -> bytes:
    return b"sku,name\n" + b"".join(b"%d,name of %d\n" % (row, row) for row in range(rows))


def under_way(oracle: Oracle, template_id: str, **of_run: object) -> list[str]:
    """Ids of runs of a template that have not ended."""
    query = {"template_id": template_id, "status": {"$nin": sorted(TERMINAL)}, **of_run}
    # As the gateway sees them: a run that is not yet on the majority of the servers is none.
    runs = oracle.state["runs"].with_options(read_concern=ReadConcern("majority"))
    return [run["_id"] for run in runs.find(query, {"_id": 1})]


def test_tiny_imports_beside_a_large_one_in_each_of_its_phases(
    gateway: GatewayClient, neighbour: GatewayClient, oracle: Oracle, resource: str
) -> None:
    large, tiny = template(gateway, resource), template(neighbour, resource)
    with ThreadPoolExecutor(1) as pool:
        uploaded = pool.submit(gateway.upload, large, large_file(ROWS))
        run_id = eventually(lambda: under_way(oracle, large), "the large run exists")[0]
        beside: dict[str, float] = {}
        while (status := gateway.run(run_id)["status"]) not in TERMINAL:
            beside[status] = max(beside.get(status, 0.0), tiny_import(neighbour, tiny))
        assert uploaded.result()["id"] == run_id
    assert status == "completed"
    assert {"validating", "executing"} <= beside.keys()
    assert max(beside.values()) < PATIENCE_SECONDS, beside
    assert gateway.run(run_id)["written_count"] == ROWS


@pytest.mark.parametrize("hostile", [b'"' * (16 << 20), b'"x","",' * (2 << 20)], ids=["quotes", "one_record_of_cells"])
def test_tiny_imports_beside_a_file_that_is_slow_to_read(
    hostile: bytes, gateway: GatewayClient, neighbour: GatewayClient, oracle: Oracle, resource: str
) -> None:
    slow, tiny = template(gateway, resource), template(neighbour, resource)
    with ThreadPoolExecutor(1) as pool:
        uploaded = pool.submit(gateway.upload, slow, b"sku,name\n" + hostile)
        run_id = eventually(lambda: under_way(oracle, slow), "the slow run exists")[0]
        assert max(tiny_import(neighbour, tiny) for _ in range(5)) < PATIENCE_SECONDS
        uploaded.result()
    assert gateway.wait(run_id)["status"] in TERMINAL


def test_many_runs_of_one_organization_leave_room_for_one_of_another(
    gateway: GatewayClient, neighbour: GatewayClient, oracle: Oracle, resource: str
) -> None:
    """Small and large ones, all at once: the neighbour's overtakes those that wait."""
    crowd, tiny = template(gateway, resource), template(neighbour, resource)
    small, large = large_file(2_000), large_file(ROWS // 2)
    contents = [large if number % 8 == 0 else small for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        uploads = [pool.submit(gateway.upload, crowd, content) for content in contents]
        eventually(lambda: len(under_way(oracle, crowd)) >= 6, "some of them wait")
        assert tiny_import(neighbour, tiny) < PATIENCE_SECONDS
        large_of_neighbour = neighbour.upload(tiny, large)["id"]
        assert neighbour.wait(large_of_neighbour)["status"] == "completed"
        runs = [upload.result()["id"] for upload in uploads]
    for run_id, content in zip(runs, contents, strict=True):
        run = gateway.wait(run_id)
        assert (run["status"], run["written_count"]) == ("completed", content.count(b"\n") - 1)


def test_two_large_files_of_one_organization_are_read_side_by_side(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    template_id, content = template(gateway, resource), large_file(5 * ROWS)
    with ThreadPoolExecutor(2) as pool:
        uploads = [pool.submit(gateway.upload, template_id, content) for _ in range(2)]
        being_read = {"parse.closed": False, "parse.batches": {"$gt": 0}}
        eventually(lambda: len(under_way(oracle, template_id, **being_read)) == 2, "both are being read")
        runs = [upload.result()["id"] for upload in uploads]
    for run_id in runs:
        gateway.cancel(run_id)
    assert [gateway.wait(run_id)["status"] for run_id in runs] == ["cancelled"] * 2
