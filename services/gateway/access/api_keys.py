"""API keys: made, shown once, stored as a digest; managed by admins of their organization."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.storage.client import Collection, Document, Mongo
from libs.storage.documents import ApiKey, Organization, RateLimits
from libs.storage.documents.state_document import NEXT_VERSION, of_version
from services.gateway.access import revocation
from services.gateway.access.plans import PlanRates
from services.gateway.access.principal import ALL_SCOPES, Principal, Scope
from services.gateway.access.rates import UNLIMITED, Kind, Rates
from services.gateway.errors import (
    ConflictError,
    LimitError,
    Problem,
    Versions,
    invalid_input,
    not_found,
    require_version,
    suspended,
)

KEY_PREFIX = "sk_live_"
SHOWN_CHARS = len(KEY_PREFIX) + 6
MAX_KEY_CHARS = 200
MAX_LIVE_KEYS: Final = 100
"""Of one organization."""
NOT_LEAVING: Final[Document] = {"deletion": None, "suspended_at": None}
"""The filter of the organizations that somebody may ask as."""
ORDINARY_SCOPES: Final = (Scope.READ, Scope.WRITE)
"""Of a key for which nobody asks for others."""


def new_key() -> str:
    """A key of 256 random bits; so much entropy needs no slow hash."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """SHA-256 of a key in hex, all that is stored of it.

    Keys are found by it in an index: how long that takes says nothing of any key that there is.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def live_keys(conditions: Mapping[str, Any]) -> Document:
    """The filter of the keys that work now, by the clock of the database."""
    unexpired = [{"expires_at": None}, {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}]
    return {**conditions, "revoked_at": None, "$or": unexpired}


async def revoke_all(mongo: Mongo, tenant_id: str) -> None:
    """Let no key of an organization open anything any more."""
    await mongo.state[ApiKey.Settings.name].update_many(
        {"tenant_id": tenant_id, "revoked_at": None}, {"$currentDate": {"revoked_at": True}}
    )


def stored_scopes(stored: Iterable[str] | None) -> frozenset[Scope]:
    """The scopes of a key; all where it says nothing. Those that a newer release knows mean nothing here."""
    return ALL_SCOPES if stored is None else frozenset(Scope) & frozenset(stored)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that somebody asks for.

    Attributes:
        name: for people; it is in the log.
        expires_at: when it stops working, if ever.
        rate_limits: its own limits, at most those of the plan.
    """

    name: str
    scopes: frozenset[Scope] = frozenset(ORDINARY_SCOPES)
    expires_at: datetime | None = None
    rate_limits: RateLimits | None = None


class MadeKey(NamedTuple):
    """A new key: ``key`` is what is shown now and never again."""

    stored: ApiKey
    key: str


class ApiKeys:
    """The keys of organizations. What a principal asks for concerns its own organization only."""

    @property
    def _keys(self) -> Collection:
        return cast("Collection", ApiKey.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    @property
    def _organizations(self) -> Collection:
        return cast("Collection", Organization.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    # --- for admins -----------------------------------------------------------------------------

    async def page(self, principal: Principal, limit: int, after: str | None) -> tuple[list[ApiKey], bool]:
        """Keys, live or not, the newest first, and whether there are more."""
        mine: Document = {"tenant_id": principal.tenant_id}
        if after is not None:
            mine["_id"] = {"$lt": after}
        found = await self._keys.find(mine, sort=[("_id", -1)], limit=limit + 1).to_list(None)
        return [ApiKey.read(each) for each in found[:limit]], len(found) > limit

    async def get(self, principal: Principal, key_id: str) -> ApiKey:
        """One key.

        Raises:
            NotFoundError: ``API_KEY_NOT_FOUND``.
        """
        found = await self._keys.find_one({"_id": key_id, "tenant_id": principal.tenant_id})
        if found is None:
            raise not_found("API key", key_id)
        return ApiKey.read(found)

    async def add(
        self, principal: Principal, wanted: Wanted, plans: PlanRates | None, identifier: str | None = None
    ) -> MadeKey:
        """Make a key.

        Args:
            identifier: its id. Where there is such a key already, which nobody has seen, it gets another secret.
            principal: who asks.
            wanted: what for.
            plans: what the plan allows; ``None`` for an operator, who may allow more.

        Raises:
            InvalidInputError: it would be allowed more than whoever asks, or than the plan allows; it has expired.
            LimitError: ``TOO_MANY_API_KEYS``.
            ConflictError: ``ORGANIZATION_SUSPENDED``.
        """
        problems = list(_too_much(principal, wanted))
        if plans is not None:
            problems += _above_plan(wanted.rate_limits, await plans.rates(principal.tenant_id))
        if problems:
            raise invalid_input(*problems)
        if identifier is None or not await self._made_already(principal, identifier):
            await self._see_that_there_is_room(principal)
        return await self._insert(principal.tenant_id, wanted, identifier=identifier)

    async def rotate(
        self,
        principal: Principal,
        key_id: str,
        overlap: timedelta,
        identifier: str | None = None,
        wanted: Versions = None,
    ) -> MadeKey:
        """Make a key that may do what another may, which stops working after ``overlap``; ``identifier`` as ``add``.

        Args:
            wanted: the versions of the other that may be replaced.

        Raises:
            NotFoundError: ``API_KEY_NOT_FOUND``.
            ConflictError: ``API_KEY_NOT_LIVE``; it is revoked or has expired. ``ORGANIZATION_SUSPENDED``.
            InvalidInputError, LimitError: as ``add``.
        """
        old = await self.get(principal, key_id)
        again = identifier is not None and await self._made_already(principal, identifier)
        if not again:
            require_version(old.version, wanted)
        successor = Wanted(old.name, stored_scopes(old.scopes), None, old.rate_limits)
        if problems := list(_too_much(principal, successor)):
            raise invalid_input(*problems)
        if not again:
            await self._see_that_there_is_room(principal)
        # A crash between the two leaves a key that nobody has seen, and the old one as it was.
        made = await self._insert(principal.tenant_id, successor, rotated_from=key_id, identifier=identifier)
        ends = {"$add": ["$$NOW", int(overlap.total_seconds() * 1000)]}
        same = {} if wanted is None else of_version(old.version)
        mine = live_keys({"_id": key_id, "tenant_id": principal.tenant_id, **same})
        expired = await self._keys.update_one(
            mine, [{"$set": {"expires_at": {"$min": ["$expires_at", ends]}, **NEXT_VERSION}}]
        )
        if not expired.matched_count and not again:
            await self._keys.delete_one({"_id": made.stored.id})
            if wanted is not None:
                require_version((await self.get(principal, key_id)).version, wanted)
            raise ConflictError("API_KEY_NOT_LIVE", "the key is revoked or has expired; create a new one")
        return made

    async def revoke(self, principal: Principal, key_id: str, wanted: Versions = None) -> ApiKey:
        """Let a key open nothing from now on, in any gateway; once revoked it stays so.

        Raises:
            NotFoundError: ``API_KEY_NOT_FOUND``.
            OutdatedError: it has none of the versions that are ``wanted``.
        """
        found = await revocation.revoke(self._keys, "API key", principal.tenant_id, key_id, wanted)
        return ApiKey.read(found)

    async def _made_already(self, principal: Principal, identifier: str) -> bool:
        mine = {"_id": identifier, "tenant_id": principal.tenant_id}
        return await self._keys.find_one(mine, {"_id": 1}) is not None

    async def _see_that_there_is_room(self, principal: Principal) -> None:
        live = live_keys({"tenant_id": principal.tenant_id})
        if await self._keys.count_documents(live, limit=MAX_LIVE_KEYS) >= MAX_LIVE_KEYS:
            raise LimitError("TOO_MANY_API_KEYS", f"the organization has {MAX_LIVE_KEYS} keys that work; revoke some")

    # --- for operators --------------------------------------------------------------------------

    async def limit(self, principal: Principal, key_id: str, limits: RateLimits) -> ApiKey:
        """Give a key limits of its own.

        Raises:
            NotFoundError: ``API_KEY_NOT_FOUND``.
        """
        mine = {"_id": key_id, "tenant_id": principal.tenant_id}
        change: list[Document] = [{"$set": {"rate_limits": limits.model_dump(), **NEXT_VERSION}}]
        found = await self._keys.find_one_and_update(mine, change, return_document=ReturnDocument.AFTER)
        if found is None:
            raise not_found("API key", key_id)
        return ApiKey.read(found)

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
        if (known := await ApiKey.find_one({"digest": digest(key)})) is not None:
            if known.revoked_at is not None:
                raise ConflictError(
                    "KEY_REVOKED",
                    f"the key {known.prefix}… was revoked on {known.revoked_at:%Y-%m-%d} and stays revoked; "
                    "use another key, or none to get a new one",
                )
            return known.tenant_id
        tenant_id = str(ObjectId())
        await add(Organization(_id=tenant_id, name=organization, created_at=datetime.now(UTC)))
        await self._insert(tenant_id, Wanted(key_name, ALL_SCOPES), key=key)
        return tenant_id

    async def _insert(
        self,
        tenant_id: str,
        wanted: Wanted,
        *,
        key: str | None = None,
        rotated_from: str | None = None,
        identifier: str | None = None,
    ) -> MadeKey:
        key = key or new_key()
        stored = ApiKey(
            _id=identifier or str(ObjectId()),
            tenant_id=tenant_id,
            name=wanted.name,
            digest=digest(key),
            prefix=key[:SHOWN_CHARS],
            # What may do everything may also do what a later release adds.
            scopes=None if wanted.scopes == ALL_SCOPES else sorted(wanted.scopes),
            created_at=datetime.now(UTC),
            expires_at=wanted.expires_at,
            rate_limits=wanted.rate_limits,
            rotated_from=rotated_from,
        )
        try:
            await stored.insert()
        except DuplicateKeyError:
            # Made by an attempt whose answer nobody has got, so its secret is nobody's.
            unseen = {"_id": stored.id, "tenant_id": tenant_id}
            await self._keys.update_one(unseen, {"$set": {"digest": stored.digest, "prefix": stored.prefix}})
        # Whoever suspends an organization says so first and revokes its keys then: either that is seen here, or this
        # key is there by then. A crash before the question leaves a key that nobody has seen.
        if await self._organizations.find_one({**NOT_LEAVING, "_id": tenant_id}, {"_id": 1}) is None:
            await self._keys.delete_one({"_id": stored.id})
            raise suspended()
        return MadeKey(stored, key)


def _too_much(principal: Principal, wanted: Wanted) -> Iterable[Problem]:
    """What nobody may give who does not have it."""
    if foreign := sorted(wanted.scopes - principal.scopes):
        yield Problem("scopes", "BEYOND_OWN", f"your own key lacks {', '.join(foreign)} and cannot give it")
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        yield Problem("expires_at", "IN_THE_PAST", "lies in the past; choose a later moment")


def _above_plan(limits: RateLimits | None, rates: Rates) -> Iterable[Problem]:
    for kind in Kind:
        limit, most = getattr(limits, kind, None), rates.of(kind)
        if limit is not None and most != UNLIMITED and (limit > most or limit == UNLIMITED):
            message = f"the plan of the organization allows at most {most:,} a minute; an operator may allow more"
            yield Problem(f"rate_limits.{kind}", "ABOVE_PLAN", message)
