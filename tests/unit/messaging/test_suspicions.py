"""Which consumers look stalled, from what they are and what the broker says of their groups."""

import pytest
from aiokafka import TopicPartition

from libs.messaging.consumer import ConsumerState
from libs.messaging.watchdog import GroupLook, Suspicions

STALL = 60.0
ME = "rowdock-parser-1"
ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def consumer(
    *held: TopicPartition, topic: str = "t", busy: bool = False, joined: bool = True, handled: int = 0
) -> ConsumerState:
    return ConsumerState(topic, frozenset(held), joined, busy, handled, 0.0 if busy else 1_000.0)


def look(*waiting: TopicPartition, members: dict[str, int] | None = None) -> GroupLook:
    return GroupLook(dict.fromkeys(waiting, 5), {ME: 1} if members is None else members)


def judged(suspicions: Suspicions, consumers: list[ConsumerState], looks: dict[str, GroupLook]) -> list[str]:
    """What is stalled after two looks, a stall apart."""
    assert suspicions.judge(consumers, looks, 0.0) == []
    return suspicions.judge(consumers, looks, STALL)


def test_one_that_holds_what_waits_is_stalled() -> None:
    assert judged(Suspicions(ME, STALL), [consumer(ZERO)], {"t": look(ZERO)}) == ["t"]


@pytest.mark.parametrize(
    ("consumers", "waiting"),
    [
        ([consumer()], look(ZERO)),
        ([consumer(ONE)], look(ZERO)),
        ([consumer(ZERO)], look()),
        ([consumer(ZERO, busy=True)], look(ZERO)),
        ([consumer(ZERO, joined=False)], look(ZERO)),
    ],
    ids=["holds nothing", "holds another partition", "nothing waits", "is at work", "has not joined yet"],
)
def test_one_to_which_nothing_points_is_not(consumers: list[ConsumerState], waiting: GroupLook) -> None:
    suspicions = Suspicions(ME, STALL)
    assert judged(suspicions, consumers, {"t": waiting}) == []
    assert not suspicions.any


def test_a_busy_one_does_not_speak_for_a_silent_one() -> None:
    consumers = [consumer(ONE, topic="t", busy=True), consumer(ZERO), consumer(topic="u", busy=True)]
    assert judged(Suspicions(ME, STALL), consumers, {"t": look(ZERO, ONE, members={ME: 2})}) == ["t"]


@pytest.mark.parametrize("members", [{}, {"another": 3}, {ME: 1}])
def test_one_that_the_group_no_longer_counts_is_stalled(members: dict[str, int]) -> None:
    assert judged(Suspicions(ME, STALL), [consumer(), consumer()], {"t": look(ZERO, members=members)}) == ["t"]


def test_a_group_whose_members_are_joining_tells_nothing() -> None:
    suspicions = Suspicions(ME, STALL)
    assert judged(suspicions, [consumer()], {"t": GroupLook({ZERO: 5}, None)}) == []


def test_a_fallen_group_without_messages_is_left_alone() -> None:
    assert judged(Suspicions(ME, STALL), [consumer()], {"t": look(members={})}) == []


def test_whatever_moves_clears_the_suspicion() -> None:
    suspicions = Suspicions(ME, STALL)
    assert suspicions.judge([consumer(ZERO)], {"t": look(ZERO)}, 0.0) == []
    assert suspicions.any
    assert suspicions.judge([consumer(ZERO, handled=1)], {"t": look(ZERO)}, 40.0) == [], "it has handled one"
    assert suspicions.judge([consumer(ONE, handled=1)], {"t": look(ONE)}, 80.0) == [], "it has another partition"
    assert suspicions.judge([consumer(ONE, handled=1)], {"t": look()}, 120.0) == [], "nothing waits any more"
    assert not suspicions.any
    assert suspicions.judge([consumer(ONE, handled=1)], {"t": look(ONE)}, 130.0) == []
    assert suspicions.judge([consumer(ONE, handled=1)], {"t": look(ONE)}, 150.0) == []
    assert suspicions.judge([consumer(ONE, handled=1)], {"t": look(ONE)}, 161.0) == ["t"]
