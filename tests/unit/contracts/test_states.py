"""The tables of states hang together."""

from enum import StrEnum
from typing import TypeVar

import pytest

from libs.contracts.states import (
    ACTIVE_RUN_STATUSES,
    BATCH_TRANSITIONS,
    CANCELLABLE_RUN_STATUSES,
    OPEN_BATCH_STATES,
    RUN_TRANSITIONS,
    TERMINAL_RUN_STATUSES,
    BatchState,
    RunStatus,
    batch_may_move,
    run_may_move,
)

State = TypeVar("State", bound=StrEnum)


def reachable(table: dict[State, frozenset[State]], start: State) -> set[State]:
    found, ahead = {start}, [start]
    while ahead:
        new = table[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_every_status_can_be_reached() -> None:
    assert reachable(RUN_TRANSITIONS, RunStatus.PENDING) == set(RUN_TRANSITIONS) == set(RunStatus)
    assert reachable(BATCH_TRANSITIONS, BatchState.PARSED) == set(BATCH_TRANSITIONS) == set(BatchState)


def test_a_terminal_run_stays_so_unless_it_is_reverted() -> None:
    exits = {status: RUN_TRANSITIONS[status] for status in TERMINAL_RUN_STATUSES if RUN_TRANSITIONS[status]}
    assert exits == {RunStatus.COMPLETED: {RunStatus.REVERTING}}


def test_no_run_comes_to_a_status_twice() -> None:
    """Each is told when it is reached: ``completed`` a second time would be a second import to whoever listens."""
    for status, targets in RUN_TRANSITIONS.items():
        assert status not in set().union(*(reachable(RUN_TRANSITIONS, target) for target in targets)), status


def test_every_active_run_can_end() -> None:
    for status in ACTIVE_RUN_STATUSES:
        assert reachable(RUN_TRANSITIONS, status) & TERMINAL_RUN_STATUSES
    assert not ACTIVE_RUN_STATUSES & TERMINAL_RUN_STATUSES


def test_what_can_be_cancelled_can_fail_too() -> None:
    """A stop ends a run as either, and is asked for in cancellable statuses only."""
    assert {status for status, targets in RUN_TRANSITIONS.items() if RunStatus.FAILED in targets} == set(
        CANCELLABLE_RUN_STATUSES
    )
    assert ACTIVE_RUN_STATUSES - {RunStatus.REVERTING} == CANCELLABLE_RUN_STATUSES


def test_every_open_batch_can_be_closed() -> None:
    for state in OPEN_BATCH_STATES:
        assert {BatchState.FAILED, BatchState.CANCELLED} <= BATCH_TRANSITIONS[state]
    assert frozenset({BatchState.PARSED, BatchState.CHECKED, BatchState.VALIDATED}) == OPEN_BATCH_STATES


@pytest.mark.parametrize("table", [RUN_TRANSITIONS, BATCH_TRANSITIONS])
def test_nothing_moves_to_where_it_is(table: dict[StrEnum, frozenset[StrEnum]]) -> None:
    assert not [state for state, targets in table.items() if state in targets]


def test_the_functions_read_the_tables() -> None:
    assert run_may_move(RunStatus.PENDING, RunStatus.VALIDATING)
    assert not run_may_move(RunStatus.CANCELLED, RunStatus.PENDING)
    assert batch_may_move(BatchState.VALIDATED, BatchState.WRITTEN)
    assert not batch_may_move(BatchState.PARSED, BatchState.WRITTEN)
