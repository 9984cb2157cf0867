"""A preview says of every batch what its execution then does, whatever the target holds and refuses."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger
from libs.ledger.run_requests import MOST_ATTEMPTS
from libs.storage.client import Mongo
from libs.storage.documents import BatchDocument, BatchResult, RequestState, RunDocument
from libs.storage.target_keys import TargetKeys
from services.writer.domain.unique_claims import EarlierClaims
from services.writer.planning import result_of
from services.writer.previewing import PreviewRun
from services.writer.work import Work, run_at_work
from tests.integration.ledger.runs import validated
from tests.integration.writer.batches import FIELDS, TENANT, UPSERT, executing, held, unique, write

pytestmark = pytest.mark.servers
MODES: dict[str, dict[str, Any]] = {
    "append": {"fields": FIELDS},
    "upsert": UPSERT,
    "update": {**UPSERT, "mode": "update"},
    "deleting": {**UPSERT, "delete_column": "gone"},
}


async def foretold(mongo: Mongo, ledger: Ledger, run: RunDocument) -> tuple[BatchResult, set[int]]:
    """What a preview says of the only batch of a run: where its rows go, and which of them the target refuses."""
    stored = await mongo.state["batches"].find_one({"_id": batch_id(run.id, run.epoch, 0)})
    assert stored is not None
    assert run.plan is not None
    batch, at_work = BatchDocument.read(stored), run_at_work(mongo, run, run.plan)
    payloads = BatchPayloads(mongo)
    checked = decode_table((await payloads.load(batch.id, PayloadKind.VALID)).data)
    payload = await payloads.find(batch.id, PayloadKind.DELETIONS)
    deletions = None if payload is None else decode_table(payload.data)
    keys = await at_work.target.keys()
    work = Work(at_work, batch, keys, checked, checked, deletions, deletions)
    rules = await at_work.target.rules.there_are()
    work, plan = await PreviewRun(mongo, ledger, "test")._planned(work, EarlierClaims(()), rules=rules)
    return result_of(work, plan), set(work.rejections)


def some_rows(chance: random.Random, mode: str) -> list[dict[str, Any]]:
    skus = chance.sample(range(30), 20)
    rows: list[dict[str, Any]] = [
        {"sku": f"s{sku}", "phone": chance.choice([None, *map(str, range(12))]), "country": chance.choice("ab")}
        for sku in skus
    ]
    if mode == "deleting":
        rows = [{"sku": row["sku"], "_delete": True} if chance.random() < 0.3 else row for row in rows]
    return rows


def some_records(chance: random.Random) -> list[dict[str, Any]]:
    skus, phones = chance.sample(range(30), 12), chance.sample(range(20), 12)
    return [
        {"sku": f"s{sku}", "phone": str(phone), "country": chance.choice("ab"), "is_deleted": chance.random() < 0.2}
        for sku, phone in zip(skus, phones, strict=True)
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rules", [None, {"country": {"$ne": "b"}}])
@pytest.mark.parametrize("seed", range(6))
async def test_it_equals_the_execution(
    mongo: Mongo, ledger: Ledger, mode: str, rules: dict[str, Any] | None, seed: int
) -> None:
    chance = random.Random(seed)
    await unique(mongo, "phone")
    if mode != "append":
        await unique(mongo, "sku")
    await held(mongo, *some_records(chance))
    if rules is not None:
        await mongo.target.command("collMod", "records", validator=rules)
    if chance.random() < 0.5:
        await TargetKeys(mongo).adopt(TENANT, "records")
    run = await executing(mongo, ledger, some_rows(chance, mode), **MODES[mode])
    before = await mongo.target["records"].find().sort("_id").to_list()
    told, refused = await foretold(mongo, ledger, run)
    assert await mongo.target["records"].find().sort("_id").to_list() == before
    run = await write(mongo, ledger, run)
    assert run.status is RunStatus.COMPLETED, run.failure
    batch = await mongo.state["batches"].find_one({"run_id": run.id})
    assert batch is not None
    assert told == BatchResult.model_validate(batch["result"])
    assert refused == set(await mongo.state["rejected_records"].distinct("row", {"run_id": run.id}))


async def records_without_entries(mongo: Mongo, rows: Sequence[dict[str, Any]]) -> None:
    """As another application makes them, once the key is registered."""
    await mongo.target["records"].insert_many([{"tenant_id": TENANT, "is_deleted": False, **row} for row in rows])


@pytest.mark.parametrize("mode", ["append", "upsert"])
async def test_records_without_entries_are_found_however_they_spell_their_key(
    mongo: Mongo, ledger: Ledger, mode: str
) -> None:
    await unique(mongo, "sku")
    await records_without_entries(mongo, [{"sku": "a\u00a0", "phone": "1"}, {"sku": " b", "phone": "2"}])
    before = await mongo.target["records"].find().to_list()
    rows = [{"sku": "a", "phone": "9"}, {"sku": "b", "phone": "9"}, {"sku": "c", "phone": "9"}]
    run = await executing(mongo, ledger, rows, **MODES[mode])
    told, refused = await foretold(mongo, ledger, run)
    assert await mongo.target["records"].find().to_list() == before
    assert (told.created, told.updated, refused) == ((1, 0, {1, 2}) if mode == "append" else (1, 2, set()))
    run = await write(mongo, ledger, run)
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated, run.counts.rejected) == (
        told.created,
        told.updated,
        told.rejected,
    )


async def test_records_are_found_whose_entries_are_not_there_yet(mongo: Mongo, ledger: Ledger) -> None:
    await records_without_entries(mongo, [{"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}])
    run = await executing(mongo, ledger, [{"sku": "a", "phone": "9"}, {"sku": "c"}], **UPSERT)
    told, _ = await foretold(mongo, ledger, run)
    assert (told.updated, told.created) == (1, 1)
    assert await mongo.target["records"].count_documents({"_keys": {"$exists": True}}) == 0
    run = await write(mongo, ledger, run)
    assert run.counts is not None
    assert (run.counts.updated, run.counts.created) == (1, 1)


async def test_a_preview_is_worked_out_by_one_and_again_where_its_writer_died(mongo: Mongo, ledger: Ledger) -> None:
    run = await validated(mongo, ledger, [3])
    version = await ledger.previews.request(run)
    assert await ledger.previews.request(run) == version, "one is under way"
    held_one = await ledger.previews.take_next("one", 30, None)
    assert held_one is not None
    assert await ledger.previews.take_next("two", 30, None) is None
    await mongo.state["previews"].update_one({}, {"$set": {"until": run.created_at}})
    held_two = await ledger.previews.take_next("two", 30, None)
    assert held_two is not None
    assert not await ledger.previews.fail(held_one, "LATE", "")
    await mongo.state["previews"].update_one({}, {"$set": {"attempts": MOST_ATTEMPTS, "until": run.created_at}})
    assert await PreviewRun(mongo, ledger, "three").next()
    found = await ledger.previews.get(run.id)
    assert found is not None
    assert (found.state, (found.failure or {})["code"]) == (RequestState.FAILED, "BATCH_FAILED")
    assert await ledger.previews.request(run) != version


async def test_whoever_has_the_fewest_at_work_is_next(mongo: Mongo, ledger: Ledger) -> None:
    for number in range(4):
        run = await validated(mongo, ledger, [1])
        await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"tenant_id": "few" if number == 3 else "many"}})
        await ledger.previews.request(run.model_copy(update={"tenant_id": "few" if number == 3 else "many"}))
    taken = [await ledger.previews.take_next("one", 30, None) for _ in range(3)]
    tenants = [
        stored["tenant_id"]
        for each in taken
        if each is not None and (stored := await mongo.state["previews"].find_one({"_id": each.run_id})) is not None
    ]
    assert sorted(tenants[:2]) == ["few", "many"]


async def test_a_run_that_is_gone_or_moved_on(mongo: Mongo, ledger: Ledger) -> None:
    run = await validated(mongo, ledger, [3])
    await ledger.previews.request(run)
    await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner")
    assert await PreviewRun(mongo, ledger, "test").next()
    found = await ledger.previews.get(run.id)
    assert found is not None
    assert (found.failure or {})["code"] == "WRONG_STATE"
    await ledger.previews.request(run)
    assert await ledger.expiry.remove(run.id)
    assert await ledger.previews.get(run.id) is None
    assert not await PreviewRun(mongo, ledger, "test").next()
    assert await mongo.state["batches"].count_documents({"state": BatchState.VALIDATED.value}) == 0
