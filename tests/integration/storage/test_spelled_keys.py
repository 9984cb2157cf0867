"""Keys on the real server, of records whose texts are spelled in another way than they are compared."""

from typing import Any

import pytest
from bson import ObjectId

from libs.contracts.record_keys import entry_values, key_entry
from libs.storage import key_entries
from libs.storage.client import Mongo
from libs.storage.target_keys import KeysNotUniqueError, TargetKey, TargetKeys, holders_of

pytestmark = pytest.mark.servers
SKU, BOTH = ("sku",), ("name", "sku")
SPELLINGS = {
    "SKU123\u00a0 ": "SKU123",
    " 00042": "00042",
    "Que\u0301bec-7": "Québec-7",
    "\u202a4711\u202c": "4711",
    "Anna@EXAMPLE.com": "Anna@example.com",
    "a\u00a0b": "a b",
    "plain": "plain",
    "ÅÄÖ": "ÅÄÖ",
}


def record(sku: object, **more: object) -> dict[str, Any]:
    """One that a run of an earlier release imported, when there were no keys."""
    return {"tenant_id": "a", "sku": sku, "name": "x ", "is_deleted": False, "_import": {"run_id": "r"}, **more}


async def entries(mongo: Mongo, key: TargetKey) -> list[list[Any]]:
    found = mongo.target["records"].find({"_keys.s": key.id}, {"_keys": 1})
    values = [entry_values(entry) async for each in found for entry in each["_keys"] if entry["s"] == key.id]
    return sorted(values, key=str)


def compared(*more: Any) -> list[list[Any]]:  # noqa: ANN401
    return sorted(([*more, value] for value in SPELLINGS.values()), key=str)


@pytest.mark.parametrize("origin", [{"run_id": "r"}, None], ids=["earlier release", "other application"])
async def test_entries_hold_texts_as_they_are_compared(mongo: Mongo, origin: dict[str, str] | None) -> None:
    records = mongo.target["records"]
    await records.insert_many([record(sku, _import=origin) for sku in SPELLINGS])
    by_names = {key.names: key for key in await TargetKeys(mongo).require("a", "records", [SKU, BOTH])}
    assert await entries(mongo, by_names[SKU]) == compared()
    assert await entries(mongo, by_names[BOTH]) == compared("x")
    assert {each["sku"] async for each in records.find()} == set(SPELLINGS)
    found = records.find(holders_of("a", by_names[SKU], [(value,) for value in SPELLINGS.values()]))
    assert len(await found.to_list()) == len(SPELLINGS)


async def test_values_of_other_types_stay_as_they_are(mongo: Mongo) -> None:
    await mongo.target["records"].insert_many([record(sku) for sku in (4711, " 4711", True, ["é"], None, {"é": 1})])
    [key] = await TargetKeys(mongo).register("a", "records", [SKU])
    assert await entries(mongo, key) == sorted([[4711], ["4711"], [True]], key=str)


async def test_two_spellings_of_one_key_break_it(mongo: Mongo) -> None:
    await mongo.target["records"].insert_many([record("Québec"), record("Que\u0301bec")])
    with pytest.raises(KeysNotUniqueError):
        await TargetKeys(mongo).register("a", "records", [SKU])


async def test_records_of_other_applications_go_without_a_key_that_is_taken(mongo: Mongo) -> None:
    await mongo.target["records"].insert_one(record("Québec"))
    [key] = await TargetKeys(mongo).require("a", "records", [SKU])
    await mongo.target["records"].insert_many([record(sku, _import=None) for sku in ("Que\u0301bec", " é", "b ")])
    assert await TargetKeys(mongo).adopt("a", "records") == 3
    assert await entries(mongo, key) == [["Québec"], ["b"], ["é"]]


async def test_entries_are_renewed_as_they_are_compared(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    [key] = await keys.require("a", "records", [SKU])
    raw = [record(sku, _keys=[key_entry(key.id, [sku])]) for sku in SPELLINGS]
    ids: list[ObjectId] = (await mongo.target["records"].insert_many(raw)).inserted_ids
    await keys.renew("a", "records", ids)
    assert await entries(mongo, key) == compared()


async def test_long_texts_are_told_a_few_at_a_time(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_entries, "SPELLINGS_AT_A_TIME", 100)
    await mongo.target["records"].insert_many([record(f" é{number:03d}{'x' * number}") for number in range(60)])
    [key] = await TargetKeys(mongo).register("a", "records", [SKU])
    assert await entries(mongo, key) == [[f"é{number:03d}{'x' * number}"] for number in range(60)]
