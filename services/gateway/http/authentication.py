"""Who asks, by the header ``Authorization``, and whether too often. Runs before anything of the body is read."""

from http import HTTPStatus
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import HTTPScope

from libs.contracts.errors import TransientError
from services.gateway.access.api_keys import KEY_PREFIX, MAX_KEY_CHARS
from services.gateway.access.callers import Called, Callers
from services.gateway.access.principal import Scope
from services.gateway.access.session_tokens import SessionTokens, looks_like_token
from services.gateway.access.strangers import Strangers
from services.gateway.errors import NotAllowedError
from services.gateway.http.envelope import ApiError
from services.gateway.http.rate_limits import SAFE_METHODS, address_of, bearer, count_stranger, kind_of, too_often
from services.gateway.http.tracing import trace_of

RETRY_AFTER_SECONDS = "5"
NEEDED_SCOPE = "needed_scope"
"""Set in the ``opt`` of what needs another scope than its method does."""

AnyConnection = ASGIConnection[Any, Any, Any, Any]


def _unauthorized(detail: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", detail, headers={"WWW-Authenticate": "Bearer"})


class Authentication(AbstractAuthenticationMiddleware):
    """Turns ``Authorization: Bearer``, with an API key or a session token, into a ``Principal``, who may do what the
    request does."""

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        trace = trace_of(connection.scope)
        trace.metered = True
        credential = bearer(connection.headers)
        if credential is None:
            raise _stranger(connection, "send your API key in the header 'Authorization: Bearer sk_live_…'")
        tokens: SessionTokens | None = connection.app.state.session_tokens
        if tokens is not None and looks_like_token(credential):
            called = await _by_token(connection, tokens, credential)
            whose, unknown = "you", "the session token is not valid, or has expired"
        else:
            called = await _by_key(connection, credential)
            whose, unknown = (
                "this API key",
                "the API key is unknown, revoked or expired; check that it is whole",
            )
        if called is None:
            raise _stranger(connection, unknown)
        trace.principal, trace.allowance = called
        if called.allowance is not None and not called.allowance.passed:
            raise too_often(called.allowance, whose)
        needed, what = _needed_scope(connection)
        if needed not in called.principal.scopes:
            have = "the API key lacks" if whose == "this API key" else "your role lacks"
            detail = f"{have} the scope {needed.value!r}, which {what} needs; use another"
            raise ApiError(HTTPStatus.FORBIDDEN, "FORBIDDEN", detail)
        return AuthenticationResult(user=None, auth=called.principal)


async def _by_key(connection: AnyConnection, key: str) -> Called | None:
    if not key.startswith(KEY_PREFIX) or len(key) > MAX_KEY_CHARS:
        return None
    callers: Callers = connection.app.state.callers
    if not callers.knows(key):
        _refuse_known_strangers(connection)
    return await callers.by_key(key, kind_of(connection.scope))


async def _by_token(connection: AnyConnection, tokens: SessionTokens, token: str) -> Called | None:
    try:
        principal = await tokens.principal(token)
    except TransientError:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "SIGN_IN_UNAVAILABLE",
            "session tokens cannot be checked at the moment; try again",
            headers={"Retry-After": RETRY_AFTER_SECONDS},
        ) from None
    except NotAllowedError:
        # A person without an organization here has no limits of their own.
        count_stranger(connection)
        raise
    if principal is None:
        return None
    callers: Callers = connection.app.state.callers
    return await callers.count_session(principal, kind_of(connection.scope))


def _needed_scope(connection: AnyConnection) -> tuple[Scope, str]:
    """What a request takes, and what to call it."""
    declared: Scope | None = connection.route_handler.opt.get(NEEDED_SCOPE)
    if declared is not None:
        return declared, "this address"
    method = cast("HTTPScope", connection.scope)["method"]
    return (Scope.READ if method in SAFE_METHODS else Scope.WRITE), method


def _refuse_known_strangers(connection: AnyConnection) -> None:
    """Ask the database nothing for an address that has shown too many keys that do not work.

    Whoever works from there with a key that this gateway has seen before notices nothing.
    """
    strangers: Strangers = connection.app.state.strangers
    left = strangers.allowance(_address(connection), kind_of(connection.scope))
    if left is not None and not left.passed:
        trace_of(connection.scope).allowance = left
        raise too_often(left, "an address without a key that works")


def _stranger(connection: AnyConnection, detail: str) -> ApiError:
    """The refusal of somebody unknown, who is counted by address.

    Raises:
        ApiError: 429, there were too many from there.
    """
    count_stranger(connection)
    return _unauthorized(detail)


def _address(connection: AnyConnection) -> str:
    return address_of(connection.scope, connection.app.state.trusted_proxies)
