"""A preview whose writer dies: another works it out, and it still says what the execution then does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client import GatewayClient, planted_file, planted_template
from tests.e2e.test_previews import assert_equals_execution, validated
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize("point", [pytest.param("writer.previewed_before_recorded", marks=pick)])
def test_kill_while_a_preview_is_worked_out(
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    drive(gateway, gateway.create_template(template)["id"], planted_file(6_000))
    run = validated(gateway, planted_file(12_000, bad_share=0.05, repeated_share=0.01).content, template)
    hits = armed("writer", point)
    assert_equals_execution(gateway, oracle, run, resource)
    assert list(hits.iterdir()), "the failpoint was never passed"
    preview = oracle.state["previews"].find_one({"_id": run["id"]})
    assert preview is not None
    assert (preview["state"], preview["owner"], preview["until"]) == ("done", None, None)
    assert preview["attempts"] > 1
