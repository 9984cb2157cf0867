"""What a run of mode ``sync`` deletes, as its run document holds it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from libs.contracts.reasons import SyncReason


class SyncStage(StrEnum):
    """How far a sync is that was asked to be executed."""

    REQUESTED = "requested"
    """It is looked up what it would delete, or an earlier sync of the same records is waited for."""
    UNCONFIRMED = "unconfirmed"
    """It would delete more than it may without being told so: it waits for that, and nothing is written."""
    PLANNED = "planned"
    """What it deletes is laid down, no more than was confirmed; it is executed."""


class SyncProgress(BaseModel):
    """One request to execute a sync.

    Attributes:
        target: tenant and resource: of those that have the same, one at a time is at work.
        slot: ``target`` while it is this run, from the planning on until it has ended.
        waiting_for: id of the run that had the slot when this one was last to begin.
        owner, until: who plans, and until when it is believed alive (server time).
        confirmed: most records that may be deleted; ``None`` where nobody has said anything.
        confirmed_all: somebody has said that any number may be.
        live: live records within the scope when that was looked up.
        going: those among them that would be deleted, or are to be.
        unclear: rows of which it is not sure which record they mean.
        share: of ``live`` that may go unasked.
        reasons: why it asks.
        batches: entries of the ledger with what is to be deleted.
    """

    stage: SyncStage = SyncStage.REQUESTED
    target: str
    slot: str | None = None
    waiting_for: str | None = None
    owner: str | None = None
    until: datetime | None = None
    requested_at: datetime
    confirmed: int | None = None
    confirmed_all: bool = False
    live: int = 0
    going: int = 0
    unclear: int = 0
    share: float = 0.0
    reasons: list[SyncReason] = Field(default_factory=list[SyncReason])
    batches: int = 0
