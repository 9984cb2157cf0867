"""What a run would do, held against what it then does, in every mode."""

from typing import Any

import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.e2e.test_syncs import csv_of, execute, sync_template
from tests.oracle import Oracle

pytestmark = pytest.mark.servers
ROWS = 12_000
SAMPLES = 10


def previewed(gateway: GatewayClient, run_id: str) -> dict[str, Any]:
    """The preview of a run, once it is worked out."""
    answer = gateway.http.post(f"/imports/runs/{run_id}/preview")
    assert answer.status_code in {200, 202}, answer.text

    def done() -> dict[str, Any] | None:
        found = gateway.http.get(f"/imports/runs/{run_id}/preview").json()
        return found if found["status"] == "done" else None

    return eventually(done, f"the preview of run {run_id}")


def validated(gateway: GatewayClient, content: bytes, template: dict[str, Any]) -> dict[str, Any]:
    template_id = gateway.create_template(template)["id"]
    return gateway.wait(gateway.upload(template_id, content)["id"], "validated")


def assert_equals_execution(
    gateway: GatewayClient, oracle: Oracle, run: dict[str, Any], resource: str
) -> dict[str, Any]:
    """The preview of a run changes nothing and says what the execution then does; it."""
    before = list(oracle.target[resource].find().sort("_id"))
    found = previewed(gateway, run["id"])
    assert list(oracle.target[resource].find().sort("_id")) == before
    assert gateway.run(run["id"])["status"] == "validated"
    version = {"preview_version": found["version"]}
    answer = gateway.http.post(f"/imports/runs/{run['id']}/execute", params=version)
    assert answer.status_code in {200, 202}, answer.text
    run = gateway.wait(run["id"])
    pairs = {
        "to_create": "created_count",
        "to_update": "updated_count",
        "to_delete": "deleted_count",
        "to_skip": "skipped_count",
        "unchanged_count": "unchanged_count",
        "rejected_count": "rejected_count",
        "total_rows": "total_rows",
        "skipped": "skipped",
    }
    assert {name: found[name] for name in pairs} == {name: run[other] for name, other in pairs.items()}
    rows = {row["row"]: row for row in gateway.rows(run["id"], limit=1_000)}
    held = {str(record["_id"]): record for record in before}
    samples = found["samples"]
    for kind, count in (("create", "to_create"), ("update", "to_update"), ("delete", "to_delete")):
        assert len(samples[kind]) == min(found[count], SAMPLES)
        assert {rows[sample["row"]]["outcome"] for sample in samples[kind]} <= {f"{kind}d"}
    for sample in samples["create"]:
        record = oracle.target[resource].find_one({"_import.run_id": run["id"], "_import.row": sample["row"]})
        assert record is not None
        assert (record["sku"], record["name"]) == (sample["after"]["sku"], sample["after"]["name"])
    for sample in samples["update"]:
        record = oracle.target[resource].find_one({"_import.run_id": run["id"], "_import.row": sample["row"]})
        assert record is not None
        assert str(record["_id"]) == sample["record_id"]
        for name, change in sample["changes"].items():
            assert (change["before"], change["after"]) == (held[sample["record_id"]].get(name), record[name])
    for sample in samples["skip"]:
        assert rows[sample["row"]]["reasons"][0]["code"] == sample["code"]
    return found


def test_an_append(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = validated(gateway, planted_file(ROWS).content, planted_template(resource))
    found = assert_equals_execution(gateway, oracle, run, resource)
    assert found["to_create"] > 0 == found["to_update"]
    refused = gateway.http.post(f"/imports/runs/{run['id']}/preview")
    assert (refused.status_code, refused.json()["code"]) == (409, "WRONG_STATE")


def test_an_upsert_with_deletions(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(ROWS, repeated_share=0.05)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    assert_equals_execution(gateway, oracle, validated(gateway, planted.content, template), resource)
    found = assert_equals_execution(gateway, oracle, validated(gateway, planted.content, template), resource)
    assert found["unchanged_count"] == len(planted.valid)
    run = validated(gateway, planted.deleting(0.2).content, {**template, "delete_column": "gone"})
    found = assert_equals_execution(gateway, oracle, run, resource)
    assert found["to_delete"] > 0 < found["to_update"]
    assert found["samples"]["update"][0]["changes"]["name"]["after"].startswith("Renamed ")


def test_an_update(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    imported(gateway, planted_file(ROWS // 2, bad_share=0).content, template)
    run = validated(gateway, planted_file(ROWS).deleting(0).content, {**template, "import_mode": "update"})
    found = assert_equals_execution(gateway, oracle, run, resource)
    assert found["skipped"]["NOT_FOUND"] > 0 < found["to_update"]


def test_a_sync(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = sync_template(resource)
    first = validated(gateway, csv_of(range(200)), template)
    assert previewed(gateway, first["id"])["to_delete"] == 0
    assert execute(gateway, first["id"]).status_code in {200, 202}
    gateway.wait(first["id"])
    run = validated(gateway, csv_of(range(20, 230), price="2.00"), template)
    before = list(oracle.target[resource].find().sort("_id"))
    found = previewed(gateway, run["id"])
    assert list(oracle.target[resource].find().sort("_id")) == before
    assert (found["to_create"], found["to_update"], found["to_delete"]) == (30, 180, 20)
    missing = {str(record["_id"]) for record in before if record["sku"] < "S000020"}
    assert {(sample["row"], sample["record_id"] in missing) for sample in found["samples"]["delete"]} == {(None, True)}
    assert execute(gateway, run["id"], "true").status_code in {200, 202}
    run = gateway.wait(run["id"])
    assert (run["created_count"], run["updated_count"], run["deleted_count"]) == (30, 180, 20)


def test_values_that_others_hold(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    """What only the writer would find: another template of the organization has made e-mail addresses unique."""
    by_email = planted_template(resource, import_mode="upsert", upsert_key="email")
    imported(gateway, planted_file(ROWS // 2, bad_share=0).content.replace(b"\nS", b"\nT"), by_email)
    run = validated(gateway, planted_file(ROWS).content, planted_template(resource))
    found = assert_equals_execution(gateway, oracle, run, resource)
    assert found["samples"]["reject"][0]["errors"][0]["code"] == "DUPLICATE_KEY"


def test_a_target_that_has_changed_since(gateway: GatewayClient, resource: str) -> None:
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    run = validated(gateway, planted_file(50).content, template)
    assert gateway.http.get(f"/imports/runs/{run['id']}/preview").json()["code"] == "NO_PREVIEW"
    previewed(gateway, run["id"])
    other = imported(gateway, planted_file(20).content, template)
    refused = gateway.try_execute(run["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "PREVIEW_OUTDATED")
    assert other["id"] in refused.json()["detail"]
    assert f"created {other['created_count']}" in refused.json()["detail"]
    old = gateway.http.post(f"/imports/runs/{run['id']}/execute", params={"preview_version": "of yesterday"})
    assert (old.status_code, old.json()["code"]) == (409, "PREVIEW_OUTDATED")
    assert previewed(gateway, run["id"])["unchanged_count"] > 0
    assert gateway.try_execute(run["id"]).status_code in {200, 202}
    assert gateway.wait(run["id"])["status"] == "completed"
    again = validated(gateway, planted_file(50).content, template)
    previewed(gateway, again["id"])
    imported(gateway, planted_file(10).content, template)
    ignoring = {"ignore_changes": "true"}
    assert gateway.http.post(f"/imports/runs/{again['id']}/execute", params=ignoring).status_code in {200, 202}


def test_a_file_of_which_nothing_is_kept(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    imported(gateway, planted_file(100, bad_share=0).content, template)
    before = list(oracle.target[resource].find().sort("_id"))
    runs = oracle.state["runs"].count_documents({})
    planted = planted_file(200, bad_share=0.1)
    template_id = gateway.create_template(template)["id"]
    answer = gateway.http.post(
        "/imports/preview", data={"template_id": template_id}, files={"file": ("p.csv", planted.content)}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["status"], found["run_id"], found["version"], found["total_rows"]) == ("done", None, None, 200)
    assert (found["rejected_count"], len(found["errors"])) == (len(planted.rejected), len(planted.rejected))
    assert found["to_create"] + found["unchanged_count"] == len(planted.valid)
    assert list(oracle.target[resource].find().sort("_id")) == before
    assert oracle.state["runs"].count_documents({}) == runs
    assert oracle.state["previews"].count_documents({"state": {"$ne": "done"}}) == 0
    refused = gateway.http.post(
        "/imports/preview", data={"template_id": template_id}, files={"file": ("p.csv", b"other\nx\n")}
    )
    assert (refused.status_code, refused.json()["status"]) == (200, "failed")
    assert refused.json()["error"]["code"] == "MISSING_COLUMNS"
