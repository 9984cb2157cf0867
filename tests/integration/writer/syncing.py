"""Runs of mode ``sync``, from the check of their file to their end."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState
from libs.ledger import Ledger
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from libs.telemetry.metrics import Metrics
from services.writer.settings import WriterSettings
from services.writer.sync_planning import PlanSync
from services.writer.use_cases import WriteBatch
from tests.integration.ledger.runs import current, refill
from tests.integration.writer.batches import FIELDS, Rows, executing, held

SYNC: dict[str, Any] = {
    "fields": FIELDS,
    "mode": "sync",
    "upsert_key": "sku",
    "scope_filter": {"source": "erp"},
    "default_values": {"source": "erp"},
}


def planner(mongo: Mongo, ledger: Ledger, owner: str = "writer-1", **settings: Any) -> PlanSync:  # noqa: ANN401
    return PlanSync(mongo, ledger, WriterSettings(**settings), refill(ledger), owner)


async def live(mongo: Mongo, *skus: str, **values: object) -> None:
    """Live records within the scope."""
    await held(mongo, *({"sku": sku, "source": "erp", **values} for sku in skus))


async def file_of(mongo: Mongo, run: RunDocument, content: bytes = b"sku\na\n") -> None:
    """Store the end of the file of a run."""
    chunk = {"files_id": ObjectId(run.file.id), "n": 0, "data": content}
    await mongo.state["files.chunks"].insert_one(chunk)


async def requested(mongo: Mongo, ledger: Ledger, rows: Rows, **changes: object) -> RunDocument:
    """A sync whose file is checked and that is to be executed."""
    run = await executing(mongo, ledger, rows, **{**SYNC, **changes})
    await file_of(mongo, run)
    return run


async def planned(mongo: Mongo, ledger: Ledger, run: RunDocument, **settings: Any) -> RunDocument:  # noqa: ANN401
    """The run after a writer has looked up what it would delete."""
    await planner(mongo, ledger, **settings)(run.id)
    return await current(ledger, run)


async def finished(mongo: Mongo, ledger: Ledger, run: RunDocument) -> RunDocument:
    """The run once all of its batches are worked at, in the order in which they are handed out."""
    writing = WriteBatch(mongo, ledger, Metrics("writer"), WriterSettings(max_attempts=3), refill(ledger))
    for _ in range(10):
        waiting = await ledger.batches.sequence_numbers(run.id, BatchState.VALIDATED)
        for epoch, seq in waiting:
            await write_one(writing, run, batch_id(run.id, epoch, seq))
        if not waiting:
            break
    return await current(ledger, run)


async def write_one(writing: WriteBatch, run: RunDocument, identifier: str) -> None:
    """Write a batch; what it announces then reaches nobody."""
    try:
        await writing(run.id, identifier, run.lane)
    except Exception as error:
        if "broker" not in str(error).lower() and "kafka" not in type(error).__module__:
            raise


async def synced(mongo: Mongo, ledger: Ledger, rows: Rows, **changes: object) -> RunDocument:
    """The run at its end, where it may delete as much as it likes."""
    run = await requested(mongo, ledger, rows, **changes)
    return await finished(mongo, ledger, await planned(mongo, ledger, run, sync_max_deleted_share=1))


async def skus(mongo: Mongo, **conditions: object) -> Mapping[str, Document]:
    """Live records by their key."""
    found = await mongo.target["records"].find({"is_deleted": False, **conditions}).to_list()
    return {record["sku"]: record for record in found}
