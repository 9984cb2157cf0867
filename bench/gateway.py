"""What the gateway adds to a request: looks at an import beside a route that does nothing but look, and the limiter."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import httpx
import psutil
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from bench.imports import RowsLostError
from bench.measurement import Bench
from bench.processes import pids
from bench.report import show_verdict
from bench.traffic import percentile
from deploy.local.ports import choose_ports
from deploy.local.waiting import wait_until
from libs.storage.client import Mongo, connect
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import digest
from services.gateway.access.callers import Callers
from services.gateway.access.plans import PlanRates
from services.gateway.access.rates import Kind

CLIENTS = 50
ROWS = 100
WARM_UP_SECONDS = 3.0
THROUGHPUT_WANTED = 0.6
P99_WANTED = 2.0
LIMITER_WANTED_MS = 1.0
LIMITED = 2_000
"""Requests that the limiter is measured with."""
LIMIT = 1_000_000
"""Of the key that is measured with: it is counted, and nothing is refused."""
IMPORTER = {
    "name": "looked at",
    "fields": [{"name": "sku", "type": "text", "validators": [{"type": "required"}]}, {"name": "name", "type": "text"}],
}


def measure_gateway(bench: Bench, seconds: float, rounds: int) -> dict[str, Any]:
    """Rounds of the gateway and the bare route in turns, each for so many seconds; then what the limiter costs."""
    with bench.progress.step("Importing what is looked at"):
        key, path = _prepared(bench)
    port = int(bench.stack.gateway.rpartition(":")[2])
    found: list[dict[str, Any]] = []
    gateway = psutil.Process(pids(bench.stack)["gateway-1"])
    with _bare(bench) as (bare, bare_port):
        _assert_alike(bench, bare_port, path, key)
        servers = {"gateway": (gateway, port), "bare": (bare, bare_port)}
        for name, server in servers.items():
            with bench.progress.step(f"Warming up: {name}"):
                _load(*server, path, key, WARM_UP_SECONDS)
        for number in range(1, rounds + 1):
            with bench.progress.step(f"Round {number} of {rounds}: {CLIENTS} clients look at an import") as step:
                one = {name: _load(*server, path, key, seconds) for name, server in servers.items()}
                found.append(one)
                step.result = ", ".join(f"{name} {said['per_second']:,.0f} a second" for name, said in one.items())
    with bench.progress.step(f"{LIMITED} requests through the limiter") as step:
        limiter = asyncio.run(_measure_limiter(bench, key))
        step.result = f"{limiter['cost_ms']:.2f} ms"
    return {
        "clients": CLIENTS,
        "rounds": found,
        "throughput_ratio": round(median(one["gateway"]["per_second"] / one["bare"]["per_second"] for one in found), 3),
        "p99_ratio": round(median(one["gateway"]["p99_ms"] / one["bare"]["p99_ms"] for one in found), 3),
        "limiter": limiter,
    }


def show_gateway(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_gateway`` found."""
    table = Table(title=f"GET /api/v1/imports/{{id}}, {result['clients']} clients", title_justify="left")
    for column in ("", "a second", "median ms", "p99 ms", "processor ms", "clients' processor"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("gateway", "bare"):
        said = [one[name] for one in result["rounds"]]
        figures = {key: median(one[key] for one in said) for key in said[0]}
        table.add_row(
            name,
            f"{figures['per_second']:,.0f}",
            f"{figures['median_ms']:.1f}",
            f"{figures['p99_ms']:.1f}",
            f"{figures['processor_ms']:.2f}",
            f"{figures['own_share']:.0%}",
        )
    console.print(table)
    throughput, p99 = result["throughput_ratio"], result["p99_ratio"]
    show_verdict(
        console,
        f"{throughput:.2f} of the throughput of a bare route: at least {THROUGHPUT_WANTED}",
        holds=throughput >= THROUGHPUT_WANTED,
    )
    show_verdict(console, f"{p99:.2f} times its p99: at most {P99_WANTED:g}", holds=p99 <= P99_WANTED)
    limiter = result["limiter"]
    show_verdict(
        console,
        f"the limiter costs a request {limiter['cost_ms']:.2f} ms: at most {LIMITER_WANTED_MS:g} "
        f"(a key is found and counted in {limiter['counted_ms']:.2f} ms, found alone in {limiter['found_ms']:.2f} ms)",
        holds=limiter["cost_ms"] <= LIMITER_WANTED_MS,
    )


def _prepared(bench: Bench) -> tuple[str, str]:
    """A key that is counted, and the address of a completed import."""
    http = bench.gateway.http
    limits = {"reads": LIMIT, "writes": LIMIT}
    key = http.post("/api/v1/api-keys", json={"name": "measured", "rate_limits": limits}).raise_for_status().json()
    importer = http.post("/api/v1/importers", json=IMPORTER).raise_for_status().json()
    rows = "".join(f"S{row},Name {row}\n" for row in range(ROWS))
    answer = http.post(
        "/api/v1/imports",
        data={"importer_id": importer["id"], "mapping": json.dumps({"sku": "sku", "name": "name"})},
        files={"file": ("rows.csv", f"sku,name\n{rows}".encode())},
    )
    path = f"/api/v1/imports/{answer.raise_for_status().json()['id']}"
    wait_until(lambda: http.get(path).json()["status"] in {"completed", "failed"}, "the import ends", seconds=60)
    shown = http.get(path).json()
    if (shown["status"], shown["num_rows"], shown["num_errors"]) != ("completed", ROWS, 0):
        raise RowsLostError(f"the import that is looked at is {shown}")
    return key["key"], path


@contextmanager
def _bare(bench: Bench) -> Iterator[tuple[psutil.Process, int]]:
    """The bare route, on the databases of the stack; its process and port."""
    port = choose_ports(bench.out / "bare_ports.json", ["bare"])["bare"]
    command = (sys.executable, "-m", "bench.bare_gateway", str(port), bench.stack.mongodb, bench.stack.database)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port), "the bare route answers", seconds=60)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code in {401, 404}
    except httpx.TransportError:
        return False


def _assert_alike(bench: Bench, port: int, path: str, key: str) -> None:
    """Both say the same of the import, but for how they write moments."""
    headers = {"Authorization": f"Bearer {key}"}
    answers = [
        httpx.get(f"{url}{path}", headers=headers, trust_env=False).raise_for_status().json()
        for url in (bench.stack.gateway, f"http://127.0.0.1:{port}")
    ]
    moments = {"created_at", "completed_at"}
    gateway, bare = ({name: value for name, value in each.items() if name not in moments} for each in answers)
    if gateway != bare:
        raise RowsLostError(f"the gateway says {gateway}, the bare route {bare}")


def _load(server: psutil.Process, port: int, path: str, key: str, seconds: float) -> dict[str, float]:
    """What ``bench.load`` is answered, and ``processor_ms`` of the server for each answer."""
    before = _processor(server)
    asked = {"port": port, "path": path, "key": key, "clients": CLIENTS, "seconds": seconds}
    command = (sys.executable, "-m", "bench.load", json.dumps(asked))
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if answer.returncode:
        raise RowsLostError(f"not every look was answered: {answer.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(answer.stdout)
    return {**found, "processor_ms": round(1000 * (_processor(server) - before) / found["answers"], 3)}


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _measure_limiter(bench: Bench, key: str) -> dict[str, float]:
    """How long a key takes to be found and counted, and to be found alone, one after the other in turns."""
    stack = bench.stack
    settings = MongoSettings(
        mongodb=SecretStr(stack.mongodb), database=stack.database, target_database=stack.target_database
    )
    mongo = await connect(settings)
    try:
        counted, found = await _alternating(
            _counting(mongo, key),
            lambda: mongo.state["api_keys"].find_one({"digest": digest(key), "revoked_at": None}, {"tenant_id": 1}),
        )
    finally:
        await mongo.client.close()
    return {
        "counted_ms": round(1000 * median(counted), 3),
        "counted_p99_ms": round(1000 * percentile(sorted(counted), 0.99), 3),
        "found_ms": round(1000 * median(found), 3),
        "cost_ms": round(1000 * (median(counted) - median(found)), 3),
    }


def _counting(mongo: Mongo, key: str) -> Callable[[], Awaitable[object]]:
    callers = Callers(mongo, PlanRates(mongo))
    return lambda: callers.by_key(key, Kind.READS)


async def _alternating(*operations: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Seconds of each operation, again and again in turns."""
    took: list[list[float]] = [[] for _ in operations]
    for _ in range(LIMITED):
        for operation, seconds in zip(operations, took, strict=True):
            began = time.perf_counter()
            done = await operation()
            seconds.append(time.perf_counter() - began)
            assert done is not None
    return took
