"""Writers die around what they tell of records; who follows `records.changed.v1` has the target in the end."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from deploy.local.stack import Stack
from libs.contracts.topics import RECORDS_CHANGED
from tests.client import GatewayClient, PlantedFile, eventually, planted_file, planted_template
from tests.faults.test_faults import armed, drive, every_second_row, pick  # noqa: F401 - fixtures
from tests.folding import everything_told, folded, shown
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(900)]
ROWS = min(int(os.environ.get("FAULT_ROWS", "20000")), 20_000)
UPSERT = {"import_mode": "upsert", "upsert_key": "sku", "record_events": "values"}


@pytest.fixture(scope="module")
def planted() -> PlantedFile:
    return planted_file(ROWS, repeated_share=0.01)


def assert_followed(stack: Stack, oracle: Oracle, tenant_id: str, resource: str) -> None:
    """A plain consumer that reads the topic from its beginning has exactly the target."""
    waiting = {"topic": RECORDS_CHANGED.name}
    eventually(lambda: oracle.state["outbox"].count_documents(waiting) == 0, "all changes are told", 120)
    told = [each for each in everything_told(stack.kafka) if each["resource"] == resource]
    assert folded(told, tenant_id, resource) == shown(oracle.target[resource].find())


@pytest.mark.parametrize(
    "point",
    [
        "writer.inserted_before_commit",
        pytest.param("ledger.committed_before_relay", marks=pick),
        "outbox.published_before_delete",
        "writer.written_before_advance",
    ],
)
def test_kill_while_records_are_written_and_taken_back(
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    stack: Stack,
    gateway: GatewayClient,
    oracle: Oracle,
    planted: PlantedFile,
    resource: str,
) -> None:
    template = planted_template(resource, **UPSERT)
    run_id = drive(gateway, gateway.create_template(template)["id"], every_second_row(planted))
    tenant_id = oracle.settled(run_id)["tenant_id"]
    hits = armed("writer", point)
    template = gateway.create_template({**template, "delete_column": "gone"})
    run_id = drive(gateway, template["id"], replace(planted.deleting(0.3)))
    oracle.settled(run_id)
    assert_followed(stack, oracle, tenant_id, resource)

    def reverted() -> bool:
        try:
            gateway.try_revert(run_id)
        except httpx.TransportError:
            return False
        run = gateway.run_outliving_faults(run_id)
        return run is not None and run["status"] == "reverted"

    eventually(reverted, f"run {run_id} is reverted", 300)
    assert_followed(stack, oracle, tenant_id, resource)
    assert list(hits.iterdir()), "the failpoint was never passed"
