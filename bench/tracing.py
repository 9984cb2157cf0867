"""What tracing costs: imports of the same file with and without it, in turns, and what it costs where it is off."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any, Final

from rich.console import Console

from bench.datasets import contacts
from bench.imports import check_conservation, import_file
from bench.measurement import CLIENTS, Bench
from bench.report import show_verdict
from libs.telemetry import tracing
from services.parser.settings import ParserSettings

ROWS: Final = 200_000
BATCH_ROWS: Final = ParserSettings.model_fields["batch_rows"].get_default()
ON_WANTED, OFF_WANTED = 0.05, 0.01
"""Of the rows a second that are lost, at most."""
CALLS_PER_BATCH: Final = 12
"""Spans, contexts and exemplars that are asked for where a batch is checked and written, and a few more."""
CALLS: Final = 200_000
OFF: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}


def measure_tracing(bench: Bench, rows: int, rounds: int) -> dict[str, Any]:
    """Rows a second and processor time a row with and without traces, and the share that is lost."""
    with bench.progress.step(f"Making {rows:,} contacts"):
        data, warm_up = contacts(bench.data, rows, "csv"), contacts(bench.data, BATCH_ROWS, "csv")
    found: list[dict[str, Any]] = []
    with _collector() as url:
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        for number in range(1, rounds + 1):
            one: dict[str, Any] = {}
            turns = [("off", OFF), ("on", on)]
            for name, environment in turns if number % 2 else reversed(turns):
                with bench.progress.step(f"Round {number} of {rounds}: {name}") as step:
                    _restart(bench, environment)
                    for each in (warm_up, data):
                        with bench.target("traced") as target:
                            template = bench.template(each, target)
                            with bench.processor(each.rows) as used:
                                done = import_file(bench.stack, bench.gateway, template, each.file)
                                used[CLIENTS] = done.processor_seconds
                            check_conservation(bench.stack, [done.run], each)
                    one[name] = {
                        "rows_s": data.rows / done.seconds,
                        "cpu_us_per_row": sum(spent for process, spent in used.items() if process != CLIENTS),
                    }
                    step.result = f"{one[name]['rows_s']:,.0f} rows/s, {one[name]['cpu_us_per_row']:.2f} µs a row"
            found.append(one)
    off = {name: median(one["off"][name] for one in found) for name in found[0]["off"]}
    call = _seconds_of_a_call()
    batches = -(-rows // BATCH_ROWS)
    return {
        "rows": rows,
        "off_rows_s": round(off["rows_s"]),
        "on_lost": round(median(1 - one["on"]["rows_s"] / one["off"]["rows_s"] for one in found), 4),
        "on_cpu": round(median(one["on"]["cpu_us_per_row"] / one["off"]["cpu_us_per_row"] - 1 for one in found), 4),
        "off_ns_per_call": round(call * 1e9),
        "off_lost": call * CALLS_PER_BATCH * batches / (rows / off["rows_s"]),
        "rounds": found,
    }


def show_tracing(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_tracing`` found."""
    console.print(
        f"Tracing, {result['rows']:,} contacts: {result['off_rows_s']:,} rows/s without; with it "
        f"{result['on_cpu']:+.1%} processor time of the stack; off {result['off_ns_per_call']} ns a call"
    )
    on, off = result["on_lost"], result["off_lost"]
    show_verdict(console, f"on {on:.1%} of the rows a second, at most {ON_WANTED:.0%}", holds=on <= ON_WANTED)
    show_verdict(console, f"off {off:.4%} of the rows a second, at most {OFF_WANTED:.0%}", holds=off <= OFF_WANTED)


def _restart(bench: Bench, environment: Mapping[str, str]) -> None:
    """Restart every service with other variables."""
    stack, supervisor = bench.stack, bench.stack.supervisor
    names = [each.name for some in stack.services.values() for each in some]
    programs = [supervisor.program(name) for name in names]
    supervisor.put([replace(each, environment={**each.environment, **environment}) for each in programs])
    supervisor.start(names)
    stack.wait_ready()


def _seconds_of_a_call() -> float:
    """How long it takes to be told that tracing is off."""
    began = time.perf_counter()
    for _ in range(CALLS):
        with tracing.span("off", attributes={}):
            tracing.exemplar()
    return (time.perf_counter() - began) / CALLS


@contextmanager
def _collector() -> Iterator[str]:
    """Takes whatever is sent, for the length of a block; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, name=f"collector-{os.getpid()}")
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
