"""What the operations on importers take and answer, for the OpenAPI document; with the examples of their reference."""

from dataclasses import dataclass

from litestar.openapi.spec import RequestBody
from pydantic import BaseModel

from services.gateway.http.importers.importer_models import Importer, ImporterChanges
from services.gateway.http.openapi import ApiOperation, example, exemplify, reference, request_body
from services.gateway.http.request_shape import Json

_FIELD: Json = {
    "name": "email",
    "display_name": "Email Address",
    "type": "email",
    "validators": [{"type": "required", "message": "Email is required"}],
    "transformations": [{"type": "trim"}, {"type": "lowercase"}],
    "options": None,
}
IMPORTER: Json = {
    "name": "Customer Import",
    "description": "Import customer data",
    "fields": [_FIELD],
    "webhook_url": "https://example.com/webhook",
    "webhook_enabled": True,
    "include_data_in_webhook": False,
    "webhook_data_sample_size": 10,
    "include_unmatched_columns": False,
    "filter_invalid_rows": False,
    "disable_on_invalid_rows": False,
    "dark_mode": False,
}
SHOWN: Json = {
    **IMPORTER,
    "id": "6764a1b2-c3d4-8e5f-8000-00060718293a",
    "key": "0b0f4c0e-3a55-4e0f-9a57-0f1f6a8f2c11",
    "fields": [{**_FIELD, "id": "email", "label": "Email Address"}],
    "created_at": "2024-01-01T00:00:00Z",
    "updated_at": "2024-01-01T00:00:00Z",
    "target_resource": "customer_import_5f0c9a1e",
    "tenant_id": "6764a1b2c3d4e5f607182900",
    "webhook_secret": None,
    "errors": [],
}


CHANGES: Json = {"name": "Customers", "disable_on_invalid_rows": True}
EXAMPLES = {"Importer": SHOWN, "ImporterList": [SHOWN], "ImporterRequest": IMPORTER, "ImporterChanges": CHANGES}


@dataclass
class ImporterOperation(ApiOperation):
    """Shows an importer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        exemplify(self, ["Importer"])


@dataclass
class ImporterListOperation(ApiOperation):
    """Lists importers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        exemplify(self, ["ImporterList"])


@dataclass
class CreateImporterOperation(ImporterOperation):
    """Takes an importer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_body = _body(Importer, "ImporterRequest")


@dataclass
class UpdateImporterOperation(ImporterOperation):
    """Takes what of an importer is to be changed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_body = _body(ImporterChanges, "ImporterChanges")


def _body(model: type[BaseModel], name: str) -> RequestBody:
    body = request_body("application/json", reference(model))
    body.content["application/json"].examples = {name: example(name)}
    return body
