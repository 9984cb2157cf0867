"""Runs and batches for tests of the ledger, without the services that would make them."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from bson import ObjectId

from libs.batches.payloads import Payload, PayloadKind
from libs.batches.tables import encode_table
from libs.contracts.ids import batch_id
from libs.contracts.plan import ParsePlan
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.ledger.connection import LedgerConnection
from libs.messaging.broker import create_broker
from libs.messaging.connection import KafkaSettings
from libs.messaging.publisher import EventPublisher
from libs.process.refill import Refill
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, OutboxEntry, RunDocument, StoredFile
from libs.telemetry.metrics import Metrics

LEASE = 60.0
PLAN = ParsePlan(columns=("sku",), mapping={"sku": 0})
OWNER = "parser-1"


def refill(ledger: Ledger) -> Refill:
    """One whose messages reach nobody; nothing may be announced but what the ledger itself did."""
    return Refill(ledger, EventPublisher(create_broker(KafkaSettings(kafka="localhost:1"), OWNER), Metrics("test")))


def new_run(tenant_id: str = "tenant", **template: object) -> RunDocument:
    now = datetime.now(UTC)
    model = {"name": "t", "target_resource": "records", "fields": [{"name": "sku"}], **template}
    return RunDocument.model_validate(
        {
            "_id": str(ObjectId()),
            "tenant_id": tenant_id,
            "template_id": "template",
            "template_version": 1,
            "template": Template.model_validate(model),
            "file": StoredFile(id=str(ObjectId()), name="rows.csv", size=1, sha256="00"),
            "created_at": now,
            "updated_at": now,
        }
    )


def new_batch(run: RunDocument, seq: int, rows: int) -> NewBatch:
    table = pa.table({"_row": pa.array(range(1, rows + 1), pa.uint32()), "c0": ["x"] * rows})
    identifier = batch_id(run.id, run.epoch, seq)
    payload = Payload(identifier, run.id, PayloadKind.PARSED, encode_table(table))
    return NewBatch(seq, seq * 1_000 + 1, seq * 1_000 + rows, rows, f"digest-{seq}", payload)


async def submitted(ledger: Ledger, tenant_id: str = "tenant", **template: object) -> RunDocument:
    run = new_run(tenant_id, **template)
    await ledger.runs.submit(run)
    return run


async def parsing(ledger: Ledger, **template: object) -> RunDocument:
    """A run that ``OWNER`` parses."""
    run = await ledger.parsing.begin((await submitted(ledger, **template)).id, OWNER, LEASE)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, PLAN)
    return run


async def parsed(ledger: Ledger, sizes: Sequence[int], **template: object) -> RunDocument:
    """A run whose parse is closed, with batches of ``sizes`` rows."""
    run = await parsing(ledger, **template)
    if sizes:
        assert await ledger.parsing.add_batches(
            run, [new_batch(run, seq, rows) for seq, rows in enumerate(sizes)], LEASE
        )
    assert await ledger.parsing.close(run, ParseEnd(len(sizes), sum(sizes), "digest"))
    return await current(ledger, run)


async def current(ledger: Ledger, run: RunDocument) -> RunDocument:
    found = await ledger.runs.get(run.id)
    assert found is not None
    return found


async def move(
    mongo: Mongo,
    ledger: Ledger,
    batch: BatchDocument,
    target: BatchState,
    result: BatchResult,
    **more: Any,  # noqa: ANN401
) -> bool:
    """``BatchLedger.move`` in a transaction of its own."""

    async def body(session: Session) -> bool:
        return await ledger.batches.move(session, batch, target, result, **more)

    return await mongo.transaction(body)


async def move_all(mongo: Mongo, ledger: Ledger, run: RunDocument, source: BatchState, target: BatchState) -> None:
    """Move every batch of ``run``: all rows are good, and all are created once written."""
    for epoch, seq in await ledger.batches.sequence_numbers(run.id, source):
        batch = await ledger.batches.claim(batch_id(run.id, epoch, seq), source)
        assert batch is not None
        created = batch.rows if target is BatchState.WRITTEN else 0
        assert await move(mongo, ledger, batch, target, BatchResult(ok=batch.rows, created=created))


async def validated(mongo: Mongo, ledger: Ledger, sizes: Sequence[int], **template: object) -> RunDocument:
    """A run that waits for its execution, or is executing where the template says so."""
    run = await parsed(ledger, sizes, **template)
    await move_all(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED)
    await ledger.maybe_advance(run.id)
    return await current(ledger, run)


async def executing(mongo: Mongo, ledger: Ledger, sizes: Sequence[int]) -> RunDocument:
    run = await validated(mongo, ledger, sizes, auto_execute=True)
    assert run.status is RunStatus.EXECUTING
    return run


async def events(mongo: Mongo, run: RunDocument) -> list[dict[str, Any]]:
    """The run's status events, oldest first."""
    rows = await outbox(mongo, run, "imports.run-events.v1")
    return sorted(rows, key=lambda event: event["version"])


async def outbox(mongo: Mongo, run: RunDocument, topic: str) -> list[dict[str, Any]]:
    """What is stored to be published about the run or its batches."""
    rows = mongo.state[OutboxEntry.Settings.name].find({"key": {"$regex": f"^{run.id}"}, "topic": topic})
    return [json.loads(row["value"]) async for row in rows]


def collections(ledger: Ledger) -> LedgerConnection:
    """The collections as they are, for what no service would do to them."""
    return ledger._connection


async def states(ledger: Ledger, run: RunDocument) -> Counter[str]:
    return Counter([batch["state"] async for batch in collections(ledger).batches.find({"run_id": run.id})])


async def expire(ledger: Ledger, run: RunDocument, lease: str) -> None:
    """Let the time of a lease pass."""
    await collections(ledger).runs.update_one(
        {"_id": run.id}, {"$set": {lease: datetime.now(UTC) - timedelta(seconds=1)}}
    )
