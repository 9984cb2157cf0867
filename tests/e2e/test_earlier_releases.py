"""What release 0.1 left is finished by the services of today, and what they write release 0.1 can read."""

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jsonschema
import pytest
from bson import ObjectId

from deploy.local.stack import Stack
from libs.contracts.topics import BATCH_PARSED, BATCH_READY, RUN_EVENTS, RUN_SUBMITTED
from libs.storage.documents import DOCUMENTS
from tests.client import GatewayClient, PlantedFile, eventually, planted_file, planted_template
from tests.compatibility.inputs import FORMATS
from tests.compatibility.snapshots import RELEASE_0_1, Document, Snapshot, load_secrets
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

APPENDED = PlantedFile(
    b"", {1: "S1", 2: "S2", 4: "S4", 5: "S5", 6: "S2", 7: "S6", 9: "S8", 10: "S9"}, frozenset({3, 8})
)
UPSERTED = PlantedFile(
    b"", {1: "S1", 4: "S4", 5: "S5", 6: "S2", 7: "S6", 9: "S8", 10: "S9"}, frozenset({3, 8}), frozenset({2})
)
"""The rows of ``tests.compatibility.inputs.ROWS``."""
WITHOUT_THE_LONG_ROW = PlantedFile(b"", {**APPENDED.valid, 8: "S7"}, frozenset({3}))
KEPT = PlantedFile(b"", {**APPENDED.valid, 3: "S3"}, frozenset({8}))
OVER_THE_BASE = PlantedFile(
    b"", {row: sku for row, sku in UPSERTED.valid.items() if row != 1}, frozenset({3, 8}), frozenset({1, 2})
)
EVERYTHING = PlantedFile(b"", {2: "S2", 3: "S3", 4: "S1"}, frozenset(), frozenset({1}))

EVENTS = {
    RUN_SUBMITTED.name: "RunSubmitted",
    BATCH_PARSED.name: "BatchParsed",
    BATCH_READY.name: "BatchReady",
    RUN_EVENTS.name: "RunStatusChanged",
}

OPEN = {
    "pending": UPSERTED,
    "begun": UPSERTED,
    "parsed": UPSERTED,
    **{f"parsing_{name}": WITHOUT_THE_LONG_ROW for name in FORMATS},
    "checked": UPSERTED,
    "settling": UPSERTED,
    "validated": KEPT,
    "validated_everything": EVERYTHING,
    "executing": OVER_THE_BASE,
}
"""What has to become of the rows of each run that the release left under way."""


def left(name: str) -> Snapshot:
    """What the release left, as if it had been an hour ago."""
    snapshot = Snapshot.load(RELEASE_0_1 / f"{name}.json")
    return snapshot.brought_to(datetime.now(UTC) - timedelta(hours=1))


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Iterator[GatewayClient]:
    """A client with the key of that release's organization."""
    oracle = Oracle(stack)
    left("configuration").restore(oracle.state, oracle.target)
    oracle.close()
    with GatewayClient(stack.gateway, load_secrets(RELEASE_0_1)["api_key"]) as client:
        yield client


def test_runs_under_way_are_finished(customer: GatewayClient, oracle: Oracle) -> None:
    runs: dict[str, Document] = {}
    for name in OPEN:
        snapshot = left(f"run_{name}")
        snapshot.restore(oracle.state, oracle.target)
        runs[name] = snapshot.one("runs")
    for name, planted in OPEN.items():
        run_id, resource = runs[name]["_id"], runs[name]["template"]["target_resource"]
        if customer.wait(run_id, "validated")["status"] == "validated":
            customer.execute(run_id)
        customer.wait(run_id)
        oracle.assert_exactly_once(run_id, planted, resource)


def test_a_stop_that_was_requested_is_finished(customer: GatewayClient, oracle: Oracle) -> None:
    stopping = left("run_stopping")
    stopping.restore(oracle.state, oracle.target)
    run_id = stopping.one("runs")["_id"]
    shown = customer.wait(run_id)
    assert (shown["status"], shown["error"]["code"]) == ("cancelled", "CANCELLED")
    run = oracle.settled(run_id)
    written = sum(batch["rows"] for batch in stopping.state["batches"] if batch["state"] == "written")
    assert run["counts"]["written"] + run["counts"]["rejected"] + run["counts"]["skipped"] == run["counts"]["rows"]
    assert 0 < run["counts"]["written"] <= written
    oracle.assert_nothing_left(run)


def test_a_dry_run_whose_gateway_died_leaves_nothing(customer: GatewayClient, oracle: Oracle) -> None:
    snapshot = left("run_dry_run")
    snapshot.restore(oracle.state, oracle.target)
    run_id = snapshot.one("runs")["_id"]
    assert customer.http.get(f"/imports/runs/{run_id}").status_code == 404
    eventually(lambda: oracle.state["runs"].find_one({"_id": run_id}) is None, "the dry run is purged")
    for collection in ("batches", "batch_payloads", "rejected_records"):
        assert oracle.state[collection].count_documents({"run_id": run_id}) == 0
    assert oracle.state["files.chunks"].count_documents({"files_id": ObjectId(run_id)}) == 0


# --- the other way about ----------------------------------------------------------------------------


@cache
def validator(model: str) -> jsonschema.Draft202012Validator:
    """What a model of release 0.1 reads."""
    schemas = json.loads((RELEASE_0_1 / "schemas.json").read_text())
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{model}", "$defs": schemas["$defs"]})


def as_json(value: Any) -> Any:  # noqa: ANN401 - any value of a document
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case ObjectId():
            return str(value)
        case dict():
            return {key: as_json(each) for key, each in value.items()}
        case list():
            return [as_json(each) for each in value]
        case _:
            return value


def refusals(model: str, documents: Sequence[Document]) -> list[str]:
    """Why the model would refuse documents."""
    return [
        f"{model} {document.get('_id')}: {error.json_path}: {error.message[:200]}"
        for document in documents
        for error in validator(model).iter_errors(as_json(document))
    ]


def test_release_0_1_reads_what_is_written_today(
    gateway: GatewayClient, oracle: Oracle, receiver: Receiver, resource: str
) -> None:
    """As far as a schema tells: what a template may say that it could not say then is refused by its models."""
    template = planted_template(resource, import_mode="upsert", upsert_key="sku", webhook_url=receiver.url)
    template_id = gateway.create_template(template)["id"]
    files = [planted_file(50, bad_share=0.2, repeated_share=0.2, seed=seed).content for seed in (1, 2, 3)]
    runs = [gateway.upload(template_id, content)["id"] for content in files]
    # The second one changes records of the first; the last one ends with all its rows still stored.
    for run_id in runs[:2]:
        gateway.wait(run_id, "validated")
        gateway.execute(run_id)
        gateway.wait(run_id)
    gateway.wait(runs[2], "validated")
    delivered = {"run_id": {"$in": runs[:2]}, "state": "delivered"}
    eventually(lambda: oracle.state["webhook_deliveries"].count_documents(delivered) == 6, "webhooks arrive")
    of_these_runs: Document = {"run_id": {"$in": runs}}
    queries: dict[str, Document] = {
        "runs": {"_id": {"$in": runs}},
        "templates": {"_id": template_id},
        "webhook_endpoints": {"template_id": template_id},
        "organizations": {},
        "api_keys": {},
    }
    unknown_then = {"branding", "bulk_corrections", "observers", "previews", "processes"}
    unknown_then |= {"target_keys", "target_resources", "request_producers", "rejected_requests"}
    unknown_then |= {"sources", "source_files"}
    unknown_then |= {"clerk_messages", "clerk_tombstones", "idempotency_keys", "memberships", "request_counts", "users"}
    for document in DOCUMENTS:
        name = document.Settings.name
        if name in unknown_then:
            continue
        found = list(oracle.state[name].find(queries.get(name, of_these_runs)))
        assert found or name in {"outbox", "dead_letters"}, name
        assert refusals(document.__name__, found) == []
    deliveries = list(oracle.state["webhook_deliveries"].find(of_these_runs))
    assert refusals("Delivery", [{**delivery, "id": delivery["_id"]} for delivery in deliveries]) == []
    for topic, model in EVENTS.items():
        messages = [message for message in oracle.messages(topic) if message.get("run_id") in runs]
        assert messages, topic
        assert refusals(model, messages) == []


# --- a newer release ----------------------------------------------------------------------------------


def put(document: Any, path: str, value: object) -> None:  # noqa: ANN401 - objects and lists by turns
    """Set what is at a dotted path."""
    *way, last = path.split(".")
    for step in way:
        document = document[int(step) if isinstance(document, list) else step]
    document[last] = value


def test_runs_of_a_newer_release(stack: Stack, customer: GatewayClient, oracle: Oracle) -> None:
    """What it added is ignored; a run whose meaning nobody here knows fails alone; every process stays alive."""
    alive = {name: process.pid for name, process in stack.supervisor.processes().items()}
    additions: dict[str, object] = dict.fromkeys(
        (
            "of_the_future", "template.of_the_future", "template.fields.0.of_the_future", "file.of_the_future",
            "template.fields.0.rules.0.of_the_future", "template.source.of_the_future", "plan.of_the_future",
            "parse.of_the_future",
        ),
        "x",
    )  # fmt: skip
    another_kind: dict[str, object] = {"template.fields.1.rules": [{"type": "sounds_like", "value": "s3cret"}]}
    runs: dict[str, Document] = {}
    for name, changes in (("pending", another_kind), ("parsing_csv", additions), ("parsed", {})):
        snapshot = left(f"run_{name}")
        runs[name] = snapshot.one("runs")
        for path, value in changes.items():
            put(runs[name], path, value)
        snapshot.restore(oracle.state, oracle.target)
    for name in ("parsing_csv", "parsed"):
        run_id = runs[name]["_id"]
        assert customer.wait(run_id, "validated")["status"] == "validated", name
        customer.execute(run_id)
        customer.wait(run_id)
        oracle.assert_exactly_once(run_id, OPEN[name], runs[name]["template"]["target_resource"])
    failed = oracle.settled(runs["pending"]["_id"])
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "UNREADABLE_DOCUMENT")
    assert "template.fields[1].rules[0]" in failed["failure"]["message"]
    assert "s3cret" not in failed["failure"]["message"]
    assert {name: process.pid for name, process in stack.supervisor.processes().items()} == alive
