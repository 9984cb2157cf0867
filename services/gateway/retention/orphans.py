"""Removes what a crash between a file and its run left behind.

A run has the id of its file. So a file is an orphan if no run has its id, and chunks are orphans if no file
has their ``files_id``. Young ones are left alone: they may belong to an upload at work.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from bson import ObjectId

from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.storage.files import BUCKET, FileStore

MAX_SWEEP_SECONDS = 3_600.0
MAX_PER_SWEEP = 1_000

logger = structlog.get_logger()


async def sweep_orphans(mongo: Mongo, files: FileStore, older_than: timedelta) -> int:
    """Remove files without a run and chunks without a file that are older; how many uploads those were."""
    cutoff = ObjectId.from_datetime(datetime.now(UTC) - older_than)
    without_run: list[dict[str, Any]] = [
        {"$match": {"_id": {"$lt": cutoff}}},
        {
            "$lookup": {
                "from": RunDocument.Settings.name,
                "let": {"id": {"$toString": "$_id"}},
                "pipeline": [{"$match": {"$expr": {"$eq": ["$_id", "$$id"]}}}, {"$project": {"_id": 1}}],
                "as": "found",
            }
        },
        {"$match": {"found": []}},
        {"$limit": MAX_PER_SWEEP},
        {"$project": {"_id": 1}},
    ]
    without_file: list[dict[str, Any]] = [
        {"$match": {"files_id": {"$lt": cutoff}, "n": 0}},
        {"$lookup": {"from": f"{BUCKET}.files", "localField": "files_id", "foreignField": "_id", "as": "found"}},
        {"$match": {"found": []}},
        {"$limit": MAX_PER_SWEEP},
        {"$project": {"_id": "$files_id"}},
    ]
    removed = 0
    for collection, pipeline in ((f"{BUCKET}.files", without_run), (f"{BUCKET}.chunks", without_file)):
        cursor = await mongo.state[collection].aggregate(pipeline)
        for orphan in await cursor.to_list():
            await files.delete(str(orphan["_id"]))
            removed += 1
    if removed:
        logger.warning("orphans.removed", uploads=removed)
    return removed
