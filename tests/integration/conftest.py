"""Databases of each test's own on the real MongoDB."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from beanie import init_beanie
from pymongo import MongoClient

from deploy.local.servers import Servers
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from tests.integration.databases import Databases


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


@pytest.fixture(scope="session")
async def databases(mongodb_uri: str) -> AsyncIterator[Databases]:
    """What tests have one after another."""
    databases = Databases(mongodb_uri)
    yield databases
    await databases.close()


@pytest.fixture
async def mongo(databases: Databases) -> AsyncIterator[Mongo]:
    """A connection to two databases that nobody else has, with every index and no document."""
    mongo = await connect(await databases.lend())
    # Provisioning bound the documents to a client of its own, closed by now.
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield mongo
    await mongo.client.close()
    await databases.take_back()
