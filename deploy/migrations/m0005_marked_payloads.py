"""Tables of a batch that go when their run has ended get the mark by which they are found, and indexes go that nobody
asks any more.

To be made when the last process of release 0.1 has left: it stores such tables without the mark, and asks one of the
indexes. Until then what a crash leaves of these tables goes with the age of payloads.
"""

from deploy.migrations.runner import Progress
from libs.storage.client import Mongo
from libs.storage.documents import BatchPayload

TABLES_AT_A_TIME = 1_000
UNUSED_INDEXES = {
    "batch_payloads": ("run",),
    "runs": ("held_back",),
    "undo": ("run",),
    "webhook_deliveries": ("due",),
}
"""By collection. Others of the same collection begin with the fields of most of them."""


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Mark the tables, in the order of their ids, then drop the indexes where they are."""
    payloads = mongo.state[BatchPayload.Settings.name]
    after = (progress.position or {}).get("after", "")
    temporary = {"$regex": ":(keys|deletions)$", "$gt": after}
    # Their ids alone are read: with their rows they may be as many as the installation has disk for.
    found = payloads.find({"_id": temporary}, {"_id": 1}, sort=[("_id", 1)], hint="_id_")
    while some := [each["_id"] for each in await found.to_list(TABLES_AT_A_TIME)]:
        answer = await payloads.update_many({"_id": {"$in": some}, "temporary": None}, {"$set": {"temporary": True}})
        await progress.note(answer.modified_count, {"after": some[-1]})
    for collection, names in UNUSED_INDEXES.items():
        for name in set(names) & set(await mongo.state[collection].index_information()):
            await mongo.state[collection].drop_index(name)
            await progress.note(1, progress.position)
