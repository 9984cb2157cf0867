"""What a run would do to its target, as it was when it was looked up."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from pymongo import ASCENDING, IndexModel

from libs.contracts.events import RunCounts
from libs.contracts.lanes import Lane
from libs.storage.documents.state_document import StateDocument


class PreviewState(StrEnum):
    WAITING = "waiting"
    """A writer has it, or is to take it."""
    DONE = "done"
    FAILED = "failed"


class SeenTarget(BaseModel):
    """By which it is told later whether other runs have written to the target since.

    Attributes:
        ended_at: when the last run that wrote to it, or was reverted, had ended; ``None`` where there was none.
    """

    ended_at: datetime | None = None


class PreviewDocument(StateDocument):
    """The last preview of a run, under the id of the run.

    Attributes:
        version: of this one; each time that it is asked for anew it is another.
        owner, until: the writer at work and until when it is believed alive (server time).
        attempts: how often a writer has begun.
        rows: how many rows are planned so far.
        counts: what the run would end with.
        samples: the first few rows of each kind.
        seen: the target as it was before it was looked at.
    """

    tenant_id: str
    version: str
    lane: Lane = Lane.SMALL
    state: PreviewState = PreviewState.WAITING
    owner: str | None = None
    until: datetime | None = None
    attempts: int = 0
    rows: int = 0
    counts: RunCounts | None = None
    samples: dict[str, list[dict[str, Any]]] = Field(default_factory=dict[str, list[dict[str, Any]]])
    seen: SeenTarget | None = None
    failure: dict[str, str] | None = None
    requested_at: datetime
    finished_at: datetime | None = None

    class Settings:
        name = "previews"
        indexes: ClassVar = [
            IndexModel(
                [("state", ASCENDING), ("lane", ASCENDING), ("requested_at", ASCENDING)],
                name="waiting",
                partialFilterExpression={"state": "waiting"},
            ),
        ]
