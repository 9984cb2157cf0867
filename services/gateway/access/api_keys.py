"""API keys: made, stored as a digest, recognised."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from bson import ObjectId
from cachetools import TTLCache

from libs.storage.documents import ApiKey, Organization
from services.gateway.access.principal import ALL_SCOPES, Principal, Scope
from services.gateway.errors import ConflictError

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

    def __init__(self) -> None:
        self._remembered = TTLCache[str, Principal, float](MAX_REMEMBERED, REMEMBERED_SECONDS)

    async def principal(self, key: str) -> Principal | None:
        """Whom a key stands for, or ``None`` where it is unknown or revoked."""
        fingerprint = digest(key)
        if (known := self._remembered.get(fingerprint)) is not None:
            return known
        found = await ApiKey.find_one({"digest": fingerprint, "revoked_at": None})
        if found is None:
            return None
        principal = Principal(found.tenant_id, f"key:{found.name}", found.id, _scopes(found.scopes))
        self._remembered[fingerprint] = principal
        return principal

    async def create(
        self,
        organization: str,
        key_name: str,
        key: str,
        *,
        add: Callable[[Organization], Awaitable[object]] = Organization.insert,
    ) -> str:
        """Create an organization with ``key``, or find the one whose live key it is already.

        Args:
            organization: its name.
            key_name: the name of the key.
            key: the key.
            add: stores the organization.

        Returns:
            The organization's id.

        Raises:
            ConflictError: ``KEY_REVOKED``; a revoked key stays revoked.
        """
        fingerprint = digest(key)
        if (known := await ApiKey.find_one({"digest": fingerprint})) is not None:
            if known.revoked_at is not None:
                raise ConflictError(
                    "KEY_REVOKED",
                    f"the key {known.prefix}… was revoked on {known.revoked_at:%Y-%m-%d} and stays revoked; "
                    "use another key, or none to get a new one",
                )
            return known.tenant_id
        now, tenant_id = datetime.now(UTC), str(ObjectId())
        await add(Organization(_id=tenant_id, name=organization, created_at=now))
        await ApiKey(
            _id=str(ObjectId()),
            tenant_id=tenant_id,
            name=key_name,
            digest=fingerprint,
            prefix=key[:SHOWN_CHARS],
            created_at=now,
        ).insert()
        return tenant_id


def _scopes(stored: Iterable[str] | None) -> frozenset[Scope]:
    """The scopes of a key; all where it says nothing. Those that a newer release knows mean nothing here."""
    return ALL_SCOPES if stored is None else frozenset(Scope) & frozenset(stored)
