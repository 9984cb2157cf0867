"""``python -m bench``: measure, print a table, write ``bench/out/latest.json``."""

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.markup import escape

from bench.imports import RowsLostError
from bench.measurement import Bench
from bench.report import show_dataset, show_formats, show_large, show_small
from deploy.local.gateway_client import GatewayClient
from deploy.local.progress import Progress
from deploy.local.stack import Stack, down, parse_scale, running
from deploy.local.waiting import LocalStackError

HERE = Path(__file__).resolve().parent
DATA, OUT = HERE / "data", HERE / "out"
CONTACTS_ROWS = 500_000
FORMAT_ROWS = 100_000
FORMATS = ("xlsx", "json", "xml")
STREAMED = ("csv", "fixed_width", "ndjson", "json", "xml")


def main() -> int:
    """Measure; the exit code is 1 where the stack does not start and 2 where rows are not accounted for."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    progress = Progress()
    directory = OUT / "stack"
    try:
        down(directory)
        shutil.rmtree(directory, ignore_errors=True)  # every bench starts from the same: nothing
        scale = {"validator": 2, "writer": 2, **parse_scale(arguments.scale)}
        try:
            with running(directory, scale=scale, progress=progress) as stack:
                result = _measure(stack, arguments, scale, progress)
                (OUT / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
        finally:
            down(directory)  # what a signal kept `running` from stopping
            shutil.rmtree(directory / "data", ignore_errors=True)
    except LocalStackError as error:
        progress.console.print(escape(error.log), style="dim")
        progress.console.print(f"[red]{escape(str(error))}[/]")
        return 1
    except RowsLostError as error:
        progress.console.print(f"[red]Rows are not accounted for: {escape(str(error))}[/]\nLogs: {directory / 'logs'}")
        return 2
    except KeyboardInterrupt:
        return 130
    progress.console.print(f"Everything: {OUT / 'latest.json'}")
    return 0


def _end(*_: object) -> None:
    """End as after Ctrl-C, once: the stopping must not be interrupted in turn."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Rowdock on this machine.")
    rows = os.environ.get("ROWS") or None
    parser.add_argument("--rows", type=int, default=rows, help="rows of contacts (ROWS); then flights are left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("datasets", "formats", "large"), default=os.environ.get("ONLY") or None)
    large = os.environ.get("LARGE_MB") or 1024
    parser.add_argument(
        "--large-mb", type=int, default=large, help="MiB of each large file (LARGE_MB), with --only large"
    )
    parser.add_argument("--scale", default=os.environ.get("SCALE", ""), help='SCALE; by default "validator=2 writer=2"')
    arguments = parser.parse_args()
    if arguments.rows is not None and not 100 <= arguments.rows <= 9_999_999:
        parser.error("ROWS is a number from 100 to 9999999")
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    return arguments


def _measure(stack: Stack, arguments: argparse.Namespace, scale: dict[str, int], progress: Progress) -> dict[str, Any]:
    result: dict[str, Any] = {}
    with GatewayClient(stack.gateway, stack.api_key) as gateway:
        bench = Bench(stack, gateway, DATA, OUT, progress)
        if arguments.only in {None, "datasets"}:
            result |= _measure_datasets(bench, arguments)
        if arguments.only == "formats" or (arguments.only is None and arguments.rows is None):
            rows = arguments.rows or FORMAT_ROWS
            result["formats"] = [bench.measure_format(name, rows, arguments.rounds) for name in FORMATS]
            show_formats(progress.console, result["formats"])
        if arguments.only == "large":
            result["large"] = [bench.measure_large(name, arguments.large_mb) for name in STREAMED]
            show_large(progress.console, result["large"])
    return {
        **result,
        "machine": {
            "processors": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "broker": stack.broker,
            "scale": scale,
        },
    }


def _measure_datasets(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("contacts", "flights") if arguments.rows is None else ("contacts",)
    small = bench.measure_small()
    results = [bench.measure(name, arguments.rows or CONTACTS_ROWS, arguments.rounds) for name in names]
    for result in results:
        show_dataset(bench.progress.console, result)
    show_small(bench.progress.console, median(small), bench.stack.broker)
    return {**results[0], "small_import_seconds": round(median(small), 3), "datasets": results[1:]}


if __name__ == "__main__":
    sys.exit(main())
