"""What is counted of a run that moves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.states import RunStatus
from libs.ledger.measuring import measure_move
from libs.telemetry.metrics import Metrics

BEGAN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
STEPS = (("validating", 2), ("validated", 5), ("executing", 65), ("completed", 68))
COUNTS = {"rows": 10, "written": 7, "rejected": 2, "skipped": 1}


def run(*steps: tuple[str, float], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a run
    history = [{"status": status, "at": BEGAN + timedelta(seconds=after)} for status, after in steps]
    stored = {"created_at": BEGAN, "history": history, "purpose": "import", "lane": "small", "template": {}}
    return {**stored, "parse": {"rows": 10}, "counts": COUNTS, **more}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(f"rowdock_{name}", labels)
    assert found is not None
    return found


def accounted(metrics: Metrics) -> dict[str, float]:
    outcomes = ("written", "rejected", "skipped", "refused", "lost")
    counts = {each: value(metrics, "accounted_rows_total", outcome=each) for each in outcomes}
    return {name: rows for name, rows in counts.items() if rows}


def test_a_run_is_timed_without_the_time_that_somebody_took_to_have_it_executed() -> None:
    metrics = Metrics("writer")
    measure_move(metrics, run(*STEPS), RunStatus.COMPLETED)
    assert value(metrics, "run_duration_seconds_sum", status="completed", lane="small") == 8
    assert value(metrics, "run_stage_duration_seconds_sum", stage="executing", lane="small") == 3
    assert accounted(metrics) == {"written": 7, "rejected": 2, "skipped": 1}


def test_a_run_that_goes_on_by_itself_waits_for_nobody() -> None:
    metrics = Metrics("writer")
    measure_move(metrics, run(*STEPS, template={"auto_execute": True}), RunStatus.COMPLETED)
    assert value(metrics, "run_duration_seconds_sum", status="completed", lane="small") == 68


@pytest.mark.parametrize(
    ("code", "label", "rows", "expected"),
    [
        ("MISSING_COLUMNS", "MISSING_COLUMNS", 0, {}),
        ("INVALID_ROWS", "INVALID_ROWS", 10, {"refused": 10}),
        ("INTEGRITY", "INTEGRITY", 10, {"lost": 10}),
        ("PARSE_FAILED", "PARSE_FAILED", 0, {"lost": 1}),
        ("made up by somebody", "OTHER", 10, {"refused": 10}),
    ],
)
def test_rows_are_lost_only_by_faults_of_our_own(code: str, label: str, rows: int, expected: dict[str, int]) -> None:
    metrics = Metrics("parser")
    failed = run(("validating", 1), ("failed", 2), failure={"code": code, "message": ""}, parse={"rows": rows})
    measure_move(metrics, failed, RunStatus.FAILED)
    assert value(metrics, "runs_failed_total", code=label) == 1
    assert accounted(metrics) == expected


def test_what_is_no_import_is_counted_and_promises_nothing() -> None:
    metrics = Metrics("validator")
    measure_move(metrics, run(*STEPS[:2], purpose="dry_run"), RunStatus.VALIDATED)
    measure_move(metrics, run(("failed", 90), purpose="check", failure={"code": "INTEGRITY"}), RunStatus.FAILED)
    assert value(metrics, "runs_total", status="validated", purpose="dry_run") == 1
    assert value(metrics, "run_duration_seconds_count", status="failed", lane="small") == 0
    assert accounted(metrics) == {}
