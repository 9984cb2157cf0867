"""Session tokens of Clerk: who a person is, and which organization they act for, by claims that are verified."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import jwt
from jwt.exceptions import PyJWTError

from services.gateway.access.clerk_organizations import ClerkOrganizations
from services.gateway.access.principal import Principal, Scope
from services.gateway.access.signing_keys import SigningKeys
from services.gateway.errors import NotAllowedError

MAX_TOKEN_CHARS: Final = 8_192
LEEWAY_SECONDS: Final = 10
_ALGORITHMS: Final = ["RS256"]
_REQUIRED: Final = ["exp", "iat", "nbf", "iss", "sub"]


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says, once it is verified.

    Attributes:
        user_id: Clerk's id of the person.
        organization_id: Clerk's id of the organization that is active; ``None`` where none is.
        role: the person's in it, without ``org:``.
        slug: the organization's short name, if it is told.
        expires_at: until when the token is good, in seconds since 1970.
    """

    user_id: str
    organization_id: str | None
    role: str
    slug: str | None
    expires_at: float


def looks_like_token(credential: str) -> bool:
    """Whether it has the shape of a JWT, in which case it is no API key."""
    return credential.count(".") == 2 and len(credential) <= MAX_TOKEN_CHARS


class SessionTokens:
    """Judges tokens.

    Args:
        keys: those that sign them.
        issuer: who must have made them (``iss``).
        authorized_parties: the origins that they may have been made for (``azp``).
        organizations: finds an organization by Clerk's id.
        roles: the scopes of each role; a person with any other role may do nothing.
    """

    def __init__(
        self,
        keys: SigningKeys,
        issuer: str,
        authorized_parties: Collection[str],
        organizations: ClerkOrganizations,
        roles: Mapping[str, frozenset[Scope]],
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._authorized_parties = frozenset(authorized_parties)
        self._organizations = organizations
        self._roles = roles

    async def principal(self, token: str) -> Principal | None:
        """Whom a token stands for; ``None`` where it is not valid.

        Raises:
            NotAllowedError: ``NO_ORGANIZATION`` or ``ROLE_NOT_KNOWN``: it is valid, and does not let anybody in.
            TransientError: there are no keys to check it with at the moment.
        """
        session = await self.session(token)
        if session is None:
            return None
        if session.organization_id is None:
            raise NotAllowedError(
                "NO_ORGANIZATION", "the session has no active organization; choose one, then send its new token"
            )
        if (scopes := self._roles.get(session.role)) is None:
            raise NotAllowedError(
                "ROLE_NOT_KNOWN",
                "your role in the organization has no rights here; an operator gives it some with ROWDOCK_CLERK_ROLES",
            )
        tenant_id = await self._organizations.tenant(session.organization_id, session.slug)
        if tenant_id is None:
            raise NotAllowedError("NO_ORGANIZATION", "the organization of the session is being deleted")
        return Principal(tenant_id, f"user:{session.user_id}", session.user_id, scopes, expires_at=session.expires_at)

    async def session(self, token: str) -> Session | None:
        """What a token says; ``None`` where it is not valid now.

        Raises:
            TransientError: as ``principal``.
        """
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.key(kid) if isinstance(kid, str) else None
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                # Clerk's session tokens have no audience; ``azp`` says for whom they are.
                options={"require": _REQUIRED, "verify_aud": False},
            )
        # The other errors: what is inside the three parts may be no text at all, nested, or a claim of another type.
        except (PyJWTError, ValueError, TypeError, RecursionError):
            return None
        if "azp" in claims and claims["azp"] not in self._authorized_parties:
            return None
        # A person who has yet to do something, such as choosing an organization, is not signed in.
        if claims.get("sts", "active") != "active":
            return None
        return _session(claims)


def _session(claims: Mapping[str, Any]) -> Session | None:
    """The organization is in ``o`` from the second version of the claims on, before that in ``org_id`` and so on."""
    if "o" in claims:
        inner: Any = claims["o"]
        if not isinstance(inner, dict):
            return None
        told = cast("Mapping[str, Any]", inner)
        organization, role, slug = told.get("id"), told.get("rol"), told.get("slg")
    else:
        organization, role, slug = claims.get("org_id"), claims.get("org_role"), claims.get("org_slug")
    if not all(value is None or isinstance(value, str) for value in (organization, role, slug)):
        return None
    user: str = claims["sub"]
    if not user:
        return None
    expires_at = float(claims["exp"]) + LEEWAY_SECONDS
    return Session(user, organization or None, (role or "").removeprefix("org:"), slug, expires_at)
