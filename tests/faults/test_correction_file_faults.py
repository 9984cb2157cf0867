"""Files of corrections whose services die at the worst moments."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_retrying import by_row
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("service", "point"),
    [
        ("gateway", "gateway.corrections_stored_before_submit"),
        ("gateway", "ledger.retry_stored_before_hint"),
        ("parser", "parser.corrections_read"),
        ("parser", "parser.corrections_claimed_before_commit"),
        pytest.param("parser", "parser.corrections_claimed_some", marks=pick),
        ("parser", "parser.batch_stored_before_announced"),
        ("writer", "writer.inserted_before_commit"),
    ],
)
def test_kill_while_a_file_of_corrections_is_retried(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    planted = planted_file(4_000, bad_share=0.2)
    run_id = drive(gateway, gateway.create_template(planted_template(resource))["id"], planted)
    content = gateway.http.get(f"/imports/runs/{run_id}/rejected?format=csv").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    sent, left = rows[:-10][::-1], {int(row["_row"]) for row in rows[-10:]}
    mended = {int(row["_row"]) for row in sent[5:]}
    for row in sent[5:]:
        row["email"] = f"mended{row['_row']}@example.com"
    corrected = io.StringIO()
    writer = csv.DictWriter(corrected, list(rows[0]))
    writer.writeheader()
    writer.writerows(sent)
    hits = armed(service, point)

    def retried() -> bool:
        """Again and again, also where nobody knows whether the last one was accepted."""
        file = {"file": ("corrected.csv", corrected.getvalue().encode())}
        try:
            gateway.http.post(f"/imports/runs/{run_id}/rejected", files=file, timeout=60)
        except httpx.TransportError:
            return False
        run = gateway.run_outliving_faults(run_id)
        states = None if run is None else run["rejected_rows"]
        return states is not None and states["retried_written"] == len(mended) and states["retrying"] == 0

    eventually(retried, "the corrected rows are written", 300)
    assert list(hits.iterdir()), "the failpoint was never passed"
    for retry in oracle.state["runs"].find({"parent_run_id": run_id, "status": "completed"}, {"_id": 1}):
        oracle.settled(retry["_id"])
    records = list(oracle.target[resource].find({}, {"sku": 1, "email": 1}))
    assert len(records) == len({each["sku"] for each in records}) == len(planted.valid) + len(mended)
    written = {each["email"] for each in records if each["email"].startswith("mended")}
    assert written == {f"mended{row}@example.com" for row in mended}
    states = {row: each["state"] for row, each in by_row(gateway, run_id).items()}
    assert {row for row, state in states.items() if state == "written"} == mended
    assert {row for row, state in states.items() if state == "open"} == left | {int(row["_row"]) for row in sent[:5]}
    assert oracle.state["runs"].count_documents({"_id": run_id, "retry_at_work": None}) == 1

    def no_file_is_left_without_its_run() -> bool:
        named = {each["_id"] for each in oracle.state["files.files"].find({}, {"_id": 1})}
        runs = {each["_id"] for each in oracle.state["runs"].find({}, {"_id": 1})}
        return {str(each) for each in named} <= runs

    eventually(no_file_is_left_without_its_run, "files of requests that were lost are removed", 150)
