"""Receivers of events and what is sent to them."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field
from pymongo import ASCENDING, IndexModel

from libs.storage.documents.leases import Lease
from libs.storage.documents.state_document import StateDocument


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
            IndexModel(
                [
                    ("state", ASCENDING),
                    ("tenant_id", ASCENDING),
                    ("endpoint_id", ASCENDING),
                    ("next_attempt_at", ASCENDING),
                ],
                name="turns",
            ),
            IndexModel([("tenant_id", ASCENDING), ("run_id", ASCENDING)], name="tenant_run"),
            IndexModel([("endpoint_id", ASCENDING), ("state", ASCENDING)], name="endpoint"),
        ]
