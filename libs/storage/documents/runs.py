"""Runs: one document per import."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, computed_field, model_validator
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.events import RevertCounts, RunCounts
from libs.contracts.lanes import Lane
from libs.contracts.plan import ParsePlan
from libs.contracts.purposes import PurposeTraits, RunPurpose
from libs.contracts.rejections import RejectedState
from libs.contracts.states import RunStatus
from libs.contracts.templates import ImportMode, Template
from libs.storage.documents.leases import Lease
from libs.storage.documents.state_document import StateDocument, read_stored
from libs.storage.documents.syncs import SyncProgress, SyncStage
from libs.storage.documents.templates import Wording


class StoredFile(BaseModel):
    """The uploaded file.

    Attributes:
        id: its GridFS id.
        name: for display only.
        size: in bytes.
        sha256: in hexadecimal.
        ascii_only: no byte is above 127, so that the parser need not look for one.
    """

    id: str
    name: str
    size: int
    sha256: str
    ascii_only: bool = False


class ParseProgress(BaseModel):
    """How far the parser is.

    Attributes:
        closed: all batches of the file are in the ledger; then ``batches`` and ``rows`` are final.
        digest: SHA-256 over the digests of all batches, to prove that a repeated parse agrees.
        owner, lease_until: the parser at work and until when it is believed alive (server time).
        attempts: how often a parser has begun.
    """

    closed: bool = False
    batches: int = 0
    rows: int = 0
    digest: str | None = None
    owner: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0


class StopRequest(BaseModel):
    """Set on a run that is to end as ``failed`` or ``cancelled``; no later effect passes it."""

    status: RunStatus
    code: str
    message: str
    at: datetime


class RowLeftOut(BaseModel):
    """A row of a file of corrections that is not retried, because of its state."""

    row: int
    state: RejectedState


class CorrectionsFound(BaseModel):
    """What a file of corrections held.

    Attributes:
        rows: all its rows.
        corrected: those that differ from what the run had read.
        left_out: how many were not retried, by their state.
        left_out_rows: the first of these.
        notes: what was done with its columns, where that is not plain.
    """

    rows: int
    corrected: int
    left_out: dict[RejectedState, int] = Field(default_factory=dict[RejectedState, int])
    left_out_rows: list[RowLeftOut] = Field(default_factory=list[RowLeftOut])
    notes: list[str] = Field(default_factory=list[str])


class RetryRequest(BaseModel):
    """Which rejected rows of its parent a run is about.

    Attributes:
        rows: one ``row``; all that are ``corrected``; ``all`` that are open or corrected; those of a ``file``, with
            its corrections; or, to be checked only, those that one bulk correction has corrected and nobody since.
        row: the one.
        file: the one, stored under the id of the run. It is not the run's own: a parser that does not know of
            corrections would take its rows for new ones.
        bulk: version of the bulk correction.
        claimed: they are all found, and no other can join them.
        found: in the file, once they are claimed.
    """

    rows: Literal["row", "corrected", "all", "file", "bulk"]
    row: int | None = None
    file: StoredFile | None = None
    bulk: str | None = None
    claimed: bool = False
    found: CorrectionsFound | None = None


class Rescue(BaseModel):
    """When a service looks after a silent run next, and how often it has.

    The release before could leave a count without a time.
    """

    after: datetime | None = None
    count: int = 0


class StatusChange(BaseModel):
    """One entry of a run's history, from which its event can be made again."""

    version: int
    status: RunStatus
    at: datetime
    counts: RunCounts | None = None
    error_code: str | None = None
    error_message: str | None = None
    reverted: RevertCounts | None = None


COUNTED_RUNS = {"vocabulary": "rowporter"}
"""Runs of the vocabulary that tells how many there are; other runs do not pay for the indexes of that."""


class Starter(BaseModel):
    """Who has started a run.

    Attributes:
        tenant_id: whose key it was: of the run's organization, or of one above it.
        subject: the person or program.
    """

    tenant_id: str
    subject: str


class RunDocument(StateDocument):
    """One import.

    Attributes:
        tenant_id: the organization whose records it changes, whoever has started it.
        column_mapping: header and the field it fills, or ``None`` for a column that is not wanted, as the upload said;
            pairs, because a user's header never becomes a key.
        metadata: what the client wants to find on the run again, the text of a JSON object; text, because any name may
            be a member of it.
        external_user_id: for which of the client's users it was made.
        duplicate_of: the newest earlier run of the template with the same bytes.
        vocabulary, wording: as those of the template.
        purpose: what it was made for. A run that was made before there were purposes has none stored; its ``dry_run``
            tells. That goes on being stored for processes that know nothing else, and is true of what is purged.
        lane: where its work queues.
        held_back: it may have batches that are not announced yet, see ``libs.ledger.handout``.
        syncing: of a run of mode ``sync``, once it was asked to be executed: what it deletes.
        completed_at: when it was written, of a run that is being or was reverted; of others ``finished_at`` says so.
        revertible_until: as long as what it takes to revert it is stored; ``None`` where that never was.
        reverted: what became of its records when it was reverted.
        started_by: ``None`` for runs of earlier releases.
        file_removed_at: since when the file is no longer stored.
        expiring_at: when somebody last began to remove the run; nobody sees it any more.
        parent_run_id: the run whose rejected rows it is about.
        retry: which of them.
        unsettled: of a retry: it may have an end that the rows of its parent do not tell of yet.
        retry_at_work: id of its retry that has not ended; there is one at a time.
        trace: ``traceparent`` of what began it, below which everything stands that becomes of it.
        request_id: the producer's own, where it was asked for on Kafka.
    """

    tenant_id: str
    template_id: str
    template_version: int
    template: Template
    vocabulary: str = "engine"
    wording: Wording | None = None
    webhook_endpoint_id: str | None = None
    status: RunStatus = RunStatus.PENDING
    epoch: int = 0
    version: int = 1
    history: list[StatusChange] = Field(default_factory=list[StatusChange])
    stop: StopRequest | None = None
    file: StoredFile
    column_mapping: list[tuple[str, str | None]] | None = None
    metadata: str | None = None
    external_user_id: str | None = None
    duplicate_of: str | None = None
    purpose: RunPurpose = RunPurpose.IMPORT
    lane: Lane = Lane.SMALL
    held_back: bool = False
    plan: ParsePlan | None = None
    parse: ParseProgress = ParseProgress()
    counts: RunCounts | None = None
    preview_rows: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    examples: dict[str, list[dict[str, Any]]] = Field(default_factory=dict[str, list[dict[str, Any]]])
    failure: dict[str, str] | None = None
    barrier: Lease | None = None
    syncing: SyncProgress | None = None
    rescue: dict[str, Rescue] = Field(default_factory=dict[str, Rescue])
    idempotency_key: str | None = None
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
    expiring_at: datetime | None = None
    parent_run_id: str | None = None
    retry: RetryRequest | None = None
    unsettled: bool = False
    retry_at_work: str | None = None
    trace: str | None = None
    request_id: str | None = None

    class Settings:
        name = "runs"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("_id", DESCENDING)], name="tenant_newest"),
            IndexModel([("tenant_id", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)], name="tenant_status"),
            IndexModel(
                [("tenant_id", ASCENDING), ("status", ASCENDING), ("file.size", ASCENDING)], name="tenant_active"
            ),
            IndexModel([("tenant_id", ASCENDING), ("template_id", ASCENDING), ("_id", DESCENDING)], name="template"),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("template_id", ASCENDING),
                    ("status", ASCENDING),
                    ("_id", DESCENDING),
                ],
                name="template_status",
            ),
            IndexModel([("status", ASCENDING), ("updated_at", ASCENDING)], name="status_updated"),
            IndexModel(
                [("webhook_endpoint_id", ASCENDING), ("updated_at", ASCENDING)],
                name="webhook_updated",
                partialFilterExpression={"webhook_endpoint_id": {"$type": "string"}},
            ),
            IndexModel(
                [("tenant_id", ASCENDING), ("idempotency_key", ASCENDING)],
                name="idempotency",
                unique=True,
                partialFilterExpression={"idempotency_key": {"$type": "string"}},
            ),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("template_id", ASCENDING),
                    ("file.sha256", ASCENDING),
                    ("_id", DESCENDING),
                ],
                name="content",
            ),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("vocabulary", ASCENDING),
                    ("template_id", ASCENDING),
                    ("purpose", ASCENDING),
                    ("status", ASCENDING),
                ],
                name="counted",
                partialFilterExpression=COUNTED_RUNS,
            ),
            IndexModel(
                [("tenant_id", ASCENDING), ("vocabulary", ASCENDING), ("_id", DESCENDING)],
                name="counted_newest",
                partialFilterExpression=COUNTED_RUNS,
            ),
            IndexModel([("created_at", ASCENDING)], name="dry_runs", partialFilterExpression={"dry_run": True}),
            IndexModel(
                [("status", ASCENDING), ("lane", ASCENDING), ("_id", ASCENDING)],
                name="unread",
                partialFilterExpression={"parse.closed": False},
            ),
            # Beanie takes two indexes of the same fields, whatever their order, for one.
            IndexModel(
                [("lane", ASCENDING), ("status", ASCENDING), ("_id", ASCENDING), ("held_back", ASCENDING)],
                name="lane_held_back",
                partialFilterExpression={"held_back": True},
            ),
            IndexModel(
                [("syncing.slot", ASCENDING)],
                name="sync_slot",
                unique=True,
                partialFilterExpression={"syncing.slot": {"$type": "string"}},
            ),
            IndexModel(
                [("syncing.target", ASCENDING), ("status", ASCENDING), ("syncing.requested_at", ASCENDING)],
                name="syncs",
                partialFilterExpression={"syncing.target": {"$type": "string"}},
            ),
            IndexModel(
                [("syncing.stage", ASCENDING), ("updated_at", ASCENDING)],
                name="syncs_to_plan",
                partialFilterExpression={"syncing.stage": SyncStage.REQUESTED.value},
            ),
            IndexModel(
                [("template.auto_execute", ASCENDING), ("updated_at", ASCENDING)],
                name="validated",
                partialFilterExpression={"status": RunStatus.VALIDATED.value},
            ),
            IndexModel(
                [("status", ASCENDING), ("stop.at", ASCENDING)],
                name="stopping",
                partialFilterExpression={"stop.at": {"$type": "date"}},
            ),
            IndexModel([("finished_at", ASCENDING)], name="ended"),
            IndexModel(
                [("tenant_id", ASCENDING), ("template.target_resource", ASCENDING), ("finished_at", ASCENDING)],
                name="changed_target",
                partialFilterExpression={"executing_at": {"$type": "date"}},
            ),
            IndexModel([("file_removed_at", ASCENDING), ("finished_at", ASCENDING)], name="file_ended"),
            IndexModel(
                [("expiring_at", ASCENDING)],
                name="expiring",
                partialFilterExpression={"expiring_at": {"$type": "date"}},
            ),
            IndexModel(
                [("parent_run_id", ASCENDING), ("_id", ASCENDING)],
                name="retries",
                partialFilterExpression={"parent_run_id": {"$type": "string"}},
            ),
            IndexModel(
                [("unsettled", ASCENDING), ("_id", ASCENDING)],
                name="unsettled",
                partialFilterExpression={"unsettled": True},
            ),
        ]

    @model_validator(mode="before")
    @classmethod
    def _purpose_of_a_run_without_one(cls, stored: dict[str, Any]) -> dict[str, Any]:
        return _with_purpose(stored)

    @computed_field
    @property
    def dry_run(self) -> bool:
        """What processes that know no purposes go by."""
        return self.purpose.traits.purged

    @property
    def refused(self) -> bool:
        """Whether it failed before it was executed: nothing of it was written."""
        return self.status is RunStatus.FAILED and self.executing_at is None

    @property
    def sweeps(self) -> bool:
        """Whether it deletes the records of its scope that the file does not hold."""
        return self.template.mode is ImportMode.SYNC and self.purpose.traits.sweeps

    @property
    def all_batches(self) -> int:
        """How many entries it has in the ledger: those of its file, and those of a sync's deletions."""
        return self.parse.batches + (0 if self.syncing is None else self.syncing.batches)

    @property
    def goes_on(self) -> bool:
        """Whether it is executed without being asked once it is validated."""
        return self.template.auto_execute and self.purpose.traits.executed


class RunHead(BaseModel):
    """Of a run what it takes to stop it, even where the rest of it cannot be read."""

    id: str = Field(alias="_id")
    tenant_id: str
    template_id: str
    vocabulary: str = "engine"
    status: RunStatus
    version: int
    stop: StopRequest | None = None
    purpose: RunPurpose
    parent_run_id: str | None = None
    request_id: str | None = None
    parse: ParseProgress = ParseProgress()

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """That of a stored run.

        Raises:
            UnreadableDocumentError: even this holds what this release does not know.
        """
        return read_stored(cls, stored, RunDocument.Settings.name)

    @model_validator(mode="before")
    @classmethod
    def _purpose_of_a_run_without_one(cls, stored: dict[str, Any]) -> dict[str, Any]:
        return _with_purpose(stored)


def _with_purpose(stored: dict[str, Any]) -> dict[str, Any]:
    return {"purpose": RunPurpose.DRY_RUN if stored.get("dry_run") else RunPurpose.IMPORT, **stored}


def _runs_with(trait: Callable[[PurposeTraits], bool]) -> dict[str, Any]:
    """The filter of runs whose purpose has a trait, of those without a purpose too (see ``RunDocument``)."""
    purposes = [purpose.value for purpose in RunPurpose if trait(purpose.traits)]
    unsaid = [
        {"purpose": None, "dry_run": True if dry_run else {"$ne": True}}
        for purpose, dry_run in ((RunPurpose.IMPORT, False), (RunPurpose.DRY_RUN, True))
        if trait(purpose.traits)
    ]
    return {"$or": [{"purpose": {"$in": purposes}}, *unsaid]}


LISTED_RUNS = {**_runs_with(lambda traits: traits.listed), "expiring_at": None}
TOLD_RUNS = _runs_with(lambda traits: traits.told)
PURGED_RUNS: dict[str, Any] = {"dry_run": True}
"""What ``RunDocument.dry_run`` says; a partial index serves it."""
