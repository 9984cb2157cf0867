"""The id of a request, its log line and its metrics."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import HttpMethod
from litestar.types import Message, Scope
from prometheus_client import CollectorRegistry, Counter, Histogram

from services.gateway.access.principal import Principal

REQUEST_ID_HEADER = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
METHODS = frozenset(HttpMethod)
_KEY = "rowdock_trace"

logger = structlog.get_logger()


@dataclass(slots=True)
class RequestTrace:
    """What is known of a request: its id, when it came, who asks and for whom, the code of its error."""

    request_id: str
    principal: Principal | None = None
    code: str | None = None
    began: float = field(default_factory=time.monotonic)


def trace_of(scope: Any) -> RequestTrace:  # noqa: ANN401 - any of Litestar's scopes
    """The trace of a request; begun by whoever asks first. A client's own well-formed id is kept."""
    state: dict[str, Any] = scope["state"]
    if _KEY not in state:
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        given = headers.get(REQUEST_ID_HEADER.lower().encode(), b"").decode("latin-1")
        state[_KEY] = RequestTrace(given if _GIVEN_ID.fullmatch(given) else uuid4().hex)
    return cast("RequestTrace", state[_KEY])


class HttpMetrics:
    """Requests by route, never by path, and by the methods that there are: labels are bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["method", "route", "status"]
        self._requests = Counter("rowdock_http_requests", "HTTP requests.", labels, registry=registry)
        self._seconds = Histogram(
            "rowdock_http_request_duration_seconds",
            "Time from the request to the first byte of its answer.",
            labels[:2],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )

    async def on_send(self, message: Message, scope: Scope) -> None:
        """Give the answer its id; count and log it."""
        if message["type"] != "http.response.start" or scope["type"] != "http":
            return
        trace = trace_of(scope)
        MutableScopeHeaders.from_message(message)[REQUEST_ID_HEADER] = trace.request_id
        seconds = time.monotonic() - trace.began
        route = scope.get("path_template") or "unknown"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(method, route, str(int(message["status"]))).inc()
        self._seconds.labels(method, route).observe(seconds)
        logger.info(
            "http.request",
            request_id=trace.request_id,
            tenant_id=trace.principal and trace.principal.home,
            acting_for=trace.principal and trace.principal.acts_from and trace.principal.tenant_id,
            subject=trace.principal and trace.principal.subject,
            method=method,
            route=route,
            status=int(message["status"]),
            code=trace.code,
            duration_ms=round(seconds * 1000, 1),
        )
