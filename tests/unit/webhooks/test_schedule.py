"""When a delivery is tried again."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain.schedule import (
    STANDARD_SCHEDULE,
    AttemptResult,
    RetrySchedule,
    next_delay,
    result_of,
    retry_after_seconds,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
RETRIED = st.sampled_from([AttemptResult.FAILED, AttemptResult.THROTTLED])
ATTEMPTS = st.integers(1, len(STANDARD_SCHEDULE.delays) - 1)


def test_the_standard_table_spans_three_days() -> None:
    assert STANDARD_SCHEDULE.delays[:2] == (timedelta(0), timedelta(seconds=5))
    assert timedelta(days=3) < sum(STANDARD_SCHEDULE.delays, timedelta()) < timedelta(days=4)


@pytest.mark.parametrize(
    ("status_code", "result"),
    [
        (200, AttemptResult.DELIVERED),
        (204, AttemptResult.DELIVERED),
        (299, AttemptResult.DELIVERED),
        (101, AttemptResult.FAILED),
        (301, AttemptResult.FAILED),
        (308, AttemptResult.FAILED),
        (404, AttemptResult.FAILED),
        (410, AttemptResult.GONE),
        (429, AttemptResult.THROTTLED),
        (500, AttemptResult.FAILED),
        (502, AttemptResult.THROTTLED),
        (503, AttemptResult.FAILED),
        (504, AttemptResult.THROTTLED),
    ],
)
def test_what_a_status_means(status_code: int, result: AttemptResult) -> None:
    assert result_of(status_code) is result


@given(attempt=ATTEMPTS, seed=st.integers())
def test_jitter_stays_within_a_fifth(attempt: int, seed: int) -> None:
    base = STANDARD_SCHEDULE.delays[attempt]
    delay = next_delay(attempt, AttemptResult.FAILED, None, Random(seed))
    assert delay is not None
    assert base * 0.8 <= delay <= base * 1.2


@given(attempt=ATTEMPTS, seed=st.integers())
def test_a_throttled_receiver_has_a_minute(attempt: int, seed: int) -> None:
    delay = next_delay(attempt, AttemptResult.THROTTLED, None, Random(seed))
    assert delay is not None
    assert delay >= timedelta(minutes=1)


@given(attempt=ATTEMPTS, seed=st.integers(), result=RETRIED, asked=st.floats(0, 1e9))
def test_retry_after_is_never_undercut_and_bounded(
    attempt: int, seed: int, result: AttemptResult, asked: float
) -> None:
    own = next_delay(attempt, result, None, Random(seed))
    delay = next_delay(attempt, result, asked, Random(seed))
    assert own is not None
    assert delay is not None
    assert delay == max(own, min(timedelta(seconds=asked), timedelta(hours=24)))


@given(attempt=st.integers(1, 50), asked=st.none() | st.floats(0, 1e6))
def test_settled_deliveries_are_not_tried_again(attempt: int, asked: float | None) -> None:
    for result in (AttemptResult.DELIVERED, AttemptResult.GONE):
        assert next_delay(attempt, result, asked, Random(1)) is None


@given(result=RETRIED, beyond=st.integers(0, 5), asked=st.none() | st.floats(0, 1e6))
def test_the_schedule_ends(result: AttemptResult, beyond: int, asked: float | None) -> None:
    assert next_delay(len(STANDARD_SCHEDULE.delays) + beyond, result, asked, Random(1)) is None


def test_another_table() -> None:
    fast = RetrySchedule(
        delays=(timedelta(0), timedelta(milliseconds=10)), jitter=0, throttled=timedelta(milliseconds=20)
    )
    assert next_delay(1, AttemptResult.FAILED, None, Random(1), fast) == timedelta(milliseconds=10)
    assert next_delay(1, AttemptResult.THROTTLED, None, Random(1), fast) == timedelta(milliseconds=20)
    assert next_delay(2, AttemptResult.FAILED, None, Random(1), fast) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Mon, 01 Jan 2024 00:02:00 GMT", 120),
        ("Sun, 31 Dec 2023 23:00:00 GMT", 0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("٣", None),
    ],
)
def test_retry_after_header(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text())
def test_any_header_gets_an_answer(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0
