"""Who asks, by the header ``Authorization``. Runs before anything of the body is read."""

from http import HTTPStatus
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import HTTPScope

from services.gateway.access.api_keys import KEY_PREFIX, MAX_KEY_CHARS, ApiKeys
from services.gateway.access.principal import Scope
from services.gateway.http.envelope import ApiError
from services.gateway.http.tracing import trace_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def _unauthorized(detail: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", detail, headers={"WWW-Authenticate": "Bearer"})


class Authentication(AbstractAuthenticationMiddleware):
    """Turns ``Authorization: Bearer sk_live_…`` into a ``Principal``, who may do what the request does."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized("send your API key in the header 'Authorization: Bearer sk_live_…'")
        well_formed = key.startswith(KEY_PREFIX) and len(key) <= MAX_KEY_CHARS
        principal = await cast("ApiKeys", connection.app.state.api_keys).principal(key) if well_formed else None
        if principal is None:
            raise _unauthorized("the API key is unknown or revoked; check that it was copied whole")
        trace_of(connection.scope).principal = principal
        method = cast("HTTPScope", connection.scope)["method"]
        needed = Scope.READ if method in SAFE_METHODS else Scope.WRITE
        if needed not in principal.scopes:
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                "FORBIDDEN",
                f"the API key lacks the scope {needed.value!r}, which {method} needs; use another key",
            )
        return AuthenticationResult(user=None, auth=principal)
