"""When it is looked for files: every so many seconds, or by a cron expression in a time zone."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

MAX_CRON_CHARS: Final = 100
_FIELDS: Final = 5
_NEVER: Final = timedelta(days=366)


def cron_problem(expression: str) -> str | None:
    """What is wrong with a cron expression, or ``None``."""
    usual = "write five fields (minute, hour, day, month, weekday), such as '0 6 * * mon-fri'"
    if len(expression) > MAX_CRON_CHARS or len(expression.split()) != _FIELDS:
        return f"is no cron expression; {usual}"
    try:
        croniter(expression, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except (CroniterError, ValueError, KeyError, TypeError, AttributeError):
        return f"is no cron expression, or one that never comes; {usual}"
    return None


def zone_problem(name: str) -> str | None:
    """What is wrong with a time zone, or ``None``."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "is no time zone; use a name of the IANA database, such as Europe/Berlin"
    return None


def next_time(expression: str, zone: str, after: datetime) -> datetime:
    """The first time of a cron expression that is later than ``after``, in UTC.

    A time that a change to summer time leaves out comes as soon as the clock goes on; one that comes twice counts once
    or twice as cron does it.
    """
    try:
        found = croniter(expression, after.astimezone(ZoneInfo(zone))).get_next(datetime)
    except (CroniterError, ZoneInfoNotFoundError):  # judged when it was saved; another release may judge otherwise
        return after + _NEVER
    return found.astimezone(UTC)
