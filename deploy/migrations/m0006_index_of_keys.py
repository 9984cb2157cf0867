"""The index of API keys by their organization goes, whose place has one that also has them in the order of pages.

To be made when the last process of release 0.1 has left, whose provisioning makes the index.
"""

from deploy.migrations.runner import Progress
from libs.storage.client import Mongo
from libs.storage.documents import ApiKey

OLD = "tenant"


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Drop the index where it is."""
    keys = mongo.state[ApiKey.Settings.name]
    if OLD in await keys.index_information():
        await keys.drop_index(OLD)
        await progress.note(1, progress.position)
