"""Before-images: what undoes the changes that a run makes to records."""

from collections.abc import Sequence
from datetime import datetime

from libs.storage.client import Mongo, Session
from libs.storage.documents import UndoEntry
from services.writer.domain.batch_plan import RecordUpdate

_IMAGES_AT_A_TIME = 1_000
"""As many as the event loop may take the time to encode."""


class BeforeImages:
    """The store of before-images, one for each record that a run changes."""

    def __init__(self, mongo: Mongo) -> None:
        self._images = mongo.state[UndoEntry.Settings.name]

    async def keep(
        self, run_id: str, resource: str, updates: Sequence[RecordUpdate], saved_at: datetime, session: Session
    ) -> None:
        """Store what undoes ``updates`` of the collection ``resource``.

        Where a run changes a record twice, the first image stays: it is the state before the run.
        A duplicate would abort the transaction, so the ones that exist are asked for first.
        """
        for first in range(0, len(updates), _IMAGES_AT_A_TIME):
            await self._keep(run_id, resource, updates[first : first + _IMAGES_AT_A_TIME], saved_at, session)

    async def _keep(
        self, run_id: str, resource: str, updates: Sequence[RecordUpdate], saved_at: datetime, session: Session
    ) -> None:
        images = {
            f"{run_id}:{update.record_id}": {
                "_id": f"{run_id}:{update.record_id}",
                "run_id": run_id,
                "resource": resource,
                "record_id": update.record_id,
                "restore": update.before.restore,
                "remove": update.before.remove,
                "created_at": saved_at,
            }
            for update in updates
            if update.before is not None
        }
        async for image in self._images.find({"_id": {"$in": list(images)}}, projection=["_id"], session=session):
            del images[image["_id"]]
        if images:
            await self._images.insert_many(images.values(), session=session)
