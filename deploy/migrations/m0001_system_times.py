"""When a record was created and changed stands in ``_import``: a template may own ``created_at`` and ``updated_at``.

Release 0.1 had these times at top level only. Where ``_import`` lacks one, it is taken from there; the record keeps
what it has. Records of other applications, which have no ``_import``, are left alone.

A writer of release 0.1 that changes a record takes the times out of its ``_import`` again: make this migration
``--again`` once the last one has left.
"""

from pymongo import ASCENDING

from deploy.migrations.runner import Progress
from libs.storage.client import Collection, Document, Mongo
from libs.telemetry.failpoints import failpoint

RECORDS_AT_A_TIME = 1_000
_LACKS_A_TIME: Document = {
    "_import.run_id": {"$exists": True},
    "$or": [{"_import.created_at": {"$exists": False}}, {"_import.updated_at": {"$exists": False}}],
}


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Go through the target's collections by name, and through each by ``_id``."""
    position = progress.position or {}
    for name in sorted(await mongo.target.list_collection_names(filter={"type": "collection"})):
        if name >= position.get("collection", "") and not name.startswith("system."):
            after = position.get("after") if name == position.get("collection") else None
            await _complete(mongo.target[name], progress, after)


async def _complete(records: Collection, progress: Progress, after: object) -> None:
    while True:
        further = {} if after is None else {"_id": {"$gt": after}}
        found = records.find({**_LACKS_A_TIME, **further}, {"_id": 1}).sort("_id", ASCENDING).limit(RECORDS_AT_A_TIME)
        ids = [record["_id"] async for record in found]
        if not ids:
            return
        answer = await records.update_many(
            {**_LACKS_A_TIME, "_id": {"$in": ids}},
            [{"$set": {f"_import.{time}": {"$ifNull": [f"$_import.{time}", f"${time}"]} for time in _TIMES}}],
        )
        failpoint("migration.changed_before_noted")
        after = ids[-1]
        await progress.note(answer.modified_count, {"collection": records.name, "after": after})


_TIMES = ("created_at", "updated_at")
