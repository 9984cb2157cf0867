"""Whether a process lives and is ready, and what it measures: over HTTP, on a port that is for operators alone."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.asgi.types import Scope

from libs.process.context import Readiness
from libs.process.http_edge import EdgeLimits, edge_config
from libs.process.settings import ServiceSettings
from libs.telemetry.metrics import Metrics

OPS_LIMITS = EdgeLimits(connections=200)
"""Of the operators' port, whatever clients do at the other one."""

logger = structlog.get_logger()

Question = Callable[[], Awaitable[Readiness]]


def health_app(readiness: Question, metrics: Metrics) -> AsgiFastStream:
    """``/health/live``, ``/health/ready`` (200 or 503, with the reasons), ``/health/startup`` (503 until it was ready
    once) and ``/metrics`` for Prometheus."""
    once_ready = asyncio.Event()

    @get
    async def live(scope: Scope) -> AsgiResponse:
        del scope
        return _answer(200, status="live")

    @get
    async def ready(scope: Scope) -> AsgiResponse:
        del scope
        found = await readiness()
        if found.obstacle is None:
            once_ready.set()
            return _answer(200, status="ready", degraded=found.degraded)
        logger.info("not_ready", reason=found.obstacle)
        return _answer(503, status="not ready", reason=found.obstacle, degraded=found.degraded)

    @get
    async def startup(scope: Scope) -> AsgiResponse:
        del scope
        if not once_ready.is_set():
            if (obstacle := (await readiness()).obstacle) is not None:
                return _answer(503, status="starting", reason=obstacle)
            once_ready.set()
        return _answer(200, status="started")

    @get
    async def exposition(scope: Scope) -> AsgiResponse:
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        body, content_type = metrics.exposition_for(accept)
        return AsgiResponse(body, 200, {"content-type": content_type})

    return AsgiFastStream(
        asgi_routes=[
            ("/health/live", live),
            ("/health/ready", ready),
            ("/health/startup", startup),
            ("/metrics", exposition),
        ],
        logger=None,
    )


@asynccontextmanager
async def serving_health(settings: ServiceSettings, readiness: Question, metrics: Metrics) -> AsyncGenerator[None]:
    """Serve ``health_app`` at ``ROWDOCK_OPS_PORT`` for the length of a block; the process ends where it is taken."""
    server = _Server(
        edge_config(health_app(readiness, metrics), settings.host, settings.ops_port, OPS_LIMITS, lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more to stop than this."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _answer(code: int, **body: object) -> AsgiResponse:
    return AsgiResponse(json.dumps(body).encode(), code, {"content-type": "application/json"})
