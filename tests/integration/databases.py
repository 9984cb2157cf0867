"""Databases that tests have one after another, each as if they were new: to make every index takes a second."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from deploy.provision import provision_mongodb
from libs.storage.client import Document
from libs.storage.settings import MongoSettings


class Databases:
    """Two databases, of state and of targets, for whoever has them at the moment.

    Args:
        uri: of the server.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(uri)
        self._settings: MongoSettings | None = None
        self._made: Mapping[str, object] = {}
        self._documents: Mapping[str, list[Document]] = {}

    async def lend(self) -> MongoSettings:
        """Where they are: every index, and no document but those of provisioning."""
        if self._settings is None:
            name = f"t{uuid4().hex[:12]}"
            self._settings = MongoSettings(mongodb=SecretStr(self._uri), database=name, target_database=f"{name}_data")
            await provision_mongodb(self._settings)
            self._made = await self._collections(name)
            everything = {one: await self._client[name][one].find({}).to_list() for one in self._made}
            self._documents = {one: documents for one, documents in everything.items() if documents}
        return self._settings

    async def take_back(self) -> None:
        """Empty them. Where somebody has changed a collection, an index or what provisioning wrote, the next one gets
        others."""
        assert self._settings is not None, "nobody has them"
        state = self._client[self._settings.database]
        await self._client.drop_database(self._settings.target_database)
        documents = {name: await state[name].find({}).to_list() for name in self._documents}
        if (await self._collections(state.name), documents) == (self._made, self._documents):
            await asyncio.gather(*(_empty(state[name]) for name in self._made.keys() - documents.keys()))
        else:
            await self._client.drop_database(state)
            self._settings = None

    async def close(self) -> None:
        """Leave them to the end of the server, which is that of the tests."""
        await self._client.close()

    async def _collections(self, database: str) -> Mapping[str, Any]:
        """Type, options and indexes of each collection."""
        found = await (await self._client[database].list_collections()).to_list()

        async def look(collection: Mapping[str, Any]) -> Any:  # noqa: ANN401 - only compared
            if collection["type"] == "view":
                return collection
            indexes = await (await self._client[database][collection["name"]].list_indexes()).to_list()
            return collection["options"], sorted(indexes, key=lambda index: index["name"])

        return {
            each["name"]: looked for each, looked in zip(found, await asyncio.gather(*map(look, found)), strict=True)
        }


async def _empty(collection: AsyncCollection[Document]) -> None:
    if await collection.find_one({}, {"_id": 1}) is not None:
        await collection.delete_many({})
