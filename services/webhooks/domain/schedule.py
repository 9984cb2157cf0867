"""When a delivery is tried again, as a pure function over a table.

The rules are those of Standard Webhooks 1.0.0, "Deliverability and reliability".
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random


class AttemptResult(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"
    """2xx."""
    GONE = "gone"
    """410: the receiver wants no more of them."""
    THROTTLED = "throttled"
    """429, 502, 504 or no answer in time: the receiver is overloaded."""
    FAILED = "failed"
    """Everything else, redirects among it: following one would leave the checked address."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The table behind ``next_delay``.

    Attributes:
        delays: ``delays[n]`` is waited before attempt ``n + 1``; after the last one the delivery failed.
        jitter: share by which a delay is moved at random in either direction, so that receivers that
            broke together are not tried together.
        throttled: least wait after a throttled attempt.
        longest_retry_after: most of a receiver's ``Retry-After`` that is honoured.
    """

    delays: tuple[timedelta, ...] = (
        timedelta(0),
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
        timedelta(hours=14),
        timedelta(hours=20),
        timedelta(hours=24),
    )
    jitter: float = 0.2
    throttled: timedelta = timedelta(minutes=1)
    longest_retry_after: timedelta = timedelta(hours=24)


STANDARD_SCHEDULE = RetrySchedule()


def result_of(status_code: int) -> AttemptResult:
    """What a final HTTP status means for the delivery."""
    if 200 <= status_code < 300:
        return AttemptResult.DELIVERED
    if status_code == 410:
        return AttemptResult.GONE
    if status_code in {429, 502, 504}:
        return AttemptResult.THROTTLED
    return AttemptResult.FAILED


def next_delay(
    attempt: int,
    result: AttemptResult,
    retry_after: float | None,
    random: Random,
    schedule: RetrySchedule = STANDARD_SCHEDULE,
) -> timedelta | None:
    """How long to wait after an attempt, or ``None`` where there is no next one.

    Args:
        attempt: number of the attempt just made, 1-based.
        result: how it ended.
        retry_after: seconds that the receiver asked for; never undercut, up to ``longest_retry_after``.
        random: source of the jitter.
        schedule: the table.
    """
    if result in {AttemptResult.DELIVERED, AttemptResult.GONE} or attempt >= len(schedule.delays):
        return None
    delay = schedule.delays[attempt] * random.uniform(1 - schedule.jitter, 1 + schedule.jitter)
    if result is AttemptResult.THROTTLED:
        delay = max(delay, schedule.throttled)
    if retry_after is not None:
        delay = max(delay, min(timedelta(seconds=retry_after), schedule.longest_retry_after))
    return delay


def retry_after_seconds(header: str, now: datetime) -> float | None:
    """Seconds from ``now`` (aware) that a ``Retry-After`` header asks for, or ``None`` where it cannot be read.

    RFC 9110 section 10.2.3: a number of seconds or an IMF-fixdate. A time in the past is 0.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= 9 else None
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds())
