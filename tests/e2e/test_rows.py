"""What became of every row, held against the file, in every mode and as every file."""

import csv
import io
import json
from collections import Counter
from typing import Any

import openpyxl
import pytest

from tests.client import GatewayClient, PlantedFile, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.e2e.test_reverting import reverted
from tests.oracle import Oracle

pytestmark = pytest.mark.servers
ROWS = 12_000
"""Three batches."""


def assert_adds_up(
    gateway: GatewayClient, oracle: Oracle, run: dict[str, Any], file: PlantedFile, resource: str
) -> dict[int, dict[str, Any]]:
    """Every row of the file is there once, in its order, with its cells, as the oracle and the run's counts say."""
    found = gateway.rows(run["id"], limit=1_000)
    assert [each["row"] for each in found] == list(range(1, file.rows + 1))
    cells = list(csv.DictReader(io.StringIO(file.content.decode())))
    assert [each["data"] for each in found] == cells
    rows = {each["row"]: each for each in found}
    outcomes = Counter(each["outcome"] for each in found)
    counts = ("created_count", "updated_count", "deleted_count", "unchanged_count", "rejected_count")
    expected = {name.removesuffix("_count"): run[name] for name in counts}
    expected["skipped"] = run["skipped_count"] - run["unchanged_count"]
    assert outcomes == Counter(expected)
    assert {row for row in rows if rows[row]["outcome"] == "rejected"} == file.rejected
    unwritten = {row for row in rows if rows[row]["outcome"] in {"skipped", "unchanged"}}
    assert unwritten == oracle.skipped_rows(run["id"])
    reasons = Counter(each["reasons"][0]["code"] for each in found if each["row"] in unwritten)
    assert reasons == Counter(run["skipped"])
    assert all(each["reasons"][0]["message"] for each in found if each["reasons"])
    for record in oracle.target[resource].find({"_import.run_id": run["id"]}, {"_import.row": 1, "is_deleted": 1}):
        row = rows[record["_import"]["row"]]
        assert row["record_id"] == str(record["_id"])
        assert (row["outcome"] == "deleted") == record["is_deleted"]
    for outcome in outcomes:
        assert gateway.rows(run["id"], outcome=outcome, limit=1_000) == [e for e in found if e["outcome"] == outcome]
    return rows


def assert_files_agree(gateway: GatewayClient, run_id: str, rows: dict[int, dict[str, Any]]) -> None:
    """The downloads hold what the pages hold."""
    address = f"/imports/runs/{run_id}/rows"
    answer = gateway.http.get(address, params={"format": "ndjson"})
    assert [json.loads(line) for line in answer.text.splitlines()] == list(rows.values())
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}-rows.ndjson"'
    table = list(csv.reader(io.StringIO(gateway.http.get(address, params={"format": "csv"}).text)))
    header, *lines = table
    assert header[:6] == ["_row", "_outcome", "_record_id", "_reasons", "_warnings", "_revert"]
    for line, row in zip(lines, rows.values(), strict=True):
        assert (int(line[0]), line[1], line[2]) == (row["row"], row["outcome"], row["record_id"] or "")
        assert dict(zip(header[6:], line[6:], strict=True)) == row["data"]
    content = gateway.http.get(address, params={"format": "xlsx"}).content
    sheet = openpyxl.load_workbook(io.BytesIO(content), read_only=True)["rows"]
    assert [["" if cell is None else str(cell) for cell in line] for line in sheet.values] == table
    head = gateway.http.head(address, params={"format": "csv"})
    assert (head.status_code, head.content) == (200, b"")


def test_an_append(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(ROWS)
    template = planted_template(resource)
    template_id = gateway.create_template(template)["id"]
    run = gateway.wait(gateway.upload(template_id, planted.content)["id"], "validated")
    before = Counter(row["outcome"] for row in gateway.rows(run["id"], limit=1_000))
    assert before == Counter(pending=len(planted.valid), rejected=len(planted.rejected))
    gateway.execute(run["id"])
    rows = assert_adds_up(gateway, oracle, gateway.wait(run["id"]), planted, resource)
    assert_files_agree(gateway, run["id"], rows)
    with_code = gateway.rows(run["id"], field="email", code="INVALID_EMAIL")
    assert with_code == gateway.rows(run["id"], outcome="rejected")
    assert gateway.rows(run["id"], field="name") == gateway.rows(run["id"], outcome="updated") == []
    reverted(gateway, run["id"])
    undone = gateway.rows(run["id"], outcome="reverted", limit=1_000)
    assert [row["row"] for row in undone] == sorted(planted.valid)
    assert {(row["outcome"], row["revert"]) for row in undone} == {("created", "reverted")}
    assert undone[0]["data"] == rows[undone[0]["row"]]["data"]


def test_an_upsert_with_deletions(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(ROWS, repeated_share=0.05)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    first = imported(gateway, planted.content, template)
    assert_adds_up(gateway, oracle, first, planted, resource)
    again = imported(gateway, planted.content, template)
    rows = {row["row"]: row for row in gateway.rows(again["id"], limit=1_000)}
    assert {row for row in rows if rows[row]["outcome"] == "unchanged"} == planted.valid.keys()
    assert gateway.rows(again["id"], code="UNCHANGED", limit=1_000) == gateway.rows(
        again["id"], outcome="unchanged", limit=1_000
    )
    deleting = planted.deleting(0.2)
    run = imported(gateway, deleting.content, {**template, "delete_column": "gone"})
    rows = assert_adds_up(gateway, oracle, run, deleting, resource)
    assert {row for row in rows if rows[row]["outcome"] == "deleted"} == deleting.deleted
    assert_files_agree(gateway, run["id"], rows)
    row, sku = next((row, sku) for row, sku in deleting.valid.items() if rows[row]["outcome"] == "updated")
    oracle.target[resource].update_one({"sku": sku}, {"$set": {"name": "by hand"}})
    reverted(gateway, run["id"])
    (kept,) = gateway.rows(run["id"], outcome="kept")
    assert (kept["row"], kept["outcome"], kept["revert"]) == (row, "updated", "kept")
    assert kept["kept"] == {"reason": "CHANGED", "fields": ["name"]}


def test_an_update(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    imported(gateway, planted_file(ROWS, bad_share=0).content, template)
    keys = {record["sku"] for record in oracle.target[resource].find({}, {"sku": 1}).limit(ROWS // 2)}
    oracle.target[resource].delete_many({"sku": {"$nin": list(keys)}})
    planted = planted_file(ROWS).deleting(0)
    run = imported(gateway, planted.content, {**template, "import_mode": "update"})
    rows = assert_adds_up(gateway, oracle, run, planted.only_with(keys), resource)
    assert Counter(row["outcome"] for row in rows.values())["updated"] > 0
    assert_files_agree(gateway, run["id"], rows)


def test_a_cancelled_run(gateway: GatewayClient, resource: str) -> None:
    planted = planted_file(ROWS)
    template_id = gateway.create_template(planted_template(resource))["id"]
    run = gateway.wait(gateway.upload(template_id, planted.content)["id"], "validated")
    gateway.try_cancel(run["id"])
    run = gateway.wait(run["id"])
    rows = gateway.rows(run["id"], limit=1_000)
    assert Counter(row["outcome"] for row in rows) == Counter(
        skipped=run["skipped_count"], rejected=run["rejected_count"]
    )
    assert len(rows) == planted.rows
    assert {row["reasons"][0]["code"] for row in rows if row["outcome"] == "skipped"} == {"CANCELLED"}
    assert all(row["data"] for row in rows)
