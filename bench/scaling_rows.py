"""What grows with the rows of a file, and how: time, processor time, memory, bytes in MongoDB and through Kafka."""

from dataclasses import asdict
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.datasets import cycled_contacts
from bench.imports import check_conservation, import_file
from bench.measurement import CLIENTS, Bench
from bench.processes import peak_mb, reset_peaks
from bench.report import MEMORY_WANTED_MB, SERVICES, show_verdict
from bench.samples import Sampler
from bench.storage import FAMILIES, INTERNAL_PREFIX, TARGET, family_bytes, kafka_bytes, stored_bytes

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
LARGEST_UPLOAD: Final = str(16 * 1024**3)
WARM_UP_ROWS: Final = 10_000
PASSING: Final = ("rows", "outbox")
"""What is stored only on the way: of these it is also measured how much there is at most."""
LOOKS: Final = 100
"""At most so many looks at what is stored in the course of an import."""
EXPECTED_ROWS_PER_SECOND: Final = 50_000
SHORTEST_SECONDS: Final = 0.5
MIB: Final = 1024**2


def measure_rows(bench: Bench, rows: int) -> dict[str, Any]:
    """One import of a CSV file with so many rows, by HTTP, on a stack with nothing in it.

    Raises:
        RowsLostError: the run does not add up.
    """
    with bench.progress.step(f"Making {rows:,} contacts"):
        data, first = cycled_contacts(bench.data, rows), cycled_contacts(bench.data, WARM_UP_ROWS)
    with bench.target("first") as target, bench.progress.step("Warming up with one import"):
        import_file(bench.stack, bench.gateway, bench.template(first, target), first.file)
    with (
        bench.target("scaling") as target,
        MongoClient[dict[str, Any]](bench.stack.mongodb) as client,
        bench.progress.step(f"Importing {rows:,} rows") as step,
    ):
        template = bench.template(data, target)
        reset_peaks(bench.stack)
        before, kafka = stored_bytes(client, bench.stack), kafka_bytes(bench.stack)
        every = max(SHORTEST_SECONDS, rows / EXPECTED_ROWS_PER_SECOND / LOOKS)
        with Sampler(lambda: _look(client, bench), every) as sampler, bench.processor(rows) as used:
            done = import_file(bench.stack, bench.gateway, template, data.file)
            used[CLIENTS] = done.processor_seconds
        peaks, after = peak_mb(bench.stack), stored_bytes(client, bench.stack)
        sent = {name: size - kafka.get(name, 0) for name, size in kafka_bytes(bench.stack).items()}
        check_conservation(bench.stack, [done.run], data)
        step.result = f"{rows / done.seconds:,.0f} rows/s"
    highest = {name: max((each[name] for _, each in sampler.samples), default=0.0) for name in PASSING}
    return {
        "rows": rows,
        "file_bytes": data.file.stat().st_size,
        "seconds": round(done.seconds, 2),
        "phases": done.phases,
        "cpu_us_per_row": used,
        "rss_mb": peaks,
        "left": {name: asdict(size.minus(before[name])) for name, size in after.items()},
        "highest": {name: highest[name] - before[name].data for name in highest},
        "kafka": sent,
    }


def show_rows(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what ``measure_rows`` found of each size."""
    services = sorted(SERVICES & results[0]["rss_mb"].keys())
    time = Table(title="Rows: an import by HTTP, upload to completed", title_justify="left")
    for column in ("rows", "seconds", "rows/s", *(f"{name} MiB" for name in (*services, "mongod"))):
        time.add_column(column, justify="right")
    for one in results:
        peaks = [f"{one['rss_mb'][name]:.0f}" for name in (*services, "mongod")]
        time.add_row(f"{one['rows']:,}", f"{one['seconds']:.2f}", f"{one['rows'] / one['seconds']:,.0f}", *peaks)
    console.print(time)
    cost = Table(title="Processor time in µs a row", title_justify="left")
    cost.add_column("process")
    for one in results:
        cost.add_column(f"{one['rows']:,}", justify="right")
    for name in sorted(results[0]["cpu_us_per_row"]):
        cost.add_row(name, *(f"{one['cpu_us_per_row'][name]:.2f}" for one in results))
    cost.add_section()
    cost.add_row("all", *(f"{sum(one['cpu_us_per_row'].values()):.2f}" for one in results), style="bold")
    console.print(cost)
    console.print(_table_of_bytes(results))
    largest = max(one["rss_mb"][name] for one in results for name in services)
    memory = f"largest service {largest:.0f} MiB: at most {MEMORY_WANTED_MB}"
    show_verdict(console, memory, holds=largest <= MEMORY_WANTED_MB)


def _table_of_bytes(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Bytes a row: documents, of these on disk, indexes", title_justify="left")
    table.add_column("")
    for one in results:
        table.add_column(f"{one['rows']:,}", justify="right")

    def of(size: float, one: dict[str, Any]) -> str:
        return f"{size / one['rows']:.2f}"

    table.add_row("the file", *(of(one["file_bytes"], one) for one in results))
    for name in (TARGET, *FAMILIES):
        parts = ([of(one["left"][name][kind], one) for kind in ("data", "stored", "indexes")] for one in results)
        table.add_row(f"left: {name}", *(" / ".join(each) for each in parts))
    for name in PASSING:
        table.add_row(f"highest: {name}", *(of(one["highest"][name], one) for one in results))
    own, kafkas = (
        [sum(size for name, size in one["kafka"].items() if (name == INTERNAL_PREFIX) is internal) for one in results]
        for internal in (False, True)
    )
    table.add_row("Kafka: topics", *(of(size, one) for size, one in zip(own, results, strict=True)))
    table.add_row("Kafka: offsets", *(of(size, one) for size, one in zip(kafkas, results, strict=True)))
    return table


def _look(client: MongoClient[dict[str, Any]], bench: Bench) -> dict[str, float]:
    return {name: float(family_bytes(client, bench.stack, name).data) for name in PASSING}
