"""What is done on the stack that is captured, and saved at its moments."""

import asyncio
import threading
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from bson import ObjectId

from libs.contracts.templates import Template
from libs.contracts.topics import BATCH_PARSED, RUN_EVENTS, RUN_SUBMITTED
from tests.client import PlantedFile, eventually
from tests.compatibility.inputs import (
    BASE,
    EVERYTHING,
    EVERYTHING_ROWS,
    FIELDS,
    FORMATS,
    MODEL_ONLY,
    POISON_KEY,
    ROWS,
    template_body,
)
from tests.compatibility.leavings import HELD, Capture
from tests.compatibility.snapshots import Document
from tests.renderings import planted_as


def runs_in_every_status(capture: Capture) -> None:
    """Runs from pending to their ends, each held at its moment."""
    keyed = {"import_mode": "upsert", "upsert_key": "sku"}
    with capture.held("parser"):
        pending = capture.upload(capture.template("pending", **keyed))
        capture.reached(pending, "pending")
        capture.save("run_pending", pending)
    with capture.held("parser", "ledger.committed_before_relay"):
        begun = capture.upload(capture.template("begun", **keyed))
        capture.until(begun, "validating", lambda run: run["status"] == "validating")
        capture.save("run_begun", begun)
    with capture.held("validator"):
        parsed = capture.upload(capture.template("parsed", **keyed))
        capture.until(parsed, "parsed", lambda run: run["parse"]["closed"])
        capture.save("run_parsed", parsed)
        dry_run(capture)
        for name in FORMATS:
            parsing(capture, name)
    # What earlier runs still have to do would be held in place of these.
    under_way = {"status": {"$in": ["pending", "validating"]}}
    eventually(lambda: not capture.state["runs"].count_documents(under_way), "all are validated")
    for point, name in (("validator.duplicates_resolved", "checked"), ("validator.resolution_applied", "settling")):
        with capture.held("validator", point):
            run_id = capture.upload(capture.template(name, **keyed))
            left = 2 if name == "checked" else 1
            capture.until(
                run_id, name, lambda run, left=left: run["barrier"] and capture.batches(run["_id"], "checked") == left
            )
            capture.save(f"run_{name}", run_id)
    validated = capture.upload(capture.template("validated", invalid_rows="keep", include_unmatched_columns=True))
    capture.reached(validated, "validated")
    capture.save("run_validated", validated)
    everything = capture.gateway.create_template({**EVERYTHING, "target_resource": "everything"})
    run_id = capture.upload(everything["id"], EVERYTHING_ROWS, "everything.csv")
    capture.reached(run_id, "validated")
    capture.save("run_validated_everything", run_id)
    executions(capture, keyed)
    failures(capture)


def parsing(capture: Capture, name: str) -> None:
    """A run whose parser died in the middle: the plan is frozen, and some of the batches are stored."""
    rows = [line.split(b",")[: len(FIELDS) + 1] for line in ROWS.splitlines()]
    plain = b"\n".join(b",".join(cells) for cells in rows) + b"\n"
    file, source = planted_as(name, PlantedFile(plain, {}, frozenset()))
    with capture.held("parser", "parser.batch_announced"):
        run_id = capture.upload(capture.template(f"parsing_{name}", **source), file.content, f"rows.{name}")
        capture.until(run_id, "parsing", lambda run: run["parse"]["batches"])
        capture.save(f"run_parsing_{name}", run_id)


def dry_run(capture: Capture) -> None:
    """A dry run that waits for the validator."""
    template_id = capture.template("dry_run")

    def ask() -> None:
        capture.gateway.http.post(
            "/imports/dry-run", data={"template_id": template_id}, files={"file": ("rows.csv", ROWS)}
        )

    beside = threading.Thread(target=ask, daemon=True)
    beside.start()
    found = eventually(
        lambda: capture.state["runs"].find_one({"template_id": template_id, "parse.closed": True}), "a dry run"
    )
    capture.save("run_dry_run", found["_id"])


def executions(capture: Capture, keyed: Document) -> None:
    """Runs of which one batch is written: going on, being stopped, and completed."""
    templates = {name: capture.template(name, **keyed) for name in ("executing", "stopping", "completed")}
    for template_id in templates.values():
        capture.completed(template_id, BASE)
    # Of a run under way, one batch is written and the next is held.
    for name in ("executing", "stopping"):
        with capture.held("writer", "writer.read_before_written", f"{HELD}:2"):
            run_id = capture.upload(templates[name])
            capture.reached(run_id, "validated")
            capture.gateway.execute(run_id)
            eventually(lambda run_id=run_id: capture.batches(run_id, "written") == 1, "one batch is written")
            if name == "stopping":
                with capture.held("gateway", "ledger.stop_requested", "raise"):
                    # The answer is an error; the request to stop is stored all the same.
                    assert not capture.gateway.http.post(f"/imports/runs/{run_id}/cancel").is_success
                    capture.save("run_stopping", run_id)
            else:
                capture.reached(run_id, "executing")
                capture.save("run_executing", run_id)
    capture.reached(run_id, "cancelled")
    capture.save("run_cancelled", run_id)
    capture.save("run_completed", capture.completed(templates["completed"], ROWS))


def failures(capture: Capture) -> None:
    """Runs that failed."""
    lacking = capture.upload(capture.template("lacking", required_columns=["nowhere"]))
    capture.reached(lacking, "failed")
    capture.save("run_failed_as_a_whole", lacking)
    blocked = capture.upload(capture.template("blocked", invalid_rows="block"))
    capture.reached(blocked, "failed")
    capture.save("run_failed_for_its_rows", blocked)


def deliveries(capture: Capture, receiver: str) -> None:
    """Webhooks that arrived, that are tried, that failed, and whose receiver wants no more."""
    runs = {
        status: capture.upload(capture.template(f"webhooks_{status}", webhook_url=f"{receiver}/{status}"))
        for status in (204, 500, 410)
    }

    def of(status: int, query: Document) -> int:
        return capture.state["webhook_deliveries"].count_documents({"run_id": runs[status], **query})

    eventually(lambda: of(500, {"state": "pending", "attempts": {"$size": 1}}), "a second attempt is due")
    capture.save_all("webhooks_under_way", webhook_deliveries={"run_id": runs[500]}, webhook_endpoints={})
    eventually(lambda: of(204, {"state": "delivered"}) == 2, "delivered")
    eventually(lambda: of(500, {"state": "failed"}) == 2, "failed")
    eventually(lambda: of(410, {"state": "disabled"}) == 2, "disabled")
    capture.save_all("webhooks_settled", webhook_deliveries={}, webhook_endpoints={})


def dead_letters(capture: Capture) -> None:
    """Messages that nobody could handle."""
    poison: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (RUN_SUBMITTED.name, POISON_KEY, b"not json", []),
        (BATCH_PARSED.name, None, b"\xff\xfe\x00", [("trace", b"1")]),
        (RUN_EVENTS.name, POISON_KEY, None, []),
        (RUN_SUBMITTED.name, POISON_KEY, b'{"event_id": "1", "run_id": 5}', []),
    ]

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=capture.stack.kafka)
        await producer.start()
        try:
            for topic, key, value, headers in poison:
                await producer.send_and_wait(topic, value, key=key, headers=headers)
        finally:
            await producer.stop()

    asyncio.run(send())
    eventually(lambda: capture.state["dead_letters"].count_documents({}) == len(poison), "all is put aside")
    capture.save_all("dead_letters", dead_letters={})


def configuration(capture: Capture) -> None:
    """Organizations, keys, templates and receivers."""
    replaced = capture.template("replaced")
    body = template_body("replaced", description="the second version")
    assert capture.gateway.http.put(f"/imports/templates/{replaced}", json=body).is_success
    deleted = capture.template("deleted")
    assert capture.gateway.http.delete(f"/imports/templates/{deleted}").is_success
    key = capture.state["api_keys"].find_one({})
    assert key is not None
    now = datetime.now(UTC)
    revoked = {**key, "_id": str(ObjectId()), "digest": "0" * 64, "name": "revoked", "revoked_at": now}
    capture.state["api_keys"].insert_one({**revoked, "last_used_at": now})
    template = capture.state["templates"].find_one({"_id": replaced})
    assert template is not None
    for model in MODEL_ONLY:
        stored = Template.model_validate(model).model_dump(mode="json")
        capture.state["templates"].insert_one({**template, "_id": str(ObjectId()), "template": stored})
    chosen = {"template.name": {"$regex": "^(replaced|deleted|everything|in the model only|webhooks)"}}
    capture.save_all("configuration", organizations={}, api_keys={}, templates=chosen, webhook_endpoints={})
