"""Before-images and webhook deliveries are kept as long as their run.

Release 0.1 let the server drop them after 90 days, by indexes that now go.
"""

from deploy.migrations.runner import Progress
from libs.storage.client import Mongo

INDEX = "expiry"


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Drop both indexes where they are."""
    for collection in (mongo.state["undo"], mongo.state["webhook_deliveries"]):
        if INDEX in await collection.index_information():
            await collection.drop_index(INDEX)
            await progress.note(1)
