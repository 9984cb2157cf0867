"""The databases of these tests, in the same kind of MongoDB as the writer's."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from beanie import init_beanie
from pydantic import SecretStr

from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from tests.integration.writer.conftest import mongodb_uri

__all__ = ["mongo", "mongodb_uri"]


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    """A connection to two databases of its own."""
    name = f"t{uuid4().hex[:12]}"
    mongo = await connect(MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data"))
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield mongo
    await mongo.client.drop_database(mongo.state)
    await mongo.client.close()
