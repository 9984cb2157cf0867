"""What operators are told of a process over HTTP."""

import socket
import subprocess
import sys

import httpx
import pytest

from libs.process.context import Readiness
from libs.process.health import health_app, serving_health
from libs.process.settings import ServiceSettings
from libs.telemetry.declaring import METRICS_CONTENT_TYPE
from libs.telemetry.metrics import Metrics


def answering(readiness: Readiness, metrics: Metrics | None = None) -> httpx.AsyncClient:
    async def ask() -> Readiness:
        return readiness

    app = health_app(ask, metrics or Metrics("test"))
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - FastStream's own ASGI types
    return httpx.AsyncClient(transport=transport, base_url="http://process")


@pytest.mark.parametrize(
    ("readiness", "status", "body"),
    [
        (Readiness(), 200, {"status": "ready", "degraded": []}),
        (Readiness(degraded=("a topic is short",)), 200, {"status": "ready", "degraded": ["a topic is short"]}),
        (Readiness("no MongoDB"), 503, {"status": "not ready", "reason": "no MongoDB", "degraded": []}),
    ],
)
async def test_readiness_is_told_with_its_reasons(readiness: Readiness, status: int, body: dict[str, object]) -> None:
    async with answering(readiness) as client:
        ready = await client.get("/health/ready")
        live = await client.get("/health/live")
    assert (ready.status_code, ready.json()) == (status, body)
    assert (live.status_code, live.json()) == (200, {"status": "live"})


async def test_metrics_are_as_prometheus_reads_them() -> None:
    async with answering(Readiness("whatever")) as client:
        metrics = await client.get("/metrics")
        elsewhere = await client.get("/imports/runs")
    assert metrics.headers["content-type"] == METRICS_CONTENT_TYPE
    assert "rowdock_outbox_oldest_seconds" in metrics.text
    assert elsewhere.status_code == 404


async def test_exemplars_are_told_to_who_reads_them() -> None:
    metrics = Metrics("test")
    metrics.message_seconds.labels("topic").observe(0.1, {"trace_id": "5ca1ab1e"})
    accepts = {"open": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "plain": "*/*"}
    async with answering(Readiness(), metrics) as client:
        told = {name: await client.get("/metrics", headers={"accept": accept}) for name, accept in accepts.items()}
    assert {name for name, answer in told.items() if '# {trace_id="5ca1ab1e"}' in answer.text} == {"open"}
    assert told["open"].headers["content-type"].startswith("application/openmetrics-text")


def settings(port: int) -> ServiceSettings:
    return ServiceSettings(kafka="127.0.0.1:1", ops_port=port, instance="test-1")


async def test_they_are_served_for_the_length_of_a_block() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def ask() -> Readiness:
        return Readiness()

    async with (
        serving_health(settings(port), ask, Metrics("test")),
        httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(retries=10)) as client,
    ):
        assert (await client.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
    with socket.create_server(("127.0.0.1", port)):
        """Nobody listens there any more."""


PROGRAM = """
import asyncio, sys
from libs.process.context import Readiness
from libs.process.health import serving_health
from libs.process.settings import ServiceSettings
from libs.telemetry.metrics import Metrics

async def main():
    settings = ServiceSettings(kafka="127.0.0.1:1", ops_port=int(sys.argv[1]), instance="test-1")
    async with serving_health(settings, lambda: Readiness(), Metrics("test")):
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_port_that_is_taken_ends_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(port)], capture_output=True, text=True, check=False, timeout=60
        )
    assert program.returncode
    assert "address already in use" in program.stderr
