"""Databases of each test's own on the real MongoDB."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from beanie import init_beanie
from pydantic import SecretStr
from pymongo import MongoClient

from deploy.local.servers import Servers
from deploy.provision import provision_mongodb
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings


@pytest.fixture(scope="session")
def mongodb_uri(servers: Servers) -> str:
    """Connection string of the replica set that all tests share.

    It removes the files of dropped databases soon: they stay open for the five minutes of its snapshot history and
    until the next checkpoint, some eighty for each test, and mongod ends where the machine allows no more open files.
    """
    with MongoClient[dict[str, Any]](servers.mongodb) as client:
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=5)
        client.admin.command("setParameter", 1, syncdelay=10.0)
    return servers.mongodb


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    """A connection to two databases of the test's own, with every index."""
    name = f"t{uuid4().hex[:12]}"
    settings = MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")
    await provision_mongodb(settings)
    mongo = await connect(settings)
    # Provisioning bound the documents to a client of its own, closed by now.
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield mongo
    await mongo.client.drop_database(mongo.state)
    await mongo.client.drop_database(mongo.target)
    await mongo.client.close()
