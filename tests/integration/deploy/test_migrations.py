"""Migrations on the real server: once, in order, by one at a time, and on where a dead one stopped."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr

from deploy.migrations import MIGRATIONS, m0001_system_times
from deploy.migrations.runner import COLLECTION, Migration, Progress, forget, made_migrations, make_migrations
from deploy.provision import provision_mongodb
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from tests.compatibility.snapshots import RELEASE_0_1, load_documents

pytestmark = pytest.mark.servers

CREATED, CHANGED = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


def named(name: str, ran: list[str]) -> Migration:
    async def migrate(mongo: Mongo, progress: Progress) -> None:
        del mongo
        ran.append(name)
        await progress.note(3)

    return Migration(name, migrate)


async def system_times(mongo: Mongo) -> list[str]:
    """Make the migration of the system times anew."""
    (migration,) = (each for each in MIGRATIONS if each.migrate is m0001_system_times.migrate)
    await forget(mongo, migration.name)
    return await make_migrations(mongo, [migration])


async def test_each_is_made_once_and_in_order(mongo: Mongo) -> None:
    ran: list[str] = []
    first, second = named("9001_a", ran), named("9002_b", ran)
    assert await make_migrations(mongo, [first]) == ["9001_a"]
    assert await make_migrations(mongo, [first, second]) == ["9002_b"]
    assert await make_migrations(mongo, [first, second]) == []
    assert ran == ["9001_a", "9002_b"]
    made = (await made_migrations(mongo))["9002_b"]
    assert made["finished_at"] is not None
    assert (made["changed"], made["owner"], made["lease_until"]) == (3, None, None)


async def test_several_that_try_at_once_make_each_once(mongo: Mongo) -> None:
    ran: list[str] = []
    at_work = 0

    async def slow(mongo: Mongo, progress: Progress) -> None:
        nonlocal at_work
        del mongo
        at_work += 1
        assert at_work == 1
        ran.append("slow")
        for _ in range(20):  # time for the others to come
            await progress.note(1)
        at_work -= 1

    migrations = [Migration("9001_slow", slow), named("9002_after", ran)]
    made = await asyncio.gather(*(make_migrations(mongo, migrations) for _ in range(5)))
    assert ran == ["slow", "9002_after"]
    assert sorted(name for names in made for name in names) == ["9001_slow", "9002_after"]


async def test_what_failed_is_gone_on_with(mongo: Mongo) -> None:
    positions: list[object] = []

    async def broken(mongo: Mongo, progress: Progress) -> None:
        del mongo
        positions.append(progress.position)
        if progress.position is None:
            await progress.note(5, {"after": 5})
            raise ConnectionError("the server is gone")
        await progress.note(2)

    with pytest.raises(ConnectionError):
        await make_migrations(mongo, [Migration("9001_broken", broken)], lease_seconds=0.3)
    assert await make_migrations(mongo, [Migration("9001_broken", broken)]) == ["9001_broken"]
    assert positions == [None, {"after": 5}]
    assert (await made_migrations(mongo))["9001_broken"]["changed"] == 7


# --- 0001 -------------------------------------------------------------------------------------------


def record(number: int, **changes: object) -> dict[str, Any]:
    """As release 0.1 wrote it."""
    return {
        "_id": ObjectId(f"{number:024x}"),
        "tenant_id": "t",
        "sku": f"S{number}",
        "is_deleted": False,
        "deleted_at": None,
        "created_at": CREATED,
        "updated_at": CHANGED,
        "_import": {"run_id": "r", "row": number, "version": 1},
        **changes,
    }


async def test_system_times_move_into_the_records_origin(mongo: Mongo) -> None:
    origin = {"run_id": "r", "row": 1, "version": 1}
    theirs: dict[str, Any] = {"_id": 1, "created_at": CREATED}
    owned = record(3, created_at="the template's own", _import={**origin, "created_at": CREATED, "updated_at": CHANGED})
    half = record(4, _import={**origin, "created_at": CHANGED})
    bare = record(5)
    del bare["created_at"], bare["updated_at"]
    await mongo.target["products"].insert_many([record(1), record(2), owned, half, bare, theirs])
    await mongo.target["stores"].insert_one(record(1))

    assert await system_times(mongo) == ["0001_system_times"]
    products = {found["_id"]: found async for found in mongo.target["products"].find()}
    first = record(1)
    times = {"created_at": CREATED, "updated_at": CHANGED}
    assert products[first["_id"]] == {**first, "_import": {**first["_import"], **times}}
    assert products[owned["_id"]] == owned
    assert products[half["_id"]]["_import"] == {**half["_import"], "updated_at": CHANGED}
    assert products[bare["_id"]] == bare
    assert products[1] == theirs
    stored = await mongo.target["stores"].find_one({})
    assert stored is not None
    assert stored["_import"]["created_at"] == CREATED
    assert (await made_migrations(mongo))["0001_system_times"]["changed"] == 4


async def test_system_times_of_more_records_than_one_step_takes(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m0001_system_times, "RECORDS_AT_A_TIME", 7)
    for name in ("a", "b"):
        await mongo.target[name].insert_many([record(number) for number in range(1, 31)])
    await system_times(mongo)
    for name in ("a", "b"):
        assert await mongo.target[name].count_documents({"_import.created_at": CREATED}) == 30
    assert (await made_migrations(mongo))["0001_system_times"]["changed"] == 60
    await system_times(mongo)
    assert (await made_migrations(mongo))["0001_system_times"]["changed"] == 0


async def test_a_killed_one_is_finished_by_the_next(mongo: Mongo, mongodb_uri: str) -> None:
    await mongo.state[COLLECTION].delete_many({})
    await mongo.target["a"].insert_many([record(number) for number in range(1, 2_501)])
    environment = {
        **os.environ,
        "ROWDOCK_MONGODB": mongodb_uri,
        "ROWDOCK_DATABASE": mongo.state.name,
        "ROWDOCK_TARGET_DATABASE": mongo.target.name,
    }

    async def command(**more: str) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.migrations", "--again", "0001_system_times", env={**environment, **more}
        )
        return await process.wait()

    assert await command(FAILPOINT="migration.changed_before_noted:kill:2") == -signal.SIGKILL
    noted = (await made_migrations(mongo))["0001_system_times"]
    assert noted["position"]["collection"] == "a"
    assert noted["finished_at"] is None
    # As if the dead one's lease were over.
    await mongo.state[COLLECTION].update_one({"_id": "0001_system_times"}, {"$set": {"lease_until": CREATED}})
    assert await make_migrations(mongo, MIGRATIONS) == [migration.name for migration in MIGRATIONS]
    assert (
        await mongo.target["a"].count_documents({"_import.created_at": CREATED, "_import.updated_at": CHANGED}) == 2_500
    )


# --- the whole, on what release 0.1 left --------------------------------------------------------------


async def test_provisioning_a_database_of_release_0_1(mongodb_uri: str) -> None:
    name = f"t{ObjectId()}"
    settings = MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")
    mongo = await connect(settings)
    try:
        for collection, indexes in load_documents(RELEASE_0_1 / "indexes.json").items():
            await mongo.state.command("createIndexes", collection, indexes=indexes)
        everything = [migration.name for migration in MIGRATIONS if not migration.waits]
        assert await provision_mongodb(settings) == everything
        assert await provision_mongodb(settings) == []
        assert await provision_mongodb(settings, finish=True) == [each.name for each in MIGRATIONS if each.waits]
        for document in DOCUMENTS:
            wanted = {each.index.document["name"] for each in document.get_settings().indexes} | {"_id_"}
            found = await mongo.state[document.get_collection_name()].index_information()
            # A collection without indexes of its own is made by its first document.
            assert {*found, "_id_"} == wanted, document
    finally:
        await mongo.client.drop_database(name)
        await mongo.client.close()
