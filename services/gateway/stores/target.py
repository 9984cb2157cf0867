"""Indexes of the target collections, which all organizations share."""

from collections.abc import Sequence

from libs.storage.client import Mongo
from libs.storage.unique_keys import unique_index


class TargetIndexes:
    """Makes the unique indexes that templates ask for."""

    def __init__(self, mongo: Mongo) -> None:
        self._target = mongo.target

    async def make_unique(self, resource: str, names: Sequence[str]) -> None:
        """Let no two live records of a tenant have the same values in all of ``names``.

        Raises:
            pymongo.errors.DuplicateKeyError: there are such records.
            pymongo.errors.OperationFailure: the server makes no such index.
        """
        await self._target[resource].create_indexes([unique_index(names)])
