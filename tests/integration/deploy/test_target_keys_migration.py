"""What release 0.1 left of its unique indexes becomes keys, first beside its writers, then without them."""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest
from bson import ObjectId
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import COLLECTION, forget, made_migrations, make_migrations
from libs.contracts.record_keys import entry_values
from libs.storage.client import Mongo
from libs.storage.target_keys import FOREIGN_INDEX, KEYS_INDEX, TargetKeys

pytestmark = pytest.mark.servers

BESIDE, AFTERWARDS = "0003_target_keys", "0004_old_unique_indexes"
KEY_TYPES = ["string", "number", "date", "bool"]


def index_of_release_0_1(*names: str) -> IndexModel:
    """As that release made it, written down here once more: it must be told from others for ever."""
    return IndexModel(
        [("tenant_id", 1), *((name, 1) for name in names)],
        name=f"upsert_{names[0]}" if len(names) == 1 else f"unique_{'+'.join(names)}",
        unique=True,
        partialFilterExpression={"is_deleted": False, **{name: {"$type": KEY_TYPES} for name in names}},
    )


def template(resource: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a template
    rule = {"type": "unique", "fields": ["shop"], "against_target": True}
    fields = [{"name": "sku", "rules": [rule]}, {"name": "shop"}]
    return {
        "name": "t",
        "target_resource": resource,
        "mode": "upsert",
        "upsert_key": "sku",
        "fields": fields,
        **changes,
    }


def record(tenant_id: str, number: int, **changes: object) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "tenant_id": tenant_id,
        "sku": f"S{number}",
        "shop": 1,
        "is_deleted": False,
        "_import": {"run_id": "r", "row": number, "version": 1, "created_at": 0, "updated_at": 0},
        **changes,
    }


async def made(mongo: Mongo, name: str) -> None:
    """Make one of the two anew."""
    await forget(mongo, name)
    assert await make_migrations(mongo, [each for each in MIGRATIONS if each.name == name]) == [name]


async def entries(mongo: Mongo, resource: str, tenant_id: str) -> dict[Any, dict[tuple[str, ...], list[Any]]]:
    """For each live record by its ``sku``: the values of its keys by their fields."""
    names = {key.id: key.names for key in await TargetKeys(mongo).of(tenant_id, resource)}
    found = mongo.target[resource].find({"tenant_id": tenant_id, "is_deleted": False})
    return {
        each["sku"]: {names[entry["s"]]: entry_values(entry) for entry in each.get("_keys", ())} async for each in found
    }


@pytest.fixture
async def left(mongo: Mongo) -> Mongo:
    """What release 0.1 left: templates of two organizations, one of them deleted, an unfinished run, and records."""
    documents = [
        {"_id": "1", "tenant_id": "a", "template": template("products"), "deleted_at": None},
        {"_id": "2", "tenant_id": "b", "template": template("products", mode="append", upsert_key=None)},
        {"_id": "3", "tenant_id": "b", "template": template("products"), "deleted_at": 1},
        {
            "_id": "4",
            "tenant_id": "b",
            "template": template("gone", fields=[{"name": "sku", "rules": [{"type": "?"}]}]),
        },
    ]
    await mongo.state["templates"].insert_many([{"deleted_at": None, **each} for each in documents])
    await mongo.state["runs"].insert_one(
        {"_id": "5", "tenant_id": "a", "status": "validated", "template": template("orders", fields=[{"name": "sku"}])}
    )
    for name in ("products", "orders"):
        await mongo.target[name].create_indexes([index_of_release_0_1("sku"), index_of_release_0_1("sku", "shop")])
        await mongo.target[name].insert_many(
            [record(tenant, n) for tenant in ("a", "b") for n in range(1_200)]
            + [record("a", 1, is_deleted=True), record("a", 0, sku=None), record("a", 7_000, _import=None)]
        )
    return mongo


async def test_what_is_asked_for_is_registered_and_the_records_have_their_entries(left: Mongo) -> None:
    await made(left, BESIDE)
    ours, theirs = await entries(left, "products", "a"), await entries(left, "products", "b")
    assert len(ours) == 1_202
    assert ours["S7"] == {("sku",): ["S7"], ("shop", "sku"): [1, "S7"]}
    assert ours["S7000"] == {("sku",): ["S7000"], ("shop", "sku"): [1, "S7000"]}
    assert ours[None] == {}
    assert theirs["S7"] == {("shop", "sku"): [1, "S7"]}
    assert (await entries(left, "orders", "a"))["S7"] == {("sku",): ["S7"]}
    assert (await entries(left, "orders", "b"))["S7"] == {}
    # A writer of that release goes on as before.
    assert "upsert_sku" in await left.target["products"].index_information()
    assert sorted([each["_id"] async for each in left.state["target_resources"].find()]) == [
        "a:orders",
        "a:products",
        "b:products",
    ]


async def test_what_older_writers_have_made_meanwhile_is_completed_and_their_indexes_go(left: Mongo) -> None:
    await made(left, BESIDE)
    records = left.target["products"]
    await records.create_index([("tenant_id", 1), ("shop", 1)], name="upsert_shop")  # somebody's own
    await records.insert_many([record("a", n) for n in range(5_000, 6_500)])
    # Two that have swapped what makes them unique, and one that took what another has left.
    await records.update_one({"tenant_id": "a", "sku": "S1"}, {"$set": {"shop": 2}})
    await records.update_one({"tenant_id": "a", "sku": "S2"}, {"$set": {"sku": None}})
    await records.update_one({"tenant_id": "a", "sku": "S3"}, {"$set": {"sku": "S2"}})
    await made(left, AFTERWARDS)

    found = await entries(left, "products", "a")
    assert found["S1"] == {("sku",): ["S1"], ("shop", "sku"): [2, "S1"]}
    assert found["S2"] == {("sku",): ["S2"], ("shop", "sku"): [1, "S2"]}
    assert all(each[("sku",)] == [sku] for sku, each in found.items() if sku is not None)
    assert {document["state"] async for document in left.state["target_keys"].find()} == {"active"}
    assert set(await records.index_information()) == {"_id_", KEYS_INDEX, FOREIGN_INDEX, "upsert_shop"}
    holder = await records.find_one({"sku": "S2", "tenant_id": "a"})
    assert holder is not None
    with pytest.raises(DuplicateKeyError):
        await records.insert_one({**record("a", 1), "_keys": holder["_keys"]})
    changed = (await made_migrations(left))[AFTERWARDS]["changed"]
    await made(left, AFTERWARDS)
    assert (changed, (await made_migrations(left))[AFTERWARDS]["changed"]) == (7, 0)


@pytest.mark.parametrize(
    ("name", "point"),
    [
        (BESIDE, "target_keys.filled_some:kill:2"),
        (BESIDE, "migration.registered_before_noted:kill:2"),
        (AFTERWARDS, "migration.entries_removed_before_made:kill"),
    ],
)
async def test_a_killed_one_is_finished_by_the_next(left: Mongo, mongodb_uri: str, name: str, point: str) -> None:
    await forget(left, BESIDE)
    if name == AFTERWARDS:
        await made(left, BESIDE)
        await left.target["products"].update_one({"tenant_id": "a", "sku": "S1"}, {"$set": {"shop": 2}})
    await forget(left, AFTERWARDS)
    environment = {
        **os.environ,
        "ROWDOCK_MONGODB": mongodb_uri,
        "ROWDOCK_DATABASE": left.state.name,
        "ROWDOCK_TARGET_DATABASE": left.target.name,
        "FAILPOINT": point,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.migrations", "--finish", env=environment
    )
    assert await process.wait() == -signal.SIGKILL
    # As if the dead one's lease were over.
    await left.state[COLLECTION].update_many({"finished_at": None}, {"$set": {"lease_until": None}})
    assert name in await make_migrations(left, MIGRATIONS)
    found = await entries(left, "products", "a")
    assert all(each[("sku",)] == [sku] for sku, each in found.items() if sku is not None)
    assert all(("shop", "sku") in each for sku, each in found.items() if sku is not None)
