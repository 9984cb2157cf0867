"""Rowdock's own collections as Beanie documents, with every index that a query relies on.

Beanie creates the indexes and reads documents; it writes organizations, keys, templates and webhook endpoints. Runs,
batches and the outbox change only by compare-and-set in ``libs.ledger`` and ``libs.messaging``; nothing saves them
whole. Documents are read by ``StateDocument.read``, which says what it cannot read.
"""

from beanie import Document

from libs.storage.documents.access import ApiKey, DeletionRequest, Organization
from libs.storage.documents.batches import (
    PAYLOAD_DAYS,
    BatchDocument,
    BatchPayload,
    BatchResult,
    Kept,
    RejectedRecord,
    UndoEntry,
)
from libs.storage.documents.leases import Lease
from libs.storage.documents.messages import OUTBOX_LEASE, DeadLetter, OutboxEntry
from libs.storage.documents.previews import PreviewDocument, PreviewState, SeenTarget
from libs.storage.documents.runs import (
    LISTED_RUNS,
    PURGED_RUNS,
    TOLD_RUNS,
    ParseProgress,
    Rescue,
    RetryRequest,
    RunDocument,
    RunHead,
    Starter,
    StatusChange,
    StopRequest,
    StoredFile,
)
from libs.storage.documents.syncs import SyncProgress, SyncStage
from libs.storage.documents.target_keys import TargetKeyDocument, TargetResource
from libs.storage.documents.templates import CopiedFrom, TemplateDocument, Wording
from libs.storage.documents.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "DOCUMENTS",
    "LISTED_RUNS",
    "OUTBOX_LEASE",
    "PAYLOAD_DAYS",
    "PURGED_RUNS",
    "TOLD_RUNS",
    "ApiKey",
    "BatchDocument",
    "BatchPayload",
    "BatchResult",
    "CopiedFrom",
    "DeadLetter",
    "DeletionRequest",
    "Kept",
    "Lease",
    "Organization",
    "OutboxEntry",
    "ParseProgress",
    "PreviewDocument",
    "PreviewState",
    "RejectedRecord",
    "Rescue",
    "RetryRequest",
    "RunDocument",
    "RunHead",
    "SeenTarget",
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
    "WebhookDelivery",
    "WebhookEndpoint",
    "Wording",
]

DOCUMENTS: list[type[Document]] = [
    Organization,
    ApiKey,
    TemplateDocument,
    RunDocument,
    BatchDocument,
    BatchPayload,
    RejectedRecord,
    UndoEntry,
    PreviewDocument,
    OutboxEntry,
    WebhookEndpoint,
    WebhookDelivery,
    DeadLetter,
    TargetKeyDocument,
    TargetResource,
]
