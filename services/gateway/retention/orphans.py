"""Removes what a crash between a file and its run left behind.

A run has the id of its file. So a file is an orphan if no run has its id, and chunks are orphans if no file
has their ``files_id``. Young ones are left alone: they may belong to an upload at work.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from bson import ObjectId

from libs.storage.files import FileStore
from services.gateway.stores.stored_uploads import StoredUploads, Window

MAX_SWEEP_SECONDS = 3_600.0
UPLOADS_AT_A_TIME = 1_000
UPLOADS_PER_SWEEP = 50_000

logger = structlog.get_logger()

_Look = Callable[[ObjectId | None, ObjectId, int], Awaitable[Window]]


class Orphans:
    """Looks through the stored uploads, a bounded number of them at each sweep; the next one goes on behind them.

    Args:
        uploads: where they are looked for.
        files: where they are removed.
        older_than: longer than any upload takes.
    """

    def __init__(self, uploads: StoredUploads, files: FileStore, older_than: timedelta) -> None:
        self._files = files
        self._older_than = older_than
        self._looks: tuple[_Look, ...] = (uploads.without_run, uploads.without_file)
        self._positions: list[ObjectId | None] = [None for _ in self._looks]

    async def sweep(self) -> int:
        """Remove files without a run and chunks without a file; how many uploads those were."""
        before = ObjectId.from_datetime(datetime.now(UTC) - self._older_than)
        removed = 0
        for number, look in enumerate(self._looks):
            for _ in range(UPLOADS_PER_SWEEP // UPLOADS_AT_A_TIME):
                window = await look(self._positions[number], before, UPLOADS_AT_A_TIME)
                for upload in window.orphans:
                    await self._files.delete(str(upload))
                    removed += 1
                self._positions[number] = window.last
                if window.last is None:
                    break
        if removed:
            logger.warning("orphans.removed", uploads=removed)
        return removed
