"""Organizations that are to be deleted, and everything that carries the id of one.

Here the organization is named by whoever deletes it, not by a principal: nobody can ask as an organization that goes.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from libs.contracts.states import ACTIVE_RUN_STATUSES
from libs.storage.client import Mongo, Session
from libs.storage.documents import (
    DOCUMENTS,
    ApiKey,
    BatchDocument,
    BrandingDocument,
    BulkCorrectionDocument,
    DeletionRequest,
    Membership,
    Organization,
    PreviewDocument,
    RunDocument,
    TargetKeyDocument,
    TargetResource,
    UndoEntry,
)
from libs.storage.files import BUCKET
from libs.storage.target_keys import TargetKey, TargetKeys
from services.gateway.access.api_keys import NOT_LEAVING, revoke_all
from services.gateway.errors import ConflictError

AT_A_TIME = 1_000
_WITH_THEIR_RUN = {RunDocument, BatchDocument, UndoEntry, PreviewDocument, BulkCorrectionDocument}
_KEY_BY_KEY = {TargetKeyDocument, TargetResource}
_AT_THE_END = {ApiKey}
CONFIGURATION = tuple(
    kind
    for kind in DOCUMENTS
    if "tenant_id" in kind.model_fields and kind not in _WITH_THEIR_RUN | _KEY_BY_KEY | _AT_THE_END
)
"""What goes by the organization that it names: whatever is not removed in a way of its own, so that a new kind of
document is not forgotten. Each has an index for that."""


class Leaving(BaseModel):
    """An organization that is to be deleted."""

    id: str = Field(alias="_id")
    deletion: DeletionRequest


class RunOfOrganization(BaseModel):
    """What it takes to know what to do with a run.

    Attributes:
        active: it has not ended.
        purged: it is a dry run, which is removed in another way.
        resource: where its records are.
    """

    id: str
    active: bool
    purged: bool
    resource: str


class OrganizationStore:
    """The collections that hold something of an organization."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._organizations = mongo.state[Organization.Settings.name]
        self._runs = mongo.state[RunDocument.Settings.name]

    # --- organizations --------------------------------------------------------------------------

    async def at_work(self, tenants: Collection[str]) -> bool:
        """Whether there are all of these organizations, and none is suspended or being deleted."""
        there = {"_id": {"$in": list(tenants)}, **NOT_LEAVING}
        return await self._organizations.count_documents(there) == len(tenants)

    async def request_deletion(self, tenant_id: str, *, keep_records: bool) -> Leaving | None:
        """Note that an organization is to be deleted, once; ``None`` where there is none.

        Raises:
            ConflictError: ``ORGANIZATION_HAS_CHILDREN``; they would lose what it shares with them.
        """
        request = DeletionRequest(requested_at=datetime.now(UTC), keep_records=keep_records)

        async def body(session: Session) -> None:
            # Whoever places an organization below this one changes it too.
            asked = await self._organizations.update_one(
                {"_id": tenant_id, "deletion": None}, {"$set": {"deletion": request.model_dump()}}, session=session
            )
            # Those that are being deleted themselves do not count.
            children = {"parent_id": {"$eq": tenant_id, "$type": "string"}, "deletion": None}
            if asked.matched_count and await self._organizations.find_one(children, {"_id": 1}, session=session):
                raise _has_children(tenant_id)

        await self._mongo.transaction(body)
        found = await self._organizations.find_one({"_id": tenant_id}, {"deletion": 1})
        return None if found is None else Leaving.model_validate(found)

    async def leaving(self) -> list[Leaving]:
        """Organizations that are to be deleted."""
        found = self._organizations.find({"deletion.requested_at": {"$type": "date"}}, {"deletion": 1})
        return [Leaving.model_validate(organization) async for organization in found]

    async def note_swept(self, tenant_id: str) -> None:
        """Everything that the organization had was removed once."""
        await self._organizations.update_one(
            {"_id": tenant_id, "deletion.swept_at": None}, {"$currentDate": {"deletion.swept_at": True}}
        )

    async def revoke_keys(self, tenant_id: str) -> None:
        """Let no key of the organization open anything any more."""
        await revoke_all(self._mongo, tenant_id)

    async def remove(self, tenant_id: str) -> None:
        """Remove the organization itself, its keys first."""
        await self._mongo.state[ApiKey.Settings.name].delete_many({"tenant_id": tenant_id})
        await self._organizations.delete_one({"_id": tenant_id})

    # --- what it has ----------------------------------------------------------------------------

    async def runs(self, tenant_id: str) -> AsyncIterator[RunOfOrganization]:
        """Its runs, whatever they were made for."""
        parts = {"status": 1, "dry_run": 1, "template.target_resource": 1}
        async for run in self._runs.find({"tenant_id": tenant_id}, parts):
            yield RunOfOrganization(
                id=run["_id"],
                active=run["status"] in {status.value for status in ACTIVE_RUN_STATUSES},
                purged=run.get("dry_run", False),
                resource=run["template"]["target_resource"],
            )

    async def has_run(self, tenant_id: str, ids: Collection[str]) -> bool:
        """Whether one of ``ids`` is a run of the organization."""
        mine = {"_id": {"$in": list(ids)}, "tenant_id": tenant_id}
        return bool(ids) and await self._runs.find_one(mine, {"_id": 1}) is not None

    async def remove_configuration(self, tenant_id: str) -> int:
        """Remove ``CONFIGURATION``, its branding and what is known of its members; how many documents those were."""
        branding = await self._mongo.state[BrandingDocument.Settings.name].delete_one({"_id": tenant_id})
        removed = branding.deleted_count + await self._remove_members(tenant_id)
        for kind in CONFIGURATION:
            answer = await self._mongo.state[kind.get_collection_name()].delete_many({"tenant_id": tenant_id})
            removed += answer.deleted_count
        return removed

    async def _remove_members(self, tenant_id: str) -> int:
        organization = await self._organizations.find_one({"_id": tenant_id}, {"clerk_id": 1})
        if organization is None or (clerk_id := organization.get("clerk_id")) is None:
            return 0
        here = {"clerk_organization_id": clerk_id}
        return (await self._mongo.state[Membership.Settings.name].delete_many(here)).deleted_count

    async def remove_registrations(self, tenant_id: str) -> int:
        """Remove its keys of the target and their entries in what is left of its records, and its resources; how many
        documents those were."""
        keys = TargetKeys(self._mongo)
        removed = 0
        async for document in self._mongo.state[TargetKeyDocument.Settings.name].find({"tenant_id": tenant_id}):
            key = TargetKey(document["_id"], tuple(document["names"]))
            await keys.withdraw(tenant_id, document["resource"], key)
            while not await keys.clear(tenant_id, document["resource"], key):
                pass
            removed += 1
        answer = await self._mongo.state[TargetResource.Settings.name].delete_many({"tenant_id": tenant_id})
        return removed + answer.deleted_count

    async def files(self, tenant_id: str) -> list[str]:
        """Ids of its stored files."""
        found = self._mongo.state[f"{BUCKET}.files"].find({"metadata.tenant_id": tenant_id}, {"_id": 1})
        return [str(file["_id"]) async for file in found]

    async def resources(self) -> list[str]:
        """The target's collections."""
        names = await self._mongo.target.list_collection_names(filter={"type": "collection"})
        return [name for name in names if not name.startswith("system.")]

    async def remove_records(self, tenant_id: str, resources: Iterable[str]) -> int:
        """Remove the records that it imported into ``resources``, a bounded number at a time; how many those were.

        Documents of other applications, which no run has imported, stay.
        """
        removed = 0
        for resource in resources:
            records = self._mongo.target[resource]
            found = records.find({"tenant_id": tenant_id, "_import.run_id": {"$exists": True}}, {"_id": 1})
            while some := await found.to_list(AT_A_TIME):
                ids = [record["_id"] for record in some]
                removed += (await records.delete_many({"_id": {"$in": ids}, "tenant_id": tenant_id})).deleted_count
        return removed


def _has_children(tenant_id: str) -> ConflictError:
    return ConflictError(
        "ORGANIZATION_HAS_CHILDREN",
        f"there are organizations below {tenant_id}; delete them first, or place them elsewhere with "
        "'python -m services.gateway.place_organization'",
    )
