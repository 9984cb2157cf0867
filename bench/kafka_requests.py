"""Whether many requests on Kafka leave room for small imports by HTTP of another organization."""

import asyncio
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pymongo import MongoClient
from rich.console import Console

from bench.datasets import dataset
from bench.imports import check_conservation
from bench.measurement import Bench
from bench.report import show_verdict
from bench.traffic import Times, Traffic, percentile
from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import Stack, make_organization
from deploy.local.waiting import wait_until
from rowdock_client.kafka import ImportRequests, Signer

REQUESTS, REQUEST_ROWS = 1_000, 10
MINUTE = 60.0
PER_SECOND = 1.0
"""Small imports by HTTP."""
ALONE_SECONDS = 30.0
MEDIAN_WANTED_SECONDS, P95_WANTED_SECONDS = 1.0, 2.0


def measure_requests(bench: Bench) -> dict[str, Any]:
    """A minute of requests on Kafka with, beside them, imports by HTTP, and these alone before."""
    small = dataset("contacts", bench.data, REQUEST_ROWS)
    key = make_organization(bench.stack, "neighbour")

    def neighbour() -> GatewayClient:
        return GatewayClient(bench.stack.gateway, key)

    with bench.target("asked") as asked, bench.target("small") as target, neighbour() as other:
        by_http = bench.template(small, target, other, auto_execute=False)
        by_kafka = bench.template(small, asked)
        with bench.progress.step(f"Imports of {REQUEST_ROWS} rows by HTTP alone"):
            with Traffic(neighbour, by_http, small.file, per_second=PER_SECOND) as traffic:
                time.sleep(ALONE_SECONDS)
            alone = Times.of(traffic.outcome())
        with bench.progress.step(f"{REQUESTS:,} requests of {REQUEST_ROWS} rows in a minute beside them") as step:
            with Traffic(neighbour, by_http, small.file, per_second=PER_SECOND) as traffic, _asking(bench, by_kafka):
                pass
            finished = traffic.outcome()
            beside = Times.of(finished)
            check_conservation(bench.stack, [one.run for one in finished], small)
            took = _run_seconds(bench, by_kafka)
            step.result = f"HTTP: median {beside.median:.2f} s, p95 {beside.p95:.2f} s"
        return {
            "requests": len(took),
            "request_seconds": {name: round(percentile(took, share), 3) for name, share in
                                (("median", 0.5), ("p95", 0.95), ("longest", 1.0))},
            "http_alone": asdict(alone),
            "http_beside": asdict(beside),
        }  # fmt: skip


@contextmanager
def _asking(bench: Bench, template_id: str) -> Iterator[None]:
    """Requests at an even rate for a minute; the block ends when their runs have."""
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        state = client[bench.stack.database]
        template = state["templates"].find_one({"_id": template_id})
        assert template is not None
        tenant_id: str = template["tenant_id"]
        signer = _signer(bench.stack, tenant_id)
        thread = Thread(target=lambda: asyncio.run(_ask(bench, signer, tenant_id, template_id)))
        thread.start()
        yield
        thread.join()
        ended = {"template_id": template_id, "status": "completed"}
        wait_until(lambda: state["runs"].count_documents(ended) == REQUESTS, "all are imported", seconds=600)


async def _ask(bench: Bench, signer: Signer, tenant_id: str, template_id: str) -> None:
    with dataset("contacts", bench.data, REQUEST_ROWS).file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    async with ImportRequests(bench.stack.kafka, signer) as requests:
        began = time.monotonic()
        for number in range(REQUESTS):
            await asyncio.sleep(max(0.0, began + number * MINUTE / REQUESTS - time.monotonic()))
            await requests.ask(tenant_id, template_id=template_id, rows=rows)


def _run_seconds(bench: Bench, template_id: str) -> list[float]:
    """How long each run took, from when it was made, in seconds, the shortest first."""
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        runs = client[bench.stack.database]["runs"].find({"template_id": template_id})
        return sorted((run["finished_at"] - run["created_at"]).total_seconds() for run in runs)


def _signer(stack: Stack, tenant_id: str) -> Signer:
    key = Ed25519PrivateKey.generate()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "public.pem"
        file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        databases = {"ROWDOCK_DATABASE": stack.database, "ROWDOCK_TARGET_DATABASE": stack.target_database}
        printed = subprocess.run(
            [sys.executable, "-m", "services.gateway.admin", "producers", "create", tenant_id, "bench", str(file)],
            env={**os.environ, **stack.servers.environment(), **databases},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Signer(json.loads(printed)["id"], private)


def show_requests(console: Console, found: dict[str, Any]) -> None:
    """Print what ``measure_requests`` found."""
    alone, beside, took = found["http_alone"], found["http_beside"], found["request_seconds"]
    console.print(
        f"{found['requests']:,} requests of {REQUEST_ROWS} rows by Kafka in a minute: their runs took "
        f"{took['median']:.2f} s (median), {took['p95']:.2f} s (p95), at most {took['longest']:.2f} s"
    )
    show_verdict(
        console,
        f"imports by HTTP beside them: median {beside['median']:.2f} s, p95 {beside['p95']:.2f} s (alone "
        f"{alone['median']:.2f} and {alone['p95']:.2f} s): at most {MEDIAN_WANTED_SECONDS:.0f} and "
        f"{P95_WANTED_SECONDS:.0f}",
        holds=beside["median"] <= MEDIAN_WANTED_SECONDS and beside["p95"] <= P95_WANTED_SECONDS,
    )
