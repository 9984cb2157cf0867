"""Rowdock's own collections as Beanie documents, with every index that a query relies on.

Beanie creates the indexes and reads documents; it writes organizations, keys, templates and webhook endpoints. Runs,
batches and the outbox change only by compare-and-set in ``libs.ledger`` and ``libs.messaging``; nothing saves them
whole. Documents are read by ``StateDocument.read``, which says what it cannot read.
"""

from beanie import Document

from libs.storage.documents.access import (
    ApiKey,
    ClerkMessage,
    ClerkTombstone,
    DeletionRequest,
    Membership,
    Organization,
    RateLimits,
    RequestCount,
    RequestProducer,
    User,
)
from libs.storage.documents.batches import (
    PAYLOAD_DAYS,
    BatchDocument,
    BatchPayload,
    BatchResult,
    Kept,
    RejectedRecord,
    UndoEntry,
)
from libs.storage.documents.branding import BrandingDocument
from libs.storage.documents.bulk_corrections import BulkCorrectionDocument, CellChange, CellChangeType
from libs.storage.documents.idempotency import IdempotencyRecord, RecordedAnswer
from libs.storage.documents.leases import Lease
from libs.storage.documents.messages import OUTBOX_LEASE, DeadLetter, OutboxEntry, RejectedRequest
from libs.storage.documents.observers import OBSERVER_ID, ObserverDocument
from libs.storage.documents.previews import PreviewDocument, SeenTarget
from libs.storage.documents.processes import ProcessDocument
from libs.storage.documents.run_requests import WAITING_REQUESTS, RequestState, RunRequest
from libs.storage.documents.runs import (
    COUNTED_RUNS,
    LISTED_RUNS,
    PURGED_RUNS,
    TOLD_RUNS,
    CorrectionsFound,
    ParseProgress,
    Rescue,
    RetryRequest,
    RowLeftOut,
    RunDocument,
    RunHead,
    Starter,
    StatusChange,
    StopRequest,
    StoredFile,
)
from libs.storage.documents.sources import (
    SftpServer,
    SourceDocument,
    SourceFileDocument,
    SourceFileOutcome,
    SourceFileState,
    SourceTrouble,
)
from libs.storage.documents.syncs import SyncProgress, SyncStage
from libs.storage.documents.target_keys import TargetKeyDocument, TargetResource
from libs.storage.documents.templates import CopiedFrom, TemplateDocument, Wording
from libs.storage.documents.webhooks import (
    LISTENING,
    MAX_LISTENERS,
    OF_ORGANIZATION,
    WebhookDelivery,
    WebhookEndpoint,
    listener,
    of_organization,
)

__all__ = [
    "COUNTED_RUNS",
    "DOCUMENTS",
    "LISTED_RUNS",
    "LISTENING",
    "MAX_LISTENERS",
    "OBSERVER_ID",
    "OF_ORGANIZATION",
    "OUTBOX_LEASE",
    "PAYLOAD_DAYS",
    "PURGED_RUNS",
    "TOLD_RUNS",
    "WAITING_REQUESTS",
    "ApiKey",
    "BatchDocument",
    "BatchPayload",
    "BatchResult",
    "BrandingDocument",
    "BulkCorrectionDocument",
    "CellChange",
    "CellChangeType",
    "ClerkMessage",
    "ClerkTombstone",
    "CopiedFrom",
    "CorrectionsFound",
    "DeadLetter",
    "DeletionRequest",
    "IdempotencyRecord",
    "Kept",
    "Lease",
    "Membership",
    "ObserverDocument",
    "Organization",
    "OutboxEntry",
    "ParseProgress",
    "PreviewDocument",
    "ProcessDocument",
    "RateLimits",
    "RecordedAnswer",
    "RejectedRecord",
    "RejectedRequest",
    "RequestCount",
    "RequestProducer",
    "RequestState",
    "Rescue",
    "RetryRequest",
    "RowLeftOut",
    "RunDocument",
    "RunHead",
    "RunRequest",
    "SeenTarget",
    "SftpServer",
    "SourceDocument",
    "SourceFileDocument",
    "SourceFileOutcome",
    "SourceFileState",
    "SourceTrouble",
    "Starter",
    "StatusChange",
    "StopRequest",
    "StoredFile",
    "SyncProgress",
    "SyncStage",
    "TargetKeyDocument",
    "TargetResource",
    "TemplateDocument",
    "UndoEntry",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Wording",
    "listener",
    "of_organization",
]

DOCUMENTS: list[type[Document]] = [
    Organization,
    ApiKey,
    BrandingDocument,
    RequestCount,
    RequestProducer,
    User,
    Membership,
    ClerkMessage,
    ClerkTombstone,
    IdempotencyRecord,
    TemplateDocument,
    RunDocument,
    BatchDocument,
    BatchPayload,
    RejectedRecord,
    UndoEntry,
    PreviewDocument,
    BulkCorrectionDocument,
    OutboxEntry,
    WebhookEndpoint,
    WebhookDelivery,
    DeadLetter,
    RejectedRequest,
    SourceDocument,
    SourceFileDocument,
    ObserverDocument,
    TargetKeyDocument,
    TargetResource,
    ProcessDocument,
]
