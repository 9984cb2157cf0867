"""Rowdock's own collections as Beanie documents, with every index that a query relies on.

Beanie serves configuration (templates, organizations, keys) and index creation. Runs, batches
and the outbox change only by compare-and-set in ``libs.storage.ledger``; nothing saves them whole.
"""

from datetime import datetime
from typing import Any, ClassVar

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.events import RunCounts
from libs.contracts.plan import ParsePlan
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template

DAY_SECONDS = 86_400
PAYLOAD_DAYS = 30
"""How long a validated run may wait for its execution before its rows are dropped."""


class StateDocument(Document):
    """A document whose ``_id`` is text."""

    id: str = Field(default=..., alias="_id")  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


class Organization(StateDocument):
    name: str
    created_at: datetime

    class Settings:
        name = "organizations"


class ApiKey(StateDocument):
    """A key's SHA-256; the key itself is shown once and never stored."""

    tenant_id: str
    name: str
    digest: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    class Settings:
        name = "api_keys"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING)], name="tenant"),
            IndexModel([("digest", ASCENDING)], name="digest", unique=True),
        ]


class TemplateDocument(StateDocument):
    """The current version of a template; runs carry a copy of the version they started with."""

    tenant_id: str
    version: int = 1
    template: Template
    webhook_endpoint_id: str | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    class Settings:
        name = "templates"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("deleted_at", ASCENDING), ("_id", DESCENDING)], name="tenant_live")
        ]


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


class Lease(BaseModel):
    """Who is at work on something and until when it is believed alive (server time)."""

    owner: str
    until: datetime


class Rescue(BaseModel):
    """When a service looks after a silent run next, and how often it has."""

    after: datetime
    count: int = 0


class StatusChange(BaseModel):
    """One entry of a run's history, from which its event can be made again."""

    version: int
    status: RunStatus
    at: datetime
    counts: RunCounts | None = None
    error_code: str | None = None
    error_message: str | None = None


class RunDocument(StateDocument):
    """One import.

    Attributes:
        column_mapping: header and the field it fills, or ``None`` for a column that is not wanted, as the upload said;
            pairs, because a user's header never becomes a key.
        duplicate_of: the newest earlier run of the template with the same bytes.
        dry_run: checked only, never executed, told to nobody, and purged once its client has the result.
    """

    tenant_id: str
    template_id: str
    template_version: int
    template: Template
    webhook_endpoint_id: str | None = None
    status: RunStatus = RunStatus.PENDING
    epoch: int = 0
    version: int = 1
    history: list[StatusChange] = Field(default_factory=list[StatusChange])
    stop: StopRequest | None = None
    file: StoredFile
    column_mapping: list[tuple[str, str | None]] | None = None
    duplicate_of: str | None = None
    dry_run: bool = False
    plan: ParsePlan | None = None
    parse: ParseProgress = ParseProgress()
    counts: RunCounts | None = None
    preview_rows: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    failure: dict[str, str] | None = None
    barrier: Lease | None = None
    rescue: dict[str, Rescue] = Field(default_factory=dict[str, Rescue])
    idempotency_key: str | None = None
    created_at: datetime
    updated_at: datetime
    validated_at: datetime | None = None
    executing_at: datetime | None = None
    finished_at: datetime | None = None

    class Settings:
        name = "runs"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("_id", DESCENDING)], name="tenant_newest"),
            IndexModel([("tenant_id", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)], name="tenant_status"),
            IndexModel([("tenant_id", ASCENDING), ("template_id", ASCENDING), ("_id", DESCENDING)], name="template"),
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
            IndexModel([("created_at", ASCENDING)], name="dry_runs", partialFilterExpression={"dry_run": True}),
        ]

    @property
    def goes_on(self) -> bool:
        """Whether it is executed without being asked once it is validated."""
        return self.template.auto_execute and not self.dry_run


class BatchResult(BaseModel):
    """Where the rows of a batch went; ``rows = ok + rejected + skipped`` from checked on."""

    ok: int = 0
    rejected: int = 0
    warnings: int = 0
    duplicate_keys: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0


class BatchDocument(StateDocument):
    """One entry of the ledger: up to ``plan.batch_rows`` rows of a run."""

    tenant_id: str
    run_id: str
    epoch: int
    seq: int
    row_from: int
    row_to: int
    rows: int
    digest: str
    state: BatchState = BatchState.PARSED
    attempts: int = 0
    result: BatchResult = BatchResult()
    preview: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    skipped_rows: dict[str, bytes] = Field(default_factory=dict[str, bytes])
    updated_at: datetime

    class Settings:
        name = "batches"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING), ("state", ASCENDING), ("seq", ASCENDING)], name="run_state"),
        ]


class BatchPayload(StateDocument):
    """Rows of a batch as Arrow IPC, see ``libs.storage.payloads``."""

    run_id: str
    created_at: datetime

    class Settings:
        name = "batch_payloads"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING)], name="run"),
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=PAYLOAD_DAYS * DAY_SECONDS),
        ]


class RejectedRecord(StateDocument):
    """A rejected row. ``cells`` follow the columns of the run's plan, so that no user header becomes a key."""

    tenant_id: str
    run_id: str
    row: int
    cells: list[str | None]
    errors: list[dict[str, Any]]
    state: str = "open"
    created_at: datetime

    class Settings:
        name = "rejected_records"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("run_id", ASCENDING), ("row", ASCENDING)], name="tenant_run_row"),
        ]


class UndoEntry(StateDocument):
    """Before-image of a record that a run changed."""

    run_id: str
    created_at: datetime

    class Settings:
        name = "undo"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING)], name="run"),
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=90 * DAY_SECONDS),
        ]


class OutboxEntry(StateDocument):
    """An event not yet published; its ``_id`` is the event's id. Deleted once the broker has it."""

    service: str
    topic: str
    key: str
    value: str
    created_at: datetime
    lease_until: datetime | None = None

    class Settings:
        name = "outbox"
        indexes: ClassVar = [
            IndexModel([("service", ASCENDING), ("created_at", ASCENDING)], name="service_oldest"),
        ]


class WebhookEndpoint(StateDocument):
    """A receiver of events; the signing secret is encrypted.

    ``disabled_at`` and ``disabled_reason`` tell when and why Rowdock itself stopped sending; switched off by its
    owner, it has neither.
    """

    tenant_id: str
    template_id: str
    url: str
    encrypted_secret: str
    enabled: bool = True
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    created_at: datetime

    class Settings:
        name = "webhook_endpoints"
        indexes: ClassVar = [IndexModel([("tenant_id", ASCENDING), ("template_id", ASCENDING)], name="template")]


class WebhookDelivery(StateDocument):
    """One event for one receiver, with every attempt; see ``services.webhooks.domain.delivery``."""

    tenant_id: str
    endpoint_id: str
    run_id: str
    event_id: str
    body: bytes
    state: str = "pending"
    attempts: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    next_attempt_at: datetime | None = None
    lease: Lease | None = None
    created_at: datetime

    class Settings:
        name = "webhook_deliveries"
        indexes: ClassVar = [
            IndexModel([("state", ASCENDING), ("next_attempt_at", ASCENDING)], name="due"),
            IndexModel([("tenant_id", ASCENDING), ("run_id", ASCENDING)], name="tenant_run"),
            IndexModel([("endpoint_id", ASCENDING), ("state", ASCENDING)], name="endpoint"),
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=90 * DAY_SECONDS),
        ]


class DeadLetter(StateDocument):
    """A message nobody could handle, as it came, so that it can be replayed."""

    service: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[dict[str, Any]]
    code: str
    message: str
    created_at: datetime

    class Settings:
        name = "dead_letters"
        indexes: ClassVar = [IndexModel([("created_at", DESCENDING)], name="newest")]


DOCUMENTS: list[type[Document]] = [
    Organization,
    ApiKey,
    TemplateDocument,
    RunDocument,
    BatchDocument,
    BatchPayload,
    RejectedRecord,
    UndoEntry,
    OutboxEntry,
    WebhookEndpoint,
    WebhookDelivery,
    DeadLetter,
]
