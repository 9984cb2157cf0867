"""API keys as requests ask for them and answers show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import AwareDatetime, BaseModel, Field

from libs.storage.documents import ApiKey, RateLimits
from services.gateway.access.api_keys import ORDINARY_SCOPES, MadeKey, Wanted, stored_scopes
from services.gateway.access.principal import Scope
from services.gateway.http.openapi import JsonOperation
from services.gateway.http.request_shape import Json, Part, read_part

MAX_LIMIT: Final = 1_000_000
MAX_OVERLAP_SECONDS: Final = 30 * 86_400
_Rate = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
# A request is JSON, in which scopes and moments are texts.
_Scope = Annotated[Scope, Field(strict=False)]
_Moment = Annotated[AwareDatetime, Field(strict=False)]


class KeyStatus(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class RateLimitsPart(Part):
    """Requests of a minute; null for what the plan of the organization says, 0 for any number."""

    reads: _Rate | None = None
    writes: _Rate | None = None


class NewApiKey(Part):
    """A key: ``read`` allows GET and HEAD, ``write`` everything else, ``admin`` also to manage keys."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[tuple[_Scope, ...], Field(min_length=1, max_length=len(Scope), strict=False)] = ORDINARY_SCOPES
    expires_at: _Moment | None = None
    rate_limits: RateLimitsPart | None = None


class Rotation(Part):
    """``overlap_seconds``: how long the old key works beside the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400


class ApiKeyView(BaseModel):
    """``prefix`` is how the key begins; ``last_used_at`` is told to the minute; ``rotated_from`` is the id of the key
    that it replaces."""

    id: str
    name: str
    prefix: str
    status: KeyStatus
    scopes: list[Scope]
    rate_limits: RateLimits
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    rotated_from: str | None


class NewApiKeyView(ApiKeyView):
    """``key`` is shown here and never again."""

    key: str


class ApiKeyPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[ApiKeyView]
    next_after: str | None


@dataclass
class NewKeyOperation(JsonOperation):
    """Takes a key that is wanted."""

    model = NewApiKey
    shown: ClassVar[Json | None] = {"name": "nightly export", "scopes": ["read"], "expires_at": "2027-01-01T00:00:00Z"}


@dataclass
class RotationOperation(JsonOperation):
    """Takes how long the old key works on."""

    model = Rotation
    shown: ClassVar[Json | None] = {"overlap_seconds": 3600}
    required = False


def read_new_key(body: object) -> Wanted:
    """The key that a request asks for.

    Raises:
        InvalidInputError: it has another shape.
    """
    asked, _ = read_part(NewApiKey, body)
    limits = None if asked.rate_limits is None else RateLimits(**asked.rate_limits.model_dump())
    return Wanted(asked.name, frozenset(asked.scopes), asked.expires_at, limits)


def read_rotation(body: object) -> timedelta:
    """How long the old key is to work on.

    Raises:
        InvalidInputError: it has another shape.
    """
    asked, _ = read_part(Rotation, body)
    return timedelta(seconds=asked.overlap_seconds)


def present_key(stored: ApiKey) -> ApiKeyView:
    return ApiKeyView(**_members(stored))


def present_new_key(made: MadeKey) -> NewApiKeyView:
    return NewApiKeyView(**_members(made.stored), key=made.key)


def present_keys(found: Sequence[ApiKey], *, more: bool) -> ApiKeyPage:
    return ApiKeyPage(data=[present_key(each) for each in found], next_after=found[-1].id if more else None)


def _members(stored: ApiKey) -> dict[str, Any]:
    return {
        **stored.model_dump(include=ApiKeyView.model_fields.keys() - {"status", "scopes", "rate_limits"}),
        "status": _status(stored),
        "scopes": [scope for scope in Scope if scope in stored_scopes(stored.scopes)],
        "rate_limits": stored.rate_limits or RateLimits(),
    }


def _status(stored: ApiKey) -> KeyStatus:
    if stored.revoked_at is not None:
        return KeyStatus.REVOKED
    expired = stored.expires_at is not None and stored.expires_at <= datetime.now(UTC)
    return KeyStatus.EXPIRED if expired else KeyStatus.ACTIVE
