"""A sync whose writers die at the worst moments: what the file does not hold goes once, and nothing else."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.client import GatewayClient, PlantedFile, eventually, planted_template
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]
ROWS = 40_000
GONE = 12_000


def planted_numbers(numbers: Iterable[int], name: str) -> PlantedFile:
    """A file with one sound row for each number."""
    keys = [f"S{number:08d}" for number in numbers]
    lines = [f"{key},{name} {key},{key.lower()}@example.com,1.50,2024-02-29\n" for key in keys]
    content = "sku,name,email,amount,day\n" + "".join(lines)
    return PlantedFile(content.encode(), dict(enumerate(keys, start=1)), frozenset())


def sync_template(resource: str) -> dict[str, Any]:
    return planted_template(
        resource,
        import_mode="sync",
        upsert_key="sku",
        scope_filter={"source": "erp"},
        default_values={"source": "erp"},
    )


@pytest.mark.parametrize(
    ("service", "point"),
    [
        ("writer", "writer.sync_batch_laid_down"),
        pytest.param("writer", "writer.sync_planned_before_recorded", marks=pick),
        ("writer", "ledger.committed_before_relay"),
        ("writer", "ledger.deletions_released_before_announced"),
        pytest.param("writer", "writer.swept_before_commit", marks=pick),
        ("writer", "writer.swept_before_advance"),
    ],
)
def test_kill_while_a_sync_deletes(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    template_id = gateway.create_template(sync_template(resource))["id"]
    gateway.confirm_deletes = "true"
    drive(gateway, template_id, planted_numbers(range(ROWS), "Name"))
    before = {record["_id"]: record for record in oracle.target[resource].find()}
    hits = armed(service, point)
    held = planted_numbers(range(GONE, ROWS + 1_000), "Renamed")
    run_id = drive(gateway, template_id, held)
    run = oracle.assert_exactly_once(run_id, held, resource)
    assert run["counts"]["not_in_file"] == GONE
    gone = list(oracle.target[resource].find({"is_deleted": True}, {"sku": 1, "_import": 1}))
    assert {record["sku"] for record in gone} == {f"S{number:08d}" for number in range(GONE)}
    assert {record["_import"]["version"] for record in gone} == {2}
    oracle.assert_before_images(run_id, ROWS)
    assert oracle.state["runs"].count_documents({"syncing.slot": {"$type": "string"}}) == 0
    assert list(hits.iterdir()), "the failpoint was never passed"
    gateway.try_revert(run_id)
    eventually(lambda: gateway.run(run_id)["status"] == "reverted", "the sync is taken back", 120)
    oracle.assert_reverted(run_id, before, resource)
