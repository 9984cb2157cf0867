"""Events of Clerk's webhook: verified, and applied to people, organizations and memberships whatever their order.

Each object keeps when the event happened that changed it last, and an older one changes nothing. What was deleted stays
deleted, for ids are never given a second time. Applying an event again changes nothing either, so that its message is
remembered after it was applied: a crash in between costs a repetition.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, Field, StringConstraints
from standardwebhooks import Webhook, WebhookVerificationError

from libs.storage.client import Document, Mongo
from libs.storage.documents import ClerkMessage, ClerkTombstone, Membership, Organization, User
from services.gateway.access.api_keys import revoke_all
from services.gateway.access.clerk_organizations import ClerkOrganizations, with_clerk_id
from services.gateway.errors import Problem, invalid_input

MAX_NAME_CHARS: Final = 200
_HEADERS: Final = ("id", "timestamp", "signature")
_EPOCH = datetime.fromtimestamp(0, UTC)
_MOST_MS: Final = 4_102_444_800_000
"""2100: whatever is later is no moment of an event."""

logger = structlog.get_logger()

Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_\-]+$")]


class Outcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    REPEATED = "repeated"
    IGNORED = "ignored"


class _Email(BaseModel):
    id: str
    email_address: str


class _Object(BaseModel):
    id: Id


class _Person(_Object):
    first_name: str | None = None
    last_name: str | None = None
    primary_email_address_id: str | None = None
    email_addresses: list[_Email] = Field(default_factory=list[_Email])

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.first_name, self.last_name)))[:MAX_NAME_CHARS]

    @property
    def email(self) -> str | None:
        known = {each.id: each.email_address[:MAX_NAME_CHARS] for each in self.email_addresses}
        return known.get(self.primary_email_address_id or "")


class _NamedOrganization(_Object):
    name: str


class _Member(BaseModel):
    user_id: Id


class _Membership(_Object):
    organization: _Object
    public_user_data: _Member
    role: str


class _Event(BaseModel):
    """``timestamp``, in milliseconds since 1970, is when it happened; ``data.updated_at`` before Clerk sent that."""

    type: str
    data: dict[str, Any]
    timestamp: float | None = None

    @property
    def happened_at(self) -> datetime:
        told = self.timestamp if self.timestamp is not None else self.data.get("updated_at")
        if not isinstance(told, int | float) or not 0 <= told < _MOST_MS:
            raise ValueError("it does not say when it happened")
        return _EPOCH + timedelta(milliseconds=int(told))


class ClerkEvents:
    """Takes events.

    Args:
        mongo: the databases.
        organizations: which of ours Clerk's are.
        secrets: any of them may have signed a message.
    """

    def __init__(self, mongo: Mongo, organizations: ClerkOrganizations, secrets: Sequence[str]) -> None:
        self._mongo = mongo
        self._organizations = organizations
        self._webhooks = [Webhook(secret) for secret in secrets]

    def verified(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether Clerk has sent exactly these bytes within the last five minutes (Standard Webhooks 1.0.0)."""
        standard = {f"webhook-{name}": headers.get(f"svix-{name}", "") for name in _HEADERS}
        for webhook in self._webhooks:
            try:
                webhook.verify(body, standard, json_parse=False)
            # ValueError: signatures without their parts, bytes that are no text.
            except (WebhookVerificationError, ValueError):
                continue
            return True
        return False

    async def take(self, body: bytes, message_id: str) -> Outcome:
        """Apply a verified event, once.

        Raises:
            InvalidInputError: it has another shape than Clerk's events.
        """
        messages = self._mongo.state[ClerkMessage.Settings.name]
        if await messages.find_one({"_id": message_id}, {"_id": 1}) is not None:
            return Outcome.REPEATED
        try:
            event = _Event.model_validate_json(body)
            applied = await self._apply(event.type, event.data, event.happened_at)
        except ValueError as error:
            raise invalid_input(Problem("body", "INVALID_EVENT", "is no event of Clerk that can be read")) from error
        if not applied:
            return Outcome.IGNORED
        seen = {"$setOnInsert": {"received_at": datetime.now(UTC)}}
        await messages.update_one({"_id": message_id}, seen, upsert=True)
        logger.info("clerk.applied", event_type=event.type)
        return Outcome.APPLIED

    async def _apply(self, kind: str, data: Mapping[str, Any], at: datetime) -> bool:
        match kind:
            case "user.created" | "user.updated":
                person = _Person.model_validate(data)
                await self._put(User, person.id, {"name": person.name, "email": person.email}, at)
            case "user.deleted":
                gone = _Object.model_validate(data)
                await self._put(User, gone.id, {"name": "", "email": None, "deleted_at": at}, at)
                await self._memberships_gone({"user_id": gone.id}, at)
            case "organization.created" | "organization.updated":
                organization = _NamedOrganization.model_validate(data)
                await self._name(organization.id, organization.name[:MAX_NAME_CHARS], at)
            case "organization.deleted":
                await self._suspend(_Object.model_validate(data).id, at)
            case "organizationMembership.created" | "organizationMembership.updated":
                membership = _Membership.model_validate(data)
                await self._put(Membership, membership.id, _members(membership), at)
            case "organizationMembership.deleted":
                membership = _Membership.model_validate(data)
                await self._put(Membership, membership.id, {**_members(membership), "deleted_at": at}, at)
            case _:
                return False
        return True

    async def _put(self, kind: type[User] | type[Membership], identifier: str, fields: Document, at: datetime) -> None:
        """Give an object its state at a moment, unless a later one is known."""
        outdated: Document = {
            "$or": [
                {"$gt": [{"$ifNull": ["$changed_at", _EPOCH]}, at]},
                {"$eq": [{"$type": "$deleted_at"}, "date"]},
            ]
        }
        # What comes from outside is no expression.
        state = {"$mergeObjects": ["$$ROOT", {"$literal": {**fields, "changed_at": at}}]}
        change: list[Document] = [{"$replaceWith": {"$cond": [outdated, "$$ROOT", state]}}]
        await self._mongo.state[kind.Settings.name].update_one({"_id": identifier}, change, upsert=True)

    async def _memberships_gone(self, conditions: Document, at: datetime) -> None:
        """The memberships of a person, or of an organization, that are known: Clerk tells of each of them, too."""
        left = {**conditions, "deleted_at": None}
        await self._mongo.state[Membership.Settings.name].update_many(left, {"$set": {"deleted_at": at}})

    async def _name(self, clerk_id: str, name: str, at: datetime) -> None:
        if await self._organizations.tenant(clerk_id, name) is None:
            return
        earlier = {**with_clerk_id(clerk_id), "$or": [{"clerk_changed_at": None}, {"clerk_changed_at": {"$lte": at}}]}
        await self._mongo.state[Organization.Settings.name].update_one(
            earlier, {"$set": {"name": name, "clerk_changed_at": at}}
        )

    async def _suspend(self, clerk_id: str, at: datetime) -> None:
        """Let nobody in any more; what the organization has stays until an operator deletes it."""
        tombstones = self._mongo.state[ClerkTombstone.Settings.name]
        # Before anything else: from here on nobody makes the organization anew.
        await tombstones.update_one({"_id": clerk_id}, {"$setOnInsert": {"deleted_at": at}}, upsert=True)
        organizations = self._mongo.state[Organization.Settings.name]
        suspended = {**with_clerk_id(clerk_id), "suspended_at": None}
        await organizations.update_one(suspended, {"$set": {"suspended_at": at}})
        if (found := await organizations.find_one(with_clerk_id(clerk_id), {"_id": 1})) is not None:
            await revoke_all(self._mongo, str(found["_id"]))
        await self._memberships_gone({"clerk_organization_id": clerk_id}, at)


def _members(membership: _Membership) -> Document:
    return {
        "clerk_organization_id": membership.organization.id,
        "user_id": membership.public_user_data.user_id,
        "role": membership.role.removeprefix("org:")[:MAX_NAME_CHARS],
    }
