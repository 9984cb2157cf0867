"""Before-images: what undoes the changes that a run makes to records."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from pymongo.errors import BulkWriteError

from libs.storage.client import Mongo, Session
from libs.storage.documents import UndoEntry
from libs.storage.mongo_errors import DUPLICATE_KEY
from services.writer.domain.batch_plan import RecordUpdate
from services.writer.domain.before_image import before_image, image_id
from services.writer.domain.document_slots import EncodedRecords
from services.writer.raw_insert import insert_encoded
from services.writer.target_records import TargetRecords

_IMAGES_AT_A_TIME = 5_000


class ImageExistsError(Exception):
    """The run has changed a record before, and somebody else has since."""


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
        *,
        others_since: bool,
        encoded: EncodedRecords | None = None,
    ) -> None:
        """Store what undoes ``updates`` and ``deletions`` of records in ``target``.

        Where a run changes a record twice, the first image stays: it is the state before the run. A duplicate would
        abort the transaction, so the ones that may exist are asked for first.

        Args:
            others_since: whether records that name another run, or none, may have been changed by this one before.
                That needs somebody else between two of its batches, and to ask for all costs as much as to write them.
            encoded: before-images of further records that name another run, see ``encoded_changes``.

        Raises:
            ImageExistsError: without ``others_since``; one is there already. The transaction is lost.
        """
        for changes, deletes in ((updates, False), (deletions, True)):
            for first in range(0, len(changes), _IMAGES_AT_A_TIME):
                some = changes[first : first + _IMAGES_AT_A_TIME]
                images = await asyncio.to_thread(_images, run_id, target, some, saved_at, deletes=deletes)
                # Of a record that the run has created there is no image, so none is asked for.
                doubtful = list(images) if others_since else await asyncio.to_thread(_doubtful, run_id, some)
                for known in await self._among(doubtful, session):
                    del images[known]
                await self._insert(EncodedRecords.of(list(images.values())), session)
        if encoded is not None:
            await self._insert(encoded, session)

    async def _among(self, identifiers: Sequence[str], session: Session) -> list[str]:
        """Those of which there is an image."""
        if not identifiers:
            return []
        found = self._images.find(
            {"_id": {"$in": identifiers}}, projection=["_id"], batch_size=len(identifiers) + 1, session=session
        )
        return [image["_id"] for image in await found.to_list()]

    async def _insert(self, images: EncodedRecords, session: Session) -> None:
        if not images.count:
            return
        try:
            await insert_encoded(self._images, images, session)
        except BulkWriteError as error:
            if error.details["writeErrors"][0]["code"] == DUPLICATE_KEY:
                raise ImageExistsError from error
            raise


def _doubtful(run_id: str, changes: Sequence[RecordUpdate]) -> list[str]:
    """Ids of the images that are there already where nobody else has changed a record since."""
    named = (each for each in changes if each.before is not None and _names(each.origin, run_id))
    return [image_id(run_id, each.record_id) for each in named]


def _names(origin: object, run_id: str) -> bool:
    """Whether ``_import`` of a record is of the run."""
    return isinstance(origin, dict) and cast("dict[str, object]", origin).get("run_id") == run_id


def _images(
    run_id: str, target: TargetRecords, changes: Sequence[RecordUpdate], saved_at: datetime, *, deletes: bool
) -> dict[str, bytes]:
    """The entries by their id."""
    return {
        image_id(run_id, change.record_id): before_image(
            run_id, target.tenant_id, target.resource, change, saved_at, deletes=deletes
        )
        for change in changes
        if change.before is not None
    }
