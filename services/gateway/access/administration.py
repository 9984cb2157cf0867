"""What operators decide about organizations, and see of them."""

from collections.abc import AsyncIterator
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.contracts.plans import Plan
from libs.storage.client import Document, Mongo
from libs.storage.documents import Membership, Organization, User
from services.gateway.access.clerk_organizations import with_clerk_id
from services.gateway.errors import ConflictError, NotFoundError, not_found


class Administration:
    """Reads and changes organizations, whoever they are."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._organizations = mongo.state[Organization.Settings.name]

    async def organizations(self) -> AsyncIterator[Organization]:
        """All of them, the newest first."""
        async for stored in self._organizations.find({}, sort=[("_id", -1)]):
            yield Organization.read(stored)

    async def organization(self, tenant_id: str) -> Organization:
        """One of them.

        Raises:
            NotFoundError: there is no such organization.
        """
        if (stored := await self._organizations.find_one({"_id": tenant_id})) is None:
            raise not_found("organization", tenant_id)
        return Organization.read(stored)

    async def put_in_plan(self, tenant_id: str, plan: Plan) -> Organization:
        """Give an organization a plan; its limits follow within seconds.

        Raises:
            NotFoundError: there is no such organization.
        """
        return await self._changed(tenant_id, {"$set": {"plan": plan.value}})

    async def link(self, tenant_id: str, clerk_id: str) -> Organization:
        """Let the members of an organization at Clerk be those of this one.

        Raises:
            NotFoundError: there is no such organization.
            ConflictError: ``ALREADY_LINKED``: another organization is that one already.
        """
        try:
            return await self._changed(tenant_id, {"$set": {"clerk_id": clerk_id}})
        except DuplicateKeyError as error:
            other = await self._organizations.find_one(with_clerk_id(clerk_id), {"_id": 1})
            which = "another organization" if other is None else f"the organization {other['_id']}"
            raise ConflictError(
                "ALREADY_LINKED", f"{which} is {clerk_id} already; unlink it, or delete it, before"
            ) from error

    async def unlink(self, tenant_id: str) -> Organization:
        """Let an organization be none of Clerk's, and what was suspended because of it work again, with new keys.

        Raises:
            NotFoundError: there is no such organization.
        """
        fields = {"clerk_id": "", "clerk_changed_at": "", "suspended_at": ""}
        return await self._changed(tenant_id, {"$unset": fields})

    async def members(self, tenant_id: str) -> AsyncIterator[dict[str, Any]]:
        """The people in an organization as Clerk has told: id, role, name and address.

        Raises:
            NotFoundError: there is no such organization, or ``NOT_LINKED``: it is none of Clerk's.
        """
        organization = await self.organization(tenant_id)
        if organization.clerk_id is None:
            raise NotFoundError("NOT_LINKED", "the organization is none of Clerk's; it has API keys and no members")
        here = {"clerk_organization_id": organization.clerk_id, "deleted_at": None}
        async for stored in self._mongo.state[Membership.Settings.name].find(here, sort=[("_id", 1)]):
            membership = Membership.read(stored)
            person = await self._mongo.state[User.Settings.name].find_one({"_id": membership.user_id}) or {}
            yield {
                "user_id": membership.user_id,
                "role": membership.role,
                "name": person.get("name"),
                "email": person.get("email"),
            }

    async def _changed(self, tenant_id: str, change: Document) -> Organization:
        one = {"_id": tenant_id, "deletion": None}
        found = await self._organizations.find_one_and_update(one, change, return_document=ReturnDocument.AFTER)
        if found is None:
            raise not_found("organization", tenant_id)
        return Organization.read(found)
