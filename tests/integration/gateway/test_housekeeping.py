"""Bootstrap, and the sweep of what a crash left behind."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

from bson import ObjectId

from libs.storage.client import Mongo
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys
from services.gateway.retention.orphans import sweep_orphans
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import submit


async def run_bootstrap(settings: MongoSettings, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.bootstrap", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_bootstrap_prints_one_line_and_knows_a_known_key(mongo: Mongo, mongo_settings: MongoSettings) -> None:
    del mongo
    code, printed = await run_bootstrap(mongo_settings, "--organization", "Böotstrap")
    assert code == 0
    assert printed.count("\n") == 1
    made = json.loads(printed)
    principal = await ApiKeys().principal(made["api_key"])
    assert principal is not None
    assert principal.tenant_id == made["organization_id"]
    code, printed = await run_bootstrap(mongo_settings, "--organization", "Other", "--api-key", made["api_key"])
    assert (code, json.loads(printed)) == (0, made)
    assert (await run_bootstrap(mongo_settings, "--organization", "X", "--api-key", "short"))[0] == 2


async def one_chunk() -> AsyncIterator[bytes]:
    yield b"a,b\n1,2\n"


async def test_the_sweep_takes_orphans_only(acme: Organization, mongo: Mongo) -> None:
    files = FileStore(mongo)
    run_id = await submit(acme.http)
    orphan = await files.store("orphan.csv", one_chunk(), tenant_id=acme.id, max_bytes=100)
    loose = ObjectId()
    await mongo.state["files.chunks"].insert_one({"files_id": loose, "n": 0, "data": b"loose"})

    await sweep_orphans(mongo, files, timedelta(hours=24))
    assert await mongo.state["files.files"].find_one({"_id": ObjectId(orphan.id)}) is not None

    assert await sweep_orphans(mongo, files, timedelta(seconds=-2)) >= 2
    chunks = mongo.state["files.chunks"]
    assert await chunks.count_documents({"files_id": {"$in": [ObjectId(orphan.id), loose]}}) == 0
    assert await chunks.count_documents({"files_id": ObjectId(run_id)}) == 1
