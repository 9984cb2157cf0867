"""What is stored of uploads, of all organizations: only retention asks here, and only about what belongs to no run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from libs.storage.client import Collection, Mongo
from libs.storage.documents import RunDocument
from libs.storage.files import BUCKET


@dataclass(frozen=True, slots=True)
class Window:
    """Some uploads in the order of their ids, as one look found them.

    Attributes:
        orphans: ids of those that belong to nothing.
        last: id of the last one that was looked at; ``None`` where there was none.
    """

    orphans: tuple[ObjectId, ...]
    last: ObjectId | None


class StoredUploads:
    """Files and chunks of GridFS, looked at a window at a time."""

    def __init__(self, mongo: Mongo) -> None:
        self._files = mongo.state[f"{BUCKET}.files"]
        self._chunks = mongo.state[f"{BUCKET}.chunks"]

    async def without_run(self, after: ObjectId | None, before: ObjectId, limit: int) -> Window:
        """Of ``limit`` files between the two ids, those whose id no run has."""
        of_the_run: dict[str, Any] = {
            "$lookup": {
                "from": RunDocument.Settings.name,
                "let": {"id": {"$toString": "$_id"}},
                "pipeline": [{"$match": {"$expr": {"$eq": ["$_id", "$$id"]}}}, {"$project": {"_id": 1}}],
                "as": "found",
            }
        }
        files = [{"$match": {"_id": _between(after, before)}}, {"$sort": {"_id": 1}}, {"$project": {"_id": 1}}]
        return await _window(self._files, [*files, {"$limit": limit}, of_the_run])

    async def without_file(self, after: ObjectId | None, before: ObjectId, limit: int) -> Window:
        """Of the chunks of ``limit`` uploads between the two ids, those that belong to no file.

        Any chunk counts, whether the first one is among them or not. The server steps from upload to upload along
        the index and looks at one chunk of each.
        """
        uploads = [
            {"$match": {"files_id": _between(after, before)}},
            {"$sort": {"files_id": 1}},
            {"$group": {"_id": "$files_id"}},
        ]
        of_the_file = {"$lookup": {"from": self._files.name, "localField": "_id", "foreignField": "_id", "as": "found"}}
        return await _window(self._chunks, [*uploads, {"$limit": limit}, of_the_file])


def _between(after: ObjectId | None, before: ObjectId) -> dict[str, ObjectId]:
    return {"$lt": before, **({} if after is None else {"$gt": after})}


async def _window(collection: Collection, pipeline: Sequence[dict[str, Any]]) -> Window:
    cursor = await collection.aggregate([*pipeline, {"$project": {"orphan": {"$eq": ["$found", []]}}}])
    looked_at = await cursor.to_list()
    orphans = tuple(upload["_id"] for upload in looked_at if upload["orphan"])
    return Window(orphans, looked_at[-1]["_id"] if looked_at else None)
