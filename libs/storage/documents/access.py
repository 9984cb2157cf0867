"""Who may ask: organizations and their keys."""

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.plans import Plan
from libs.storage.documents.state_document import StateDocument


class DeletionRequest(BaseModel):
    """That an organization is to be removed with everything it has.

    Attributes:
        requested_at: since when its keys are of no use.
        keep_records: whether the imported records stay.
        swept_at: when everything that it had then was removed once; what comes later comes from uploads that were
            under way.
    """

    requested_at: datetime
    keep_records: bool = False
    swept_at: datetime | None = None


class Organization(StateDocument):
    """One that may ask.

    Attributes:
        plan: what it may have, a name of ``libs.contracts.plans``; as text, because a newer release knows more of them.
        parent_id: the organization that it is below, which may act for it; stored only where there is one.
        clerk_id: Clerk's id of it, where its members sign in with Clerk.
        clerk_changed_at: when it was given its name there.
        suspended_at: when it was deleted there: nobody gets in, and what it has stays.
    """

    name: str
    created_at: datetime
    plan: str = Plan.FREE.value
    parent_id: str | None = None
    clerk_id: str | None = None
    clerk_changed_at: datetime | None = None
    suspended_at: datetime | None = None
    deletion: DeletionRequest | None = None

    class Settings:
        name = "organizations"
        keep_nulls = False
        indexes: ClassVar = [
            IndexModel(
                [("deletion.requested_at", ASCENDING)],
                name="to_be_deleted",
                partialFilterExpression={"deletion.requested_at": {"$type": "date"}},
            ),
            IndexModel(
                [("parent_id", ASCENDING)],
                name="parent",
                partialFilterExpression={"parent_id": {"$type": "string"}},
            ),
            IndexModel(
                [("clerk_id", ASCENDING)],
                name="clerk",
                unique=True,
                partialFilterExpression={"clerk_id": {"$type": "string"}},
            ),
        ]


class RateLimits(BaseModel):
    """How often one key may be used in a minute; 0 for any number, ``None`` for what its organization's plan says."""

    reads: int | None = None
    writes: int | None = None


class ApiKey(StateDocument):
    """A key's SHA-256; the key itself is shown once and never stored.

    What the rate limits count is beside these fields, as ``counted``; see ``services.gateway.access.rates``.

    Attributes:
        scopes: what it may be used for; everything where it says nothing.
        expires_at: when it stops working; never where it says nothing.
        last_used_at: when it was used, to the minute.
        rate_limits: its own, instead of those of the organization's plan.
        rotated_from: id of the key that it replaces.
        version: rises with every change but its use; release 0.1 stored none.
    """

    tenant_id: str
    name: str
    digest: str
    prefix: str
    scopes: list[str] | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    rate_limits: RateLimits | None = None
    rotated_from: str | None = None
    version: int = 1

    class Settings:
        name = "api_keys"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("_id", ASCENDING)], name="tenant_keys"),
            IndexModel([("digest", ASCENDING)], name="digest", unique=True),
        ]


class RequestProducer(StateDocument):
    """A program that may ask for imports on Kafka; its private key is its own.

    Attributes:
        public_key: Ed25519, as it was registered.
        templates: ids of those that it may use; any where it says nothing.
        last_used_at: when it last asked.
        version: rises with every change but its use.
    """

    tenant_id: str
    name: str
    public_key: str
    templates: list[str] | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    version: int = 1

    class Settings:
        name = "request_producers"
        indexes: ClassVar = [IndexModel([("tenant_id", ASCENDING), ("_id", DESCENDING)], name="tenant_newest")]


class RequestCount(StateDocument):
    """What the rate limits count of somebody who has no API key: a person with a session.

    Attributes:
        last_used_at: when the last request came, to the minute; an hour later the document goes.
    """

    last_used_at: datetime

    class Settings:
        name = "request_counts"
        indexes: ClassVar = [IndexModel([("last_used_at", ASCENDING)], name="expiry", expireAfterSeconds=3600)]


_DELETED_FOR_DAYS = 30
"""Longer than any event is on its way."""


class User(StateDocument):
    """A person, under Clerk's id, as Clerk's webhook tells; without name and address once it was deleted there."""

    name: str
    email: str | None = None
    changed_at: datetime
    deleted_at: datetime | None = None

    class Settings:
        name = "users"
        indexes: ClassVar = [
            IndexModel([("deleted_at", ASCENDING)], name="expiry", expireAfterSeconds=_DELETED_FOR_DAYS * 86_400)
        ]


class Membership(StateDocument):
    """A person in an organization, under Clerk's id; the organization is Clerk's too, for it may be told of later."""

    clerk_organization_id: str
    user_id: str
    role: str
    changed_at: datetime
    deleted_at: datetime | None = None

    class Settings:
        name = "memberships"
        indexes: ClassVar = [
            IndexModel([("clerk_organization_id", ASCENDING)], name="organization"),
            IndexModel([("user_id", ASCENDING)], name="user"),
            IndexModel([("deleted_at", ASCENDING)], name="expiry", expireAfterSeconds=_DELETED_FOR_DAYS * 86_400),
        ]


class ClerkMessage(StateDocument):
    """That a message of Clerk's webhook was applied, under its id; longer than such a message is repeated."""

    received_at: datetime

    class Settings:
        name = "clerk_messages"
        indexes: ClassVar = [IndexModel([("received_at", ASCENDING)], name="expiry", expireAfterSeconds=7 * 86_400)]


class ClerkTombstone(StateDocument):
    """That an organization was deleted at Clerk, under Clerk's id: it is not made again by what was told before."""

    deleted_at: datetime

    class Settings:
        name = "clerk_tombstones"
        indexes: ClassVar = [
            IndexModel([("deleted_at", ASCENDING)], name="expiry", expireAfterSeconds=_DELETED_FOR_DAYS * 86_400)
        ]
