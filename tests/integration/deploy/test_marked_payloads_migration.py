"""What is left for after the last process of release 0.1: marks of tables that go, and indexes that nobody asks."""

import pytest

from deploy.migrations import MIGRATIONS, m0005_marked_payloads
from deploy.migrations.runner import forget, made_migrations, make_migrations
from libs.storage.client import Mongo

pytestmark = pytest.mark.servers
NAME = "0005_marked_payloads"
KINDS = ("deletions", "keys", "parsed", "valid")


async def migrated(mongo: Mongo) -> int:
    """Make the migration anew; how many changes it made."""
    (migration,) = (each for each in MIGRATIONS if each.name == NAME)
    await forget(mongo, NAME)
    assert await make_migrations(mongo, [migration]) == [NAME]
    return (await made_migrations(mongo))[NAME]["changed"]


async def test_tables_that_go_are_marked_and_those_that_stay_are_not(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(m0005_marked_payloads, "TABLES_AT_A_TIME", 3)
    payloads = mongo.state["batch_payloads"]
    await payloads.insert_many(
        [{"_id": f"run:0:{seq}:{kind}", "run_id": "run", "data": b""} for seq in range(5) for kind in KINDS]
    )
    await payloads.insert_one({"_id": "run:0:5:keys", "run_id": "run", "data": b"", "temporary": True})
    assert await migrated(mongo) == 10
    marked = [each["_id"] async for each in payloads.find({"temporary": True}, {"_id": 1})]
    assert sorted(marked) == sorted(
        [f"run:0:{seq}:{kind}" for seq in range(5) for kind in KINDS[:2]] + ["run:0:5:keys"]
    )
    assert await payloads.count_documents({"temporary": None}) == 10
    assert await migrated(mongo) == 0


async def test_indexes_that_nobody_asks_are_dropped_and_no_others(mongo: Mongo) -> None:
    before = {name: await mongo.state[name].index_information() for name in m0005_marked_payloads.UNUSED_INDEXES}
    for collection, names in m0005_marked_payloads.UNUSED_INDEXES.items():
        assert not set(names) & set(before[collection]), "provisioning makes them no more"
        for name in names:
            await mongo.state[collection].create_index([("left", 1)], name=name)
    assert await migrated(mongo) == sum(len(names) for names in m0005_marked_payloads.UNUSED_INDEXES.values())
    assert {name: await mongo.state[name].index_information() for name in before} == before
