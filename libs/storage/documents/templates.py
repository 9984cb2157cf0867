"""Templates as they are stored."""

from datetime import datetime
from typing import ClassVar

from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.templates import Template
from libs.storage.documents.state_document import StateDocument


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
