from collections.abc import AsyncIterator

import pytest
from beanie import init_beanie
from pydantic import SecretStr

from libs.storage.client import connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings


@pytest.fixture(scope="module", autouse=True)
async def _bound_models(mongodb_uri: str) -> AsyncIterator[None]:
    """Beanie's models need to know their collections, also where nothing is asked of them."""
    mongo = await connect(MongoSettings(mongodb=SecretStr(mongodb_uri), database="unused"))
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield
    await mongo.client.close()
