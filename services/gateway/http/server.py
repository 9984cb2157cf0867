"""HTTP/1.1 as uvicorn speaks it, with one shape of errors also for what is no HTTP at all."""

import math
import sys
from http import HTTPStatus
from uuid import uuid4

import h11
import structlog
import uvicorn
from litestar import Litestar

from libs.process.http_edge import EdgeLimits, EdgeProtocol, edge_config
from services.gateway.http.envelope import ErrorView
from services.gateway.http.response_headers import SECURITY_HEADERS
from services.gateway.http.tracing import REQUEST_ID_HEADER
from services.gateway.settings import GatewaySettings

logger = structlog.get_logger()

GRACE_SECONDS = 5
"""How much longer than the longest wait for somebody else's work requests may take once the server is told to stop."""


class Http11Protocol(EdgeProtocol):
    """Answers a request that cannot be read with an ``ErrorView``, then closes the connection.

    Such a request never reaches the application: there is no path, or no end of its headers.
    """

    def send_400_response(self, msg: str) -> None:
        """Called with uvicorn's own words while the error of the reader is handled, which says more."""
        error = sys.exception()
        status, reason = HTTPStatus.BAD_REQUEST, msg
        if isinstance(error, h11.RemoteProtocolError):
            status, reason = HTTPStatus(error.error_status_hint), str(error)
        self.refuse(status, reason)

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        refusal = _refusal(status, reason)
        logger.warning("http.unreadable", request_id=refusal.request_id, status=status.value, error=reason)
        headers = {"Content-Type": "application/json", REQUEST_ID_HEADER: refusal.request_id, **SECURITY_HEADERS}
        self.answer(status, refusal.model_dump_json().encode(), headers)


def server_config(app: Litestar, host: str, settings: GatewaySettings, port: int | None = None) -> uvicorn.Config:
    """How the gateway is served to clients, at the port of ``settings`` unless another is given."""
    limits = EdgeLimits(
        header_seconds=settings.header_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        send_seconds=settings.send_seconds,
        connections=settings.max_connections,
        connections_per_address=settings.max_connections_per_address,
    )
    at = settings.port if port is None else port
    grace = math.ceil(settings.wait_seconds) + GRACE_SECONDS
    return edge_config(app, host, at, limits, Http11Protocol, timeout_graceful_shutdown=grace)


def _refusal(status: HTTPStatus, reason: str) -> ErrorView:
    match status:
        case HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            detail = "the headers of the request are too large; shorten them, or the address"
        case HTTPStatus.NOT_IMPLEMENTED:
            detail = f"the only Transfer-Encoding that is read is chunked, by itself ({reason})"
        case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.SERVICE_UNAVAILABLE:
            detail = reason
        case _:
            detail = f"this is no HTTP/1.1 request that can be read: {reason}"
    return ErrorView(detail=detail, status_code=status.value, code=status.name, errors=[], request_id=uuid4().hex)
