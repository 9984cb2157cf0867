"""Runs of one organization, as they are read; only the ledger changes them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from pymongo import DESCENDING

from libs.contracts.events import RevertCounts, RunCounts
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import ACTIVE_RUN_STATUSES, TERMINAL_RUN_STATUSES, RunStatus
from libs.contracts.templates import ImportMode
from libs.storage.documents import COUNTED_RUNS, LISTED_RUNS, RunDocument, Starter, StoredFile, SyncProgress, Wording
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


class ListedChange(BaseModel):
    """What a list shows of a change of status."""

    version: int
    status: RunStatus


class ListedPlan(BaseModel):
    """What a list shows of how the file is read."""

    file_type: str = "csv"


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
    webhook_endpoint_id: str | None = None
    history: list[ListedChange] = []
    plan: ListedPlan | None = None
    metadata: str | None = None

    projection: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys(
            (
                "tenant_id", "template_id", "template_version", "status", "file", "duplicate_of", "parse.rows",
                "counts", "failure", "created_at", "updated_at", "validated_at", "executing_at", "finished_at",
                "file_removed_at", "wording.version", "completed_at", "revertible_until", "reverted",
                "started_by", "parent_run_id", "webhook_endpoint_id", "history.version", "history.status",
                "plan.file_type", "metadata",
                # Of all words of a vocabulary the one that is shown; those of hundreds of fields may be there too.
                "wording.words.import_mode",
            ),
            1,
        ),
        **{f"template.{member}": 1 for member in ListedTemplate.model_fields},
    }  # fmt: skip


_MAX_RETRIES = 100
_COUNTED: Mapping[str, Any] = {
    **COUNTED_RUNS,
    "purpose": {"$in": [purpose.value for purpose in RunPurpose if purpose.traits.listed]},
}


class GlancedRun(BaseModel):
    """Of a run what tells whether an answer that shows it is still right."""

    id: str = Field(alias="_id")
    tenant_id: str
    vocabulary: str = "engine"
    status: RunStatus
    version: int
    updated_at: datetime
    webhook_endpoint_id: str | None = None
    history: list[ListedChange] = []

    @property
    def ended(self) -> bool:
        """Whether nothing changes it any more, unless it is reverted."""
        return self.status in TERMINAL_RUN_STATUSES

    class Settings:
        projection: ClassVar = dict.fromkeys(
            (
                "tenant_id", "vocabulary", "status", "version", "updated_at", "webhook_endpoint_id", "history.version",
                "history.status",
            ),
            1,
        )  # fmt: skip


class SyncingRun(BaseModel):
    """Of a sync how far it is."""

    status: RunStatus
    syncing: SyncProgress | None = None


class _StatusOnly(BaseModel):
    status: RunStatus


class _RunsOfTemplate(BaseModel):
    id: str = Field(alias="_id")
    runs: int


class _IdOnly(BaseModel):
    id: str = Field(alias="_id")


@dataclass(frozen=True, slots=True)
class Counted:
    """Some of the runs that meet what was asked for, and how many do."""

    runs: Sequence[ListedRun]
    total: int


class CountedRuns(TenantStore[RunDocument]):
    """Runs of the vocabulary that tells how many there are; indexes of their own serve these questions."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(RunDocument, principal)

    async def window(
        self, skip: int, limit: int, template_id: str | None, statuses: Collection[RunStatus] | None
    ) -> Counted:
        """``limit`` runs behind the first ``skip``, the newest first; of a template, and in some statuses."""
        conditions: dict[str, Any] = dict(_COUNTED)
        if template_id is not None:
            conditions["template_id"] = template_id
        if statuses is not None:
            conditions["status"] = {"$in": sorted(status.value for status in statuses)}
        total = await self._all_seen(conditions).count()
        if total <= skip:
            return Counted((), total)
        listed, newest = {**conditions, "expiring_at": None}, ("_id", DESCENDING)
        page = await self._page(ListedRun, listed, newest, limit, ListedRun.projection, skip=skip)
        return Counted(page.items, total)

    async def by_template(self, template_ids: Collection[str]) -> dict[str, int]:
        """How many runs there are of each template that has any."""
        found = self._all_seen({**_COUNTED, "template_id": {"$in": list(template_ids)}}).aggregate(
            [{"$group": {"_id": "$template_id", "runs": {"$sum": 1}}}], projection_model=_RunsOfTemplate
        )
        return {each.id: each.runs for each in await found.to_list()}


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

    async def glance(self, run_id: str) -> GlancedRun | None:
        """A little of a run, or ``None``: cheap enough to ask again and again."""
        return await self._read(self._one({"_id": run_id, **LISTED_RUNS}).project(GlancedRun))

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
