"""Saves what this release leaves in its stores, for the tests of the releases after it.

``python -m tests.compatibility.capture FOLDER``, in a checkout of the release: starts a stack of its own, holds its
services at chosen moments, and writes documents, messages and the schemas of the models that read them.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from bson import ObjectId
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pymongo import MongoClient

from deploy.local.stack import Stack, restart, running
from libs.contracts import events
from libs.contracts.templates import Template
from libs.contracts.topics import BATCH_PARSED, RUN_EVENTS, RUN_SUBMITTED, TOPICS
from libs.storage.documents import DOCUMENTS
from services.webhooks.domain.delivery import Delivery
from tests.client import GatewayClient, PlantedFile, eventually
from tests.compatibility.snapshots import Document, Snapshot, save_documents
from tests.renderings import planted_as

BATCH_ROWS = 5
WORDS = frozenset({"title", "description", "default"})
HELD = "pause=3600"
POISON_KEY = b"poison"
FORMATS = ("csv", "json", "xml", "xlsx", "fixed_width")
ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "gateway": {"ROWDOCK_WAIT_SECONDS": "0"},
    "parser": {"ROWDOCK_BATCH_ROWS": str(BATCH_ROWS)},
    "writer": {"ROWDOCK_WRITER_TRANSACTIONS": "1"},
    "webhooks": {"ROWDOCK_WEBHOOK_RETRY_SECONDS": "0,3,1", "ROWDOCK_WEBHOOK_POLL_SECONDS": "0.1"},
}

ROWS = b"""sku,amount,day,color
S1,1.50,2024-02-29,red
S2,2.50,2024-03-01,
S3,much,2024-03-02,blue
S4,4.50,2024-03-03,red
S5,5.50,2024-03-04,red
S2,6.50,2024-03-05,green
S6,7.50,2024-03-06,red
S7,8.50,2024-03-07,red,one cell too many
S8,9.50,2024-03-08,red
S9,10.50,2024-03-09,red
"""
"""Ten rows: 3 and 8 are to be rejected and, where ``sku`` is a key, 2 is superseded by 6."""
BASE = b"""sku,amount,day,color
S1,1.50,2024-02-29,red
S5,0.50,2023-01-01,old
S9,0.50,2023-01-01,old
"""
"""What the target holds before ``ROWS`` are upserted: S1 stays as it is, S5 and S9 are changed."""
FIELDS: Sequence[Document] = (
    {"source": "sku", "target": "sku", "required": True, "transform": "trim"},
    {"source": "amount", "target": "amount", "type": "number"},
    {"source": "day", "target": "day", "type": "date"},
)

EVERYTHING: Document = {
    "name": "everything",
    "description": "every rule, every transform, every member that the public surface takes",
    "file_type": "csv",
    "delimiter": ";",
    "encoding": "utf-8",
    "has_header": True,
    "skip_rows": 1,
    "import_mode": "upsert",
    "upsert_key": "sku",
    "default_values": {"origin": "erp", "rank": 7, "share": 0.5, "checked": True, "nothing": None},
    "required_columns": ["SKU", "Region"],
    "include_unmatched_columns": True,
    "default_date_order": "mdy",
    "default_decimal_style": "comma",
    "default_region": "DE",
    "invalid_rows": "keep",
    "dark_mode": True,
    "webhook_enabled": True,
    "field_mapping": [
        {
            "source": "SKU",
            "target": "sku",
            "required": True,
            "transform": "trim",
            "transformations": [{"type": "upper"}],
            "validators": [
                {"type": "unique", "fields": ["region"], "against_target": True, "message": "taken"},
                {"type": "min_length", "value": 2},
                {"type": "max_length", "value": 20},
                {"type": "regex", "pattern": "[A-Z][0-9]+"},
            ],
        },
        {
            "target": "region",
            "label": "Region",
            "description": "where it is sold",
            "aliases": ["area", "zone"],
            "validators": [{"type": "enum", "values": ["north", "south"]}],
        },
        {"source": "Name", "target": "name", "transformations": [{"type": "capitalize"}]},
        {"source": "Nick", "target": "nick", "transformations": [{"type": "remove_special_chars"}, {"type": "lower"}]},
        {
            "source": "Amount",
            "target": "amount",
            "transform": "decimal:2",
            "decimal_style": "comma",
            "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 1e6}],
        },
        {"source": "Count", "target": "count", "transform": "integer"},
        {"source": "Day", "target": "day", "type": "date", "date_order": "dmy"},
        {
            "source": "Until",
            "target": "until",
            "transform": "date:DD.MM.YYYY",
            "validators": [{"type": "compare", "operator": "ge", "field": "day"}],
        },
        {"source": "Mail", "target": "mail", "type": "email"},
        {
            "source": "Phone",
            "target": "phone",
            "type": "phone",
            "region": "AT",
            "transformations": [{"type": "normalize_phone", "region": "AT"}],
            "validators": [{"type": "required_if", "field": "mail", "values": ["call@example.com"]}],
        },
        {"source": "Web", "target": "web", "type": "url"},
        {"source": "Size", "target": "size", "type": "select", "options": ["S", "M", "L"]},
        {
            "source": "Code",
            "target": "code",
            "type": "custom_regex",
            "validators": [{"type": "regex", "pattern": "[0-9]{3}"}],
        },
        {"source": "Active", "target": "active", "transform": "boolean"},
        {
            "source": "Note",
            "target": "note",
            "transformations": [{"type": "replace", "find": "-", "replace": "/"}, {"type": "default", "value": "none"}],
        },
        {"target": "channel", "transform": "constant:file"},
        {"target": "both", "transform": "concat:Name,Nick"},
        {
            "source": "Written",
            "target": "written",
            "transformations": [{"type": "normalize_date", "format": "YYYY-MM-DD"}],
        },
    ],
}
EVERYTHING_ROWS = b"""exported by a test
SKU;Region;Name;Nick;Amount;Count;Day;Until;Mail;Phone;Web;Size;Code;Active;Note;Written;Rest
s1;north;ann lee;An-N;1.234,50;3;03.04.2025;04.04.2025;a@example.com;01 5125555;https://example.com;S;123;yes;a-b;3.4.2025;x
s2;south;bob;B_b;0,01;4;30.04.2025;01.05.2025;;;;M;456;no;;31.12.2025;
s3;east;cem;;-1;x;nothing;01.01.2020;call@example.com;;ftp:/;XL;12;maybe;c;soon;z
s1;north;dan;;2,00;1;01.05.2025;02.05.2025;;;;L;789;1;;;
"""

MODEL_ONLY: Sequence[Document] = (
    {
        "name": "in the model only: sync",
        "target_resource": "model_only",
        "mode": "sync",
        "upsert_key": "sku",
        "scope_filter": {"region": "north", "rank": 1, "share": 0.5, "open": True, "none": None},
        "fields": [{"name": "sku", "column": "SKU"}],
        "source": {"file_type": "excel", "sheet": "Data"},
        "invalid_rows": "block",
        "include_data_in_webhook": True,
        "webhook_data_sample_size": 5,
    },
    {
        "name": "in the model only: deleting rows",
        "target_resource": "model_only",
        "mode": "upsert",
        "upsert_key": "sku",
        "delete_column": "gone",
        "fields": [{"name": "sku", "column": "SKU"}],
        "source": {
            "file_type": "fixed_width",
            "column_widths": [{"name": "SKU", "width": 8}, {"width": 4}],
            "width_unit": "bytes",
        },
        "auto_execute": True,
    },
    {
        "name": "in the model only: update",
        "target_resource": "model_only",
        "mode": "update",
        "upsert_key": "sku",
        "fields": [{"name": "sku"}],
        "source": {"sheet": 2},
    },
)
"""Templates that the models of the release read although no vocabulary of it makes them."""


def template_body(name: str, **changes: Any) -> Document:  # noqa: ANN401 - members of a JSON document
    return {"name": name, "target_resource": name, "field_mapping": list(FIELDS), **changes}


class _Receiver(BaseHTTPRequestHandler):
    """Answers with the status that its path names."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Capture:
    """One stack, and the folder that its leavings go to."""

    def __init__(self, stack: Stack, gateway: GatewayClient, client: MongoClient[Document], folder: Path) -> None:
        self.stack = stack
        self.gateway = gateway
        self.state = client[stack.database]
        self.target = client[stack.target_database]
        self.folder = folder

    # --- holding services -----------------------------------------------------------------------

    @contextmanager
    def held(self, service: str, point: str | None = None, at: str = HELD) -> Iterator[None]:
        """A service that is stopped, or does something at a failpoint: by default, nothing any more."""
        name = f"{service}-1"
        if point is None:
            self.stack.supervisor.stop([name])
        else:
            restart(self.stack, name, {"FAILPOINT": f"{point}:{at}"})
        try:
            yield
        finally:
            self.stack.supervisor.kill(name)
            restart(self.stack, name, {"FAILPOINT": ""})

    # --- doing and waiting ----------------------------------------------------------------------

    def template(self, name: str, **changes: Any) -> str:  # noqa: ANN401 - members of a JSON document
        """Create a template of ``ROWS`` whose records go into a resource of its own; its id."""
        return self.gateway.create_template(template_body(name, **changes))["id"]

    def upload(self, template_id: str, content: bytes = ROWS, name: str = "rows.csv") -> str:
        return self.gateway.upload(template_id, content, name)["id"]

    def run(self, run_id: str) -> Document:
        run = self.state["runs"].find_one({"_id": run_id})
        assert run is not None
        return run

    def until(self, run_id: str, what: str, holds: Callable[[Document], object]) -> None:
        eventually(lambda: holds(self.run(run_id)), f"{run_id} {what}: {self.run(run_id)['status']}", 60)

    def reached(self, run_id: str, status: str) -> None:
        self.until(run_id, status, lambda run: run["status"] == status)
        eventually(lambda: not self.state["outbox"].count_documents({"value": {"$regex": run_id}}), "all is told")

    def batches(self, run_id: str, state: str) -> int:
        return self.state["batches"].count_documents({"run_id": run_id, "state": state})

    def completed(self, template_id: str, content: bytes) -> str:
        run_id = self.upload(template_id, content)
        self.reached(run_id, "validated")
        self.gateway.execute(run_id)
        self.reached(run_id, "completed")
        return run_id

    # --- saving ---------------------------------------------------------------------------------

    def save(self, name: str, run_id: str) -> None:
        """Everything of a run as it is now, and the records of its resource."""
        queries: dict[str, Document] = {
            "runs": {"_id": run_id},
            "batches": {"run_id": run_id},
            "batch_payloads": {"run_id": run_id},
            "rejected_records": {"run_id": run_id},
            "undo": {"run_id": run_id},
            "outbox": {"value": {"$regex": run_id}},
            "webhook_deliveries": {"run_id": run_id},
            "files.files": {"_id": ObjectId(run_id)},
            "files.chunks": {"files_id": ObjectId(run_id)},
        }
        state = {collection: list(self.state[collection].find(query)) for collection, query in queries.items()}
        resource = self.run(run_id)["template"]["target_resource"]
        records = list(self.target[resource].find())
        indexes = [index.to_dict() for index in self.target[resource].list_indexes() if index["name"] != "_id_"]
        Snapshot(
            {collection: documents for collection, documents in state.items() if documents},
            {resource: records} if records else {},
            {resource: indexes} if indexes else {},
        ).save(self.folder / f"{name}.json")

    def save_all(self, name: str, **queries: Document) -> None:
        """What queries by collection find now."""
        found = {collection: list(self.state[collection].find(query)) for collection, query in queries.items()}
        Snapshot(found).save(self.folder / f"{name}.json")


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


def messages(capture: Capture) -> None:
    """One message of each kind on each topic: kinds differ in topic, members and status."""

    async def read() -> list[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=capture.stack.kafka)
        consumer = AIOKafkaConsumer(bootstrap_servers=capture.stack.kafka, auto_offset_reset="earliest")
        await admin.start()
        await consumer.start()
        try:
            described = await admin.describe_topics([topic.name for topic in TOPICS])
            partitions = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in described
                for partition in topic["partitions"]
            ]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            records: list[Any] = []
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    fetched = await consumer.getmany(timeout_ms=500)
                    records += [record for some in fetched.values() for record in some]
            return records
        finally:
            await consumer.stop()
            await admin.close()

    kinds: dict[tuple[object, ...], Document] = {}
    for record in asyncio.run(read()):
        try:
            value = json.loads(record.value)
        except (TypeError, ValueError):
            continue
        kind = (record.topic, *sorted(value), value.get("status"), value.get("error_code"), bool(value.get("counts")))
        if record.key != POISON_KEY:
            headers = [[name, content.decode()] for name, content in record.headers]
            message = {"key": record.key.decode(), "value": record.value.decode(), "headers": headers}
            kinds.setdefault(kind, message)
    topics: dict[str, list[Document]] = {}
    for (topic, *_), message in sorted(kinds.items(), key=lambda entry: str(entry[0])):
        topics.setdefault(str(topic), []).append(message)
    save_documents(capture.folder / "messages.json", topics)


def schemas(folder: Path) -> None:
    """What the models of this release read, as JSON Schema without its words for people."""
    told: list[type[BaseModel]] = [
        events.RunSubmitted,
        events.BatchParsed,
        events.ExecutionRequested,
        events.BatchReady,
        events.RunStatusChanged,
        events.MessageDeadLettered,
    ]
    _, schema = models_json_schema(
        [(model, "validation") for model in [*DOCUMENTS, *told, Delivery]], ref_template="#/$defs/{model}"
    )

    def bare(part: Any, *, members: bool = False) -> Any:  # noqa: ANN401 - JSON
        if isinstance(part, list):
            return [bare(entry) for entry in part]
        if not isinstance(part, dict):
            return part
        words = frozenset() if members else WORDS
        return {
            name: bare(value, members=name in {"properties", "$defs"} and not members)
            for name, value in part.items()
            if name not in words
        }

    (folder / "schemas.json").write_text(json.dumps(bare(schema), separators=(",", ":")) + "\n")


def indexes(capture: Capture) -> None:
    """The indexes that the release's provisioning made."""
    found = {
        name: [index.to_dict() for index in capture.state[name].list_indexes()]
        for name in sorted(capture.state.list_collection_names())
    }
    save_documents(capture.folder / "indexes.json", found)


def main() -> None:
    """Capture this release into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory), environment=ENVIRONMENT) as stack,
        GatewayClient(stack.gateway, stack.api_key) as gateway,
        contextlib.closing(MongoClient[Document](stack.mongodb, tz_aware=True)) as client,
    ):
        capture = Capture(stack, gateway, client, folder)
        runs_in_every_status(capture)
        deliveries(capture, f"http://127.0.0.1:{receiver.server_port}")
        dead_letters(capture)
        configuration(capture)
        messages(capture)
        indexes(capture)
        schemas(folder)
        secrets = {"api_key": stack.api_key, "secret_key": (stack.directory / "secret_key").read_text().strip()}
        (folder / "secrets.json").write_text(json.dumps(secrets, indent=2) + "\n")
    receiver.shutdown()


if __name__ == "__main__":
    main()
