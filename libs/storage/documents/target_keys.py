"""What no two records of a tenant may share, and which resources a tenant has."""

from datetime import datetime
from typing import ClassVar

from beanie import Document
from pymongo import ASCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument


class TargetKeyDocument(Document):
    """One registration, see ``libs.storage.target_keys``; its ``_id`` is the scope of its entries in the records.

    Attributes:
        names: the fields, sorted.
        combination: the same as one text.
        state: ``building`` until every record has its entry, then ``active``.
        asked_at: when somebody last asked for it.
        released_at: since when it binds nobody; it is gone when no record has an entry of it.
    """

    tenant_id: str
    resource: str
    names: list[str]
    combination: str
    state: str
    created_at: datetime
    asked_at: datetime
    released_at: datetime | None = None

    class Settings:
        name = "target_keys"
        indexes: ClassVar = [
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("resource", ASCENDING),
                    ("combination", ASCENDING),
                    ("released_at", ASCENDING),
                ],
                name="one_of_a_combination",
                unique=True,
            ),
            IndexModel([("released_at", ASCENDING), ("_id", ASCENDING)], name="released"),
        ]


class TargetResource(StateDocument):
    """A resource that counts for a tenant: a template of it names it, or it may have records there.

    Attributes:
        asked_at: when a template that names it was last saved, or it was last found to be of use.
    """

    tenant_id: str
    resource: str
    created_at: datetime
    asked_at: datetime

    class Settings:
        name = "target_resources"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING)], name="tenant"),
            IndexModel([("asked_at", ASCENDING)], name="asked"),
        ]
