"""Records as clients find them, held against what is in the database, through imports, changes and a revert."""

import csv
import io
import json
from typing import Any

import pytest

from tests.client import GatewayClient, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.e2e.test_reverting import reverted
from tests.oracle import Oracle

pytestmark = pytest.mark.servers
ROWS = 12_000
"""Three batches."""


def listed(gateway: GatewayClient, address: str, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    found: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        answer = gateway.http.get(address, params={"limit": 1_000, **query, **after})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if page["next_after"] is None:
            return found
        after = {"after": page["next_after"]}


def test_what_runs_write(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(ROWS)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    first = imported(gateway, planted.content, template)
    stored = {str(each["_id"]): each for each in oracle.target[resource].find({})}
    found = listed(gateway, f"/records/{resource}")
    assert [each["id"] for each in found] == sorted(stored)
    assert len(found) == first["created_count"]
    for each in found:
        record = stored[each["id"]]
        assert (each["fields"]["sku"], each["run_id"], each["row"]) == (
            record["sku"],
            first["id"],
            record["_import"]["row"],
        )
    one = found[len(found) // 2]
    assert listed(gateway, f"/records/{resource}", filter=f"sku:eq:{one['fields']['sku']}") == [one]
    assert gateway.http.get(f"/records/{resource}/{one['id']}").json() == one
    lines = gateway.http.get(f"/records/{resource}/export", params={"format": "ndjson"}).text.splitlines()
    assert [json.loads(line) for line in lines] == found
    table = csv.DictReader(io.StringIO(gateway.http.get(f"/records/{resource}/export").text))
    assert [line["_id"] for line in table] == [each["id"] for each in found]

    deleting = planted.deleting(0.2)
    run = imported(gateway, deleting.content, {**template, "delete_column": "gone"})
    assert len(listed(gateway, f"/records/{resource}")) == len(stored) - run["deleted_count"] + run["created_count"]
    everything = listed(gateway, f"/records/{resource}", include_deleted=True)
    assert sum(each["is_deleted"] for each in everything) == run["deleted_count"]
    written = listed(gateway, f"/imports/runs/{run['id']}/records")
    outcomes = {(each["row"], each["outcome"]) for each in written}
    rows = gateway.rows(run["id"], limit=1_000)
    expected = {(row["row"], row["outcome"]): row["record_id"] for row in rows}
    expected = {key: value for key, value in expected.items() if key[1] in {"created", "updated"}}
    assert outcomes == expected.keys()
    assert all(each["record"]["id"] == expected[each["row"], each["outcome"]] for each in written)
    assert [each["row"] for each in written] == sorted(each["row"] for each in written)
    file = gateway.http.get(f"/imports/runs/{run['id']}/records", params={"format": "ndjson"}).text.splitlines()
    assert [json.loads(line) for line in file] == [each["record"] for each in written]
    reverted(gateway, run["id"])
    assert listed(gateway, f"/imports/runs/{run['id']}/records") == []
    assert [each["id"] for each in listed(gateway, f"/records/{resource}")] == sorted(stored)
