"""Before-images: what undoes the changes that a run makes to records."""

from collections.abc import Sequence
from datetime import datetime

from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import UndoEntry
from services.writer.domain.batch_plan import RecordUpdate
from services.writer.target_records import TargetRecords

_IMAGES_AT_A_TIME = 1_000
"""As many as the event loop may take the time to encode."""


class BeforeImages:
    """The store of before-images, one for each record that a run changes."""

    def __init__(self, mongo: Mongo) -> None:
        self._images = mongo.state[UndoEntry.Settings.name]

    async def keep(
        self,
        run_id: str,
        target: TargetRecords,
        updates: Sequence[RecordUpdate],
        deletions: Sequence[RecordUpdate],
        saved_at: datetime,
        session: Session,
    ) -> None:
        """Store what undoes ``updates`` and ``deletions`` of records in ``target``.

        Where a run changes a record twice, the first image stays: it is the state before the run.
        A duplicate would abort the transaction, so the ones that exist are asked for first.
        """
        for changes, deletes in ((updates, False), (deletions, True)):
            for first in range(0, len(changes), _IMAGES_AT_A_TIME):
                images = _images(run_id, target, changes[first : first + _IMAGES_AT_A_TIME], saved_at, deletes=deletes)
                await self._keep(images, session)

    async def _keep(self, images: dict[str, Document], session: Session) -> None:
        async for image in self._images.find({"_id": {"$in": list(images)}}, projection=["_id"], session=session):
            del images[image["_id"]]
        if images:
            await self._images.insert_many(images.values(), session=session)


def _images(
    run_id: str, target: TargetRecords, changes: Sequence[RecordUpdate], saved_at: datetime, *, deletes: bool
) -> dict[str, Document]:
    """The entries by their id."""
    return {
        (identifier := f"{run_id}:{change.record_id}"): {
            "_id": identifier,
            "tenant_id": target.tenant_id,
            "run_id": run_id,
            "resource": target.resource,
            "record_id": change.record_id,
            "restore": change.before.restore,
            "remove": change.before.remove,
            "deletes": deletes,
            "row": change.row,
            "created_at": saved_at,
        }
        for change in changes
        if change.before is not None
    }
