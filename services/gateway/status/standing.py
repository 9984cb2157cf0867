"""Why a run stands still, as far as its document and its batches tell."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from libs.contracts.states import HANDED_OUT, BatchState, RunStatus
from services.gateway.stores.installation import BatchesLook, RunLook

WORKERS = {
    RunStatus.PENDING: "parser",
    RunStatus.VALIDATING: "validator",
    RunStatus.EXECUTING: "writer",
    RunStatus.REVERTING: "writer",
}
"""Whose work a run waits for in a status, once it was read."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has taken a part of a run.

    Attributes:
        work: ``parse``, ``whole_file_check`` or ``sync_plan``.
        until: until when it is believed alive.
    """

    work: str
    owner: str
    until: datetime | None
    alive: bool


def holder_of(run: RunLook, now: datetime) -> Holder | None:
    """Who has a part of a run that only one may have."""
    leases = (
        ("parse", run.parse.owner, run.parse.lease_until),
        ("whole_file_check", run.barrier and run.barrier.owner, run.barrier and run.barrier.until),
        ("sync_plan", run.syncing and run.syncing.owner, run.syncing and run.syncing.until),
    )
    for work, owner, until in leases:
        if owner is not None:
            # The token of a lease goes on behind the name of the process.
            return Holder(work, owner.partition("#")[0], until, alive=until is not None and until > now)
    return None


def worker_of(run: RunLook) -> str:
    """The service whose work a run waits for."""
    if run.stop is not None:
        return "gateway"
    if not run.parse.closed:
        return "parser"
    return WORKERS.get(run.status, "gateway")


def why(run: RunLook, batches: BatchesLook, now: datetime, living: Collection[str]) -> str:
    """One sentence for a person.

    Args:
        run: that does not move.
        batches: of it.
        now: by the server's clock.
        living: services of which a process was heard of lately.
    """
    worker = worker_of(run)
    reason = _waiting_for(run, batches, now)
    if worker not in living:
        return f"{reason}; no process of the service {worker} is at work: start one, or look why it does not run"
    return reason


def _waiting_for(run: RunLook, batches: BatchesLook, now: datetime) -> str:
    if run.stop is not None:
        return f"it is to end as {run.stop.status.value} ({run.stop.code}), which a gateway has not finished yet"
    holder = holder_of(run, now)
    if holder is not None:
        state = "is at it" if holder.alive else "has been silent since its lease ended, the next one takes over"
        return f"{holder.owner} has taken {_WORKS[holder.work]} and {state}{_attempts(run, batches)}"
    if not run.parse.closed:
        return f"its file waits to be read{_attempts(run, batches)}"
    if run.syncing is not None and run.syncing.waiting_for is not None and run.status is not RunStatus.VALIDATING:
        return f"an earlier sync of the same records has to end first: run {run.syncing.waiting_for}"
    state = HANDED_OUT.get(run.status)
    waiting = 0 if state is None else batches.by_state.get(state, 0)
    if state is not None and waiting:
        handed = f"{batches.announced} of {waiting} waiting batches are handed out to workers"
        held = ", the others wait for their turn" if batches.announced < waiting else ""
        return f"{handed}{held}{_attempts(run, batches)}"
    if batches.by_state.get(BatchState.CHECKED):
        return "every batch is checked, and the check of the whole file has not been taken up"
    return "all of its batches are done, and nobody has moved it on"


_WORKS = {"parse": "its file", "whole_file_check": "the check of the whole file", "sync_plan": "the plan of its sync"}


def _attempts(run: RunLook, batches: BatchesLook) -> str:
    """How often the work has begun and not come to its end."""
    if not run.parse.closed:
        return f", after {run.parse.attempts} attempts" if run.parse.attempts > 1 else ""
    return f"; one of them was tried {batches.attempts} times in vain" if batches.attempts else ""
