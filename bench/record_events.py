"""What it costs to tell of changed records: the same imports with each ``record_events``, side by side.

The rounds are interleaved, every other one in the opposite order, and a share is of two times of the same round.
"""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.baselines import Target
from bench.datasets import Dataset, repeated_contacts
from bench.imports import RowsLostError, import_file
from bench.measurement import CLIENTS, Bench
from bench.report import show_verdict

ROWS: Final = 100_000
TOLD: Final = ("off", "ids", "fields", "values")
WANTED: Final = 1.1
"""Times of the import that tells nothing, at most."""
PATIENCE_SECONDS: Final = 120


def measure_record_events(bench: Bench, rows: int, rounds: int) -> dict[str, Any]:
    """Of an append and of an upsert that changes every row seconds, processor time a row, and the share of ``off``."""
    with bench.progress.step(f"Making {rows:,} contacts in two versions"):
        files = [repeated_contacts(bench.data, 1, rows, version=version, every=1) for version in (0, 1)]
        warm_up = [repeated_contacts(bench.data, 1, max(rows // 20, 100), version=each, every=1) for each in (0, 1)]
    _round(bench, warm_up, TOLD)
    found: list[dict[str, dict[str, Any]]] = []
    for number in range(1, rounds + 1):
        with bench.progress.step(f"Round {number} of {rounds}: record events") as step:
            found.append(_round(bench, files, TOLD if number % 2 else TOLD[::-1]))
            step.result = ", ".join(f"{name} {one['share']:.2f}" for name, one in found[-1].items())
    return {
        "rows": rows,
        "imports": [{"name": name, **_middles([one[name] for one in found])} for name in found[0]],
        "rounds": found,
    }


def show_record_events(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_record_events`` found."""
    table = Table(title=f"Record events, {result['rows']:,} contacts", title_justify="left")
    table.add_column("import")
    for column in ("rows/s", "time / off", "processor µs", "processor / off"):
        table.add_column(column, justify="right")
    for one in result["imports"]:
        table.add_row(
            one["name"],
            f"{one['rows_s']:,.0f}",
            f"{one['share']:.3f}",
            f"{one['cpu_us']:.1f}",
            f"{one['cpu_share']:.3f}",
        )
    console.print(table)
    for one in result["imports"]:
        if not one["name"].endswith("off"):
            verdict = f"{one['name']}: {one['share']:.3f} times as long as without, at most {WANTED}"
            show_verdict(console, verdict, holds=one["share"] <= WANTED)


def _round(bench: Bench, files: Sequence[Dataset], order: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for told in order:
        with bench.target(f"told_{told}") as target:
            found[f"append, {told}"] = _take(bench, target, files[0], told)
    for told in order:
        with bench.target(f"told_{told}_keyed") as target:
            keyed: dict[str, Any] = {"import_mode": "upsert", "upsert_key": "id"}
            _take(bench, target, files[0], "off", **keyed)
            found[f"all changed, {told}"] = _take(bench, target, files[1], told, **keyed)
    for name, one in found.items():
        off = found[f"{name.partition(', ')[0]}, off"]
        one["share"] = one["seconds"] / off["seconds"]
        one["cpu_share"] = one["cpu_us"] / off["cpu_us"]
    return {f"{kind}, {told}": found[f"{kind}, {told}"] for kind in ("append", "all changed") for told in TOLD}


def _take(bench: Bench, target: Target, data: Dataset, told: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    template = bench.template(data, target, record_events=told, **changes)
    with bench.processor(data.rows) as used:
        done = import_file(bench.stack, bench.gateway, template, data.file)
        _wait_until_told(bench)
        used[CLIENTS] = done.processor_seconds
    counts = {name: done.run[f"{name}_count"] for name in ("created", "updated", "rejected")}
    if done.run["status"] != "completed" or max(counts.values()) != data.rows:
        raise RowsLostError(f"record events {told}: {done.run['status']}, {counts}: {done.run['error']}")
    return {
        "seconds": done.seconds,
        "rows_s": data.rows / done.seconds,
        "cpu_us": sum(used.values()),
        "phases": done.phases,
        "cpu_us_per_row": dict(used),
    }


def _wait_until_told(bench: Bench) -> None:
    """The broker has all messages."""
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        outbox = client[bench.stack.database]["outbox"]
        end = time.monotonic() + PATIENCE_SECONDS
        while waiting := outbox.count_documents({"topic": "records.changed.v1"}):
            if time.monotonic() > end:
                raise RowsLostError(f"{waiting} messages about records are not published")
            time.sleep(0.1)


def _middles(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        name: round(median(one[name] for one in rounds), 3)
        for name in ("seconds", "rows_s", "share", "cpu_us", "cpu_share")
    }
