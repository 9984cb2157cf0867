"""What answers tell of the rate limits, and the refusal of what goes beyond them."""

from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import HTTPScope, Message, Scope
from pymongo.errors import PyMongoError

from libs.egress.rules import IPNetwork
from libs.process.http_edge import counted_source
from services.gateway.access.callers import Callers
from services.gateway.access.rates import Allowance, Kind
from services.gateway.access.strangers import Strangers
from services.gateway.http.envelope import ApiError
from services.gateway.http.tracing import trace_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
_UNLIMITED_PATHS = ("/schema",)
"""What is answered from memory, the same for everybody; as is ``OPTIONS``, which browsers send before a request."""


def kind_of(scope: Any) -> Kind:  # noqa: ANN401 - any of Litestar's scopes
    """What a request is counted as."""
    return Kind.READS if cast("HTTPScope", scope)["method"] in SAFE_METHODS else Kind.WRITES


def bearer(headers: Headers) -> str | None:
    """What follows ``Bearer`` in the header ``Authorization``."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def address_of(scope: Any, trusted_proxies: Collection[IPNetwork]) -> str:  # noqa: ANN401 - any of Litestar's scopes
    """The address that a request comes from, as ``counted_source`` writes it.

    Only proxies of ``trusted_proxies`` are believed what they have added to ``X-Forwarded-For``; what stands before
    that, the client may have written itself.
    """
    client: tuple[str, int] | None = scope.get("client")
    address = "" if client is None else client[0]
    hops = ",".join(Headers.from_scope(scope).getall("x-forwarded-for", [])).split(",")
    while address and hops and _within(address, trusted_proxies):
        address = hops.pop().strip() or address
    return counted_source(address)


def too_often(allowance: Allowance, whose: str) -> ApiError:
    """The refusal of a request that came too early.

    Args:
        allowance: what there is.
        whose: whose limit it is, as in "this API key".
    """
    what = "read" if allowance.kind is Kind.READS else "write"
    seconds = allowance.retry_after
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        RATE_LIMIT_EXCEEDED,
        f"{whose} may {what} {allowance.limit:,} times a minute; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def count_stranger(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Count a request of somebody unknown.

    Raises:
        ApiError: 429, there were too many from there.
    """
    state = connection.app.state
    strangers: Strangers = state.strangers
    trace = trace_of(connection.scope)
    trace.metered = True
    trace.allowance = strangers.count(address_of(connection.scope, state.trusted_proxies), kind_of(connection.scope))
    if trace.allowance is not None and not trace.allowance.passed:
        raise too_often(trace.allowance, "an address without a key that works")


async def add_rate_limit_headers(message: Message, scope: Scope) -> None:
    """Give an answer ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset``.

    Where the router has refused a request before anybody asked who sent it, it is counted here. An answer to somebody
    without a limit has none of them.
    """
    if message["type"] != "http.response.start" or scope["type"] != "http":
        return
    trace = trace_of(scope)
    if not trace.metered and scope["method"] != "OPTIONS" and not scope["path"].startswith(_UNLIMITED_PATHS):
        trace.allowance = await _counted(scope)
    if trace.allowance is not None:
        headers = MutableScopeHeaders.from_message(message)
        headers["X-RateLimit-Limit"] = str(trace.allowance.limit)
        headers["X-RateLimit-Remaining"] = str(trace.allowance.remaining)
        headers["X-RateLimit-Reset"] = str(trace.allowance.resets_at)


async def _counted(scope: HTTPScope) -> Allowance | None:
    state = scope["litestar_app"].state
    callers: Callers | None = state.get("callers")
    strangers: Strangers = state.strangers
    key, kind = bearer(Headers.from_scope(scope)), kind_of(scope)
    if callers is not None and key is not None and callers.knows(key):
        try:
            called = await callers.by_key(key, kind)
        except PyMongoError:
            return None  # the answer is there; only how much is left is not known
        if called is not None:
            return called.allowance
    return strangers.count(address_of(scope, state.trusted_proxies), kind)


def _within(address: str, networks: Collection[IPNetwork]) -> bool:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(ip in network for network in networks)
