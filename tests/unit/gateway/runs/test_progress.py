"""How far a run is, and how fast it goes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway.runs.progress import Pace, Progress, Stage, version_in
from services.gateway.runs.watching import Account, Ended, Fault, Moved, Reached, Snapshot
from services.gateway.stores.progress import WatchedRun

BEGAN = datetime(2026, 1, 15, 10, tzinfo=UTC)


def run(status: str = "executing", version: int = 4, **more: Any) -> WatchedRun:  # noqa: ANN401
    history = [
        {"version": number, "status": name, "at": BEGAN}
        for number, name in enumerate(("pending", "validating", "validated", "executing", "completed"), start=1)
    ]
    return WatchedRun.model_validate(
        {
            "_id": "a" * 24,
            "template_id": "b" * 24,
            "status": status,
            "version": version,
            "created_at": BEGAN,
            "history": history[:version],
            "counts": {"rows": 1_000},
            "parse": {"closed": True, "rows": 1_000},
            **more,
        }
    )


def written(rows: int, seconds: float) -> Progress:
    groups = [{"state": "written", "rows": rows, "ok": rows}, {"state": "validated", "rows": 1_000 - rows}]
    return Progress.of(run(), BEGAN + timedelta(seconds=seconds), groups)


def test_whoever_joins_late_is_told_the_pace_since_the_stage_began() -> None:
    assert Pace().at(written(400, 10)) == (40.0, 15.0)


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for second in range(1, 61):
        told = pace.at(written(second * 2, second))
    assert told == (2.0, 440.0)
    for second in range(61, 91):
        told = pace.at(written(120 + (second - 60) * 20, second))
    assert told == (20.0, 14.0)


def test_where_nothing_moves_there_is_no_pace() -> None:
    pace = Pace()
    pace.at(written(100, 1))
    for second in range(2, 40):
        told = pace.at(written(100, second))
    assert told == (None, None)


@pytest.mark.parametrize(
    ("status", "closed", "stage"),
    [
        ("pending", False, Stage.QUEUED),
        ("validating", False, Stage.READING),
        ("validating", True, Stage.CHECKING),
        ("validated", True, Stage.CHECKED),
        ("executing", True, Stage.WRITING),
        ("reverting", True, Stage.REVERTING),
        ("completed", True, Stage.ENDED),
        ("failed", True, Stage.ENDED),
    ],
)
def test_stages(status: str, closed: bool, stage: Stage) -> None:
    progress = Progress.of(run(status, parse={"closed": closed, "rows": 5}), BEGAN, [])
    assert progress.stage is stage


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("4.1.2.3.0", 4),
        ("12.end", 12),
        ("", None),
        ("4", None),
        ("x.1", None),
        ("-1.end", None),
        ("9" * 13 + ".e", None),
    ],
)
def test_the_version_in_the_id_of_an_event(text: str, version: int | None) -> None:
    assert version_in(text) == version


def test_a_fault_is_followed_by_a_snapshot() -> None:
    """And by the changes of status that it has hidden."""
    account = Account(None)
    before = Progress.of(run("validated", 3), BEGAN, [])
    assert [type(each) for each in account.of(before)] == [Snapshot]
    assert list(account.of(before)) == []
    fault = Fault("DATABASE_UNAVAILABLE", "wait")
    assert list(account.of(fault)) == [fault]
    assert list(account.of(fault)) == []
    after = written(10, 1)
    assert [type(each) for each in account.of(after)] == [Reached, Snapshot]
    assert [type(each) for each in account.of(written(20, 2))] == [Moved]
    assert not account.closed
    assert [type(each) for each in account.of(Progress.of(run("completed", 5), BEGAN, []))] == [Reached, Ended]
    assert account.closed
