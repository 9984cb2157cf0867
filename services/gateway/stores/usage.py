"""How much an organization has going on, and stored: counted from the indexes alone, never kept as a number."""

from dataclasses import dataclass
from typing import Final

from libs.contracts.states import ACTIVE_RUN_STATUSES
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from libs.storage.files import BUCKET
from services.gateway.access.principal import Principal
from services.gateway.stores.organizations import OrganizationStore

ACTIVE_INDEX: Final = "tenant_active"
"""Is named: of several indexes that begin alike MongoDB takes the one that found the first few runs soonest."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an organization uses.

    Attributes:
        active_runs: its runs that have not ended, dry runs among them.
        queued_bytes: of the files of those.
        stored_bytes: of all its files that are kept.
        leaving: it is suspended, being deleted, or gone, and gets nothing new.
    """

    active_runs: int = 0
    queued_bytes: int = 0
    stored_bytes: int = 0
    leaving: bool = False


class UsageStore:
    """The collections that tell it, asked for the principal's organization only."""

    def __init__(self, mongo: Mongo) -> None:
        self._runs = mongo.state[RunDocument.Settings.name]
        self._files = mongo.state[f"{BUCKET}.files"]
        self._organizations = OrganizationStore(mongo)

    async def of(self, principal: Principal) -> Usage:
        """What the organization uses now."""
        active = await self._sums(self._runs.name, self.active_of(principal.tenant_id), ACTIVE_INDEX)
        stored = await self._sums(self._files.name, self.stored_of(principal.tenant_id))
        leaving = not await self._organizations.at_work([principal.tenant_id])
        return Usage(active.get("count", 0), active.get("bytes", 0), stored.get("bytes", 0), leaving)

    async def _sums(self, collection: str, pipeline: list[Document], index: str | None = None) -> Document:
        named: Document = {} if index is None else {"hint": index}
        cursor = await self._runs.database[collection].aggregate(pipeline, **named)
        none: Document = {}
        return next(iter(await cursor.to_list()), none)

    @staticmethod
    def active_of(tenant_id: str) -> list[Document]:
        """The question for active runs; ``ACTIVE_INDEX`` answers it without looking at a run."""
        active = {"tenant_id": tenant_id, "status": {"$in": sorted(status.value for status in ACTIVE_RUN_STATUSES)}}
        sums = {"_id": None, "count": {"$sum": 1}, "bytes": {"$sum": "$file.size"}}
        return [{"$match": active}, {"$project": {"_id": 0, "file.size": 1}}, {"$group": sums}]

    @staticmethod
    def stored_of(tenant_id: str) -> list[Document]:
        """The question for stored files; the index ``tenant_length`` answers it."""
        sums = {"_id": None, "bytes": {"$sum": "$length"}}
        return [
            {"$match": {"metadata.tenant_id": tenant_id}},
            {"$project": {"_id": 0, "length": 1}},
            {"$group": sums},
        ]
