"""HEAD, and which methods a path has."""

from collections.abc import Iterator
from typing import Any, cast

from litestar.datastructures import MutableScopeHeaders
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

_GET, _HEAD = "GET", "HEAD"
_ASKED_FOR_HEAD = "rowdock.head"


class HeadAsGet:
    """Answers HEAD as GET is answered, without the body, and names HEAD wherever GET is allowed.

    Stands before the router, which only knows the methods that handlers declare; so every GET has its HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the router."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == _HEAD
        if head:
            scope["method"] = _GET
            cast("dict[str, Any]", scope)[_ASKED_FOR_HEAD] = True

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                if scope["method"] == "OPTIONS" and "allow" in headers:
                    headers["allow"] = ",".join(_declared_methods(scope))
                if "allow" in headers:
                    headers["allow"] = ", ".join(allowed_methods(headers["allow"]))
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, answer)


def is_head(scope: Scope) -> bool:
    """Whether nobody will see the body of the answer, which then need not be made."""
    return cast("dict[str, Any]", scope).get(_ASKED_FOR_HEAD, False)


def _declared_methods(scope: HTTPScope) -> Iterator[str]:
    """The methods of a path. Litestar's own answer to OPTIONS names those of one of its handlers only."""
    for route in scope["litestar_app"].routes:
        if isinstance(route, HTTPRoute) and route.path_format == scope["path_template"]:
            yield from route.route_handler_map


def allowed_methods(header: str) -> list[str]:
    """The methods in a header ``Allow`` of the router's, in order, and HEAD where GET is among them."""
    methods = {method.strip() for method in header.split(",")}
    return sorted(methods | {_HEAD} if _GET in methods else methods)
