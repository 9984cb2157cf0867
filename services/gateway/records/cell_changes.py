"""What a bulk correction makes of a rejected row: its change of one cell, or why the row is left alone."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from libs.contracts.rejections import shown
from libs.ledger.bulk_corrections import MOST_EXAMPLES, ChangedRows, MatchingRow
from libs.storage.documents import BulkCorrectionDocument, CellChange, CellChangeType

MAX_TEXT_BYTES: Final = 1_024
"""Of the texts that a bulk correction looks for and puts into cells: they are stored once for each row."""
MAX_GROWN_BYTES: Final = 4_096
"""A cell that a bulk correction makes longer has at most so many bytes then."""
MAX_CORRECTED_BYTES: Final = 4 * 1024 * 1024
"""Of all corrections of a row: what a row of a file has at most."""


class LeftReason(StrEnum):
    """Why a row is left alone."""

    CORRECTED_SINCE = "corrected_since"
    """Somebody has corrected it after the moment that the request names."""
    NOT_CHECKED = "not_checked"
    """It was corrected, and nobody knows yet what remains wrong with it."""
    TOO_LONG = "too_long"
    """Its cell, or the row, would be too long."""


def decided(correction: BulkCorrectionDocument, rows: Sequence[MatchingRow]) -> ChangedRows:
    """What becomes of rows with the error that a bulk correction is about."""
    changed = ChangedRows()
    for row in rows:
        corrected = dict(row.corrected)
        before = corrected.get(correction.at, row.cell)
        if reason := _left(correction, row, before):
            changed.left[reason] = changed.left.get(reason, 0) + 1
            continue
        after = changed_cell(correction.change, before)
        if (after or "") == (before or ""):
            changed.unchanged += 1
            continue
        changed.corrected[row.row] = sorted({**corrected, correction.at: after}.items())
        if len(changed.examples) < MOST_EXAMPLES:
            changed.examples.append({"row": row.row, "before": _shown(before), "after": _shown(after)})
    return changed


def changed_cell(change: CellChange, cell: str | None) -> str | None:
    """What a cell is after the change; the same where there is nothing to change. Texts are compared as they are."""
    match change.type:
        case CellChangeType.CLEAR:
            return None
        case CellChangeType.SET:
            return change.new
        case CellChangeType.REPLACE if change.part and change.old:
            return None if cell is None else cell.replace(change.old, change.new or "")
        case CellChangeType.REPLACE:
            return change.new if (cell or "") == (change.old or "") else cell


def _left(correction: BulkCorrectionDocument, row: MatchingRow, before: str | None) -> LeftReason | None:
    """Why a row is left alone. One that is corrected in the very moment of ``as_of`` may not have been seen yet."""
    if row.corrected_at is not None and row.corrected_at >= correction.as_of:
        return LeftReason.CORRECTED_SINCE
    if not row.checked:
        return LeftReason.NOT_CHECKED
    size = len((before or "").encode())
    grown = changed_bytes(correction.change, before)
    others = sum(len((text or "").encode()) for at, text in row.corrected if at != correction.at)
    if grown > size and (grown > MAX_GROWN_BYTES or others + grown > MAX_CORRECTED_BYTES):
        return LeftReason.TOO_LONG
    return None


def changed_bytes(change: CellChange, cell: str | None) -> int:
    """How many bytes of UTF-8 a cell has after the change, without making it: it may be far too long."""
    if change.type is CellChangeType.REPLACE and change.part and change.old and cell is not None:
        longer = len((change.new or "").encode()) - len(change.old.encode())
        return len(cell.encode()) + cell.count(change.old) * longer
    return len((changed_cell(change, cell) or "").encode())


def _shown(cell: str | None) -> str | None:
    return None if cell is None else shown(cell)
