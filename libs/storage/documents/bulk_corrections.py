"""The same correction of many rejected rows of a run."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from libs.storage.documents.run_requests import RunRequest, waiting_index
from libs.storage.documents.runs import Starter


class CellChangeType(StrEnum):
    """What becomes of a cell."""

    REPLACE = "replace"
    """A text of it, or the cell where it is that text, becomes another."""
    SET = "set"
    CLEAR = "clear"


class CellChange(BaseModel):
    """A change of a cell.

    Attributes:
        old: what ``REPLACE`` looks for; an empty cell where it is empty.
        new: what stands there then; ``None`` for nothing.
        part: whether ``old`` is looked for within the cell, everywhere; otherwise the cell must be it.
    """

    type: CellChangeType
    old: str | None = None
    new: str | None = None
    part: bool = False


class BulkCorrectionDocument(RunRequest):
    """The last bulk correction of a run.

    Attributes:
        code, field: of the errors whose rows are corrected.
        at: index of the column whose cells are changed.
        change: what becomes of each.
        dry_run: whether rows are only counted.
        as_of: rows that somebody has corrected since are left alone.
        requested_by: who asks.
        after: all rows up to this one are looked at.
        changed: how many rows were changed, or would be.
        unchanged: how many there are whose cell is so already.
        left: how many were left alone, by reason (``LeftReason`` of the gateway).
        examples: the first few of ``changed``: ``row``, ``before``, ``after``.
        applied: whether all rows are looked at.
        checked: whether what remains wrong with the changed rows is known.
        checked_to: errors of all rows up to this one are stored.
        remaining: how many of these rows have any.
    """

    code: str
    field: str
    at: int
    change: CellChange
    dry_run: bool
    as_of: datetime
    requested_by: Starter
    after: int = 0
    changed: int = 0
    unchanged: int = 0
    left: dict[str, int] = Field(default_factory=dict[str, int])
    examples: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    applied: bool = False
    checked: bool = False
    checked_to: int = 0
    remaining: int = 0

    class Settings:
        name = "bulk_corrections"
        indexes: ClassVar = [waiting_index()]
