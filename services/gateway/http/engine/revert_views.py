"""What a revert did, as clients see it."""

from pydantic import BaseModel

from libs.contracts.events import RevertCounts
from services.gateway.stores.before_images import KeptRecord


class RevertView(BaseModel):
    """What became of the records that a run had written, when it was reverted.

    ``removed_count`` had been created, ``restored_count`` changed and ``returned_count`` deleted; ``kept_count`` were
    left as they are.
    """

    removed_count: int
    restored_count: int
    returned_count: int
    kept_count: int


class KeptView(BaseModel):
    """A record that a revert left as it is, and why: ``CHANGED`` since, ``GONE``, ``KEY_TAKEN`` by another record,
    ``REFUSED`` by rules of the target, or ``ROWS_EXPIRED``. ``row`` is the one that wrote it, null
    of a record that a sync deleted because its file did not hold it; ``fields`` are those that the reason is about."""

    record_id: str
    row: int | None
    reason: str
    fields: list[str]


def present_reverted(counts: RevertCounts) -> RevertView:
    """The counts of a revert."""
    return RevertView(
        removed_count=counts.removed,
        restored_count=counts.restored,
        returned_count=counts.returned,
        kept_count=counts.kept,
    )


def present_kept(record: KeptRecord, last_row: int | None) -> KeptView:
    """A record that was kept, with the reason.

    Args:
        record: the record.
        last_row: of the file, where the run has numbered further records behind it, which are not of it.
    """
    kept = record.kept
    row = record.row if last_row is None or record.row <= last_row else None
    return KeptView(record_id=str(record.record_id), row=row, reason=kept.reason.value, fields=kept.fields)
