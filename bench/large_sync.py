"""A sync of a large file with as many live records: whether it ends right, how long it takes, in how much memory."""

import time
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.baselines import Target
from bench.datasets import repeated_contacts
from bench.imports import RowsLostError, import_file, upload_and_execute
from bench.measurement import Bench
from bench.modes import SOURCE
from bench.processes import peak_mb, reset_peaks
from bench.report import MEMORY_WANTED_MB, SERVICES, show_verdict

ROWS: Final = 1_000_000


def measure_large_sync(bench: Bench, rows: int) -> dict[str, Any]:
    """Records that an import has appended, then a sync of a file that lacks a hundredth and changes another one.

    Raises:
        RowsLostError: the run, or the target, is not what the files say.
    """
    going = rows // 100
    with bench.progress.step(f"Making {rows:,} contacts, and {rows - going:,} of them a year later"):
        first = repeated_contacts(bench.data, 1, rows)
        later = repeated_contacts(bench.data, going + 1, rows, version=1, every=100)
    changed = rows // 100 - going // 100
    with bench.target("large_sync") as target:
        # The template of the sync comes first, so that the records carry its key from the start.
        sync = bench.template(
            later,
            target,
            import_mode="sync",
            upsert_key="id",
            scope_filter=SOURCE,
            default_values=SOURCE,
            auto_execute=False,
        )
        append = bench.template(first, target, default_values=SOURCE)
        with bench.progress.step(f"Appending {rows:,} records") as step:
            done = import_file(bench.stack, bench.gateway, append, first.file)
            if (done.run["status"], done.run["created_count"]) != ("completed", rows):
                raise RowsLostError(f"the append is {done.run['status']}: {done.run['error']}")
            step.result = f"{rows / done.seconds:,.0f} rows/s"
        reset_peaks(bench.stack)
        with bench.progress.step(f"A sync of {later.rows:,} rows") as step, bench.processor(later.rows) as used:
            clock = time.monotonic()
            run = upload_and_execute(bench.gateway, sync, later.file, confirm_deletes=str(going))
            seconds = time.monotonic() - clock
            step.result = f"{later.rows / seconds:,.0f} rows/s"
        peaks = peak_mb(bench.stack)
        _check(run, {"updated": changed, "deleted": going, "unchanged": later.rows - changed})
        _check_records(bench, target, rows, going)
    return {
        "records": rows,
        "rows": later.rows,
        "deleted": going,
        "append_seconds": round(done.seconds, 1),
        "seconds": round(seconds, 1),
        "cpu_us_per_row": used,
        "rss_mb": peaks,
    }


def show_large_sync(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_large_sync`` found."""
    title = f"A sync of {result['rows']:,} rows with {result['records']:,} live records"
    table = Table(title=title, title_justify="left")
    table.add_column("seconds", justify="right")
    table.add_column("of the append before", justify="right")
    services = sorted(SERVICES & result["rss_mb"].keys())
    for name in services:
        table.add_column(f"{name} MiB", justify="right")
    peaks = [f"{result['rss_mb'][name]:.0f}" for name in services]
    table.add_row(f"{result['seconds']:.1f}", f"{result['append_seconds']:.1f}", *peaks)
    console.print(table)
    largest = max(result["rss_mb"][name] for name in services)
    memory = f"largest service {largest:.0f} MiB: at most {MEMORY_WANTED_MB}"
    show_verdict(console, memory, holds=largest <= MEMORY_WANTED_MB)
    show_verdict(console, f"{result['deleted']:,} records deleted, and only those that the file lacks", holds=True)


def _check(run: dict[str, Any], wanted: dict[str, int]) -> None:
    counts = {name: run[f"{name}_count"] for name in wanted}
    if run["status"] != "completed" or counts != wanted or run["rejected_count"] or run["created_count"]:
        raise RowsLostError(f"the sync is {run['status']}, {counts}, not {wanted}: {run['error']}")


def _check_records(bench: Bench, target: Target, rows: int, going: int) -> None:
    """Live are those of the file, and marked as deleted the others."""
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        records = client[target.database][target.collection]
        live, deleted = (records.count_documents({"is_deleted": gone}) for gone in (False, True))
        wrong = records.count_documents({"is_deleted": True, "id": {"$gt": f"C{going:07d}"}})
    if (live, deleted, wrong) != (rows - going, going, 0):
        raise RowsLostError(f"{live:,} records are live, {deleted:,} deleted, {wrong:,} of these wrongly")
