"""How far runs are, each by one command."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from libs.contracts.events import RunCounts
from libs.contracts.states import RunStatus
from libs.storage.client import SNAPSHOT, Document, Mongo
from libs.storage.documents import LISTED_RUNS, ApiKey, BatchDocument, BatchResult, RunDocument
from libs.storage.documents.state_document import read_stored
from services.gateway.access.api_keys import live_keys

_KEYS_AT_ONCE = 1_000


class WatchedChange(BaseModel):
    version: int
    status: RunStatus
    at: datetime


class WatchedParse(BaseModel):
    closed: bool = False
    rows: int = 0


class WatchedRun(BaseModel):
    """Of a run what its progress shows."""

    id: str = Field(alias="_id")
    template_id: str
    vocabulary: str = "engine"
    status: RunStatus
    version: int
    history: list[WatchedChange] = []
    parse: WatchedParse = WatchedParse()
    counts: RunCounts | None = None
    failure: dict[str, str] | None = None
    created_at: datetime
    finished_at: datetime | None = None
    completed_at: datetime | None = None


_FIELDS = (
    "template_id", "vocabulary", "status", "version", "history.version", "history.status", "history.at",
    "parse.closed", "parse.rows", "counts", "failure", "created_at", "finished_at", "completed_at",
)  # fmt: skip
_SUMS: Document = {name: {"$sum": f"$result.{name}"} for name in BatchResult.model_fields}


@dataclass(frozen=True, slots=True)
class Seen:
    """A run, the moment by the clock of the database, and its batches in groups of ``state``, ``rows`` and the members
    of their results."""

    run: WatchedRun
    now: datetime
    groups: Sequence[Document]


class ProgressStore:
    """Looks at runs that whoever asks was let see before."""

    def __init__(self, mongo: Mongo) -> None:
        # One moment: a scan of the index would meet a batch that moves meanwhile twice, or never.
        self._runs = mongo.state[RunDocument.Settings.name].with_options(read_concern=SNAPSHOT)
        self._keys = mongo.state[ApiKey.Settings.name]

    async def look(self, tenant_id: str, run_id: str) -> Seen | None:
        """A run with its batches added up, by one command; ``None`` where the organization has no such run.

        Raises:
            UnreadableDocumentError: it holds what this release does not know.
            pymongo.errors.PyMongoError: the database does not answer.
        """
        groups: list[Document] = [
            {"$group": {"_id": "$state", "rows": {"$sum": "$rows"}, **_SUMS}},
            {"$set": {"state": "$_id"}},
        ]
        cursor = await self._runs.aggregate(
            [
                {"$match": {"_id": run_id, "tenant_id": tenant_id, **LISTED_RUNS}},
                {"$project": {**dict.fromkeys(_FIELDS, 1), "now": "$$NOW"}},
                {
                    "$lookup": {
                        "from": BatchDocument.Settings.name,
                        "localField": "_id",
                        "foreignField": "run_id",
                        "pipeline": groups,
                        "as": "groups",
                    }
                },
            ]
        )
        for found in await cursor.to_list():
            return Seen(read_stored(WatchedRun, found, RunDocument.Settings.name), found["now"], found["groups"])
        return None

    async def keys_that_work(self, key_ids: Collection[str]) -> set[str]:
        """Those of some API keys that are neither revoked nor expired."""
        wanted, working = sorted(key_ids), set[str]()
        for at in range(0, len(wanted), _KEYS_AT_ONCE):
            live = live_keys({"_id": {"$in": wanted[at : at + _KEYS_AT_ONCE]}})
            working |= {found["_id"] async for found in self._keys.find(live, {"_id": 1})}
        return working
