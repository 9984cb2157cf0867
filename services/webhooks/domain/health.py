"""When nothing is sent to a receiver for a while, and when it is given up: pure functions of how its attempts ended.

======================================  ==========================================================
``failures`` in a row                   nothing is sent for ``first_pause``, then one attempt
… that attempt fails too                twice as long, up to ``longest_pause``, then one attempt
any attempt goes well                   everything is sent again at once
nothing has gone well for ``give_up``   the endpoint is switched off, and its organization told
======================================  ==========================================================

A delivery that waits for the end of a pause uses up none of its attempts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class HealthRules:
    """The table above."""

    failures: int = 10
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=10)
    give_up: timedelta = timedelta(days=5)


STANDARD_RULES = HealthRules()


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has done since an attempt went well; see ``WebhookEndpoint``."""

    failures: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    pauses: int = 0


def paused(health: Health, now: datetime) -> bool:
    """Whether nothing may be sent now."""
    return health.paused_until is not None and now < health.paused_until


def needs_probe(health: Health, now: datetime) -> bool:
    """Whether one attempt is to decide how it goes on."""
    return health.paused_until is not None and not paused(health, now)


def next_pause(health: Health, now: datetime, rules: HealthRules = STANDARD_RULES) -> timedelta | None:
    """How long nothing is to be sent after an attempt that failed, or ``None`` where it goes on.

    Args:
        health: with that failure counted.
        now: when it failed.
        rules: the table.
    """
    if health.failures < rules.failures or paused(health, now):
        return None
    doubled = min(health.pauses, 30)  # 2**30 times anything is longer than the longest
    return min(rules.first_pause * 2**doubled, rules.longest_pause)


def to_be_given_up(health: Health, now: datetime, rules: HealthRules = STANDARD_RULES) -> bool:
    """Whether an endpoint has failed, with that attempt, for so long and so often that it is switched off."""
    if health.failing_since is None or health.failures < rules.failures:
        return False
    return now - health.failing_since >= rules.give_up
