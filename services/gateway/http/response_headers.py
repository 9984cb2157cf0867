"""Headers that every answer has."""

from collections.abc import Mapping

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

SECURITY_HEADERS: Mapping[str, str] = {
    # Answers are one organization's data and change from one moment to the next.
    "Cache-Control": "no-store",
    # A browser that is led here shows, runs, frames and guesses nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
"""Without ``Strict-Transport-Security``: that is for whoever ends TLS, which is a proxy before the gateway."""


async def add_security_headers(message: Message, scope: Scope) -> None:
    """Give an answer ``SECURITY_HEADERS``, whoever made it: a handler, the router or the framework.

    Those that its handler has set itself stay: the page that shows the OpenAPI document has a policy of its own.
    """
    if message["type"] == "http.response.start" and scope["type"] == "http":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in SECURITY_HEADERS.items():
            if name not in headers:
                headers[name] = value
        headers.extend_header_value("Vary", "Authorization")
