"""Cron expressions in time zones."""

from datetime import UTC, datetime

import pytest

from services.gateway.sources.schedules import cron_problem, next_time, zone_problem


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "following"),
    [
        ("0 6 * * *", "UTC", "2026-11-30T05:00", "2026-11-30T06:00"),
        ("0 6 * * *", "UTC", "2026-11-30T06:00", "2026-12-01T06:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-11-30T05:00", "2026-12-01T05:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T04:00"),
        ("0 6 * * mon-fri", "America/New_York", "2026-11-27T12:00", "2026-11-30T11:00"),
        ("*/15 * * * *", "Asia/Kolkata", "2026-11-30T05:01", "2026-11-30T05:15"),
    ],
)
def test_the_next_time(expression: str, zone: str, after: str, following: str) -> None:
    assert next_time(expression, zone, at(after)) == at(following)


def test_a_time_that_summer_time_leaves_out_still_comes() -> None:
    came = next_time("30 2 * * *", "Europe/Berlin", at("2026-03-28T12:00"))
    assert at("2026-03-29T00:30") <= came <= at("2026-03-29T01:30")


@pytest.mark.parametrize(
    "expression", ["", "x", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@daily", "r" * 200]
)
def test_what_is_no_schedule(expression: str) -> None:
    assert cron_problem(expression)


def test_what_is_one() -> None:
    assert cron_problem("0 6 * * mon-fri") is None
    assert zone_problem("Europe/Berlin") is None
    for name in ("", "Nowhere", "../../etc/passwd", "/etc/localtime", "Europe"):
        assert zone_problem(name)
