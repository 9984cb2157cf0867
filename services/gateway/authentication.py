"""API keys: made, stored as a digest, recognised. Runs before anything of the body is read."""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from bson import ObjectId
from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from libs.storage.client import Mongo
from libs.storage.documents import ApiKey, Organization
from services.gateway.http_errors import ApiError
from services.gateway.request_trace import trace_of

KEY_PREFIX = "sk_live_"
SHOWN_CHARS = len(KEY_PREFIX) + 6
MAX_KEY_CHARS = 200
REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 10_000


def new_key() -> str:
    """A key of 256 random bits; so much entropy needs no slow hash."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """SHA-256 of a key in hex, all that is stored of it."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """The keys of all organizations. A revoked key stops working within ``REMEMBERED_SECONDS``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._remembered: dict[str, tuple[str, float]] = {}

    async def tenant_of(self, key: str) -> str | None:
        """The organization whose live key this is, or ``None``."""
        fingerprint = digest(key)
        tenant, until = self._remembered.get(fingerprint, ("", 0.0))
        if until > time.monotonic():
            return tenant
        found = await self._mongo.state[ApiKey.Settings.name].find_one(
            {"digest": fingerprint, "revoked_at": None}, {"tenant_id": 1}
        )
        if found is None:
            self._remembered.pop(fingerprint, None)
            return None
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[fingerprint] = (found["tenant_id"], time.monotonic() + REMEMBERED_SECONDS)
        return found["tenant_id"]

    async def create(self, organization: str, key_name: str, key: str) -> str:
        """Create an organization with ``key``, or find the one that has it; the organization's id."""
        keys, fingerprint = self._mongo.state[ApiKey.Settings.name], digest(key)
        if (known := await keys.find_one({"digest": fingerprint})) is not None:
            await keys.update_one({"_id": known["_id"]}, {"$set": {"revoked_at": None}})
            return known["tenant_id"]
        now, tenant_id = datetime.now(UTC), str(ObjectId())
        await self._mongo.state[Organization.Settings.name].insert_one(
            {"_id": tenant_id, "name": organization, "created_at": now}
        )
        await keys.insert_one(
            {
                "_id": str(ObjectId()),
                "tenant_id": tenant_id,
                "name": key_name,
                "digest": fingerprint,
                "prefix": key[:SHOWN_CHARS],
                "created_at": now,
                "revoked_at": None,
                "last_used_at": None,
            }
        )
        return tenant_id


def _unauthorized(detail: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", detail, headers={"WWW-Authenticate": "Bearer"})


class Authentication(AbstractAuthenticationMiddleware):
    """Turns ``Authorization: Bearer sk_live_…`` into the id of an organization."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized("send your API key in the header 'Authorization: Bearer sk_live_…'")
        well_formed = key.startswith(KEY_PREFIX) and len(key) <= MAX_KEY_CHARS
        tenant = await cast("ApiKeys", connection.app.state.api_keys).tenant_of(key) if well_formed else None
        if tenant is None:
            raise _unauthorized("the API key is unknown or revoked; check that it was copied whole")
        trace_of(connection.scope).tenant_id = tenant
        return AuthenticationResult(user=None, auth=tenant)
