"""Pages of other origins that may use the gateway from a browser (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).

Who asks is told by ``Authorization`` alone, never by a cookie, so no answer allows credentials, whatever the origin.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

ANY_ORIGIN: Final = "*"
METHODS: Final = "DELETE, GET, HEAD, PATCH, POST, PUT"
SENT_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-ID"
)
"""What a page may send."""
EXPOSED_HEADERS: Final = (
    "Allow, Content-Disposition, ETag, Idempotent-Replayed, Location, Retry-After, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)
"""What a page may read of an answer, beside what any may."""
PREFLIGHT_SECONDS: Final = 600


class CrossOrigin:
    """Answers what a browser asks before a request, and allows pages of ``origins`` to read answers.

    A page of any other origin gets the same answers without a word about origins, which its browser keeps from it.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it only asks whether another may be made."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers.from_scope(scope)
        allowed = self._allowed(asked.get("origin"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                if ANY_ORIGIN not in self._origins:
                    headers.extend_header_value("Vary", "Origin")
                if allowed is not None:
                    headers["Access-Control-Allow-Origin"] = allowed
                    headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            await send(message)

        if _is_preflight(scope, asked):
            await _answer_preflight(allowed, answer)
        else:
            await self._app(scope, receive, answer)

    def _allowed(self, origin: str | None) -> str | None:
        if origin is None:
            return None
        if ANY_ORIGIN in self._origins:
            return ANY_ORIGIN
        return origin if origin in self._origins else None


def _is_preflight(scope: HTTPScope, asked: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "origin" in asked and "access-control-request-method" in asked


async def _answer_preflight(allowed: str | None, send: Send) -> None:
    headers: list[tuple[bytes, bytes]] = []
    if allowed is not None:
        headers = [
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", SENT_HEADERS.encode()),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        ]
    await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
