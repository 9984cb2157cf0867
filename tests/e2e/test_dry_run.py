"""Dry runs through the whole stack: the verdict of a run, and no trace of them anywhere."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from bson import ObjectId

from libs.contracts.topics import RUN_EVENTS
from tests.client import GatewayClient, planted_file, planted_template
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers
SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()


def dry_run(gateway: GatewayClient, content: bytes, name: str = "rows.csv", **parts: str) -> httpx.Response:
    return gateway.http.post("/imports/dry-run", data=parts, files={"file": (name, content)})


def kept(oracle: Oracle, since: ObjectId) -> dict[str, int]:
    """How many documents of runs that began after ``since`` every collection holds."""
    owners = ("run_id", "import_id", "key")
    newer: list[dict[str, Any]] = [{"_id": {"$gte": since}}, {"files_id": {"$gte": since}}]
    newer += [{owner: {"$gte": str(since), "$lt": "g"}} for owner in owners]
    newer += [{"_id": {"$gte": str(since), "$lt": "g"}}]
    configuration = {"templates", "webhook_endpoints", "outbox"}
    names = set(oracle.state.list_collection_names()) - configuration
    return {name: oracle.state[name].count_documents({"$or": newer}) for name in sorted(names)}


def told(oracle: Oracle) -> set[str]:
    return {event["event_id"] for event in oracle.run_events()}


def now() -> ObjectId:
    return ObjectId.from_datetime(datetime.now(UTC))


@pytest.mark.parametrize("saved", [True, False], ids=["saved template", "template in the form"])
def test_the_verdict_of_a_run_and_nothing_left(
    gateway: GatewayClient, oracle: Oracle, receiver: Receiver, resource: str, saved: bool
) -> None:
    planted = planted_file(6_000, bad_share=0.4, repeated_share=0.02)
    template = planted_template(
        resource,
        import_mode="upsert",
        upsert_key="sku",
        auto_execute=True,
        webhook_url=receiver.url,
        webhook_secret=SECRET,
    )
    form = {"template_id": gateway.create_template(template)["id"]} if saved else {"template": json.dumps(template)}
    since, events = now(), told(oracle)
    before = kept(oracle, since)
    answer = dry_run(gateway, planted.content, **form)
    assert answer.status_code == 200, answer.text
    assert kept(oracle, since) == before
    found: dict[str, Any] = answer.json()
    assert found["status"] == "validated", found["error"]
    assert found["total_rows"] == planted.rows
    assert found["valid_rows"] == len(planted.valid)
    assert found["rejected_count"] == len(planted.rejected)
    assert found["skipped"] == {"DUPLICATE_UPSERT_KEY": len(planted.skipped)}
    assert [error["row"] for error in found["errors"]] == sorted(planted.rejected)[:1_000]
    assert found["preview_rows"]
    assert found["plan"]["mapping"]["email"] == "email"
    # A run after it gets the same verdict; by the time it is told of, the dry run would have been told of too.
    real = gateway.create_template(planted_template(f"{resource}_run", import_mode="upsert", upsert_key="sku"))
    run = gateway.wait(gateway.upload(real["id"], planted.content)["id"], "validated")
    for same in ("total_rows", "valid_rows", "rejected_count", "skipped", "errors", "preview_rows", "plan"):
        assert run[same] == found[same], same
    gateway.cancel(run["id"])
    oracle.settled(run["id"])
    new = [event for event in oracle.run_events() if event["event_id"] not in events]
    assert {event["run_id"] for event in new} == {run["id"]}
    assert oracle.state["outbox"].count_documents({"topic": RUN_EVENTS.name}) == 0
    assert not list(receiver.verified(SECRET))
    assert oracle.target[resource].count_documents({}) == 0


def test_a_file_that_a_run_would_refuse(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(500, bad_share=0.1)
    template = json.dumps(planted_template(resource, invalid_rows="block"))
    since = now()
    before = kept(oracle, since)
    blocked = dry_run(gateway, planted.content, template=template).json()
    assert (blocked["status"], blocked["error"]["code"]) == ("failed", "INVALID_ROWS")
    assert blocked["rejected_count"] == len(planted.rejected)
    unreadable = dry_run(gateway, b"sku\nS1\n", template=template).json()
    assert (unreadable["status"], unreadable["error"]["code"]) == ("failed", "MISSING_COLUMNS")
    lying = dry_run(gateway, b"PK\x03\x04" + bytes(100), template=template)
    assert (lying.status_code, lying.json()["code"]) == (415, "UNSUPPORTED_FILE")
    assert kept(oracle, since) == before


def test_several_at_once(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    files = [planted_file(2_000, seed=seed) for seed in range(8)]
    template = json.dumps(planted_template(resource))
    since = now()
    before = kept(oracle, since)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda planted: dry_run(gateway, planted.content, template=template), files))
    assert [answer.json()["valid_rows"] for answer in answers] == [len(planted.valid) for planted in files]
    assert kept(oracle, since) == before


def test_a_client_that_leaves(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = json.dumps(planted_template(resource))
    since = now()
    before = kept(oracle, since)
    with pytest.raises(httpx.ReadTimeout):
        gateway.http.post(
            "/imports/dry-run",
            data={"template": template},
            files={"file": ("rows.csv", planted_file(100_000).content)},
            timeout=httpx.Timeout(60, read=0.2),
        )
    deadline = time.monotonic() + 60
    while kept(oracle, since) != before:
        assert time.monotonic() < deadline, kept(oracle, since)
