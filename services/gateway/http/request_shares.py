"""How many requests of one organization are at work at once."""

from http import HTTPStatus
from typing import cast

from litestar.types import ASGIApp, Receive, Scope, Send

from libs.process.shares import NoSlotError, Shares
from services.gateway.access.principal import Principal
from services.gateway.http.envelope import ApiError
from services.gateway.http.event_stream import ENDLESS

RETRY_AFTER_SECONDS = "2"


class RequestShares:
    """Lets a request in while its organization has fewer at work than there is room for.

    Stands behind the authentication. Without it, one organization that waits for a thousand runs at once would have
    all memory and all connections to the database.
    """

    def __init__(self, app: ASGIApp, shares: Shares) -> None:
        self._app = app
        self._shares = shares

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        principal = cast("dict[str, Principal]", scope).get("auth")
        # What is open to anybody is answered from memory, and what lasts has limits of its own.
        if principal is None or scope["route_handler"].opt.get(ENDLESS):
            await self._app(scope, receive, send)
            return
        try:
            with self._shares.slot(principal.home):
                await self._app(scope, receive, send)
        except NoSlotError as full:
            raise _refusal(own=full.own) from None


def _refusal(*, own: bool) -> ApiError:
    headers = {"Retry-After": RETRY_AFTER_SECONDS}
    if own:
        detail = "this organization has as many requests at work as it may; send fewer at once, or try again"
        return ApiError(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", detail, headers=headers)
    detail = "too many requests of all organizations are at work at the moment; try again"
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "TOO_BUSY", detail, headers=headers)
