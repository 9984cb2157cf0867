"""A before-image as it is stored, see ``libs.storage.documents.UndoEntry``."""

from datetime import datetime

import bson

from services.writer.domain.batch_plan import RecordUpdate
from services.writer.domain.record_changes import AS_FOUND


def image_id(run_id: str, record_id: object) -> str:
    """Id of the before-image that a run has of a record: there is one at most."""
    return f"{run_id}:{record_id}"


def before_image(
    run_id: str, tenant_id: str, resource: str, change: RecordUpdate, saved_at: datetime, *, deletes: bool
) -> bytes:
    """The BSON of what undoes a change.

    Args:
        run_id: of the run that makes it.
        tenant_id: owner of the record.
        resource: the target collection.
        change: of a record that another run has left, or nobody's run.
        saved_at: when it is stored.
        deletes: whether the change deletes the record.
    """
    assert change.before is not None
    return bson.encode(
        {
            "_id": image_id(run_id, change.record_id),
            "tenant_id": tenant_id,
            "run_id": run_id,
            "resource": resource,
            "record_id": change.record_id,
            "restore": change.before.restore,
            "remove": change.before.remove,
            "deletes": deletes,
            "row": change.row,
            "created_at": saved_at,
        },
        codec_options=AS_FOUND,
    )
