"""Corrections and retries whose services die at the worst moments."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_retrying import by_row
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

CORRECTED = 5


@pytest.mark.parametrize(
    ("service", "point"),
    [
        ("gateway", "gateway.correction_stored_before_check"),
        ("gateway", "gateway.dry_run_submitted"),
        ("gateway", "ledger.retry_stored_before_hint"),
        pytest.param("gateway", "ledger.retry_settled_some", marks=pick),
        ("gateway", "ledger.retry_settled_before_noted"),
        pytest.param("parser", "parser.retry_claimed_some", marks=pick),
        ("parser", "parser.batch_stored_before_announced"),
        ("validator", "validator.stored_before_advance"),
        ("writer", "writer.inserted_before_commit"),
        ("writer", "writer.written_before_advance"),
    ],
)
def test_kill_while_rows_are_corrected_and_retried(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    planted = planted_file(4_000, bad_share=0.2)
    run_id = drive(gateway, gateway.create_template(planted_template(resource))["id"], planted)
    rows = by_row(gateway, run_id)
    chosen = sorted(rows)[:CORRECTED]
    hits = armed(service, point)

    def corrected(row: int) -> bool:
        body = {"corrected_data": {"email": f"mended{row}@example.com"}}
        try:
            answer = gateway.http.put(f"/imports/rejected/{rows[row]['id']}", json=body, timeout=60)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    for row in chosen:
        eventually(lambda row=row: corrected(row), f"row {row} is corrected", 120)

    def retried() -> bool:
        """Again and again, also where nobody knows whether the last one was accepted."""
        try:
            gateway.http.post(f"/imports/runs/{run_id}/retry-all?include_uncorrected=true", timeout=60)
        except httpx.TransportError:
            return False
        run = gateway.run_outliving_faults(run_id)
        states = None if run is None else run["rejected_rows"]
        return states is not None and states["retried_written"] == CORRECTED and states["retrying"] == 0

    eventually(retried, "the corrected rows are written", 300)
    assert list(hits.iterdir()), "the failpoint was never passed"
    for retry in oracle.state["runs"].find({"parent_run_id": run_id, "purpose": "retry"}, {"_id": 1}):
        oracle.settled(retry["_id"])
    records = list(oracle.target[resource].find({}, {"sku": 1, "email": 1}))
    assert len(records) == len({each["sku"] for each in records}) == len(planted.valid) + CORRECTED
    mended = {each["email"] for each in records if each["email"].startswith("mended")}
    assert mended == {f"mended{row}@example.com" for row in chosen}
    states = {each["row"]: each["state"] for each in oracle.state["rejected_records"].find({"run_id": run_id})}
    assert {row for row, state in states.items() if state == "written"} == set(chosen)
    assert {row for row, state in states.items() if state == "open"} == planted.rejected - set(chosen)
    run = oracle.state["runs"].find_one({"_id": run_id})
    assert run is not None
    assert (run["retry_at_work"], run["counts"]["rejected"]) == (None, len(planted.rejected))

    def checks_are_purged() -> bool:
        return oracle.state["runs"].count_documents({"purpose": "check"}) == 0

    eventually(checks_are_purged, "nothing is left of checks", 150)
