"""What a file of corrections held, as clients see it."""

from pydantic import BaseModel

from libs.contracts.rejections import RejectedState
from libs.storage.documents import RunDocument


class LeftOutView(BaseModel):
    row: int
    state: RejectedState


class CorrectionsView(BaseModel):
    """What the file of corrections held that a retry is about: ``corrected`` of its ``rows`` differed from what the run
    had read. ``left_out`` counts those that were not retried by their state, ``left_out_rows`` are the first 100 of
    them; ``notes`` say which columns were not read and which were not there.
    """

    rows: int
    corrected: int
    left_out: dict[RejectedState, int]
    left_out_rows: list[LeftOutView]
    notes: list[str]


def present_corrections(run: RunDocument) -> CorrectionsView | None:
    """Of a retry by a file, once that was read."""
    found = None if run.retry is None else run.retry.found
    return None if found is None else CorrectionsView(**found.model_dump())
