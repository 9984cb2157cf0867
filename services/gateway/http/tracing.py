"""The id of a request, its log line, its metrics and its span."""

import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from uuid import uuid4

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import HttpMethod
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from libs.telemetry import tracing
from libs.telemetry.metrics import Metrics
from services.gateway.access.principal import Principal
from services.gateway.access.rates import Allowance

REQUEST_ID_HEADER = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
METHODS = frozenset(HttpMethod)
_KEY = "rowdock_trace"

logger = structlog.get_logger()


@dataclass(slots=True)
class RequestTrace:
    """What is known of a request: its id, when it came, who asks and for whom, whether it was counted and what is left,
    the code of its error, and how that is presented where it is not by its path."""

    request_id: str
    principal: Principal | None = None
    metered: bool = False
    allowance: Allowance | None = None
    code: str | None = None
    present_error: Any = None
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

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def on_send(self, message: Message, scope: Scope) -> None:
        """Give the answer its id; count and log it."""
        if message["type"] != "http.response.start" or scope["type"] != "http":
            return
        trace = trace_of(scope)
        status = int(message["status"])
        MutableScopeHeaders.from_message(message)[REQUEST_ID_HEADER] = trace.request_id
        seconds = time.monotonic() - trace.began
        if trace.allowance is not None and not trace.allowance.passed:
            whose = "unknown" if trace.principal is None else "known"
            self._metrics.rate_limited.labels(whose).inc()
        route = scope.get("path_template") or "unknown"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.http_requests.labels(method, route, str(status)).inc()
        self._metrics.http_seconds.labels(method, route).observe(seconds, tracing.exemplar())
        if tracing.on():
            _describe(tracing.current_span(), trace, method, route, status)
        logger.info(
            "http.request",
            request_id=trace.request_id,
            tenant_id=trace.principal and trace.principal.home,
            acting_for=trace.principal and trace.principal.acts_from and trace.principal.tenant_id,
            subject=trace.principal and trace.principal.subject,
            method=method,
            route=route,
            status=status,
            code=trace.code,
            duration_ms=round(seconds * 1000, 1),
        )


def traced(app: ASGIApp) -> ASGIApp:
    """``app`` with a span for each request, where traces are wanted."""
    return _TracedRequests(app) if tracing.wanted() else app


class _TracedRequests:
    """Gives each request a span, the first one of its trace.

    What a client says of a trace of its own is only linked: else anybody could put what they like into the traces of
    others, and have recorded what an operator does not sample.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(tracing.HEADER.encode(), b"").decode("latin-1")
        with tracing.span("HTTP request", kind=tracing.Kind.SERVER, apart=True, links=[given]):
            await self._app(scope, receive, send)


def _describe(span: tracing.Span, trace: RequestTrace, method: str, route: str, status: int) -> None:
    """What is known of a request once it is answered; its route, never its path or query."""
    span.rename(f"{method} {route}")
    span.set(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "rowdock.request_id": trace.request_id,
        }
    )
    if trace.principal is not None:
        span.set({"rowdock.tenant_id": trace.principal.tenant_id})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.failed(trace.code or str(status))
