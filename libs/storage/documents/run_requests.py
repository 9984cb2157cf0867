"""What is asked for of a run and worked out in the background, one document a run, under its id."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pymongo import ASCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument


class RequestState(StrEnum):
    """How far a request is."""

    WAITING = "waiting"
    """Somebody is at work on it, or is to take it."""
    DONE = "done"
    FAILED = "failed"


class RunRequest(StateDocument):
    """What every request has, whatever it is for.

    Attributes:
        version: of this one; each time that it is asked for anew it is another.
        owner, until: who is at work and until when that is believed alive (server time).
        attempts: how often somebody has begun.
        failure: code and message of why it cannot be done.
    """

    tenant_id: str
    version: str
    state: RequestState = RequestState.WAITING
    owner: str | None = None
    until: datetime | None = None
    attempts: int = 0
    failure: dict[str, str] | None = None
    requested_at: datetime
    finished_at: datetime | None = None


def waiting_index(*before: str) -> IndexModel:
    """The index by which requests that wait are found, the oldest first, of each value of ``before``."""
    names = ("state", *before, "requested_at")
    return IndexModel(
        [(name, ASCENDING) for name in names], name="waiting", partialFilterExpression=dict(WAITING_REQUESTS)
    )


WAITING_REQUESTS: Final = {"state": RequestState.WAITING.value}
