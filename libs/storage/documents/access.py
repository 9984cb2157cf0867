"""Who may ask: organizations and their keys."""

from datetime import datetime
from typing import ClassVar

from pymongo import ASCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument


class Organization(StateDocument):
    name: str
    created_at: datetime

    class Settings:
        name = "organizations"


class ApiKey(StateDocument):
    """A key's SHA-256; the key itself is shown once and never stored. Without ``scopes`` it may do everything."""

    tenant_id: str
    name: str
    digest: str
    prefix: str
    scopes: list[str] | None = None
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    class Settings:
        name = "api_keys"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING)], name="tenant"),
            IndexModel([("digest", ASCENDING)], name="digest", unique=True),
        ]
