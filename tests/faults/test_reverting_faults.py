"""A revert whose writers die at the worst moments, or whose messages are lost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.client import GatewayClient, PlantedFile, eventually, planted_template
from tests.faults.test_faults import armed, drive, every_second_row, pick, planted, template_id  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("service", "point"),
    [
        ("writer", "writer.read_before_reverted"),
        pytest.param("writer", "writer.reverted_before_commit", marks=pick),
        ("writer", "writer.reverted_before_advance"),
        ("writer", "ledger.announced_before_published"),
        ("gateway", "ledger.committed_before_relay"),
    ],
)
def test_kill_while_a_run_is_taken_back(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    template_id: str,  # noqa: F811
    planted: PlantedFile,  # noqa: F811
    resource: str,
) -> None:
    drive(gateway, template_id, every_second_row(planted))
    before = {record["_id"]: record for record in oracle.target[resource].find()}
    template = planted_template(resource, import_mode="upsert", upsert_key="sku", delete_column="gone")
    deleting = planted.deleting(0.3)
    run_id = drive(gateway, gateway.create_template(template)["id"], replace(deleting))
    oracle.settled(run_id)
    hits = armed(service, point)

    def ended() -> bool:
        try:
            gateway.try_revert(run_id)
        except httpx.TransportError:
            return False
        run = gateway.run_outliving_faults(run_id)
        return run is not None and run["status"] == "reverted"

    eventually(ended, f"run {run_id} is reverted", 300)
    run = oracle.assert_reverted(run_id, before, resource)
    assert run["reverted"]["kept"] == 0
    assert {status for _, status in oracle.terminal_events(run_id)} == {"completed", "reverted"}
    assert len(oracle.terminal_events(run_id)) == 2
    assert list(hits.iterdir()), "the failpoint was never passed"
