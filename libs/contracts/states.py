"""States of runs and batches and the only transitions between them."""

from enum import StrEnum


class RunStatus(StrEnum):
    PENDING = "pending"
    VALIDATING = "validating"
    VALIDATED = "validated"
    EXECUTING = "executing"
    COMPLETED = "completed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    FAILED = "failed"
    CANCELLED = "cancelled"


# A run comes to no status twice, because each is told when it is reached. So a revert that has begun is only ever
# finished: what cannot be taken back is kept and listed, and what breaks it is tried again.
RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.VALIDATING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.VALIDATING: frozenset({RunStatus.VALIDATED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.VALIDATED: frozenset({RunStatus.EXECUTING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.EXECUTING: frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.COMPLETED: frozenset({RunStatus.REVERTING}),
    RunStatus.REVERTING: frozenset({RunStatus.REVERTED}),
    RunStatus.REVERTED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}

TERMINAL_RUN_STATUSES = frozenset({RunStatus.COMPLETED, RunStatus.REVERTED, RunStatus.FAILED, RunStatus.CANCELLED})
ACTIVE_RUN_STATUSES = frozenset(RunStatus) - TERMINAL_RUN_STATUSES
CANCELLABLE_RUN_STATUSES = frozenset(
    source for source, targets in RUN_TRANSITIONS.items() if RunStatus.CANCELLED in targets
)


class BatchState(StrEnum):
    """Where the rows of one batch stand.

    ``checked`` exists only in runs whose rows are compared over the whole file: every row passed or failed on its
    own, and the whole-file check is still to come. ``reverted``: what was written is taken back.
    """

    PARSED = "parsed"
    CHECKED = "checked"
    VALIDATED = "validated"
    WRITTEN = "written"
    REVERTED = "reverted"
    FAILED = "failed"
    CANCELLED = "cancelled"


BATCH_TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    BatchState.PARSED: frozenset({BatchState.CHECKED, BatchState.VALIDATED, BatchState.FAILED, BatchState.CANCELLED}),
    BatchState.CHECKED: frozenset({BatchState.VALIDATED, BatchState.FAILED, BatchState.CANCELLED}),
    BatchState.VALIDATED: frozenset({BatchState.WRITTEN, BatchState.FAILED, BatchState.CANCELLED}),
    BatchState.WRITTEN: frozenset({BatchState.REVERTED}),
    BatchState.REVERTED: frozenset(),
    BatchState.FAILED: frozenset(),
    BatchState.CANCELLED: frozenset(),
}

HANDED_OUT: dict[RunStatus, BatchState] = {
    RunStatus.VALIDATING: BatchState.PARSED,
    RunStatus.EXECUTING: BatchState.VALIDATED,
    RunStatus.REVERTING: BatchState.WRITTEN,
}
"""The state of the batches that are handed out to workers while their run has this status."""

OPEN_BATCH_STATES = frozenset(state for state, targets in BATCH_TRANSITIONS.items() if BatchState.FAILED in targets)


def run_may_move(source: RunStatus, target: RunStatus) -> bool:
    """Whether the table allows a run to go from ``source`` to ``target``."""
    return target in RUN_TRANSITIONS[source]


def batch_may_move(source: BatchState, target: BatchState) -> bool:
    """Whether the table allows a batch to go from ``source`` to ``target``."""
    return target in BATCH_TRANSITIONS[source]
