"""A mixed load for an hour: whether anything grows, and whether small imports stay as fast as they were at first."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.datasets import dataset
from bench.hostile import Hostile, receivers
from bench.imports import check_conservation, import_file
from bench.measurement import Bench
from bench.report import SERVICES, show_verdict
from bench.samples import Growth, Sampler, curve, look
from bench.traffic import Finished, Times, Traffic
from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import make_organization

SMALL_ROWS, SMALL_PER_SECOND = 10, 1.0
TOLD_PER_SECOND = 0.1
"""Of the small imports whose receiver fails."""
LARGE_ROWS, LARGE_EVERY_SECONDS = 100_000, 60.0
WARM_UP_SHARE = 0.2
WINDOW_SECONDS = 300.0
MEMORY_SHARE, MEMORY_MIB = 0.1, 20.0
"""What memory may gain: the larger of a share of its mean and so many MiB."""
COUNT_SHARE, COUNT = 0.5, 20.0
SLOWER, SLOWER_SECONDS = 1.5, 0.25
"""What the last p95 may be of the first: the larger of so many times it and so much more."""
COUNTED = ("outbox", "open batches", "announced batches", "deliveries overdue")


class _Large:
    """One large import after the other in the background, one a minute where they are done by then."""

    def __init__(self, bench: Bench, api_key: str) -> None:
        self._bench = bench
        self._api_key = api_key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.seconds: list[float] = []
        self.failures: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if kind is None:
            self._thread.join()

    def _work(self) -> None:
        bench, data = self._bench, dataset("contacts", self._bench.data, LARGE_ROWS)
        left = 0.0
        while not self._over.wait(left):
            clock = time.monotonic()
            try:
                with bench.target("large") as target, GatewayClient(bench.stack.gateway, self._api_key) as gateway:
                    done = import_file(bench.stack, gateway, bench.template(data, target, gateway), data.file)
                    check_conservation(bench.stack, [done.run], data)
                self.seconds.append(round(done.seconds, 2))
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is told at the end
                self.failures.append(failure)
            left = max(0.0, LARGE_EVERY_SECONDS - (time.monotonic() - clock))


def measure_soak(bench: Bench, minutes: float) -> dict[str, Any]:
    """Small imports every second, a large one a minute, failing webhooks, hostile clients in between."""
    small = dataset("contacts", bench.data, SMALL_ROWS)
    large, hostile = (make_organization(bench.stack, name) for name in ("large", "hostile"))
    with (
        bench.target("small") as target,
        receivers() as receiver,
        MongoClient[dict[str, Any]](bench.stack.mongodb) as database,
        bench.progress.step(f"A mixed load for {minutes:g} minutes"),
    ):
        quiet = bench.template(small, target, auto_execute=False)
        told = bench.template(small, target, auto_execute=False, webhook_url=f"{receiver}/failing")
        with (
            Sampler(lambda: look(bench.stack, database)) as sampler,
            _Large(bench, large) as larges,
            Traffic(bench.connect, quiet, small.file, per_second=SMALL_PER_SECOND) as traffic,
            Traffic(bench.connect, told, small.file, per_second=TOLD_PER_SECOND) as failing,
            Hostile(bench.stack.gateway, hostile, receiver) as deeds,
        ):
            time.sleep(60 * minutes)
        finished = traffic.finished()
        check_conservation(bench.stack, [one.run for one in (*finished, *failing.finished())], small)
    warm_up = 60 * minutes * WARM_UP_SHARE
    windows = _windows(finished, warm_up)
    return {
        "minutes": minutes,
        "small": [
            {"count": one.count, "median": one.median, "p95": one.p95, "longest": one.longest} for one in windows
        ],
        "large_seconds": larges.seconds,
        "failures": [repr(one) for one in (*traffic.failures(), *failing.failures(), *larges.failures)],
        "hostile": deeds.answers,
        "growth": {
            name: {"mean": round(growth.mean, 1), "gained": round(growth.gained, 1)}
            for name, series in sampler.series(warm_up).items()
            for growth in [Growth.of(series)]
        },
        "samples": sampler.samples,
    }


def show_soak(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_soak`` found: curves over the whole time, and what it means after the warm-up."""
    table = Table(title=f"{result['minutes']:g} minutes of a mixed load", title_justify="left")
    table.add_column("")
    table.add_column("from the begin to the end, 0 to the largest", no_wrap=True)
    for column in ("largest", "mean", "gained"):
        table.add_column(column, justify="right")
    for name, growth in sorted(result["growth"].items()):
        values = [sample[name] for _, sample in result["samples"] if name in sample]
        table.add_row(name, curve(values), f"{max(values):,.0f}", f"{growth['mean']:,.1f}", f"{growth['gained']:+,.1f}")
    p95 = [one["p95"] for one in result["small"]]
    table.add_row("p95 of small imports", curve(p95), f"{max(p95, default=0):.2f} s", "", "")
    console.print(table)
    for deed, answers in result["hostile"].items():
        console.print(f"{deed}: {', '.join(f'{answer} ({times})' for answer, times in answers.items())}", style="dim")
    for name, growth in result["growth"].items():
        kind, _, process = name.partition(" ")
        if kind == "memory" and process.rpartition("-")[0] in SERVICES:
            _judge(console, name, growth, max(MEMORY_SHARE * growth["mean"], MEMORY_MIB), "MiB")
        elif name in COUNTED or (kind == "descriptors" and process.rpartition("-")[0] in SERVICES):
            _judge(console, name, growth, max(COUNT_SHARE * growth["mean"], COUNT), "")
    if p95:
        most = max(SLOWER * p95[0], p95[0] + SLOWER_SECONDS)
        text = f"p95 of small imports {p95[0]:.2f} s at first, {p95[-1]:.2f} s at last: at most {most:.2f}"
        show_verdict(console, text, holds=p95[-1] <= most)
    failures = result["failures"]
    show_verdict(
        console,
        f"{sum(one['count'] for one in result['small']):,} small and {len(result['large_seconds'])} large imports, "
        f"{len(failures)} without an end{': ' + failures[0] if failures else ''}",
        holds=not failures,
    )


def _judge(console: Console, name: str, growth: dict[str, float], allowed: float, unit: str) -> None:
    text = f"{name}: {growth['mean']:,.0f} {unit} gained {growth['gained']:+,.1f}: at most {allowed:,.0f}"
    show_verdict(console, text.replace("  ", " "), holds=growth["gained"] <= allowed)


def _windows(finished: Sequence[Finished], warm_up_seconds: float) -> list[Times]:
    """Times of each five minutes after the warm-up."""
    if not finished:
        return []
    begin = min(one.began for one in finished) + timedelta(seconds=warm_up_seconds)
    windows: dict[int, list[Finished]] = {}
    for one in finished:
        if one.began >= begin:
            windows.setdefault(int((one.began - begin).total_seconds() // WINDOW_SECONDS), []).append(one)
    return [Times.of(some) for _, some in sorted(windows.items())]
