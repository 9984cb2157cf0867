"""Bulk corrections whose gateway dies at the worst moments: each row is changed once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]
CHANGE = {"type": "replace", "old": "a", "new": "aa", "match": "part"}
"""Made twice it would be another."""


@pytest.mark.parametrize(
    ("service", "point"),
    [
        pytest.param("gateway", "gateway.bulk_changed_before_commit", marks=pick),
        ("gateway", "gateway.bulk_changed_some"),
        ("gateway", "gateway.dry_run_submitted"),
        ("gateway", "gateway.bulk_noted_before_commit"),
        ("validator", "validator.stored_before_advance"),
    ],
)
def test_kill_while_many_rows_are_corrected(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    planted = planted_file(12_000, bad_share=0.3)
    run_id = drive(gateway, gateway.create_template(planted_template(resource))["id"], planted)
    before = {each["row"]: each for each in oracle.state["rejected_records"].find({"run_id": run_id})}
    (code, field), *more = {(each["errors"][0]["code"], each["errors"][0]["field"]) for each in before.values()}
    assert (field, more) == ("email", [])
    body = {"code": code, "field": field, "change": CHANGE}
    counted = gateway.http.post(f"/imports/runs/{run_id}/correct-all?dry_run=true", json=body).json()
    hits = armed(service, point)

    def corrected() -> dict[str, Any] | None:
        """Again and again with the ``as_of`` of the count, also where nobody knows what became of the last one."""
        try:
            path = f"/imports/runs/{run_id}/correct-all"
            gateway.http.post(path, json={**body, "as_of": counted["as_of"]}, timeout=60)
            answer = gateway.http.get(path, timeout=60)
        except httpx.TransportError:
            return None
        done = answer.status_code == 200 and not answer.json()["dry_run"]
        return answer.json() if done else None

    eventually(corrected, "the rows are corrected", 300)
    assert list(hits.iterdir()), "the failpoint was never passed"
    made = oracle.state["bulk_corrections"].find_one({"_id": run_id})
    assert made is not None
    assert (made["state"], made["owner"], counted["changed_count"]) == ("done", None, len(before))
    for each in oracle.state["rejected_records"].find({"run_id": run_id}):
        mended = before[each["row"]]["cells"][made["at"]].replace("a", "aa")
        assert each["corrected"] == [[made["at"], mended]]
        assert (each["state"], each["revision"], each["checked"]) == ("corrected", 1, True)
        assert [error["code"] for error in each["remaining"]] == [code]

    def checks_are_purged() -> bool:
        return oracle.state["runs"].count_documents({"purpose": "check"}) == 0

    eventually(checks_are_purged, "nothing is left of checks", 150)
