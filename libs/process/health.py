"""Whether a process lives, is ready, and what it measures, over HTTP."""

import structlog
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.asgi.types import Scope

from libs.process.context import ServiceContext
from libs.telemetry.metrics import METRICS_CONTENT_TYPE

logger = structlog.get_logger()


def health_app(context: ServiceContext) -> AsgiFastStream:
    """The HTTP face of a consuming service."""
    json = {"content-type": "application/json"}

    @get
    async def live(scope: Scope) -> AsgiResponse:
        del scope
        return AsgiResponse(b'{"status": "live"}', 200, json)

    @get
    async def ready(scope: Scope) -> AsgiResponse:
        del scope
        reason = await context.unreadiness()
        if reason is None:
            return AsgiResponse(b'{"status": "ready"}', 200, json)
        logger.info("not_ready", reason=reason)
        return AsgiResponse(b'{"status": "not ready"}', 503, json)

    @get
    async def exposition(scope: Scope) -> AsgiResponse:
        del scope
        return AsgiResponse(context.metrics.exposition(), 200, {"content-type": METRICS_CONTENT_TYPE})

    return AsgiFastStream(
        asgi_routes=[("/health/live", live), ("/health/ready", ready), ("/metrics", exposition)], logger=None
    )
