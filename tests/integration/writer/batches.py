"""Checked batches in the ledger of an executing run, as the services before the writer leave them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from libs.batches.extra_keys import extra_columns
from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.tables import encode_table
from libs.contracts.ids import batch_id
from libs.contracts.plan import ParsePlan
from libs.contracts.states import BatchState
from libs.contracts.templates import ImportMode, combination
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.storage.client import Document, Mongo
from libs.storage.documents import BatchResult, RunDocument
from libs.storage.target_keys import TargetKeys
from libs.telemetry.metrics import Metrics
from services.writer.reverting import RevertBatch
from services.writer.settings import WriterSettings
from services.writer.use_cases import WriteBatch
from tests.integration.ledger.runs import LEASE, OWNER, current, move, refill, submitted
from tests.unit.writer.checked_batches import checked_batch

Rows = Sequence[Mapping[str, Any]]
TENANT = "tenant"
FIELDS: list[dict[str, Any]] = [
    {"name": "sku"},
    {"name": "phone"},
    {"name": "country"},
    {"name": "number", "type": "number", "decimals": 1},
]
UPSERT: dict[str, Any] = {"fields": FIELDS, "mode": "upsert", "upsert_key": "sku"}


async def unique(mongo: Mongo, *names: str) -> None:
    """What a template of the tenant has asked for."""
    await TargetKeys(mongo).register(TENANT, "records", [combination(*names)])


async def held(mongo: Mongo, *records: dict[str, Any]) -> None:
    common = {"tenant_id": TENANT, "is_deleted": False}
    await mongo.target["records"].insert_many([{**common, **record} for record in records])


async def executing(
    mongo: Mongo, ledger: Ledger, rows: Rows, unmatched: Sequence[str] = (), **template: object
) -> RunDocument:
    """A run whose only batch holds ``rows``, numbered from 1; its file has a column for every field.

    Where the template has a ``delete_column``, rows with ``_delete`` ask for their record to be deleted. What is longer
    than 100 characters has been made so by a transform.
    """
    run = await ledger.parsing.begin((await submitted(ledger, auto_execute=True, **template)).id, OWNER, LEASE)
    assert run is not None
    names = [field.name for field in run.template.fields]
    columns = (*names, *unmatched)
    plan = ParsePlan(
        columns=columns,
        mapping={name: index for index, name in enumerate(names)},
        unmatched=tuple(range(len(names), len(columns))),
    )
    assert await ledger.parsing.freeze_plan(run, plan)
    numbered = [{"_row": number, **row} for number, row in enumerate(rows, start=1)]
    identifier = batch_id(run.id, run.epoch, 0)
    cells = {f"c{index}": [str(row.get(name))[:100] for row in numbered] for index, name in enumerate(columns)}
    parsed = pa.table({"_row": pa.array(range(1, len(rows) + 1), pa.uint32()), **cells})
    payload = Payload(identifier, run.id, PayloadKind.PARSED, encode_table(parsed))
    batch = NewBatch(0, 1, len(rows), len(rows), "digest", payload)
    assert await ledger.parsing.add_batches(run, [batch], LEASE)
    assert await ledger.parsing.close(run, ParseEnd(1, len(rows), "digest"))
    written_rows = [row for row in numbered if not row.get("_delete")]
    valid = checked_batch(run.template, written_rows, extra_columns(columns, plan.unmatched))
    payloads = [Payload(identifier, run.id, PayloadKind.VALID, encode_table(valid))]
    if run.template.delete_column is not None:
        key = next(field for field in run.template.fields if field.name == run.template.upsert_key)
        keys_only = run.template.model_copy(update={"fields": (key,)})
        deletions = checked_batch(keys_only, [row for row in numbered if row.get("_delete")])
        payloads.append(Payload(identifier, run.id, PayloadKind.DELETIONS, encode_table(deletions)))
    if run.template.mode is ImportMode.SYNC:
        key = next(field for field in run.template.fields if field.name == run.template.upsert_key)
        keys_only = run.template.model_copy(update={"fields": (key,)})
        keys = checked_batch(keys_only, [{"_row": row["_row"], key.name: row[key.name]} for row in numbered])
        payloads.append(Payload(identifier, run.id, PayloadKind.HELD, encode_table(keys)))
    await mongo.transaction(lambda session: BatchPayloads(mongo).insert(session, payloads))
    claimed = await ledger.batches.claim(identifier, BatchState.PARSED)
    assert claimed is not None
    warned = sum("_warnings" in row for row in rows)
    assert await move(mongo, ledger, claimed, BatchState.VALIDATED, BatchResult(ok=len(rows), warnings=warned))
    await ledger.maybe_advance(run.id)
    return await current(ledger, run)


async def write(mongo: Mongo, ledger: Ledger, run: RunDocument, max_attempts: int = 3) -> RunDocument:
    """Write the run's batch."""
    await write_batch(mongo, ledger, run, max_attempts)
    return await current(ledger, run)


async def write_batch(mongo: Mongo, ledger: Ledger, run: RunDocument, max_attempts: int) -> None:
    """Have the run's batch written, whatever becomes of the run."""
    settings = WriterSettings(max_attempts=max_attempts)
    writing = WriteBatch(mongo, ledger, Metrics("writer"), settings, refill(ledger))
    await writing(run.id, batch_id(run.id, run.epoch, 0), run.lane)


async def written(
    mongo: Mongo, ledger: Ledger, rows: Rows, unmatched: Sequence[str] = (), **template: object
) -> RunDocument:
    """The run after its batch was written; every row has its place."""
    run = await write(mongo, ledger, await executing(mongo, ledger, rows, unmatched, **template))
    assert run.counts is not None
    assert run.counts.rows == len(rows) == run.counts.written + run.counts.rejected + run.counts.skipped
    rejected = await mongo.state["rejected_records"].distinct("row", {"run_id": run.id})
    assert len(rejected) == run.counts.rejected
    created = await mongo.target["records"].distinct("_import.row", {"_import.run_id": run.id})
    assert not set(created) & set(rejected)
    return run


async def reverted(mongo: Mongo, ledger: Ledger, run: RunDocument) -> RunDocument:
    """The run after it was asked to be reverted and its batch was taken back."""
    assert await ledger.runs.revertible(run)
    assert await ledger.runs.request_revert(run) is not None
    await revert_batch(mongo, ledger, run)
    return await current(ledger, run)


async def revert_batch(mongo: Mongo, ledger: Ledger, run: RunDocument, seq: int = 0) -> None:
    """Have a batch of the run taken back."""
    reverting = RevertBatch(mongo, ledger, Metrics("writer"), refill(ledger))
    await reverting(run.id, batch_id(run.id, run.epoch, seq), run.lane)


async def rejections(mongo: Mongo, run: RunDocument) -> dict[int, tuple[str | None, str, str]]:
    """Field, code and message of each rejected row."""
    documents = await mongo.state["rejected_records"].find({"run_id": run.id}).to_list()
    errors: dict[int, Document] = {document["row"]: document["errors"][0] for document in documents}
    return {row: (error["field"], error["code"], error["message"]) for row, error in errors.items()}
