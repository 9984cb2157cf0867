"""What a sync deletes, as clients see it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from libs.storage.documents import RunDocument
from services.gateway.runs.runs import question_of


class SyncView(BaseModel):
    """What a sync deletes because its file does not hold it.

    ``stage`` is ``requested`` while that is looked up, or while the run ``waiting_for`` is executed before this one;
    ``unconfirmed`` where it waits to be executed with ``confirm_deletes``, for ``reasons`` that ``message`` puts into
    words; ``planned`` once it is laid down. Of the ``live_count`` records within the scope ``delete_count`` go, fewer
    only where others have changed some meanwhile. ``unclear_count`` are rows of which it is not sure which record they
    mean.
    """

    stage: str
    requested_at: datetime
    waiting_for: str | None
    live_count: int
    delete_count: int
    unclear_count: int
    max_deleted_share: float
    reasons: list[str]
    message: str | None
    confirmed: int | Literal[True] | None


def present_sync(run: RunDocument) -> SyncView | None:
    """What there is to tell of a sync that was asked to be executed."""
    if (progress := run.syncing) is None:
        return None
    return SyncView(
        stage=progress.stage.value,
        requested_at=progress.requested_at,
        waiting_for=progress.waiting_for,
        live_count=progress.live,
        delete_count=progress.going,
        unclear_count=progress.unclear,
        max_deleted_share=progress.share,
        reasons=[reason.value for reason in progress.reasons],
        message=question_of(run),
        confirmed=True if progress.confirmed_all else progress.confirmed,
    )
