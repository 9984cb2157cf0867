"""Two runs that touch the same records at the same time: of each record one row after the other, never half of each."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from libs.contracts.ids import batch_id
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.telemetry.metrics import Metrics
from services.writer.settings import WriterSettings
from services.writer.use_cases import WriteBatch
from tests.integration.ledger.runs import current, refill
from tests.integration.validator.runs import check, parsed
from tests.integration.writer.batches import executing, revert_batch
from tests.integration.writer.syncing import finished, live, planned, requested

pytestmark = pytest.mark.servers

RECORDS, ROWS_OF_A_BATCH = 24, 4
BATCHES = RECORDS // ROWS_OF_A_BATCH
FIELDS = [{"name": "sku"}, {"name": "phone"}, {"name": "country"}]
UPSERT: dict[str, Any] = {"fields": FIELDS, "mode": "upsert", "upsert_key": "sku"}
Batches = Sequence[Sequence[Sequence[str]]]


def batches(skus: Sequence[str], value: str) -> Batches:
    rows = [[sku, value, value] for sku in skus]
    return [rows[at : at + ROWS_OF_A_BATCH] for at in range(0, RECORDS, ROWS_OF_A_BATCH)]


async def ready(mongo: Mongo, ledger: Ledger, rows: Batches) -> RunDocument:
    run = await check(mongo, ledger, await parsed(ledger, rows, auto_execute=True, **UPSERT), BATCHES)
    assert run.status is RunStatus.EXECUTING
    return run


async def write(mongo: Mongo, ledger: Ledger, run: RunDocument) -> RunDocument:
    """All batches of a run, two at a time, by a writer of their own."""
    writing = WriteBatch(mongo, ledger, Metrics("writer"), WriterSettings(), refill(ledger))
    for seq in range(0, BATCHES, 2):
        await asyncio.gather(*(writing(run.id, batch_id(run.id, run.epoch, at), run.lane) for at in (seq, seq + 1)))
    return await current(ledger, run)


@pytest.mark.parametrize("there", [True, False], ids=["changed", "created"])
async def test_two_writers_in_opposite_order(mongo: Mongo, ledger: Ledger, there: bool) -> None:
    skus = [f"s{number:02}" for number in range(RECORDS)]
    if there:
        await write(mongo, ledger, await ready(mongo, ledger, batches(skus, "0")))
    one = await ready(mongo, ledger, batches(skus, "1"))
    other = await ready(mongo, ledger, batches(skus[::-1], "2"))
    one, other = await asyncio.gather(write(mongo, ledger, one), write(mongo, ledger, other))
    values = {one.id: "1", other.id: "2"}
    assert one.status is other.status is RunStatus.COMPLETED

    records = {record["sku"]: record async for record in mongo.target["records"].find()}
    assert sorted(records) == skus, "each key has one record"
    images = {image["_id"]: image async for image in mongo.state["undo"].find()}
    for record in records.values():
        last = record["_import"]["run_id"]
        first = one.id if last == other.id else other.id
        assert record["phone"] == record["country"] == values[last], "the last row whole"
        # What the last row found is what the first one left, and what that found is what there was.
        found = images[f"{last}:{record['_id']}"]["restore"]
        assert (found["phone"], found["country"], found["_import"]["run_id"]) == (values[first],) * 2 + (first,)
        earlier = images.get(f"{first}:{record['_id']}")
        assert (earlier is not None) is there
        if earlier is not None:
            assert (earlier["restore"]["phone"], earlier["restore"]["country"]) == ("0", "0")
    for run in (one, other):
        assert run.counts is not None
        assert (run.counts.written, run.counts.rejected, run.counts.skipped) == (RECORDS, 0, 0)
    created = sum(run.counts.created for run in (one, other) if run.counts)
    assert created == (0 if there else RECORDS)

    # Taken back, the one leaves what the other has written later, and gives back what it had written before.
    await _reverted(mongo, ledger, one)
    assert [record["phone"] async for record in mongo.target["records"].find()] == ["2"] * RECORDS


async def test_a_record_that_the_run_has_changed_before_and_another_run_since(mongo: Mongo, ledger: Ledger) -> None:
    skus = [f"s{number:02}" for number in range(RECORDS)]
    other = await write(mongo, ledger, await ready(mongo, ledger, batches(skus, "0")))
    run = await ready(mongo, ledger, batches(skus, "1"))
    twice = await mongo.target["records"].find({"sku": {"$in": skus[::5]}}).to_list()
    earlier = {"phone": "before the run"}
    for record in twice:
        assert record["_import"]["run_id"] == other.id
        await mongo.state["undo"].insert_one(
            {"_id": f"{run.id}:{record['_id']}", "run_id": run.id, "row": 1, "restore": earlier}
        )
    assert (await write(mongo, ledger, run)).status is RunStatus.COMPLETED
    assert [record["phone"] async for record in mongo.target["records"].find()] == ["1"] * RECORDS
    images = {image["_id"]: image["restore"] async for image in mongo.state["undo"].find({"run_id": run.id})}
    assert len(images) == RECORDS
    assert [images[f"{run.id}:{record['_id']}"] for record in twice] == [earlier] * len(twice)


async def _reverted(mongo: Mongo, ledger: Ledger, run: RunDocument) -> None:
    assert await ledger.runs.request_revert(run) is not None
    for seq in reversed(range(BATCHES)):
        await revert_batch(mongo, ledger, run, seq)
    assert (await current(ledger, run)).status is RunStatus.REVERTED


async def test_a_sync_beside_others_that_change_what_it_keeps_and_what_it_deletes(mongo: Mongo, ledger: Ledger) -> None:
    skus = [f"s{number:02}" for number in range(RECORDS)]
    kept = set(skus[::2])
    await live(mongo, *skus, phone="0", country="0")
    rows = [{"sku": sku, "phone": "1", "country": "1"} for sku in kept]
    sync = await planned(mongo, ledger, await requested(mongo, ledger, rows), sync_max_deleted_share=1)
    others = [
        await executing(
            mongo,
            ledger,
            [{"sku": sku, "phone": "2", "country": "2"} for sku in skus[at::4]],
            **{**UPSERT, "default_values": {"source": "erp"}},
        )
        for at in range(4)
    ]
    ended = await asyncio.gather(*(finished(mongo, ledger, run) for run in (sync, *others)))
    assert {run.status for run in ended} == {RunStatus.COMPLETED}
    values = {sync.id: "1", **{run.id: "2" for run in others}}
    records = await mongo.target["records"].find().to_list()
    alive = {record["sku"]: record for record in records if not record["is_deleted"]}
    deleted = {record["sku"]: record for record in records if record["is_deleted"]}
    assert (len(alive) + len(deleted), ended[0].counts and ended[0].counts.not_in_file) == (len(records), len(deleted))
    assert kept <= set(alive), "what the file of the sync holds stays"
    assert set(deleted) == set(skus) - kept, "all else goes, before the other run's row or after it"
    for record in alive.values():
        assert record["phone"] == record["country"] == values[record["_import"]["run_id"]], "the last row whole"
    images = {image["_id"]: image["restore"] async for image in mongo.state["undo"].find()}
    for record in deleted.values():
        # Either the deletion came after the other row and has kept what that left, or that row has made a new record.
        found = images[f"{sync.id}:{record['_id']}"]
        assert record["phone"] == record["country"] == ("0" if record["sku"] in alive else "2")
        assert found["is_deleted"] is False
