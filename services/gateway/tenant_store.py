"""Everything that a request may read or change, bound to one organization by construction."""

from collections.abc import Sequence
from typing import Any

from libs.contracts.states import RunStatus
from libs.storage.client import Collection, Mongo, Session
from libs.storage.documents import LISTED_RUNS, RejectedRecord, RunDocument, TemplateDocument, WebhookEndpoint


class TenantStore:
    """Templates, runs, rejected records and webhook endpoints of the organization ``tenant_id``.

    Runs whose purpose is not listed are nowhere to be seen here, except for the rows that were rejected of one whose id
    is known.
    Every query of the gateway about an organization's things goes through here, and none without its filter.
    """

    def __init__(self, mongo: Mongo, tenant_id: str) -> None:
        self._mongo = mongo
        self.tenant_id = tenant_id

    @property
    def _templates(self) -> Collection:
        return self._mongo.state[TemplateDocument.Settings.name]

    @property
    def _runs(self) -> Collection:
        return self._mongo.state[RunDocument.Settings.name]

    @property
    def _rejected(self) -> Collection:
        return self._mongo.state[RejectedRecord.Settings.name]

    @property
    def _endpoints(self) -> Collection:
        return self._mongo.state[WebhookEndpoint.Settings.name]

    def _mine(self, **conditions: object) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, **conditions}

    # --- templates ------------------------------------------------------------------------------

    async def template(self, template_id: str) -> TemplateDocument | None:
        """A template that was not deleted, or ``None``."""
        found = await self._templates.find_one(self._mine(_id=template_id, deleted_at=None))
        return None if found is None else TemplateDocument.model_validate(found)

    async def templates(self, limit: int, after: str | None) -> list[TemplateDocument]:
        """Templates that were not deleted, newest first, from behind ``after``."""
        query = self._mine(deleted_at=None, **({} if after is None else {"_id": {"$lt": after}}))
        cursor = self._templates.find(query).sort("_id", -1).limit(limit)
        return [TemplateDocument.model_validate(found) async for found in cursor]

    async def insert_template(self, document: TemplateDocument, session: Session) -> None:
        await self._templates.insert_one(_stored_template(document), session=session)

    async def replace_template(self, document: TemplateDocument, session: Session) -> bool:
        """Store the successor of version ``document.version - 1``; ``False`` where that is no longer the current."""
        stored = _stored_template(document)
        answer = await self._templates.update_one(
            self._mine(_id=document.id, deleted_at=None, version=document.version - 1),
            {"$set": {key: stored[key] for key in ("version", "template", "webhook_endpoint_id", "updated_at")}},
            session=session,
        )
        return answer.modified_count == 1

    async def delete_template(self, template_id: str) -> bool:
        """Hide a template for good; its runs carry a copy. ``False`` where there is none."""
        answer = await self._templates.update_one(
            self._mine(_id=template_id, deleted_at=None), {"$currentDate": {"deleted_at": True, "updated_at": True}}
        )
        return answer.modified_count == 1

    async def insert_endpoint(self, endpoint: WebhookEndpoint, session: Session) -> None:
        await self._endpoints.insert_one(endpoint.model_dump(by_alias=True), session=session)

    async def change_endpoint(self, endpoint_id: str, changes: dict[str, Any], session: Session) -> None:
        await self._endpoints.update_one(self._mine(_id=endpoint_id), {"$set": changes}, session=session)

    # --- runs -----------------------------------------------------------------------------------

    async def run(self, run_id: str) -> RunDocument | None:
        """A run, or ``None``."""
        return await self._one_run(_id=run_id)

    async def run_by_key(self, idempotency_key: str) -> RunDocument | None:
        """The run that was made by the request with this ``Idempotency-Key``, or ``None``."""
        return await self._one_run(idempotency_key=idempotency_key)

    async def _one_run(self, **conditions: object) -> RunDocument | None:
        found = await self._runs.find_one(self._mine(**conditions, **LISTED_RUNS))
        return None if found is None else RunDocument.model_validate(found)

    async def run_status(self, run_id: str) -> RunStatus | None:
        """Only the status of a run: cheap enough to ask again and again."""
        found = await self._runs.find_one(self._mine(_id=run_id, **LISTED_RUNS), {"status": 1})
        return None if found is None else RunStatus(found["status"])

    async def newest_run_of_content(self, template_id: str, sha256: str) -> str | None:
        """Id of the newest run of a template whose file has this SHA-256, or ``None``."""
        query = self._mine(**{"template_id": template_id, "file.sha256": sha256, **LISTED_RUNS})
        found = await self._runs.find_one(query, {"_id": 1}, sort=[("_id", -1)])
        return None if found is None else found["_id"]

    async def runs(
        self, limit: int, *, status: RunStatus | None, template_id: str | None, after: str | None
    ) -> list[RunDocument]:
        """Runs, newest first, from behind ``after``."""
        conditions = dict(LISTED_RUNS)
        if status is not None:
            conditions["status"] = status.value
        if template_id is not None:
            conditions["template_id"] = template_id
        if after is not None:
            conditions["_id"] = {"$lt": after}
        cursor = self._runs.find(self._mine(**conditions)).sort("_id", -1).limit(limit)
        return [RunDocument.model_validate(found) async for found in cursor]

    async def rejected(self, run_id: str, limit: int, after: int = 0) -> Sequence[RejectedRecord]:
        """Rejected rows of a run in the order of the file, from behind row ``after``."""
        query = self._mine(run_id=run_id, row={"$gt": after})
        cursor = self._rejected.find(query).sort("row", 1).limit(limit)
        return [RejectedRecord.model_validate(found) async for found in cursor]

    async def row_errors(self, run_id: str, limit: int) -> list[dict[str, Any]]:
        """The first errors of a run's rejected rows, each with its row, in the order of the file."""
        if not limit:
            return []
        cursor = self._rejected.find(self._mine(run_id=run_id), {"row": 1, "errors": 1}).sort("row", 1).limit(limit)
        errors: list[dict[str, Any]] = []
        async for record in cursor:
            errors += [{"row": record["row"], **error} for error in record["errors"]]
            if len(errors) >= limit:
                break
        return errors[:limit]


def _stored_template(document: TemplateDocument) -> dict[str, Any]:
    return {**document.model_dump(by_alias=True), "template": document.template.model_dump(mode="json")}
