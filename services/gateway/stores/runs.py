"""Runs of one organization, as they are read; only the ledger changes them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from pymongo import DESCENDING

from libs.contracts.events import RevertCounts, RunCounts
from libs.contracts.states import ACTIVE_RUN_STATUSES, RunStatus
from libs.contracts.templates import ImportMode
from libs.storage.documents import LISTED_RUNS, RunDocument, Starter, StoredFile, SyncProgress, Wording
from services.gateway.access.principal import Principal
from services.gateway.errors import not_found
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore


class ListedTemplate(BaseModel):
    """What a list shows of the template that a run was started with."""

    name: str
    target_resource: str
    mode: ImportMode
    auto_execute: bool = False


class ListedParse(BaseModel):
    """What a list shows of how far the parser is."""

    rows: int = 0


class ListedRun(BaseModel):
    """What a list shows of a run. Its plan, preview and row errors are not even read."""

    id: str = Field(alias="_id")
    tenant_id: str
    template_id: str
    template_version: int
    template: ListedTemplate
    wording: Wording | None = None
    status: RunStatus
    file: StoredFile
    duplicate_of: str | None = None
    parse: ListedParse = ListedParse()
    counts: RunCounts | None = None
    failure: dict[str, str] | None = None
    started_by: Starter | None = None
    created_at: datetime
    updated_at: datetime
    validated_at: datetime | None = None
    executing_at: datetime | None = None
    finished_at: datetime | None = None
    completed_at: datetime | None = None
    revertible_until: datetime | None = None
    reverted: RevertCounts | None = None
    file_removed_at: datetime | None = None
    parent_run_id: str | None = None

    projection: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys(
            (
                "tenant_id", "template_id", "template_version", "status", "file", "duplicate_of", "parse.rows",
                "counts", "failure", "created_at", "updated_at", "validated_at", "executing_at", "finished_at",
                "file_removed_at", "wording.version", "completed_at", "revertible_until", "reverted",
                "started_by", "parent_run_id",
                # Of all words of a vocabulary the one that is shown; those of hundreds of fields may be there too.
                "wording.words.import_mode",
            ),
            1,
        ),
        **{f"template.{member}": 1 for member in ListedTemplate.model_fields},
    }  # fmt: skip


_MAX_RETRIES = 100


class SyncingRun(BaseModel):
    """Of a sync how far it is."""

    status: RunStatus
    syncing: SyncProgress | None = None


class _StatusOnly(BaseModel):
    status: RunStatus


class _IdOnly(BaseModel):
    id: str = Field(alias="_id")


class RunStore(TenantStore[RunDocument]):
    """Runs whose purpose is listed; of others there is nothing to be seen here."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(RunDocument, principal)

    async def get(self, run_id: str) -> RunDocument | None:
        """A run, or ``None``."""
        return await self._read(self._one({"_id": run_id, **LISTED_RUNS}))

    async def required(self, run_id: str) -> RunDocument:
        """A run.

        Raises:
            NotFoundError: there is none.
        """
        if (run := await self.get(run_id)) is None:
            raise not_found("run", run_id)
        return run

    async def by_idempotency_key(self, key: str) -> RunDocument | None:
        """The run that was made by the request with this key, or ``None``."""
        # Without the type MongoDB does not see that the index of the keys has it, and reads all runs of the tenant.
        return await self._read(self._one({"idempotency_key": {"$eq": key, "$type": "string"}, **LISTED_RUNS}))

    async def status(self, run_id: str) -> RunStatus | None:
        """Only the status of a run: cheap enough to ask again and again."""
        found = await self._one({"_id": run_id, **LISTED_RUNS}).project(_StatusOnly)
        return None if found is None else found.status

    async def syncing(self, run_id: str) -> SyncingRun | None:
        """How far a sync is: cheap enough to ask again and again."""
        return await self._one({"_id": run_id, **LISTED_RUNS}).project(SyncingRun)

    async def standing_retries(self, run_id: str) -> list[str]:
        """Ids of the retries of a run that have written something and can be reverted, and of those that have not
        ended; newest first."""
        active = {"status": {"$in": sorted(status.value for status in ACTIVE_RUN_STATUSES)}}
        written = {"status": RunStatus.COMPLETED.value, "counts.written": {"$gt": 0}}
        standing = {"parent_run_id": run_id, "$and": [{"$or": [active, written]}, LISTED_RUNS]}
        found = await self._many(standing).sort("-_id").limit(_MAX_RETRIES).project(_IdOnly).to_list()
        return [each.id for each in found]

    async def newest_of_content(self, template_id: str, sha256: str) -> str | None:
        """Id of the newest run of a template whose file has this SHA-256, or ``None``."""
        same = {"template_id": template_id, "file.sha256": sha256, **LISTED_RUNS}
        found = await self._many(same).sort("-_id").limit(1).project(_IdOnly).to_list()
        return found[0].id if found else None

    async def page(
        self, limit: int, *, status: RunStatus | None, template_id: str | None, after: str | None
    ) -> Page[ListedRun]:
        """Runs, newest first, from behind the id ``after``."""
        conditions = dict[str, Any](LISTED_RUNS)
        if status is not None:
            conditions["status"] = status.value
        if template_id is not None:
            conditions["template_id"] = template_id
        if after is not None:
            conditions["_id"] = {"$lt": after}
        return await self._page(ListedRun, conditions, ("_id", DESCENDING), limit, ListedRun.projection)
