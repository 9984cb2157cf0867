"""Runs whose rows the parser has cut, checked by the validator on a real server."""

from collections.abc import Sequence

import pyarrow as pa

from libs.batches.payloads import Payload, PayloadKind
from libs.batches.tables import encode_table
from libs.contracts.ids import batch_id
from libs.contracts.plan import ParsePlan
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from libs.telemetry.metrics import Metrics
from services.validator.settings import ValidatorSettings
from services.validator.use_cases import RunCache, ValidateBatch, WholeFileCheck
from tests.integration.ledger.runs import LEASE, OWNER, current, refill, submitted

Batches = Sequence[Sequence[Sequence[str | None]]]


async def parsed(ledger: Ledger, batches: Batches, tenant_id: str = "tenant", **template: object) -> RunDocument:
    """A run whose file has a column per field, and the one that marks records to delete; ``batches`` hold rows."""
    run = await ledger.parsing.begin((await submitted(ledger, tenant_id, **template)).id, OWNER, LEASE)
    assert run is not None
    names = [field.name for field in run.template.fields]
    mapping: dict[str, int | None] = {name: at for at, name in enumerate(names)}
    delete_column = None if run.template.delete_column is None else len(names)
    names += [] if run.template.delete_column is None else [run.template.delete_column]
    plan = ParsePlan(columns=tuple(names), mapping=mapping, delete_column=delete_column)
    assert await ledger.parsing.freeze_plan(run, plan)
    new: list[NewBatch] = []
    first = 1
    for seq, rows in enumerate(batches):
        cells = {f"c{at}": pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))}
        table = pa.table({"_row": pa.array(range(first, first + len(rows)), pa.uint32()), **cells})
        payload = Payload(batch_id(run.id, run.epoch, seq), run.id, PayloadKind.PARSED, encode_table(table))
        new.append(NewBatch(seq, first, first + len(rows) - 1, len(rows), f"digest {seq}", payload))
        first += len(rows)
    assert await ledger.parsing.add_batches(run, new, LEASE)
    assert await ledger.parsing.close(run, ParseEnd(len(batches), first - 1, "digest"))
    return await current(ledger, run)


def validator(mongo: Mongo, ledger: Ledger, max_attempts: int = 3) -> ValidateBatch:
    """A validator with caches of its own."""
    settings, metrics = ValidatorSettings(max_attempts=max_attempts), Metrics("validator")
    runs = RunCache(ledger)
    whole_file_check = WholeFileCheck(mongo, ledger, metrics, settings, runs, "validator-1")
    return ValidateBatch(mongo, ledger, metrics, settings, whole_file_check, runs, refill(ledger))


async def check(mongo: Mongo, ledger: Ledger, run: RunDocument, count: int) -> RunDocument:
    """Check all ``count`` batches; the last one has the whole file checked."""
    validate = validator(mongo, ledger)
    for seq in range(count):
        await validate(run.id, batch_id(run.id, run.epoch, seq), run.lane)
    return await current(ledger, run)


async def rejections(mongo: Mongo, run: RunDocument) -> dict[int, list[str]]:
    """Row to the codes of its errors."""
    found: list[Document] = await mongo.state["rejected_records"].find({"run_id": run.id}, sort=[("row", 1)]).to_list()
    return {each["row"]: [error["code"] for error in each["errors"]] for each in found}
