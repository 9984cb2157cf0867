"""What an organization has of the target: the keys that bind its records, and the resources that count for it."""

from collections.abc import Collection, Sequence
from typing import Any

from pymongo.errors import ExecutionTimeout

from libs.contracts.states import ACTIVE_RUN_STATUSES
from libs.contracts.templates import KEYED_MODES
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import Organization, RunDocument, TargetKeyDocument, TargetResource, TemplateDocument
from libs.storage.target_keys import TargetKey, TargetKeys
from libs.telemetry.failpoints import failpoint
from services.gateway.access.organizations import OrganizationTree
from services.gateway.stores.templates import shared_by

_SEEN_AT_ONCE = 10_000
"""So many records, of all organizations together, are looked through while a client waits."""
_LOOK_MILLISECONDS = 2_000
"""How long it may take to look for a record of the organization in a collection that it shares with others."""


class OrganizationTarget:
    """Registrations and resources of one organization.

    Who saves a template and who releases what no template asks for change the same documents in their transactions:
    of two at the same time one is made anew, and sees the other.
    """

    def __init__(self, mongo: Mongo, tenant_id: str) -> None:
        self._mongo = mongo
        self._tenant_id = tenant_id
        self._tree = OrganizationTree(mongo)
        self._registered = TargetKeys(mongo)
        self._registry = mongo.state[TargetKeyDocument.Settings.name]
        self._resources = mongo.state[TargetResource.Settings.name]

    async def register(
        self, resource: str, wanted: Sequence[tuple[str, ...]], limit: int | None
    ) -> tuple[TargetKey, ...]:
        """See ``TargetKeys.register``; what was wanted."""
        keys = await self._registered.register(self._tenant_id, resource, wanted, limit=limit)
        return tuple(key for key in keys if key.names in set(wanted))

    async def registered(self, resource: str) -> frozenset[tuple[str, ...]]:
        """The keys that are registered, also those that are being built still."""
        return frozenset(key.names for key in await self._registered.of(self._tenant_id, resource))

    # --- in the transaction that saves a template -----------------------------------------------

    async def one_save_at_a_time(self, session: Session) -> None:
        """Let no other template of the organization be saved in a transaction beside this one, so that what is counted
        in it is true when it commits."""
        await self._mongo.state[Organization.Settings.name].update_one(
            {"_id": self._tenant_id}, {"$inc": {"template_saves": 1}}, session=session
        )

    async def templates(self, session: Session) -> int:
        """How many there are."""
        mine = {"tenant_id": self._tenant_id, "deleted_at": None}
        return await self._mongo.state[TemplateDocument.Settings.name].count_documents(mine, session=session)

    async def count_resource(self, resource: str, session: Session) -> tuple[int, bool]:
        """Let a resource count for the organization; how many do then, and whether this one did not before."""
        one = {"_id": f"{self._tenant_id}:{resource}"}
        new = {"tenant_id": self._tenant_id, "resource": resource}
        answer = await self._resources.update_one(
            one,
            [
                {"$set": {**new, "created_at": {"$ifNull": ["$created_at", "$$NOW"]}, "asked_at": "$$NOW"}},
                {"$set": {"saves": {"$add": [{"$ifNull": ["$saves", 0]}, 1]}}},
            ],
            upsert=True,
            session=session,
        )
        counted = await self._resources.count_documents({"tenant_id": self._tenant_id}, session=session)
        return counted, answer.upserted_id is not None

    async def counts(self, resource: str) -> bool:
        """Whether a resource counts for the organization."""
        return await self._resources.find_one({"_id": f"{self._tenant_id}:{resource}"}, {"_id": 1}) is not None

    async def keep(self, keys: Collection[TargetKey], session: Session) -> bool:
        """Let nobody release ``keys`` beside this transaction; ``False`` where somebody has."""
        wanted = {"_id": {"$in": [key.id for key in keys]}, "tenant_id": self._tenant_id, "released_at": None}
        # Counted, because the same time once more would be no change.
        change = {"$inc": {"saves": 1}, "$currentDate": {"asked_at": True}}
        kept = await self._registry.update_many(wanted, change, session=session)
        return kept.matched_count == len(keys)

    # --- releasing ------------------------------------------------------------------------------

    async def release(self, resource: str, wanted: Collection[tuple[str, ...]]) -> int:
        """Let those of the keys bind nothing any more that no template and no run under way asks for; how many."""
        released = 0
        for key in await self._registered.of(self._tenant_id, resource):
            if key.names in wanted and await self._release(resource, key):
                released += 1
                failpoint("target_keys.released")
                await self._registered.clear(self._tenant_id, resource, key)
        return released

    async def forget_if_seen(self, resource: str) -> None:
        """``forget``, where it is seen at once whether a record is there."""
        if await self._mongo.target[resource].estimated_document_count() <= _SEEN_AT_ONCE:
            await self.forget(resource)

    async def forget(self, resource: str) -> bool:
        """Let a resource count no longer, if no template and no run under way names it and no record is there.

        The collection stays: MongoDB cannot drop one only if it is empty.
        """
        one = {"_id": f"{self._tenant_id}:{resource}"}

        async def body(session: Session) -> bool:
            if await self._anybody_asks(resource, {}, session):
                return False
            return (await self._resources.delete_one(one, session=session)).deleted_count == 1

        if await self._anybody_asks(resource, {}) or await self._has_records(resource):
            return False
        return await self._mongo.transaction(body)

    async def _release(self, resource: str, key: TargetKey) -> bool:
        async def body(session: Session) -> bool:
            if await self._anybody_asks(resource, asking_for(key.names), session):
                return False
            await self._registered.withdraw(self._tenant_id, resource, key, session)
            return True

        return await self._mongo.transaction(body)

    async def _anybody_asks(self, resource: str, what: Document, session: Session | None = None) -> bool:
        """Whether a template or a run under way does; for keys also templates that are shared with the organization.

        That a resource counts for it is its own templates' doing alone: those it can delete.
        """
        named = {"tenant_id": self._tenant_id, "template.target_resource": resource, **what}
        under_way = {"status": {"$in": [status.value for status in ACTIVE_RUN_STATUSES]}}
        asked = [(TemplateDocument, {**named, "deleted_at": None}), (RunDocument, {**named, **under_way})]
        if what and (above := await self._tree.above(self._tenant_id, session)):
            asked.append((TemplateDocument, {**named, **shared_by(above), "deleted_at": None}))
        for kind, conditions in asked:
            found = self._mongo.state[kind.Settings.name].find_one(conditions, {"_id": 1}, session=session)
            if await found is not None:
                return True
        return False

    async def _has_records(self, resource: str) -> bool:
        """Whether any record of the organization is there; so it is too where that cannot be told in short time."""
        try:
            found = await self._mongo.target[resource].find_one(
                {"tenant_id": self._tenant_id}, {"_id": 1}, max_time_ms=_LOOK_MILLISECONDS
            )
        except ExecutionTimeout:
            return True
        return found is not None


def asking_for(names: tuple[str, ...]) -> Document:
    """The filter of documents whose ``template`` asks for a key: ``libs.contracts.templates.asked_keys`` as a query.

    So templates are judged where they are stored, however large, and also those that this release cannot read.
    """
    asking: list[Document] = [_by_rule(name, names) for name in names]
    if len(names) == 1:
        modes = [mode.value for mode in KEYED_MODES]
        asking.append({"template.mode": {"$in": modes}, "template.upsert_key": names[0]})
    return {"$or": asking}


def _by_rule(name: str, names: tuple[str, ...]) -> Document:
    """Those in which the field ``name`` has a rule that makes the combination."""
    others = [other for other in names if other != name]
    further: dict[str, Any] = {"$not": {"$elemMatch": {"$nin": list(names)}}}
    if others:
        further["$all"] = others
    rule = {"type": "unique", "against_target": True, "fields": further}
    return {"template.fields": {"$elemMatch": {"name": name, "rules": {"$elemMatch": rule}}}}
