"""Templates as they are stored."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.templates import Template
from libs.storage.documents.state_document import StateDocument


class Wording(BaseModel):
    """What a vocabulary remembers of how a template was written.

    Attributes:
        version: of the template that was written so; says nothing about any other version.
        words: the vocabulary's own business.
    """

    version: int
    words: dict[str, Any]


class CopiedFrom(BaseModel):
    """The template that one is a copy of, as it was then."""

    tenant_id: str
    template_id: str
    version: int


def _stored(template: Template) -> dict[str, Any]:
    return template.model_dump(mode="json")


class TemplateDocument(StateDocument):
    """The current version of a template; runs carry a copy of the version they started with.

    Attributes:
        vocabulary: the one in which the template was written, and in which it and its runs are shown.
        wording: how it was written, where the model keeps only the meaning; ``None`` where nothing is to be added.
        key: by which programs name it that are not to know its id, such as an embedded importer; it never changes.
            ``None`` where its vocabulary has no keys.
        copied_from: what it was made of, where it is a copy.
    """

    tenant_id: str
    version: int = 1
    template: Template
    vocabulary: str = "engine"
    wording: Wording | None = None
    webhook_endpoint_id: str | None = None
    key: str | None = None
    copied_from: CopiedFrom | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    class Settings:
        name = "templates"
        # Beanie would store every member; see ``libs.contracts.templates.parts.added``.
        bson_encoders: ClassVar = {Template: _stored}
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("deleted_at", ASCENDING), ("_id", DESCENDING)], name="tenant_live"),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("vocabulary", ASCENDING),
                    ("deleted_at", ASCENDING),
                    ("_id", DESCENDING),
                ],
                name="tenant_vocabulary",
            ),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("template.target_resource", ASCENDING),
                    ("deleted_at", ASCENDING),
                    ("_id", DESCENDING),
                ],
                name="tenant_resource",
            ),
        ]
