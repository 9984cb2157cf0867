"""Indexes of the target collections, which all organizations share."""

from collections.abc import Sequence

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from libs.storage.client import Mongo
from libs.storage.unique_keys import unique_index


class TargetIndexes:
    """Makes the unique indexes that templates ask for."""

    def __init__(self, mongo: Mongo) -> None:
        self._target = mongo.target

    async def make_unique(self, resource: str, names: Sequence[str]) -> None:
        """Let no two live records of a tenant have the same values in all of ``names``.

        An index that does the same under another name serves as well.

        Raises:
            pymongo.errors.DuplicateKeyError: there are such records.
            pymongo.errors.OperationFailure: the server makes no such index.
        """
        wanted = unique_index(names)
        try:
            await self._target[resource].create_indexes([wanted])
        except OperationFailure:
            if not await self._has(resource, wanted):
                raise

    async def _has(self, resource: str, wanted: IndexModel) -> bool:
        """Whether there is an index that is like ``wanted`` in everything but its name."""
        described = ("key", "unique", "partialFilterExpression")
        like = [wanted.document[member] for member in described]
        cursor = await self._target[resource].list_indexes()
        return any([index.get(member) for member in described] == like for index in await cursor.to_list())
