"""``python -m bench``: measure, print a table, write ``bench/out/latest.json``."""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.markup import escape

from bench.fairness import Fairness, show_fairness
from bench.gateway import measure_gateway, show_gateway
from bench.imports import RowsLostError
from bench.kafka_requests import measure_requests, show_requests
from bench.large_sync import ROWS as LARGE_SYNC_ROWS
from bench.large_sync import measure_large_sync, show_large_sync
from bench.large_uploads import measure_large_uploads, show_large_uploads
from bench.measurement import Bench
from bench.modes import ROWS as MODES_ROWS
from bench.modes import measure_modes, show_modes
from bench.record_events import ROWS as RECORD_EVENTS_ROWS
from bench.record_events import measure_record_events, show_record_events
from bench.report import show_dataset, show_formats, show_large, show_rare
from bench.scaling import PARTS, Scaling, measure_scaling
from bench.small_imports import measure_small_imports, show_small_imports
from bench.soak import measure_soak, show_soak
from bench.tracing import ROWS as TRACING_ROWS
from bench.tracing import measure_tracing, show_tracing
from bench.webhooks import DELIVERIES, measure_webhooks, show_webhooks
from deploy.local.gateway_client import GatewayClient
from deploy.local.progress import Progress
from deploy.local.stack import down, parse_scale, running
from deploy.local.waiting import LocalStackError

HERE = Path(__file__).resolve().parent
DATA, OUT = HERE / "data", HERE / "out"
STACK = OUT / "stack"
CONTACTS_ROWS = 500_000
FORMAT_ROWS = 100_000
FORMATS = {"xlsx": (FORMAT_ROWS,), "json": (FORMAT_ROWS, CONTACTS_ROWS), "xml": (FORMAT_ROWS, CONTACTS_ROWS)}
"""How many rows of each; the script takes more than a minute for as many of Excel as of the others."""
SPEED_SCALE = "validator=2 writer=2"
WEBHOOKS_SCALE = "webhooks=2"
FAIRNESS_ROWS = 5_000_000
FAIRNESS_SCALES = ("", "parser=2 validator=2 writer=2")
KINDS = (
    "datasets",
    "formats",
    "large",
    "rare",
    "modes",
    "record-events",
    "small",
    "gateway",
    "webhooks",
    "fairness",
    "requests",
    "soak",
    "large-sync",
    "large-uploads",
    "tracing",
    "scaling",
)
STREAMED = ("csv", "fixed_width", "ndjson", "json", "xml")


def main() -> int:
    """Measure; the exit code is 1 where the stack does not start and 2 where rows are not accounted for."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    progress = Progress()
    try:
        result = _measure(arguments, progress)
        (OUT / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    except LocalStackError as error:
        progress.console.print(escape(error.log), style="dim")
        progress.console.print(f"[red]{escape(str(error))}[/]")
        return 1
    except RowsLostError as error:
        progress.console.print(f"[red]Rows are not accounted for: {escape(str(error))}[/]\nLogs: {STACK / 'logs'}")
        return 2
    except KeyboardInterrupt:
        return 130
    progress.console.print(f"Everything: {OUT / 'latest.json'}")
    return 0


@contextmanager
def _bench(
    scale: str, progress: Progress, environment: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Bench]:
    """A stack with nothing in it, for the length of a block."""
    down(STACK)
    shutil.rmtree(STACK, ignore_errors=True)
    try:
        with (
            running(STACK, scale=parse_scale(scale), environment=environment, progress=progress) as stack,
            GatewayClient(stack.gateway, stack.api_key) as gateway,
        ):
            yield Bench(stack, gateway, DATA, OUT, progress)
    finally:
        down(STACK)  # what a signal kept `running` from stopping
        shutil.rmtree(STACK / "data", ignore_errors=True)


def _end(*_: object) -> None:
    """End as after Ctrl-C, once: the stopping must not be interrupted in turn."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Rowdock on this machine.")
    rows = os.environ.get("ROWS") or None
    parser.add_argument("--rows", type=int, default=rows, help="rows of contacts (ROWS)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=KINDS, default=os.environ.get("ONLY") or None)
    parser.add_argument("--pairs", type=int, default=1, help="large imports alone and beside small ones, with fairness")
    parser.add_argument(
        "--seconds", type=float, default=20, help="of each number of clients, with small; half of it with gateway"
    )
    parser.add_argument("--deliveries", type=int, default=DELIVERIES, help="to all receivers, with webhooks")
    minutes = os.environ.get("MINUTES") or 60
    parser.add_argument("--minutes", type=float, default=minutes, help="of the mixed load (MINUTES), with soak")
    large = os.environ.get("LARGE_MB") or 1024
    parser.add_argument(
        "--large-mb", type=int, default=large, help="MiB of each file (LARGE_MB), with large, rare and large-uploads"
    )
    parser.add_argument("--scale", default=os.environ.get("SCALE", ""), help="SCALE; each kind has its own")
    parser.add_argument(
        "--scaling",
        type=Scaling.read,
        default=os.environ.get("SCALING") or " ".join(PARTS),
        help='parts of scaling (SCALING): "rows=10000,1000000 runs=0,1000 replicas", by default all, each with its own',
    )
    arguments = parser.parse_args()
    if arguments.rows is not None and not 100 <= arguments.rows <= 9_999_999:
        parser.error("ROWS is a number from 100 to 9999999")
    if min(arguments.rounds, arguments.pairs) < 1:
        parser.error("--rounds and --pairs are at least 1")
    return arguments


def _measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Each kind on a stack of its own, so that every one of them starts from the same: nothing."""
    only, result = arguments.only, dict[str, Any]()
    if only in {None, "datasets", "formats", "large", "rare"}:
        with _bench(arguments.scale or SPEED_SCALE, progress) as bench:
            result |= _measure_speed(bench, arguments)
    if only in {None, "modes"}:
        with _bench(arguments.scale or SPEED_SCALE, progress) as bench:
            result["modes"] = measure_modes(bench, arguments.rows or MODES_ROWS, arguments.rounds)
            show_modes(progress.console, result["modes"])
    if only in {None, "small"}:
        with _bench(arguments.scale, progress) as bench:
            result["small_imports"] = measure_small_imports(bench, arguments.seconds)
            show_small_imports(progress.console, result["small_imports"])
    if only in {None, "gateway"}:
        with _bench(arguments.scale, progress) as bench:
            result["gateway"] = measure_gateway(bench, arguments.seconds / 2, arguments.rounds)
            show_gateway(progress.console, result["gateway"])
    if only in {None, "webhooks"}:
        with _bench(arguments.scale or WEBHOOKS_SCALE, progress) as bench:
            result["webhooks"] = measure_webhooks(bench, arguments.deliveries)
            show_webhooks(progress.console, result["webhooks"])
    result |= _measure_fairness(arguments, progress)
    result |= _measure_by_name(arguments, progress)
    machine = {
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
    }
    return {**result, "machine": machine}


def _measure_by_name(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """What takes long and is measured only where it is asked for."""
    only, result = arguments.only, dict[str, Any]()
    if only == "record-events":
        with _bench(arguments.scale or SPEED_SCALE, progress) as bench:
            rows = arguments.rows or RECORD_EVENTS_ROWS
            result["record_events"] = measure_record_events(bench, rows, arguments.rounds)
            show_record_events(progress.console, result["record_events"])
    if only == "large-sync":
        with _bench(arguments.scale or SPEED_SCALE, progress) as bench:
            result["large_sync"] = measure_large_sync(bench, arguments.rows or LARGE_SYNC_ROWS)
            show_large_sync(progress.console, result["large_sync"])
    if only == "large-uploads":
        with _bench(arguments.scale, progress) as bench:
            result["large_uploads"] = measure_large_uploads(bench, arguments.large_mb)
            show_large_uploads(progress.console, result["large_uploads"])
    if only == "tracing":
        with _bench(arguments.scale or SPEED_SCALE, progress) as bench:
            result["tracing"] = measure_tracing(bench, arguments.rows or TRACING_ROWS, arguments.rounds)
            show_tracing(progress.console, result["tracing"])
    if only == "scaling":
        result["scaling"] = measure_scaling(
            arguments.scaling, lambda scale, environment: _bench(scale, progress, environment)
        )
    if only == "soak":
        with _bench(arguments.scale, progress) as bench:
            result["soak"] = measure_soak(bench, arguments.minutes)
            show_soak(progress.console, result["soak"])
    return result


def _measure_fairness(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    only, result = arguments.only, dict[str, Any]()
    if only in {None, "fairness"}:
        result["fairness"] = []
        for scale in [arguments.scale] if arguments.scale else FAIRNESS_SCALES:
            with _bench(scale, progress) as bench:
                found = Fairness(bench, arguments.rows or FAIRNESS_ROWS, arguments.pairs).measure()
                result["fairness"].append({"scale": scale, **found})
        show_fairness(progress.console, result["fairness"])
    if only in {None, "requests"}:
        with _bench(arguments.scale, progress) as bench:
            result["requests"] = measure_requests(bench)
            show_requests(progress.console, result["requests"])
    return result


def _measure_speed(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if arguments.only in {None, "datasets"}:
        result |= _measure_datasets(bench, arguments)
    if arguments.only == "formats" or (arguments.only is None and arguments.rows is None):
        result["formats"] = [
            bench.measure_format(name, rows, arguments.rounds)
            for name, sizes in FORMATS.items()
            for rows in ([arguments.rows] if arguments.rows else sizes)
        ]
        show_formats(bench.progress.console, result["formats"])
    if arguments.only == "large":
        result["large"] = [bench.measure_large(name, arguments.large_mb) for name in STREAMED]
        show_large(bench.progress.console, result["large"])
    if arguments.only == "rare":
        result["rare"] = bench.measure_rare(arguments.large_mb)
        show_rare(bench.progress.console, result["rare"])
    return result | {"broker": bench.stack.broker, "scale": arguments.scale or SPEED_SCALE}


def _measure_datasets(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("contacts", "flights") if arguments.rows is None else ("contacts",)
    results = [bench.measure(name, arguments.rows or CONTACTS_ROWS, arguments.rounds) for name in names]
    for result in results:
        show_dataset(bench.progress.console, result)
    return {**results[0], "datasets": results[1:]}


if __name__ == "__main__":
    sys.exit(main())
