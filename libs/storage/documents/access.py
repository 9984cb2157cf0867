"""Who may ask: organizations and their keys."""

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel
from pymongo import ASCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument


class DeletionRequest(BaseModel):
    """That an organization is to be removed with everything it has.

    Attributes:
        requested_at: since when its keys are of no use.
        keep_records: whether the imported records stay.
        swept_at: when everything that it had then was removed once; what comes later comes from uploads that were
            under way.
    """

    requested_at: datetime
    keep_records: bool = False
    swept_at: datetime | None = None


class Organization(StateDocument):
    """One that may ask.

    Attributes:
        parent_id: the organization that it is below, which may act for it; stored only where there is one.
    """

    name: str
    created_at: datetime
    parent_id: str | None = None
    deletion: DeletionRequest | None = None

    class Settings:
        name = "organizations"
        keep_nulls = False
        indexes: ClassVar = [
            IndexModel(
                [("deletion.requested_at", ASCENDING)],
                name="to_be_deleted",
                partialFilterExpression={"deletion.requested_at": {"$type": "date"}},
            ),
            IndexModel(
                [("parent_id", ASCENDING)],
                name="parent",
                partialFilterExpression={"parent_id": {"$type": "string"}},
            ),
        ]


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
