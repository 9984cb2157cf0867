"""The sweep of what a crash left behind between a file and its run."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from bson import ObjectId

from libs.storage.client import Mongo
from libs.storage.files import FileStore
from services.gateway.retention import orphans
from services.gateway.retention.orphans import Orphans
from services.gateway.stores.stored_uploads import StoredUploads
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import submit

pytestmark = pytest.mark.servers

NO_AGE = timedelta(seconds=-2)


async def one_chunk() -> AsyncIterator[bytes]:
    yield b"a,b\n1,2\n"


def sweeper(mongo: Mongo, older_than: timedelta = NO_AGE) -> Orphans:
    return Orphans(StoredUploads(mongo), FileStore(mongo), older_than)


async def orphan_file(mongo: Mongo, tenant_id: str = "t") -> ObjectId:
    stored = await FileStore(mongo).store("orphan.csv", one_chunk(), tenant_id=tenant_id, max_bytes=100)
    return ObjectId(stored.id)


async def loose_chunks(mongo: Mongo, *numbers: int) -> ObjectId:
    """Chunks of an upload that has no file."""
    upload = ObjectId()
    await mongo.state["files.chunks"].insert_many([{"files_id": upload, "n": n, "data": b"x"} for n in numbers])
    return upload


async def stored(mongo: Mongo, *uploads: ObjectId) -> int:
    """How many files and chunks of ``uploads`` there are."""
    files = await mongo.state["files.files"].count_documents({"_id": {"$in": list(uploads)}})
    return files + await mongo.state["files.chunks"].count_documents({"files_id": {"$in": list(uploads)}})


async def test_the_sweep_takes_orphans_only(acme: Organization, mongo: Mongo) -> None:
    run_id = await submit(acme.http)
    left = [await orphan_file(mongo, acme.id), await loose_chunks(mongo, 0)]
    assert await sweeper(mongo).sweep() >= 2
    assert await stored(mongo, *left) == 0
    assert await stored(mongo, ObjectId(run_id)) == 2


async def test_young_ones_are_left_alone(mongo: Mongo) -> None:
    left = [await orphan_file(mongo), await loose_chunks(mongo, 0, 1)]
    await sweeper(mongo, timedelta(hours=24)).sweep()
    assert await stored(mongo, *left) == 4


@pytest.mark.parametrize("numbers", [(1,), (3, 4, 7)])
async def test_chunks_are_found_without_the_first_one(mongo: Mongo, numbers: tuple[int, ...]) -> None:
    """Chunks are written side by side and removed one by one, so a crash may leave any of them."""
    upload = await loose_chunks(mongo, *numbers)
    assert await sweeper(mongo).sweep() >= 1
    assert await stored(mongo, upload) == 0


async def test_a_sweep_is_bounded_and_the_next_goes_on(
    acme: Organization, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "UPLOADS_AT_A_TIME", 2)
    monkeypatch.setattr(orphans, "UPLOADS_PER_SWEEP", 4)
    await sweeper(mongo).sweep()
    kept = [ObjectId(await submit(acme.http)) for _ in range(3)]
    left = [await loose_chunks(mongo, 1, 2) for _ in range(7)]
    kept.append(ObjectId(await submit(acme.http)))
    sweep = sweeper(mongo)
    # Enough to come to the end, whatever other tests have stored.
    enough = len(await mongo.state["files.chunks"].distinct("files_id"))
    removed = [await sweep.sweep() for _ in range(enough)]
    assert max(removed) <= 4
    assert sum(removed) >= len(left)
    assert await stored(mongo, *left) == 0
    assert await stored(mongo, *kept) == 2 * len(kept)
    # It begins again at the start when it has come to the end.
    earlier = ObjectId("0" * 24)
    await mongo.state["files.chunks"].insert_one({"files_id": earlier, "n": 5, "data": b"x"})
    for _ in range(enough):
        await sweep.sweep()
    assert await stored(mongo, earlier) == 0


async def test_not_every_chunk_is_looked_at(mongo: Mongo) -> None:
    uploads = [await loose_chunks(mongo, *range(100)) for _ in range(5)]
    await mongo.state.command("profile", 2)
    try:
        window = await StoredUploads(mongo).without_file(None, ObjectId("f" * 24), 1_000)
    finally:
        await mongo.state.command("profile", 0)
    assert set(uploads) <= set(window.orphans)
    profiled = await mongo.state["system.profile"].find_one(
        {"command.aggregate": "files.chunks", "planSummary": {"$exists": True}}  # not what the gateway counts by
    )
    assert profiled is not None
    assert "DISTINCT_SCAN" in profiled["planSummary"]
    chunks = await mongo.state["files.chunks"].count_documents({})
    assert profiled["keysExamined"] < chunks / 2
    await sweeper(mongo).sweep()
