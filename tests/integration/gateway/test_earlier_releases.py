"""What release 0.1 stored, seen through the interface of today."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from libs.storage.client import Mongo
from tests.compatibility.inputs import EVERYTHING
from tests.compatibility.snapshots import RELEASE_0_1, Document, Snapshot, load_secrets

pytestmark = pytest.mark.servers

ENDED = ("run_completed", "run_cancelled", "run_failed_for_its_rows", "run_failed_as_a_whole")


@pytest.fixture
async def customer(app: Litestar, mongo: Mongo) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of that release's organization, beside what it had."""
    for name in ("configuration", *ENDED, "run_validated", "run_validated_everything"):
        for collection, documents in Snapshot.load(RELEASE_0_1 / f"{name}.json").state.items():
            known = [document["_id"] for document in documents]
            await mongo.state[collection].delete_many({"_id": {"$in": known}})
            await mongo.state[collection].insert_many(documents)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {load_secrets(RELEASE_0_1)['api_key']}"},
    ) as client:
        yield client


def stored(name: str, collection: str = "runs") -> Document:
    return Snapshot.load(RELEASE_0_1 / f"{name}.json").one(collection)


async def templates(customer: httpx.AsyncClient) -> dict[str, Document]:
    answer = await customer.get("/imports/templates", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    return {template["name"]: template for template in answer.json()["data"]}


async def test_a_template_is_shown_as_it_was_sent_and_can_be_sent_back(customer: httpx.AsyncClient) -> None:
    shown = (await templates(customer))["everything"]
    for member, sent in EVERYTHING.items():
        if member != "field_mapping":
            assert shown[member] == sent, member
    targets = [field["target"] for field in EVERYTHING["field_mapping"]]
    assert [field["target"] for field in shown["field_mapping"]] == targets
    replaced = await customer.put(f"/imports/templates/{shown['id']}", json=shown)
    assert replaced.status_code == 200, replaced.text
    unchanged = {**shown, "version": 2, "updated_at": replaced.json()["updated_at"]}
    assert replaced.json() == unchanged


async def test_templates_that_only_the_model_knew_are_shown(customer: httpx.AsyncClient) -> None:
    shown = await templates(customer)
    assert "deleted" not in shown
    assert shown["in the model only: sync"]["scope_filter"]["region"] == "north"
    assert shown["in the model only: deleting rows"]["delete_column"] == "gone"
    assert shown["webhooks_410"]["webhook_url"].endswith("/410")


@pytest.mark.parametrize("name", ENDED)
async def test_a_run_is_shown_with_its_end(customer: httpx.AsyncClient, name: str) -> None:
    run = stored(name)
    answer = await customer.get(f"/imports/runs/{run['_id']}")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["status"] == run["status"]
    for shown_as, counted in (("total_rows", "rows"), ("written_count", "written"), ("rejected_count", "rejected")):
        assert shown[shown_as] == run["counts"][counted]
    assert shown["skipped"] == run["counts"]["skip_reasons"]
    assert (shown["error"] or {}).get("code") == (run["failure"] or {}).get("code")


async def test_runs_are_listed(customer: httpx.AsyncClient) -> None:
    answer = await customer.get("/imports/runs", params={"limit": 100})
    assert {stored(name)["_id"] for name in ENDED} <= {run["id"] for run in answer.json()["data"]}


async def test_rejected_rows_are_listed(customer: httpx.AsyncClient) -> None:
    answer = await customer.get("/imports/rejected", params={"run_id": stored("run_completed")["_id"]})
    rows = answer.json()["data"]
    assert [(row["row"], row["errors"][0]["code"]) for row in rows] == [(3, "NOT_A_NUMBER"), (8, "EXTRA_CELLS")]


async def test_a_validated_run_may_be_executed(customer: httpx.AsyncClient, mongo: Mongo) -> None:
    run_id = stored("run_validated")["_id"]
    answer = await customer.post(f"/imports/runs/{run_id}/execute")
    assert answer.status_code == 202, answer.text
    run = await mongo.state["runs"].find_one({"_id": run_id})
    assert run is not None
    assert run["status"] == "executing"
