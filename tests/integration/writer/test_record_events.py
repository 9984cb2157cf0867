"""Changes of records are told in the transaction that makes them, and make the target again."""

import asyncio
import json
import random
from typing import Any

import pytest

from libs.ledger import Ledger
from libs.storage.client import Document, Mongo, Session, sequence_of
from tests.folding import folded, shown
from tests.integration.writer.batches import FIELDS, TENANT, UPSERT, held, reverted, unique, written
from tests.integration.writer.syncing import SYNC, finished, planned, requested

pytestmark = pytest.mark.servers
TOLD: dict[str, Any] = {"record_events": "values"}
APPEND: dict[str, Any] = {"fields": FIELDS, **TOLD}
DELETING: dict[str, Any] = {**UPSERT, "delete_column": "gone", **TOLD}


async def told(mongo: Mongo) -> list[Document]:
    found = mongo.state["outbox"].find({"topic": "records.changed.v1"}).sort("created_at", 1)
    return [json.loads(row["value"]) async for row in found]


async def assert_folds(mongo: Mongo) -> None:
    """In whatever order the messages come, and if they come twice."""
    messages = await told(mongo)
    wanted = shown(await mongo.target["records"].find({"tenant_id": TENANT}).to_list())
    for seed in range(5):
        twice = [*messages, *messages] if seed else messages
        if seed:
            random.Random(seed).shuffle(twice)
        assert folded(twice, TENANT, "records") == wanted


def operations(messages: list[Document]) -> list[tuple[str, int | None]]:
    return [(change["operation"], change.get("row")) for message in messages for change in message["changes"]]


async def test_silence_by_default(mongo: Mongo, ledger: Ledger) -> None:
    run = await written(mongo, ledger, [{"sku": "a"}], **UPSERT)
    await reverted(mongo, ledger, run)
    assert await told(mongo) == []


async def test_every_change_of_every_run_makes_the_target_again(mongo: Mongo, ledger: Ledger) -> None:
    first = await written(mongo, ledger, [{"sku": "a", "phone": "1"}, {"sku": "b"}, {"sku": "a\u00a0"}], **APPEND)
    await assert_folds(mongo)
    await reverted(mongo, ledger, first)
    await unique(mongo, "sku")
    rows: list[dict[str, Any]] = [{"sku": sku, "phone": "1", "number": None} for sku in "abcd"]
    await written(mongo, ledger, rows, **DELETING)
    rows = [{"sku": "a", "phone": "2"}, {"sku": "b", "_delete": True}, {"sku": "c", "phone": "1"}, {"sku": "e"}]
    second = await written(mongo, ledger, rows, **DELETING)
    await assert_folds(mongo)
    third = await written(mongo, ledger, [{"sku": "a", "phone": "3"}, {"sku": "b", "phone": "9"}], **DELETING)
    await assert_folds(mongo)
    await reverted(mongo, ledger, third)
    await assert_folds(mongo)
    await reverted(mongo, ledger, second)
    await assert_folds(mongo)
    assert operations(await told(mongo)) == [
        ("created", 1), ("created", 2), ("created", 3),
        ("removed", 1), ("removed", 2), ("removed", 3),
        ("created", 1), ("created", 2), ("created", 3), ("created", 4),
        ("created", 4), ("updated", 1), ("deleted", 2),
        ("created", 2), ("updated", 1),
        ("removed", 2), ("restored", 1),
        ("removed", 4), ("returned", 2), ("restored", 1),
    ]  # fmt: skip


async def test_what_a_sync_deletes(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    rows = [{"sku": sku} for sku in ["keep", "change", *map(str, range(10)), "gone"]]
    await written(mongo, ledger, rows, **{**SYNC, "mode": "upsert", "scope_filter": None, **TOLD})
    rows = [{"sku": sku} for sku in ["keep", "new", *map(str, range(10))]] + [{"sku": "change", "phone": "5"}]
    run = await requested(mongo, ledger, rows, **TOLD)
    run = await finished(mongo, ledger, await planned(mongo, ledger, run))
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated, run.counts.not_in_file) == (1, 1, 1)
    assert operations(await told(mongo))[-3:] == [("created", 2), ("updated", 13), ("deleted", None)]
    await assert_folds(mongo)


async def test_records_of_other_applications(mongo: Mongo, ledger: Ledger) -> None:
    """They carry no version that would rise, and a revert takes the one away that a run has noted."""
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a", "phone": "1"})
    for phone in ("2", "3"):
        run = await written(mongo, ledger, [{"sku": "a", "phone": phone}], **UPSERT, **TOLD)
        await reverted(mongo, ledger, run)
    messages = await told(mongo)
    sequences = [message["sequence"] for message in messages]
    assert sequences == sorted(set(sequences))
    assert [message["changes"][0].get("values") for message in messages] == [
        {"phone": "2"}, {"phone": "1"}, {"phone": "3"}, {"phone": "1"},
    ]  # fmt: skip
    assert (
        messages[1]["changes"][0]["fields"] == ["phone", "country", "number"]
        or "phone" in (messages[1]["changes"][0]["fields"])
    )


async def test_a_large_batch_is_told_in_several_messages(mongo: Mongo, ledger: Ledger) -> None:
    run = await written(mongo, ledger, [{"sku": str(number)} for number in range(2_000)], **APPEND)
    rows = await mongo.state["outbox"].find({"topic": "records.changed.v1"}).to_list()
    assert {row["key"] for row in rows} == {f"{run.id}:0"}
    messages = [json.loads(row["value"]) for row in rows]
    assert len({message["event_id"] for message in messages}) == len(messages) > 1
    assert sorted(message["chunk"] for message in messages) == list(range(len(messages)))
    assert {(message["chunks"], message["sequence"]) for message in messages} == {
        (len(messages), messages[0]["sequence"])
    }
    assert {(message["run_id"], message["tenant_id"], message["resource"]) for message in messages} == {
        (run.id, TENANT, "records")
    }
    await assert_folds(mongo)


async def test_sequences_follow_the_changes_of_a_record(mongo: Mongo) -> None:
    """Ten writers that change the same record side by side, a hundred times in all."""
    await mongo.target["counted"].insert_one({"_id": 1, "count": 0})
    noted: list[tuple[int, str]] = []

    async def change(session: Session) -> tuple[int, str]:
        found = await mongo.target["counted"].find_one_and_update(
            {"_id": 1}, {"$inc": {"count": 1}}, return_document=True, session=session
        )
        assert found is not None
        return found["count"], sequence_of(session)

    async def writer() -> None:
        noted.extend([await mongo.transaction(change) for _ in range(10)])

    await asyncio.gather(*(writer() for _ in range(10)))
    noted.sort()
    assert [count for count, _ in noted] == list(range(1, 101))
    sequences = [sequence for _, sequence in noted]
    assert sequences == sorted(set(sequences))
    assert {len(each) for each in sequences} == {16}
