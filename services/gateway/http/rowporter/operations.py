"""What the OpenAPI document says of the operations of this vocabulary beyond their handlers: bodies and examples."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from libs.contracts.branding import Branding
from services.gateway.http.openapi import ApiOperation, example, exemplify, reference, refuse_with, request_body
from services.gateway.http.request_shape import Json
from services.gateway.http.rowporter.branding_models import BrandingChanges, BrandingSaved, present_branding
from services.gateway.http.rowporter.examples import LISTED, TEMPLATE
from services.gateway.http.rowporter.refusals import RowporterError
from services.gateway.http.rowporter.template_models import RowporterTemplate, RowporterTemplateChanges

_NEW_TEMPLATE: Json = {
    "name": "Contact Import",
    "columns": [
        {"key": "email", "name": "Email", "type": "email", "required": True},
        {"key": "name", "name": "Full Name", "type": "string", "required": True},
        {
            "key": "age",
            "name": "Age",
            "type": "number",
            "validations": [{"type": "min", "value": 0}, {"type": "max", "value": 150}],
        },
    ],
}
_TEMPLATES: Json = {"data": [TEMPLATE], "pagination": {"page": 1, "limit": 20, "total": 5, "totalPages": 1}}
_IMPORTS: Json = {"data": [LISTED], "pagination": {"page": 1, "limit": 20, "total": 1, "totalPages": 1}}
_BRANDING = present_branding(Branding(logo_url="https://example.com/logo.png")).model_dump()
_BRANDING_CHANGES = {
    "primaryColor": "#6366F1",
    "logoUrl": "https://example.com/new-logo.png",
    "showPoweredBy": False,
    "borderRadius": "large",
    "customWelcomeText": "Upload your file to import data",
}

EXAMPLES: Json = {
    "RowporterTemplate": _NEW_TEMPLATE,
    "RowporterTemplateChanges": {"name": "Updated Template Name"},
    "RowporterTemplateView": TEMPLATE,
    "RowporterTemplatePage": _TEMPLATES,
    "ImportPage": _IMPORTS,
    "BrandingChanges": _BRANDING_CHANGES,
    "BrandingSaved": BrandingSaved().model_dump(),
    "BrandingView": _BRANDING,
}
"""By name, for the OpenAPI document."""


@dataclass
class RowporterOperation(ApiOperation):
    """An operation with the errors of this vocabulary.

    Attributes:
        answered: the name of an example of its answer.
        sent: the name of an example of its request.
        body: the model of that.
    """

    answered: ClassVar[str | None] = None
    sent: ClassVar[str | None] = None
    body: ClassVar[type[BaseModel] | None] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_with(self, [RowporterError])
        if self.answered is not None:
            exemplify(self, [self.answered])
        if self.body is not None and self.sent is not None:
            self.request_body = request_body("application/json", reference(self.body))
            self.request_body.content["application/json"].examples = {self.sent: example(self.sent)}


@dataclass
class TemplateOperation(RowporterOperation):
    """Answers with a template."""

    answered = "RowporterTemplateView"


@dataclass
class TemplateListOperation(RowporterOperation):
    """Answers with a page of templates."""

    answered = "RowporterTemplatePage"


@dataclass
class CreateTemplateOperation(TemplateOperation):
    """Takes a template."""

    sent = "RowporterTemplate"
    body = RowporterTemplate


@dataclass
class UpdateTemplateOperation(TemplateOperation):
    """Takes changes of a template."""

    sent = "RowporterTemplateChanges"
    body = RowporterTemplateChanges


@dataclass
class ImportListOperation(RowporterOperation):
    """Answers with a page of imports."""

    answered = "ImportPage"


@dataclass
class BrandingOperation(RowporterOperation):
    """Answers with a branding."""

    answered = "BrandingView"


@dataclass
class BrandingChangeOperation(RowporterOperation):
    """Takes changes of a branding."""

    answered = "BrandingSaved"
    sent = "BrandingChanges"
    body = BrandingChanges
