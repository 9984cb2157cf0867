"""What each mode costs beside an append of the same rows, and beside the script that people write for the same.

The rounds are interleaved, and a share is of two times of the same round, so what else the machine does hits both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.baselines import KeyScript, Target
from bench.datasets import Dataset, repeated_contacts
from bench.imports import RowsLostError, import_file, revert_run
from bench.measurement import CLIENTS, Bench
from bench.processes import peak_mb, reset_peaks
from bench.report import show_verdict

ROWS: Final = 100_000
SOURCE: Final = {"source": "bench"}
"""What records that a sync stands for hold."""
APPEND, REVERT = "append", "revert"
WANTED: Final = {
    "upsert, none changed": 0.6,
    "upsert, 1 % changed": 0.5,
    "upsert, all changed": 0.3,
    f"{REVERT} of the append": 0.5,
}
"""Of the speed of the append, at least."""


@dataclass(frozen=True, slots=True)
class Step:
    """One import into a collection that the steps before have left.

    Attributes:
        name: what it is.
        mode: import mode of its template.
        data: its file.
        counts: what the run has to tell; those that are not named are 0.
        reverted: how many records a revert of it, as the next thing, has to take back; ``None`` where none is made.
    """

    name: str
    mode: str
    data: Dataset
    counts: Mapping[str, int]
    reverted: int | None = None


def measure_modes(bench: Bench, rows: int, rounds: int) -> dict[str, Any]:
    """Of each mode rows a second, the share of an append, rows a second of the script, processor time by process."""
    with bench.progress.step(f"Making {rows:,} contacts in five versions"):
        steps, warm_up = _steps(bench, rows), _steps(bench, max(rows // 20, 100))
    found: list[dict[str, Any]] = []
    with KeyScript() as script:
        with bench.progress.step("Warming up"):
            _round(bench, script, *warm_up)
        reset_peaks(bench.stack)
        for number in range(1, rounds + 1):
            with bench.progress.step(f"Round {number} of {rounds}: modes") as step:
                found.append(_round(bench, script, *steps))
                step.result = ", ".join(f"{name} {one['share']:.2f}" for name, one in found[-1].items())
    names = list(found[0])
    return {
        "rows": rows,
        "modes": [{"name": name, **_middles([one[name] for one in found])} for name in names],
        "rss_mb": peak_mb(bench.stack),
        "rounds": found,
    }


def show_modes(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_modes`` found."""
    table = Table(
        title=f"Modes, {result['rows']:,} contacts: rows a second, processor time a row", title_justify="left"
    )
    columns = ("rows/s", "/ append", "script", "/ script", "mongod µs", "writers µs", "validators µs")
    table.add_column("mode")
    for column in columns:
        table.add_column(column, justify="right")
    for one in result["modes"]:
        script, used = one["script_rows_s"], one["cpu_us_per_row"]
        table.add_row(
            one["name"],
            f"{one['rows_s']:,.0f}",
            f"{one['share']:.2f}",
            "" if script is None else f"{script:,.0f}",
            "" if script is None else f"{one['ratio']:.2f}",
            *(f"{_of(used, name):.1f}" for name in ("mongod", "writer", "validator")),
        )
    console.print(table)
    console.print(
        "script: pandas.read_csv, then insert_many for the append, else bulk_write of an UpdateOne a row under a "
        "unique index; it validates nothing and cannot take anything back",
        style="dim",
    )
    shares = {one["name"]: one["share"] for one in result["modes"]}
    for name, wanted in WANTED.items():
        verdict = f"{name}: {shares[name]:.2f} of the speed of the append, at least {wanted}"
        show_verdict(console, verdict, holds=shares[name] >= wanted)


def _of(used: Mapping[str, float], service: str) -> float:
    return sum(spent for name, spent in used.items() if name == service or name.startswith(f"{service}-"))


def _steps(bench: Bench, rows: int) -> tuple[Step, list[Step]]:
    """The append, and what is done with one collection by key, one after the other."""
    one = rows // 100

    def file(version: int = 0, every: int = 1, moved: int = 0) -> Dataset:
        return repeated_contacts(bench.data, moved + 1, rows + moved, version=version, every=every)

    append = Step(APPEND, "append", file(), {"created": rows}, reverted=rows)
    hundredth = {"updated": one, "unchanged": rows - one}
    # Each hundredth of the file of the sync differs: of those one is new, and another one is not in the file any more.
    changed_by_sync = sum(number % 100 == 0 for number in range(one + 1, rows + 1))
    synced = {"created": one, "deleted": one, "updated": changed_by_sync, "unchanged": rows - one - changed_by_sync}
    return append, [
        Step("upsert, all new", "upsert", file(), {"created": rows}),
        Step("upsert, none changed", "upsert", file(), {"unchanged": rows}),
        Step("upsert, 1 % changed", "upsert", file(1, 100), hundredth),
        Step("sync, 1 % of each", "sync", file(2, 100, moved=one), synced),
        Step("upsert, all changed", "upsert", file(3, moved=one), {"updated": rows}),
        Step("update, all changed", "update", file(4, moved=one), {"updated": rows}, reverted=rows),
    ]


def _round(bench: Bench, script: KeyScript, append: Step, keyed: Sequence[Step]) -> dict[str, Any]:
    """Every step once, and its script."""
    found: dict[str, Any] = {}
    with bench.target("modes_append") as target:
        _take(bench, target, append, found)
    with bench.target("modes_keyed") as target:
        for step in keyed:
            _take(bench, target, step, found)
    with bench.target("modes_script_append") as target:
        _take_script(bench, script, target, append, found)
    with bench.target("modes_script_keyed") as target:
        for step in keyed:
            _take_script(bench, script, target, step, found)
    for one in found.values():
        rate = one.setdefault("script_rows_s", None)
        one["share"] = one["rows_s"] / found[APPEND]["rows_s"]
        one["ratio"] = None if rate is None else one["rows_s"] / rate
    return found


def _take(bench: Bench, target: Target, step: Step, found: dict[str, Any]) -> None:
    template = bench.template(step.data, target, import_mode=step.mode, default_values=SOURCE, **_by_key(step))
    rows = step.data.rows
    with bench.processor(rows) as used:
        done = import_file(bench.stack, bench.gateway, template, step.data.file)
        used[CLIENTS] = done.processor_seconds
    _check(done.run, step)
    _check_records(bench, target, done.run)
    found[step.name] = {"rows_s": rows / done.seconds, "phases": done.phases, "cpu_us_per_row": used}
    if step.reverted is None:
        return
    with bench.processor(rows) as used:
        seconds, run = revert_run(bench.gateway, done.run["id"])
    reverted = run["reverted"] or {}
    taken_back = sum(reverted.get(f"{name}_count", 0) for name in ("removed", "restored", "returned"))
    if run["status"] != "reverted" or taken_back != step.reverted:
        raise RowsLostError(
            f"revert of {step.name}: {run['status']}, {reverted}, not {step.reverted:,}: {run['error']}"
        )
    found[f"{REVERT} of the {step.name.partition(',')[0]}"] = {
        "rows_s": rows / seconds,
        "phases": {REVERT: round(seconds, 3)},
        "cpu_us_per_row": used,
    }


def _by_key(step: Step) -> dict[str, Any]:
    if step.mode == "append":
        return {}
    return {"upsert_key": "id", **({"scope_filter": SOURCE} if step.mode == "sync" else {})}


def _check(run: dict[str, Any], step: Step) -> None:
    """Hold the run's counts against what is known of its file.

    Raises:
        RowsLostError: they differ, or it did not complete.
    """
    names = ("created", "updated", "unchanged", "deleted", "rejected")
    counts = {name: run[f"{name}_count"] for name in names}
    wanted = {name: step.counts.get(name, 0) for name in names}
    if run["status"] != "completed" or counts != wanted:
        raise RowsLostError(f"{step.name}: {run['status']}, {counts}, not {wanted}: {run['error']}")


def _check_records(bench: Bench, target: Target, run: dict[str, Any]) -> None:
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        records = client[target.database][target.collection].count_documents({"_import.run_id": run["id"]})
    if records != run["created_count"] + run["updated_count"] + run["deleted_count"]:
        raise RowsLostError(f"{records:,} records are by the run {run['id']}, which tells otherwise")


def _take_script(bench: Bench, script: KeyScript, target: Target, step: Step, found: dict[str, Any]) -> None:
    with bench.processor(step.data.rows) as used:
        effort = script.measure(target, step.data.file, step.mode)
        used[CLIENTS] = effort.processor_seconds
    found[step.name]["script_rows_s"] = step.data.rows / effort.seconds
    found[step.name]["script_cpu_us_per_row"] = {name: used[name] for name in ("mongod", CLIENTS)}


def _middles(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians of one mode."""

    def middle(name: str, digits: int) -> float | None:
        return None if rounds[0][name] is None else round(median(one[name] for one in rounds), digits)

    used = [one["cpu_us_per_row"] for one in rounds]
    return {
        "rows_s": middle("rows_s", 0),
        "share": middle("share", 3),
        "script_rows_s": middle("script_rows_s", 0),
        "ratio": middle("ratio", 3),
        "cpu_us_per_row": {name: round(median(one[name] for one in used), 2) for name in used[0]},
    }
