"""One template for an organization and those below it, through the whole stack."""

from typing import Any

import pytest

from deploy.local.stack import Stack, make_organization
from tests.client import GatewayClient, planted_file, planted_template
from tests.oracle import Oracle

pytestmark = pytest.mark.servers


def ended(gateway: GatewayClient, template_id: str, content: bytes, tenant_id: str | None = None) -> dict[str, Any]:
    """The run of a file once it is written."""
    form = {"template_id": template_id} | ({} if tenant_id is None else {"target_tenant_id": tenant_id})
    answer = gateway.http.post("/imports/upload", data=form, files={"file": ("rows.csv", content)})
    assert answer.is_success, answer.text
    run = gateway.wait(answer.json()["id"], "validated")
    gateway.execute(run["id"])
    return gateway.wait(run["id"])


def test_a_parent_imports_for_its_child(stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(12_000, repeated_share=0.05)
    shared = planted_template(resource, import_mode="upsert", upsert_key="sku", shared_with_children=True)
    template = gateway.create_template(shared)
    parent_id, records = template["tenant_id"], oracle.target[resource]
    with GatewayClient(stack.gateway, make_organization(stack, "child", parent_id)) as child:
        child_id = child.create_template(planted_template(f"{resource}_own"))["tenant_id"]
        run = ended(gateway, template["id"], planted.content, child_id)
        assert (run["status"], run["target_tenant_id"], run["created_count"]) == (
            "completed", child_id, len(planted.valid),
        )  # fmt: skip
        assert run["started_by"]["tenant_id"] == parent_id
        oracle.assert_exactly_once(run["id"], planted, resource)
        assert records.distinct("tenant_id") == [child_id]
        # The child sees it, and its own upload by the shared template finds the same records.
        assert child.run(run["id"])["written_count"] == run["written_count"]
        again = ended(child, template["id"], planted.content)
        assert (again["unchanged_count"], again["written_count"]) == (len(planted.valid), 0)
        # The keys of the one bind nothing of the other.
        own = ended(gateway, template["id"], planted.content)
        assert (own["created_count"], own["target_tenant_id"]) == (len(planted.valid), parent_id)
        assert gateway.rejected(run["id"], limit=5) == child.rejected(run["id"], limit=5) != []
        assert gateway.try_revert(run["id"]).is_success
        assert gateway.wait(run["id"], "reverted")["status"] == "reverted"
        assert records.distinct("tenant_id") == [parent_id]
        seen = child.http.get(f"/imports/runs/{own['id']}")
        assert (seen.status_code, seen.json()["code"]) == (404, "RUN_NOT_FOUND")
