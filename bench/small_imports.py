"""Imports of ten rows: how many a second, how long each takes, and what processor time it costs in which process."""

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.datasets import dataset
from bench.imports import check_conservation
from bench.measurement import CLIENTS, Bench
from bench.processes import machine_seconds, processor_seconds
from bench.report import show_verdict
from bench.traffic import Times, Traffic

ROWS = 10
WARM_UP_SECONDS = 5.0
CLIENTS_AT_ONCE = (1, 8, 32)
ALONE_WANTED_SECONDS = 0.25
MANY_WANTED_PER_SECOND, MANY_WANTED_P95_SECONDS = 20, 2.5
PROCESSOR_WANTED_MS = 80
OTHERS = "others"
"""What runs on this machine beside the stack and its clients; where it is much, the figures say little."""


def measure_small_imports(bench: Bench, seconds: float) -> list[dict[str, Any]]:
    """For each number of clients at once, each for so many seconds: uploads, executed as soon as they are checked."""
    with bench.progress.step("Warming up with small imports"):
        measure_at_once(bench, 2, WARM_UP_SECONDS)
    found: list[dict[str, Any]] = []
    for clients in CLIENTS_AT_ONCE:
        with bench.progress.step(f"{clients} at once import {ROWS} rows for {seconds:.0f} s") as step:
            found.append(measure_at_once(bench, clients, seconds))
            step.result = f"{found[-1]['per_second']} a second"
    return found


def show_small_imports(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what ``measure_small_imports`` found."""
    table = Table(title=f"Imports of {ROWS} rows, upload to completed", title_justify="left")
    for column in ("at once", "imports", "a second", "median s", "p95 s", "longest s"):
        table.add_column(column, justify="right")
    for one in results:
        seconds = (f"{one[name]:.2f}" for name in ("median_seconds", "p95_seconds", "longest_seconds"))
        table.add_row(str(one["clients"]), str(one["imports"]), f"{one['per_second']:.1f}", *seconds)
    console.print(table)
    cost = Table(title="Processor time in ms an import", title_justify="left")
    cost.add_column("process")
    for one in results:
        cost.add_column(f"{one['clients']} at once", justify="right")
    for name in sorted(results[0]["processor_ms"]):
        cost.add_row(name, *(f"{one['processor_ms'][name]:.1f}" for one in results))
    cost.add_section()
    cost.add_row("the stack", *(f"{_of_stack(one):.1f}" for one in results), style="bold")
    console.print(cost)
    alone, most = results[0], results[-1]
    show_verdict(
        console,
        f"one alone {alone['median_seconds']:.2f} s: at most {ALONE_WANTED_SECONDS}",
        holds=alone["median_seconds"] <= ALONE_WANTED_SECONDS,
    )
    show_verdict(
        console,
        f"{most['clients']} at once {most['per_second']:.1f} a second, p95 {most['p95_seconds']:.2f} s: "
        f"at least {MANY_WANTED_PER_SECOND}, at most {MANY_WANTED_P95_SECONDS}",
        holds=most["per_second"] >= MANY_WANTED_PER_SECOND and most["p95_seconds"] <= MANY_WANTED_P95_SECONDS,
    )
    show_verdict(
        console,
        f"{_of_stack(most):.0f} ms of processor an import: at most {PROCESSOR_WANTED_MS}",
        holds=_of_stack(most) <= PROCESSOR_WANTED_MS,
    )


def measure_at_once(bench: Bench, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients for so many seconds, each one import after the other."""
    small = dataset("contacts", bench.data, ROWS)
    with bench.target("small") as target:
        template = bench.template(small, target, auto_execute=False)
        before, clock, own = processor_seconds(bench.stack), time.monotonic(), time.process_time()
        machine = machine_seconds()
        with Traffic(bench.connect, template, small.file, clients=clients) as traffic:
            time.sleep(seconds)
        elapsed = time.monotonic() - clock
        used = {name: after - before[name] for name, after in processor_seconds(bench.stack).items()}
        used[CLIENTS] = time.process_time() - own
        used[OTHERS] = machine_seconds() - machine - sum(used.values())
        finished = traffic.outcome()
        check_conservation(bench.stack, [one.run for one in finished], small)
    times = Times.of(finished)
    return {
        "clients": clients,
        "imports": times.count,
        "per_second": round(times.count / elapsed, 1),
        "median_seconds": times.median,
        "p95_seconds": times.p95,
        "longest_seconds": times.longest,
        "processor_ms": {name: round(1000 * spent / times.count, 1) for name, spent in used.items()},
    }


def _of_stack(one: dict[str, Any]) -> float:
    return sum(spent for name, spent in one["processor_ms"].items() if name not in {CLIENTS, OTHERS})
