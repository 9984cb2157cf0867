"""Request bodies of the engine's operations, for the OpenAPI document."""

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIType, Parameter, Schema

from services.gateway.http.engine.rejected_views import Correction
from services.gateway.http.engine.template_models import EngineTemplate
from services.gateway.http.engine.upload_form import IDEMPOTENCY_HEADER, MAX_MAPPING_BYTES, MAX_TEMPLATE_BYTES
from services.gateway.http.openapi import ApiOperation, reference, request_body

_TEMPLATE_ID = Schema(type=OpenAPIType.STRING, description="Send it before the file: a mistake shows sooner.")
_MAPPING = Schema(
    type=OpenAPIType.STRING,
    content_media_type="application/json",
    max_length=MAX_MAPPING_BYTES,
    description="A JSON object: header → name of the field that the column fills, or null for a column that is not "
    "wanted. Where it names a field it decides alone: a field that it does not name has no column. With nulls only, "
    "the rest is found by name.",
    examples=['{"E-mail address": "email", "Remarks": null}'],
)
_TARGET = Schema(
    type=OpenAPIType.STRING,
    description="The organization whose records are changed: your own, which is the default, or one below it. The run "
    "is that organization's, and so are the quotas and the `Idempotency-Key` that it counts for. Send it before the "
    "file.",
)
_FILE = Schema(type=OpenAPIType.STRING, content_media_type="application/octet-stream")
_TEMPLATE = Schema(
    type=OpenAPIType.STRING,
    content_media_type="application/json",
    content_schema=reference(EngineTemplate),
    max_length=MAX_TEMPLATE_BYTES,
    description="A template that is not saved.",
)


@dataclass
class TemplateOperation(ApiOperation):
    """Takes a template."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_body = request_body("application/json", reference(EngineTemplate))


@dataclass
class CorrectionOperation(ApiOperation):
    """Takes corrections of a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        body = request_body("application/json", reference(Correction))
        body.content["application/json"].example = {"corrected_data": {"sku": "ABC123", "price": "199.00"}}
        self.request_body = body


@dataclass
class UploadOperation(ApiOperation):
    """Takes a file and the id of a saved template."""

    def __post_init__(self) -> None:
        super().__post_init__()
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=["template_id", "file"],
            properties={"template_id": _TEMPLATE_ID, "mapping": _MAPPING, "target_tenant_id": _TARGET, "file": _FILE},
        )
        self.request_body = request_body("multipart/form-data", form)
        key = Parameter(
            name=IDEMPOTENCY_HEADER,
            param_in="header",
            schema=Schema(type=OpenAPIType.STRING, max_length=255),
            description="Makes a repeated upload return the run of the first.",
        )
        self.parameters = [*(self.parameters or []), key]


@dataclass
class DryRunOperation(ApiOperation):
    """Takes a file, and a template that is saved or comes along."""

    def __post_init__(self) -> None:
        super().__post_init__()
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=["file"],
            properties={
                "template_id": _TEMPLATE_ID,
                "mapping": _MAPPING,
                "target_tenant_id": _TARGET,
                "file": _FILE,
                "template": _TEMPLATE,
            },
            one_of=[Schema(required=["template_id"]), Schema(required=["template"])],
        )
        self.request_body = request_body("multipart/form-data", form)
