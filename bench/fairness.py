"""Whether large imports and many imports leave room for those of others, and what that costs them."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from statistics import median
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.datasets import Dataset, dataset
from bench.imports import TERMINAL, Import, check_conservation, import_file
from bench.measurement import Bench
from bench.report import show_verdict
from bench.traffic import Finished, Times, Traffic
from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import make_organization
from deploy.local.waiting import wait_until

SMALL_ROWS = 10
PER_SECOND = 1.0
"""Small imports beside a large one; each begins whatever became of those before it."""
WARM_UP_ROWS = 100_000
QUEUED_RUNS, QUEUED_ROWS = 100, 10_000
QUEUED_WITHIN_SECONDS = 120
MEDIAN_WANTED_SECONDS, P95_WANTED_SECONDS = 1.0, 2.0
SPEED_WANTED = 0.95
APART_WANTED = 0.2
QUEUE_WANTED_SECONDS = 3.0
PHASES = ("uploading", "validating", "executing")
AFTERWARDS = "afterwards"


class Fairness:
    """Scenes on one stack; of its two organizations the second one is the small neighbour.

    Args:
        rows: of the large import.
        rounds: pairs of the large import alone and beside small ones.
    """

    def __init__(self, bench: Bench, rows: int, rounds: int) -> None:
        self._bench = bench
        self._rows = rows
        self._rounds = rounds
        self._key = make_organization(bench.stack, "neighbour")
        with bench.progress.step("Making files"):
            self._small = dataset("contacts", bench.data, SMALL_ROWS)
            self._queued = dataset("contacts", bench.data, QUEUED_ROWS)
            self._half = dataset("contacts", bench.data, rows // 2)
            self._large = dataset("contacts", bench.data, rows)

    def measure(self) -> dict[str, Any]:
        """All scenes, one after the other; the counts of every run are checked."""
        with self._bench.progress.step(f"Warming up with {WARM_UP_ROWS:,} rows"):
            self._import(dataset("contacts", self._bench.data, WARM_UP_ROWS))
        return {
            "rows": self._rows,
            "beside_large": self._beside_large(),
            "two_large": {
                "one organization": self._two_large(self._bench.connect),
                "two organizations": self._two_large(self._neighbour),
            },
            "queue": self._queue(),
        }

    def _neighbour(self) -> GatewayClient:
        return GatewayClient(self._bench.stack.gateway, self._key)

    def _beside_large(self) -> dict[str, Any]:
        alone: list[float] = []
        beside: list[float] = []
        times: list[tuple[str, Finished]] = []
        for number in range(1, self._rounds + 1):
            title = f"Pair {number} of {self._rounds}: {self._rows:,} rows"
            # Whoever comes first finds smaller collections: each of the two is first in every other pair.
            for with_small in (False, True) if number % 2 else (True, False):
                with self._bench.progress.step(f"{title} {'beside small imports' if with_small else 'alone'}") as step:
                    if not with_small:
                        alone.append(self._import(self._large).seconds)
                        step.result = f"{self._rows / alone[-1]:,.0f} rows/s"
                        continue
                    large, finished = self._with_small(lambda: self._import(self._large))
                    beside.append(large.seconds)
                    times += [(_phase(large, one.began), one) for one in finished]
                    step.result = f"{self._rows / beside[-1]:,.0f} rows/s, {len(finished)} small imports"
        return {
            "alone_seconds": [round(seconds, 2) for seconds in alone],
            "beside_seconds": [round(seconds, 2) for seconds in beside],
            "speed": round(median(one / other for one, other in zip(alone, beside, strict=True)), 3),
            "small": {
                phase: asdict(Times.of([one for found, one in times if found == phase]))
                for phase in (*PHASES, AFTERWARDS)
            },
        }

    def _two_large(self, second: Callable[[], GatewayClient]) -> dict[str, Any]:
        with (
            self._bench.progress.step(f"Two of {self._half.rows:,} rows side by side") as step,
            ThreadPoolExecutor(2) as pool,
        ):
            both = [
                pool.submit(self._import, self._half, connect, name)
                for name, connect in (("first", self._bench.connect), ("second", second))
            ]
            seconds = sorted(one.result().seconds for one in both)
            step.result = " and ".join(f"{one:.1f} s" for one in seconds)
        return {"seconds": [round(one, 2) for one in seconds], "apart": round(1 - seconds[0] / seconds[1], 3)}

    def _queue(self) -> dict[str, Any]:
        """Small imports of the neighbour, one after the other, from when all others are queued until they are done."""
        content, name = self._queued.file.read_bytes(), self._queued.file.name
        with (
            self._bench.target("queued") as target,
            self._bench.target("small") as small_target,
            self._neighbour() as neighbour,
            ThreadPoolExecutor(QUEUED_RUNS) as pool,
            self._bench.progress.step(f"{QUEUED_RUNS} runs of {QUEUED_ROWS:,} rows and small ones of another") as step,
        ):
            template = self._bench.template(self._queued, target)
            small = self._bench.template(self._small, small_target, neighbour, auto_execute=False)
            clock = time.monotonic()
            uploads = [pool.submit(self._upload, template, content, name) for _ in range(QUEUED_RUNS)]
            wait_until(
                lambda: self._count(template) == QUEUED_RUNS or any(_failed(one) for one in uploads),
                f"{QUEUED_RUNS} runs are there",
                seconds=QUEUED_WITHIN_SECONDS,
            )
            queued = self._open(template)
            with Traffic(self._neighbour, small, self._small.file, clients=1) as traffic:
                runs = [one.result() for one in uploads]
                wait_until(lambda: not self._open(template), "all queued runs have ended", seconds=3_600, interval=0.5)
                took = time.monotonic() - clock
            ended = [self._bench.gateway.run(run["id"]) for run in runs]
            check_conservation(self._bench.stack, ended, self._queued)
            finished = traffic.outcome()
            check_conservation(self._bench.stack, [one.run for one in finished], self._small)
            times = Times.of(finished)
            step.result = f"first after {finished[0].seconds:.2f} s, longest {times.longest:.2f} s"
        return {
            "open_at_first": queued,
            "seconds": round(took, 1),
            "first_seconds": round(finished[0].seconds, 3),
            "small": asdict(times),
        }

    def _upload(self, template: str, content: bytes, name: str) -> dict[str, Any]:
        with self._bench.connect() as gateway:
            return gateway.upload(template, content, name)

    def _count(self, template: str, **conditions: object) -> int:
        with MongoClient[dict[str, Any]](self._bench.stack.mongodb) as client:
            return client[self._bench.stack.database]["runs"].count_documents({"template_id": template, **conditions})

    def _open(self, template: str) -> int:
        return self._count(template, status={"$nin": sorted(TERMINAL)})

    def _with_small(self, work: Callable[[], Import]) -> tuple[Import, list[Finished]]:
        """What a piece of work returns, and the small imports of the neighbour meanwhile."""
        with self._bench.target("small") as target, self._neighbour() as neighbour:
            template = self._bench.template(self._small, target, neighbour, auto_execute=False)
            with Traffic(self._neighbour, template, self._small.file, per_second=PER_SECOND) as traffic:
                done = work()
            finished = traffic.outcome()
            check_conservation(self._bench.stack, [one.run for one in finished], self._small)
            return done, finished

    def _import(self, data: Dataset, connect: Callable[[], GatewayClient] | None = None, name: str = "large") -> Import:
        with self._bench.target(name) as target, (connect or self._bench.connect)() as gateway:
            done = import_file(self._bench.stack, gateway, self._bench.template(data, target, gateway), data.file)
            check_conservation(self._bench.stack, [done.run], data)
            return done


def show_fairness(console: Console, results: Sequence[dict[str, Any]]) -> None:
    """Print what ``Fairness.measure`` found, for each scale of the stack."""
    for one in results:
        beside, queue = one["beside_large"], one["queue"]
        table = Table(
            title=f"Imports of {SMALL_ROWS} rows beside others, seconds; {one['scale'] or 'one of each service'}",
            title_justify="left",
        )
        table.add_column("beside")
        for column in ("imports", "median", "p95", "longest"):
            table.add_column(column, justify="right")
        for phase in PHASES:
            _add(table, f"{one['rows']:,} rows of another, {phase}", beside["small"][phase])
        _add(table, f"{QUEUED_RUNS} runs of {QUEUED_ROWS:,} rows of another", queue["small"])
        console.print(table)
        for phase in PHASES:
            small = beside["small"][phase]
            show_verdict(
                console,
                f"{phase}: median {small['median']:.2f} s, p95 {small['p95']:.2f} s: "
                f"at most {MEDIAN_WANTED_SECONDS:.0f} and {P95_WANTED_SECONDS:.0f}",
                holds=small["median"] <= MEDIAN_WANTED_SECONDS and small["p95"] <= P95_WANTED_SECONDS,
            )
        pairs = zip(beside["alone_seconds"], beside["beside_seconds"], strict=True)
        shown = ", ".join(f"{alone:.1f} and {other:.1f} s" for alone, other in pairs)
        show_verdict(
            console,
            f"the large one at {beside['speed']:.2f} of its speed alone ({shown}): at least {SPEED_WANTED}",
            holds=beside["speed"] >= SPEED_WANTED,
        )
        for who, two in one["two_large"].items():
            show_verdict(
                console,
                f"two large ones of {who} end after {two['seconds'][0]:.1f} and {two['seconds'][1]:.1f} s, "
                f"{two['apart']:.0%} apart: at most {APART_WANTED:.0%}",
                holds=two["apart"] <= APART_WANTED,
            )
        show_verdict(
            console,
            f"beside {queue['open_at_first']} queued runs the first after {queue['first_seconds']:.2f} s, the longest "
            f"{queue['small']['longest']:.2f} s: at most {QUEUE_WANTED_SECONDS:.0f}",
            holds=queue["small"]["longest"] <= QUEUE_WANTED_SECONDS,
        )


def _add(table: Table, what: str, small: dict[str, Any]) -> None:
    table.add_row(what, str(small["count"]), *(f"{small[name]:.2f}" for name in ("median", "p95", "longest")))


def _phase(large: Import, moment: datetime) -> str:
    """What the large import was at: a small one belongs to where it began."""
    created, executing, finished = (
        datetime.fromisoformat(large.run[name]) for name in ("created_at", "executing_at", "finished_at")
    )
    ends = zip(PHASES, (created, executing, finished), strict=True)
    return next((phase for phase, end in ends if moment < end), AFTERWARDS)


def _failed(upload: Future[dict[str, Any]]) -> bool:
    return upload.done() and upload.exception() is not None
