"""What runs tell of their changes, for whoever may have missed it."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import structlog
from cachetools import LRUCache
from pydantic import ValidationError

from libs.contracts.events import RunStatusChanged
from libs.contracts.ids import run_event_id
from libs.contracts.states import RunStatus
from libs.ledger.connection import LedgerConnection
from libs.storage.client import Document
from libs.storage.documents import TOLD_RUNS, RunDocument, StatusChange

REMEMBERED_RUNS = 1_000
_OF_EVENTS = dict.fromkeys(
    ("tenant_id", "template_id", "vocabulary", "webhook_endpoint_id", "history", "parent_run_id", "request_id"), 1
)

logger = structlog.get_logger()


def run_event(
    run_id: str,
    tenant_id: str,
    template_id: str,
    vocabulary: str,
    change: StatusChange,
    parent_run_id: str | None = None,
    request_id: str | None = None,
) -> RunStatusChanged:
    """The event of one change of a run's status, the same whenever it is made."""
    return RunStatusChanged(
        event_id=run_event_id(run_id, change.version),
        occurred_at=change.at,
        run_id=run_id,
        tenant_id=tenant_id,
        template_id=template_id,
        status=change.status,
        version=change.version,
        counts=change.counts,
        error_code=change.error_code,
        error_message=change.error_message,
        reverted=change.reverted,
        vocabulary=vocabulary,
        parent_run_id=parent_run_id,
        request_id=request_id,
    )


class Changes:
    """Reads the histories of runs whose template has a webhook."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection
        self._endpoints: LRUCache[str, str | None] = LRUCache(REMEMBERED_RUNS)

    async def endpoint_of(self, run_id: str) -> str | None:
        """Id of the webhook endpoint that gets the events of a run, or ``None``."""
        if run_id not in self._endpoints:
            run = await self._connection.runs.find_one(
                {"_id": run_id}, {"template.webhook_enabled": 1, "webhook_endpoint_id": 1}
            )
            if run is None:
                return None
            # It never changes, and a run tells of itself several times.
            self._endpoints[run_id] = run["webhook_endpoint_id"] if run["template"].get("webhook_enabled") else None
        return self._endpoints[run_id]

    async def trace_of(self, run_id: str) -> str | None:
        """Context of what began a run."""
        run = await self._connection.runs.find_one({"_id": run_id}, {"trace": 1})
        return None if run is None else run.get("trace")

    async def events(self, since: datetime, until: datetime) -> AsyncIterator[tuple[str, RunStatusChanged]]:
        """Endpoint and event of every change up to ``until``, in runs changed after ``since``.

        Changes that cannot be read are logged and left out.
        """
        cursor = self._connection.runs.find(
            {
                "webhook_endpoint_id": {"$type": "string"},
                "updated_at": {"$gte": since},
                "template.webhook_enabled": True,
                **TOLD_RUNS,
            },
            _OF_EVENTS,
        )
        async for run in cursor:
            for event in _events(run, until):
                yield run["webhook_endpoint_id"], event

    async def all_events(self, since: datetime, until: datetime) -> AsyncIterator[RunStatusChanged]:
        """As ``events``, in all runs, whether their template has a webhook or not."""
        anyhow = {"$in": [status.value for status in RunStatus]}  # so that the index leads to those changed since
        found = self._connection.runs.find(
            {"status": anyhow, "updated_at": {"$gte": since}, **TOLD_RUNS}, _OF_EVENTS, hint="status_updated"
        )
        async for run in found:
            for event in _events(run, until):
                yield event


def _events(run: Document, until: datetime) -> Iterator[RunStatusChanged]:
    try:
        history = [StatusChange.model_validate(change) for change in run["history"]]
    except ValidationError as error:
        logger.warning("run.unreadable", run_id=run["_id"], errors=error.error_count())
        return
    for change in history:
        if change.at <= until:
            vocabulary = str(run.get("vocabulary", RunDocument.model_fields["vocabulary"].default))
            asked = run.get("parent_run_id"), run.get("request_id")
            yield run_event(run["_id"], run["tenant_id"], run["template_id"], vocabulary, change, *asked)
