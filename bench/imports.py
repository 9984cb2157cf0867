"""Imports through the gateway: how long they took and where, and whether every row is accounted for."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from bench.datasets import Dataset
from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import Stack

TERMINAL = frozenset({"completed", "failed", "cancelled"})
PATIENCE_SECONDS = 3_600
SHORTEST_PAUSE, LONGEST_PAUSE, PAUSE_SHARE = 0.01, 0.5, 0.02
"""Between two looks at a run: seconds, and as a share of the time that it has taken so far."""


class RowsLostError(Exception):
    """A run whose rows are not all in exactly one place, or not in the right one."""


@dataclass(frozen=True, slots=True)
class Import:
    """A finished import.

    Attributes:
        seconds: from the start of the upload until the gateway reported the end.
        phases: its parts in seconds, in their order: ``upload`` until the run exists, ``parse`` until the
            last batch is stored, ``validate`` what it takes after that (both work side by side), ``start``
            until the writing begins, ``write``, and ``report`` until the client knows.
        processor_seconds: user and system time of the client.
        run: the run as the gateway shows it.
    """

    seconds: float
    phases: dict[str, float]
    processor_seconds: float
    run: dict[str, Any]


def import_file(stack: Stack, gateway: GatewayClient, template_id: str, file: Path) -> Import:
    """Upload a file for a template that executes by itself, and hear its events until the end, as a client does."""
    with MongoClient[dict[str, Any]](stack.mongodb, tz_aware=True) as client, ThreadPoolExecutor(1) as pool:
        runs = client[stack.database]["runs"]
        began, clock = datetime.now(UTC), time.monotonic()
        processor = time.process_time()
        imported = pool.submit(_import, gateway, template_id, file)

        # No timestamp of the run tells when its parse ended.
        closed = {"template_id": template_id, "parse.closed": True, "created_at": {"$gte": began}}
        parsed_at: datetime | None = None
        while parsed_at is None and not imported.done():
            _pause(clock)
            if runs.find_one(closed, {"_id": 1}):
                parsed_at = datetime.now(UTC)
        run, ended, seconds = imported.result()
        seconds -= clock
        processor = time.process_time() - processor
    return Import(seconds, _phases(run, began, parsed_at, ended), processor, run)


def validate_file(gateway: GatewayClient, template_id: str, file: Path) -> tuple[float, dict[str, Any]]:
    """Upload a file for a template that does not execute, wait until it is checked, and cancel the run.

    Returns:
        Seconds from the start of the upload, and the run as it was then.

    Raises:
        RowsLostError: the file could not be checked.
    """
    clock = time.monotonic()
    run = _upload(gateway, template_id, file)
    while run["status"] in {"pending", "validating"}:
        _pause(clock)
        run = gateway.run(run["id"])
    seconds = time.monotonic() - clock
    if run["status"] != "validated":
        raise RowsLostError(f"run {run['id']} of {file.name} is {run['status']}: {run['error']}")
    gateway.cancel(run["id"])
    return seconds, run


def upload_and_execute(
    gateway: GatewayClient, template_id: str, content: bytes | Path, name: str = "", **query: str
) -> dict[str, Any]:
    """Upload a file, have it written as soon as it is checked, wait for the end; the run.

    Args:
        gateway: where to.
        template_id: of a template that does not execute by itself.
        content: the bytes of a small file, or where it is.
        name: of a small file.
        query: said when it is to be executed.
    """
    clock = time.monotonic()
    if isinstance(content, Path):
        run = _upload(gateway, template_id, content)
    else:
        run = gateway.upload(template_id, content, name)
    while run["status"] in {"pending", "validating"}:
        _pause(clock)
        run = gateway.run(run["id"])
    if run["status"] == "validated":
        run = gateway.execute(run["id"], **query)
    while run["status"] not in TERMINAL:
        _pause(clock)
        run = gateway.run(run["id"])
    return run


def revert_run(gateway: GatewayClient, run_id: str) -> tuple[float, dict[str, Any]]:
    """Take a completed run back; seconds until the gateway reported the end, and the run."""
    clock = time.monotonic()
    run = gateway.revert(run_id)
    while run["status"] == "reverting":
        _pause(clock)
        run = gateway.run(run_id)
    return time.monotonic() - clock, run


def _import(gateway: GatewayClient, template_id: str, file: Path) -> tuple[dict[str, Any], datetime, float]:
    """The run that has ended, and when that was known; also by the monotonic clock."""
    run = gateway.ended(_upload(gateway, template_id, file)["id"])
    return run, datetime.now(UTC), time.monotonic()


def _upload(gateway: GatewayClient, template_id: str, file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return gateway.upload(template_id, content, file.name)


def _pause(clock: float) -> None:
    """Wait before the next look: short at first, then long enough not to cost what is measured."""
    elapsed = time.monotonic() - clock
    if elapsed > PATIENCE_SECONDS:
        raise TimeoutError(f"the import takes longer than {PATIENCE_SECONDS} s")
    time.sleep(min(max(elapsed * PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE))


def _phases(run: dict[str, Any], began: datetime, parsed_at: datetime | None, ended: datetime) -> dict[str, float]:
    if run["status"] != "completed":
        return {}
    created, validated, executing, finished = (
        datetime.fromisoformat(run[name]) for name in ("created_at", "validated_at", "executing_at", "finished_at")
    )
    # A small file is parsed and validated between two looks.
    parsed = min(parsed_at or validated, validated)
    moments = (began, created, parsed, validated, executing, finished, ended)
    names = ("upload", "parse", "validate", "start", "write", "report")
    spans = zip(names, pairwise(moments), strict=True)
    return {name: round((later - earlier).total_seconds(), 3) for name, (earlier, later) in spans}


def check_conservation(stack: Stack, runs: Sequence[dict[str, Any]], expected: Dataset) -> None:
    """Compare the counts of runs of one file and one target with the file and with what is in the databases.

    Raises:
        RowsLostError: they differ, or a run did not complete.
    """
    if not runs:
        return
    ids = [run["id"] for run in runs]
    resource = runs[0]["target_resource"]
    with MongoClient[dict[str, Any]](stack.mongodb) as client:
        records = _rows_of_runs(client[stack.target_database][resource], "_import.run_id", ids)
        rejections = _rows_of_runs(client[stack.database]["rejected_records"], "run_id", ids)
    for run in runs:
        _compare(run, expected, records.get(run["id"], 0), rejections.get(run["id"], 0))


def _rows_of_runs(collection: Collection[dict[str, Any]], field: str, ids: Sequence[str]) -> dict[str, int]:
    stages = [{"$match": {field: {"$in": ids}}}, {"$group": {"_id": f"${field}", "rows": {"$sum": 1}}}]
    return {found["_id"]: found["rows"] for found in collection.aggregate(stages)}


def _compare(run: dict[str, Any], expected: Dataset, records: int, rejections: int) -> None:
    found = {
        "status": run["status"],
        "rows": run["total_rows"],
        "written": run["written_count"],
        "rejected": run["rejected_count"],
        "skipped": run["skipped_count"],
        "records": records,
        "rejected records": rejections,
    }
    wanted = {
        "status": "completed",
        "rows": expected.rows,
        "written": expected.rows - expected.rejected,
        "rejected": expected.rejected,
        "skipped": 0,
        "records": expected.rows - expected.rejected,
        "rejected records": expected.rejected,
    }
    if found != wanted:
        wrong = ", ".join(f"{key} {found[key]}, not {wanted[key]}" for key in wanted if found[key] != wanted[key])
        raise RowsLostError(f"run {run['id']} of {expected.file.name}: {wrong}; error: {run['error']}")
