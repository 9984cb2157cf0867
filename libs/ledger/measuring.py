"""What the move of a run tells: counted once, by whoever has moved it."""

from datetime import datetime
from itertools import pairwise

from libs.contracts.reasons import OWN_FAULTS, RunErrorCode
from libs.contracts.states import RunStatus
from libs.storage.client import Document
from libs.telemetry.metrics import Metrics

OTHER = "OTHER"
_CODES = frozenset(RunErrorCode)
_MEASURED_ENDS = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


def measure_move(metrics: Metrics, run: Document, status: RunStatus) -> None:
    """Count a run that has reached ``status``.

    Args:
        metrics: where.
        run: as it is stored now.
        status: what it has reached.
    """
    purpose, lane = run.get("purpose", "import"), run.get("lane") or "small"
    metrics.runs.labels(status.value, purpose).inc()
    stages = _stages(run)
    if stages:
        left, seconds = stages[-1]
        metrics.run_stage_seconds.labels(left, lane).observe(seconds)
    if status is RunStatus.FAILED:
        metrics.runs_failed.labels(failure_code(run)).inc()
    if status not in _MEASURED_ENDS or purpose != "import":
        return
    metrics.run_seconds.labels(status.value, lane).observe(_seconds_at_work(run, stages))
    for outcome, rows in _accounted(run, status).items():
        metrics.accounted_rows.labels(outcome).inc(rows)


def failure_code(run: Document) -> str:
    """The code of a failed run, as a label."""
    failure: Document = run.get("failure") or {}
    code: str = failure.get("code", OTHER)
    return code if code in _CODES else OTHER


def _stages(run: Document) -> list[tuple[str, float]]:
    """The statuses that a run has left, and how many seconds it was in each."""
    history: list[Document] = run.get("history") or []
    reached: list[tuple[str, datetime]] = [(RunStatus.PENDING.value, run["created_at"])]
    reached += [(each["status"], each["at"]) for each in history]
    return [(status, max(0.0, (later - at).total_seconds())) for (status, at), (_, later) in pairwise(reached)]


def _seconds_at_work(run: Document, stages: list[tuple[str, float]]) -> float:
    """Without the time that it waited for somebody to have it executed."""
    template: Document = run["template"]
    waited_for = set[str]() if template.get("auto_execute") else {RunStatus.VALIDATED.value}
    return sum(seconds for status, seconds in stages if status not in waited_for)


def _accounted(run: Document, status: RunStatus) -> dict[str, int]:
    if status is RunStatus.COMPLETED:
        counts: Document = run.get("counts") or {}
        return {name: counts.get(name, 0) for name in ("written", "rejected", "skipped")}
    parse: Document = run.get("parse") or {}
    rows: int = parse.get("rows", 0)
    if status is RunStatus.FAILED and failure_code(run) in OWN_FAULTS:
        return {"lost": max(rows, 1)}  # of a file that was not read to its end nobody knows the rows
    return {"refused": rows}
