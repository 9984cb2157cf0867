"""What more processes of the workers bring on this machine, to a large import and to many small ones."""

import time
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.datasets import cycled_contacts
from bench.imports import check_conservation, import_file
from bench.measurement import CLIENTS, Bench
from bench.processes import machine_seconds, processor_seconds
from bench.small_imports import OTHERS, measure_at_once

SCALES: Final = ("", "parser=2", "validator=2", "writer=2", "parser=2 validator=2 writer=2")
ROWS: Final = 500_000
AT_ONCE: Final = 16
SECONDS: Final = 15.0


def measure_replicas(bench: Bench, scale: str) -> dict[str, Any]:
    """A large import, then small ones for some seconds, with so many processes of each service."""
    with bench.progress.step(f"Making {ROWS:,} contacts"):
        data, first = cycled_contacts(bench.data, ROWS), cycled_contacts(bench.data, ROWS // 50)
    with bench.target("first") as target:
        import_file(bench.stack, bench.gateway, bench.template(first, target), first.file)
    with bench.target("replicas") as target, bench.progress.step(f"{scale or 'one of each'}: {ROWS:,} rows") as step:
        template = bench.template(data, target)
        machine, clock, before = machine_seconds(), time.monotonic(), processor_seconds(bench.stack)
        done = import_file(bench.stack, bench.gateway, template, data.file)
        busy = (machine_seconds() - machine) / (time.monotonic() - clock)
        used = {name: after - before[name] for name, after in processor_seconds(bench.stack).items()}
        used[CLIENTS] = done.processor_seconds
        check_conservation(bench.stack, [done.run], data)
        step.result = f"{ROWS / done.seconds:,.0f} rows/s"
    with bench.progress.step(f"{scale or 'one of each'}: small imports, {AT_ONCE} at once") as step:
        measure_at_once(bench, 2, SECONDS / 5)
        small = measure_at_once(bench, AT_ONCE, SECONDS)
        step.result = f"{small['per_second']} a second"
    return {
        "scale": scale,
        "rows_s": round(ROWS / done.seconds),
        "processors_busy": round(busy, 2),
        "cpu_us_per_row": {name: round(1e6 * spent / ROWS, 2) for name, spent in used.items()},
        "small": small,
    }


def show_replicas(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what ``measure_replicas`` found of each scale."""
    table = Table(title=f"Replicas: {ROWS:,} rows; imports of ten rows, {AT_ONCE} at once", title_justify="left")
    table.add_column("processes")
    for column in ("rows/s", "processors busy", "µs a row", "small a second", "median s", "p95 s", "ms an import"):
        table.add_column(column, justify="right")
    for one in results:
        small = one["small"]
        table.add_row(
            one["scale"] or "one of each",
            f"{one['rows_s']:,}",
            f"{one['processors_busy']:.2f}",
            f"{_of_stack(one['cpu_us_per_row']):.1f}",
            f"{small['per_second']:.1f}",
            f"{small['median_seconds']:.2f}",
            f"{small['p95_seconds']:.2f}",
            f"{_of_stack(small['processor_ms']):.0f}",
        )
    console.print(table)


def _of_stack(used: dict[str, float]) -> float:
    return sum(spent for name, spent in used.items() if name not in {CLIENTS, OTHERS})
