"""When receivers are paused, tried again and given up."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.listening import Listener
from services.webhooks.domain.health import (
    STANDARD_RULES,
    Health,
    HealthRules,
    needs_probe,
    next_pause,
    paused,
    to_be_given_up,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_some_failures_are_nothing() -> None:
    assert next_pause(Health(failures=9, failing_since=NOW), NOW) is None
    assert next_pause(Health(failures=10, failing_since=NOW), NOW) == timedelta(seconds=30)


def test_pauses_double_up_to_the_longest() -> None:
    lengths = [next_pause(Health(failures=20, pauses=number), NOW) for number in range(6)]
    assert [length and length.total_seconds() for length in lengths] == [30, 60, 120, 240, 480, 600]


def test_what_was_under_way_when_the_pause_began_makes_it_no_longer() -> None:
    assert next_pause(Health(failures=13, paused_until=NOW + SECOND, pauses=1), NOW) is None


def test_the_end_of_a_pause_needs_one_attempt() -> None:
    health = Health(failures=10, paused_until=NOW)
    assert paused(health, NOW - SECOND)
    assert not needs_probe(health, NOW - SECOND)
    assert needs_probe(health, NOW)
    assert not needs_probe(Health(), NOW)


def test_given_up_by_time_and_number() -> None:
    long_ago = NOW - STANDARD_RULES.give_up
    assert to_be_given_up(Health(failures=10, failing_since=long_ago), NOW)
    assert not to_be_given_up(Health(failures=10, failing_since=long_ago + SECOND), NOW)
    assert not to_be_given_up(Health(failures=9, failing_since=long_ago), NOW)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_pause_is_longer_than_the_longest(failures: int, pauses: int) -> None:
    rules = HealthRules(failures=3, first_pause=SECOND, longest_pause=timedelta(seconds=50))
    pause = next_pause(Health(failures=failures, pauses=pauses), NOW, rules)
    assert (pause is None) == (failures < 3)
    assert pause is None or SECOND <= pause <= rules.longest_pause


def test_listeners_by_type_template_and_time() -> None:
    everything = Listener("e1", None, None, NOW)
    assert everything.hears("import.completed", "m1", NOW)
    assert not everything.hears("import.completed", "m1", NOW - SECOND)
    some = Listener("e2", frozenset({"import.failed"}), frozenset({"m1"}), NOW)
    assert some.hears("import.failed", "m1", NOW)
    assert not some.hears("import.completed", "m1", NOW)
    assert not some.hears("import.failed", "m2", NOW)
    assert some.hears("import.failed", None, NOW)
