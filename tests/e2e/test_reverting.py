"""Runs that are taken back, through the whole stack."""

from typing import Any

import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers


def records(oracle: Oracle, resource: str) -> dict[Any, dict[str, Any]]:
    return {record["_id"]: record for record in oracle.target[resource].find()}


def reverted(gateway: GatewayClient, run_id: str) -> dict[str, Any]:
    """The run once it is reverted."""
    assert gateway.try_revert(run_id).status_code in {200, 202}

    def ended() -> dict[str, Any] | None:
        run = gateway.run_outliving_faults(run_id)
        return run if run is not None and run["status"] == "reverted" else None

    return eventually(ended, f"run {run_id} is reverted")


def test_an_append_is_taken_back(gateway: GatewayClient, oracle: Oracle, resource: str, receiver: Receiver) -> None:
    planted = planted_file(12_000)
    before = records(oracle, resource)
    template = gateway.create_template(planted_template(resource, webhook_url=receiver.url))
    run = gateway.wait(gateway.upload(template["id"], planted.content)["id"], "validated")
    assert gateway.try_revert(run["id"]).json()["code"] == "WRONG_STATE"
    gateway.execute(run["id"])
    run = gateway.wait(run["id"])
    assert (run["reverted"], run["kept"]) == (None, [])
    assert run["revertible_until"] > run["created_at"]
    run = reverted(gateway, run["id"])
    oracle.assert_reverted(run["id"], before, resource)
    assert run["reverted"]["removed_count"] == len(planted.valid) == run["created_count"]
    assert run["revertible_until"] is None
    assert run["completed_at"] < run["finished_at"]
    refused = gateway.try_revert(run["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "WRONG_STATE")
    expected = ["import.completed", "import.reverted", "import.started", "import.validated"]

    def kinds() -> bool:
        return sorted(body["type"] for _, body in receiver.verified(template["webhook_secret"])) == expected

    eventually(kinds, "one webhook of each kind")


def test_an_upsert_with_deletions_is_taken_back_but_for_what_others_changed(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    planted = planted_file(12_000, repeated_share=0.05)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    imported(gateway, planted.content, template)
    deleting = planted.deleting(0.2)
    before = records(oracle, resource)
    run = imported(gateway, deleting.content, {**template, "delete_column": "gone"})
    row, sku = next((row, sku) for row, sku in deleting.valid.items() if row not in deleting.deleted)
    oracle.target[resource].update_one({"sku": sku}, {"$set": {"name": "by hand"}})
    run = reverted(gateway, run["id"])
    oracle.assert_reverted(run["id"], before, resource)
    (kept,) = run["kept"]
    assert (kept["row"], kept["reason"], kept["fields"]) == (row, "CHANGED", ["name"])
    assert run["reverted"]["returned_count"] == len(deleting.deleted)
    again = imported(gateway, planted.content, template)
    assert (again["created_count"], again["updated_count"], again["error"]) == (0, 1, None)
