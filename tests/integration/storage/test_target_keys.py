"""Keys of the target on the real server: they bind one tenant, whoever died while they were registered."""

import asyncio
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo.errors import DuplicateKeyError

from libs.contracts.errors import TransientError
from libs.contracts.record_keys import entry_values, key_entry
from libs.storage import target_keys
from libs.storage.client import Mongo
from libs.storage.target_keys import (
    FOREIGN_INDEX,
    KEYS_INDEX,
    KeysNotUniqueError,
    TargetKey,
    TargetKeys,
    TooManyKeysError,
    holders_of,
)
from libs.telemetry import failpoints

pytestmark = pytest.mark.servers

SKU, BOTH = ("sku",), ("shop", "sku")
INDEXES = {"_id_", KEYS_INDEX, FOREIGN_INDEX}


def record(tenant_id: str, number: object, **more: object) -> dict[str, Any]:
    """One that an earlier run imported, when there were no keys."""
    return {"tenant_id": tenant_id, "sku": number, "shop": 1, "is_deleted": False, "_import": {"run_id": "r"}, **more}


async def entries(mongo: Mongo, key: TargetKey) -> list[list[Any]]:
    """The values that records have for a key."""
    found = mongo.target["records"].find({"_keys.s": key.id}, {"_keys": 1})
    values = [entry_values(entry) async for each in found for entry in each["_keys"] if entry["s"] == key.id]
    return sorted(values, key=str)


async def test_a_collection_is_there_when_records_are_to_be_found_and_not_before(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    [key] = await keys.register("a", "records", [SKU])
    assert await mongo.target.list_collection_names() == []
    assert await keys.require("a", "records", [SKU]) == (key,)
    assert set(await mongo.target["records"].index_information()) == INDEXES
    await mongo.target["records"].drop()
    assert await keys.require("a", "records", [SKU]) == (key,)
    assert set(await mongo.target["records"].index_information()) == INDEXES
    assert await keys.require("b", "others", []) == ()
    assert "others" not in await mongo.target.list_collection_names()


@pytest.mark.parametrize(
    "point", ["registered:raise", "fenced:raise", "adopted_some:raise", "filled_some:raise", "filled_some:raise:3"]
)
async def test_what_somebody_died_over_is_finished_by_whoever_asks_next(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    await mongo.target["records"].insert_many(
        [record("a", number) for number in range(2_500)]
        + [record("a", f"f{number}", _import=None) for number in range(1_100)]
        + [record("b", 1), record("b", 1), record("a", 1, is_deleted=True), record("a", [1]), record("a", None)]
    )
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_points", failpoints._armed(f"target_keys.{point}"))
        patch.setattr(failpoints, "_passes", type(failpoints._passes)())
        with pytest.raises(TransientError):
            await TargetKeys(mongo).register("a", "records", [SKU, BOTH])
    by_names = {key.names: key for key in await TargetKeys(mongo).register("a", "records", [SKU, BOTH])}
    assert len(await entries(mongo, by_names[SKU])) == len(await entries(mongo, by_names[BOTH])) == 3_600
    assert await mongo.target["records"].count_documents({"tenant_id": "b", "_keys": {"$exists": True}}) == 0
    assert {document["state"] async for document in mongo.state["target_keys"].find()} == {"active"}


async def test_several_that_register_at_once_make_one(mongo: Mongo) -> None:
    await mongo.target["records"].insert_many([record("a", number) for number in range(1_500)])
    made = await asyncio.gather(*(TargetKeys(mongo).require("a", "records", [SKU, BOTH]) for _ in range(6)))
    assert len(set(made)) == 1
    assert await mongo.state["target_keys"].count_documents({}) == 2


@pytest.mark.parametrize("same", [1, 1.0, Decimal128("1.00")])
async def test_numbers_are_the_same_whatever_their_type(mongo: Mongo, same: object) -> None:
    await mongo.target["records"].insert_many([record("a", 1), record("a", same)])
    with pytest.raises(KeysNotUniqueError) as refused:
        await TargetKeys(mongo).register("a", "records", [BOTH, SKU])
    assert refused.value.names == BOTH
    assert await mongo.state["target_keys"].count_documents({}) == 0
    # What no key needs to be unique is none of its business.
    await TargetKeys(mongo).register("a", "records", [("sku", "unheard_of")])


async def test_records_that_break_a_key_while_it_is_built_refuse_it_too(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody had looked for duplicates when the second one came."""
    await mongo.target["records"].insert_many([record("a", number) for number in (*range(1_500), 7)])

    async def none(*_: object) -> bool:
        return False

    monkeypatch.setattr(target_keys, "_has_duplicates", none)
    with pytest.raises(KeysNotUniqueError):
        await TargetKeys(mongo).register("a", "records", [SKU])
    keys = TargetKeys(mongo)
    assert await keys.of("a", "records") == ()
    left = await mongo.state["target_keys"].find_one({})
    while left is not None and not await keys.clear("a", "records", TargetKey(left["_id"], SKU)):
        pass
    assert await mongo.target["records"].count_documents({"_keys.0": {"$exists": True}}) == 0


async def test_one_key_too_many(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    await keys.register("a", "records", [SKU], limit=2)
    with pytest.raises(TooManyKeysError) as refused:
        await keys.register("a", "records", [SKU, BOTH, ("third",)], limit=2)
    assert refused.value.names == ("third",)
    assert [key.names for key in await keys.of("a", "records")] == [SKU]
    # Fewer are allowed than there are: those that are there can still be asked for.
    await keys.register("a", "records", [SKU], limit=1)
    await keys.register("b", "records", [SKU, BOTH], limit=2)


async def test_what_an_earlier_registration_left_binds_nobody(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    await mongo.target["records"].insert_many([record("a", number) for number in range(10)])
    [old] = await keys.require("a", "records", [SKU])
    await mongo.state["target_keys"].delete_one({"_id": old.id})
    await mongo.target["records"].update_one({"sku": 1}, {"$set": {"sku": 100}})
    [new] = await keys.require("a", "records", [SKU])
    assert new.id != old.id
    assert [100] in await entries(mongo, new)
    await mongo.target["records"].insert_one(record("a", 1, _keys=[key_entry(new.id, [1])]))
    with pytest.raises(DuplicateKeyError):
        await mongo.target["records"].insert_one(record("a", 100, _keys=[key_entry(new.id, [100])]))


async def test_records_of_other_applications_are_found_and_bound(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    [key] = await keys.require("a", "records", [SKU])
    theirs = [record("a", number % 3, _import=None) for number in range(5)]
    await mongo.target["records"].insert_many([*theirs, record("b", 1, _import=None)])
    assert await keys.adopt("a", "records") == 5
    assert await keys.adopt("a", "records") == 0
    # The ones whose key another had already go without.
    assert await entries(mongo, key) == [[0], [1], [2]]
    assert await mongo.target["records"].count_documents({"tenant_id": "b", "_keys": None}) == 1
    looked_up = holders_of("a", key, [[1], [5]])
    plan = await mongo.target.command("explain", {"find": "records", "filter": looked_up}, verbosity="executionStats")
    assert plan["executionStats"]["nReturned"] == plan["executionStats"]["totalDocsExamined"] == 1
    assert KEYS_INDEX in str(plan["queryPlanner"]["winningPlan"])
    foreign = {"tenant_id": "b", "_import": None, "_import.created_at": None, "_keys": None, "is_deleted": False}
    plan = await mongo.target.command("explain", {"find": "records", "filter": foreign}, verbosity="queryPlanner")
    assert FOREIGN_INDEX in str(plan["queryPlanner"]["winningPlan"])


async def test_a_thousand_tenants_with_keys_of_their_own_on_one_resource(mongo: Mongo) -> None:
    keys = TargetKeys(mongo)
    tenants = [f"t{number}" for number in range(1_000)]
    for first in range(0, 1_000, 50):
        await asyncio.gather(
            *(keys.register(tenant, "records", [(f"field_{tenant}",)]) for tenant in tenants[first : first + 50])
        )
    await keys.require(tenants[0], "records", [])
    assert set(await mongo.target["records"].index_information()) == INDEXES
    bound = {tenant: (await keys.of(tenant, "records"))[0] for tenant in tenants}
    assert all(key.names == (f"field_{tenant}",) for tenant, key in bound.items())

    def same(tenant: str, number: int, key: TargetKey) -> dict[str, Any]:
        return record(tenant, number, **{f"field_{tenant}": number}, _keys=[key_entry(key.id, [number])])

    await mongo.target["records"].insert_many(
        [same(tenant, number, key) for tenant, key in bound.items() for number in (1, 2)]
    )
    for tenant in (tenants[0], tenants[500], tenants[-1]):
        with pytest.raises(DuplicateKeyError):
            await mongo.target["records"].insert_one(same(tenant, 2, bound[tenant]))
        await mongo.target["records"].insert_one(record(tenant, 2, _id=ObjectId()))
