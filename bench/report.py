"""The results as a table for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measurement import CLIENTS
from libs.contracts.services import SERVICES

RATIO_GOAL = 1.0
RATIO_WANTED = 0.5
RARE_WANTED = 1 / 3
MEMORY_WANTED_MB = 400


def show_dataset(console: Console, result: dict[str, Any]) -> None:
    """Print the figures of one dataset."""
    speed = Table(title=f"{result['dataset']}: {result['rows']:,} rows, rows a second", title_justify="left")
    speed.add_column("round")
    for column in ("limit", "script", "Rowdock", "Rowdock / limit"):
        speed.add_column(column, justify="right")
    for number, one in enumerate(result["rounds"], 1):
        speed.add_row(str(number), *_speeds(one), end_section=number == len(result["rounds"]))
    speed.add_row("median", *_speeds(result), style="bold")
    console.print(speed)
    console.print(
        "limit: two processes, insert_many of the same records in transactions, nothing else; "
        "script: pandas.read_csv + insert_many, validates nothing",
        style="dim",
    )
    phases = "  ".join(f"{name} {seconds:.2f}" for name, seconds in result["phases"].items())
    console.print(f"Rowdock's seconds: {phases}")

    cost = Table(title="Processor time in µs a row, peak memory in MiB", title_justify="left")
    cost.add_column("process")
    for column in ("Rowdock", "limit", "script", "peak"):
        cost.add_column(column, justify="right")
    kinds = [result["cpu_us_per_row"], result["limit_cpu_us_per_row"], result["script_cpu_us_per_row"]]
    for name in sorted({*kinds[0], CLIENTS}):
        peak = result["rss_mb"].get(name.rpartition("-")[0] or name)
        cost.add_row(
            name,
            *(f"{kind[name]:.2f}" if name in kind else "" for kind in kinds),
            "" if peak is None else f"{peak:.0f}",
        )
    cost.add_section()
    cost.add_row("all", *(f"{sum(kind.values()):.2f}" for kind in kinds), "", style="bold")
    console.print(cost)
    largest = max(peak for name, peak in result["rss_mb"].items() if name in SERVICES)
    ratio = result["ratio"]
    show_verdict(console, f"ratio {ratio:.2f}: at least {RATIO_WANTED}, goal {RATIO_GOAL}", holds=ratio >= RATIO_WANTED)
    memory = f"largest service {largest:.0f} MiB: at most {MEMORY_WANTED_MB}"
    show_verdict(console, memory, holds=largest <= MEMORY_WANTED_MB)
    counts = f"{result['written']:,} written, {result['rejected']:,} rejected"
    show_verdict(console, f"every row of every run accounted for: {counts}", holds=True)


_LIBRARIES = {"xlsx": "openpyxl (read-only)", "json": "json.load", "xml": "lxml.etree.iterparse"}


def show_formats(console: Console, results: list[dict[str, Any]]) -> None:
    """Print rows a second of each format beside the script, and beside the one that checks what the template checks."""
    table = Table(title="contacts, by format: rows a second", title_justify="left")
    for column in ("format", "scripts read with", "rows", "script", "careful", "Rowdock", "/ script", "/ careful"):
        table.add_column(column, justify="left" if column.startswith(("format", "scripts")) else "right")
    for one in results:
        rates = (f"{one[name]:,.0f}" for name in ("script_rows_s", "careful_rows_s", "rowdock_rows_s"))
        ratios = (f"{one[name]:.2f}" for name in ("ratio", "careful_ratio"))
        table.add_row(one["format"], _LIBRARIES[one["format"]], f"{one['rows']:,}", *rates, *ratios)
    console.print(table)


def show_large(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what reading a large file of each format takes."""
    table = Table(title="Reading large files (parse and check, nothing written)", title_justify="left")
    for column in ("format", "MiB", "rows", "rows/s", "parser MiB", "validator MiB"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for one in results:
        peaks = one["rss_mb"]
        table.add_row(
            one["format"],
            f"{one['bytes'] / 1024**2:,.0f}",
            f"{one['rows']:,}",
            f"{one['rows'] / one['seconds']:,.0f}",
            f"{peaks['parser']:.0f}",
            f"{peaks['validator']:.0f}",
        )
    console.print(table)
    largest = max(one["rss_mb"]["parser"] for one in results)
    memory = f"largest parser {largest:.0f} MiB: at most {MEMORY_WANTED_MB}"
    show_verdict(console, memory, holds=largest <= MEMORY_WANTED_MB)


def show_rare(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what a file of nothing but rare spellings takes beside an ordinary one."""
    table = Table(title="Values as most programs write them, and as hardly any does", title_justify="left")
    for column in ("values", "MiB", "rows", "seconds", "rows/s", "MiB/s", "parser MiB", "validator MiB", "writer MiB"):
        table.add_column(column, justify="left" if column == "values" else "right")
    for one in results:
        peaks, mib = one["rss_mb"], one["bytes"] / 1024**2
        table.add_row(
            one["spelling"],
            f"{mib:,.0f}",
            f"{one['rows']:,}",
            f"{one['seconds']:,.1f}",
            f"{one['rows'] / one['seconds']:,.0f}",
            f"{mib / one['seconds']:.1f}",
            *(f"{peaks[name]:.0f}" for name in ("parser", "validator", "writer")),
        )
    console.print(table)
    usual, rare = (one["rows"] / one["seconds"] for one in results)
    verdict = f"rare / ordinary rows a second {rare / usual:.2f}: at least {RARE_WANTED:.2f}"
    show_verdict(console, verdict, holds=rare / usual >= RARE_WANTED)
    show_verdict(console, "every row of both written", holds=True)


def _speeds(one: dict[str, Any]) -> list[str]:
    rates = [f"{one[name]:,.0f}" for name in ("limit_rows_s", "script_rows_s", "rowdock_rows_s")]
    return [*rates, f"{one['ratio']:.2f}"]


def show_verdict(console: Console, text: str, *, holds: bool) -> None:
    """Print what is wanted, and whether it holds."""
    console.print(f"{'[green]✓[/]' if holds else '[red]✗[/]'} {text}")
