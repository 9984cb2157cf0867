"""What a run would do to its target, as it was when it was looked up."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from libs.contracts.events import RunCounts
from libs.contracts.lanes import Lane
from libs.storage.documents.run_requests import RunRequest, waiting_index


class SeenTarget(BaseModel):
    """By which it is told later whether other runs have written to the target since.

    Attributes:
        ended_at: when the last run that wrote to it, or was reverted, had ended; ``None`` where there was none.
    """

    ended_at: datetime | None = None


class PreviewDocument(RunRequest):
    """The last preview of a run.

    Attributes:
        rows: how many rows are planned so far.
        counts: what the run would end with.
        samples: the first few rows of each kind.
        seen: the target as it was before it was looked at.
    """

    lane: Lane = Lane.SMALL
    rows: int = 0
    counts: RunCounts | None = None
    samples: dict[str, list[dict[str, Any]]] = Field(default_factory=dict[str, list[dict[str, Any]]])
    seen: SeenTarget | None = None

    class Settings:
        name = "previews"
        indexes: ClassVar = [waiting_index("lane")]
