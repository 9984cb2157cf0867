"""Request bodies of the engine's operations, for the OpenAPI document."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Schema

from services.gateway.http.engine.bulk_correction_views import BulkCorrectionRequest
from services.gateway.http.engine.rejected_views import Correction
from services.gateway.http.engine.row_views import MEDIA_TYPES, RowsFormat
from services.gateway.http.engine.template_models import EngineTemplate
from services.gateway.http.engine.upload_form import MAX_TEMPLATE_BYTES
from services.gateway.http.openapi import ApiOperation, also_files, reference, request_body
from services.gateway.http.upload_parts import FILE_SCHEMA, MAPPING_SCHEMA

_TEMPLATE_ID = Schema(type=OpenAPIType.STRING, description="Send it before the file: a mistake shows sooner.")
_TARGET = Schema(
    type=OpenAPIType.STRING,
    description="The organization whose records are changed: your own, which is the default, or one below it. The run "
    "is that organization's, and so are the quotas and the `Idempotency-Key` that it counts for. Send it before the "
    "file.",
)
_CSV, _NDJSON, _XLSX = (MEDIA_TYPES[each] for each in (RowsFormat.CSV, RowsFormat.NDJSON, RowsFormat.XLSX))
_CSV_OF_RECORDS: Final = (
    "_id,_tenant_id,_run_id,_row,_created_at,_updated_at,_is_deleted,_deleted_at,sku,price\r\n"
    "63cde339155a2af800000001,6b0c8b65d1e0f265a29801b8,6b0c8b665d103d7badb5067a,1,2025-06-05T20:30:30.865000Z,"
    "2025-06-05T20:30:30.865000Z,false,,ABC123,199.00\r\n"
)
_NDJSON_OF_RECORDS: Final = (
    '{"id":"63cde339155a2af800000001","tenant_id":"6b0c8b65d1e0f265a29801b8","fields":{"sku":"ABC123",'
    '"price":"199.00"},"extra":null,"is_deleted":false,"deleted_at":null,"run_id":"6b0c8b665d103d7badb5067a","row":1,'
    '"version":1,"created_at":"2025-06-05T20:30:30.865000Z","updated_at":"2025-06-05T20:30:30.865000Z"}\n'
)
_CSV_OF_ROWS: Final = (
    "_row,_outcome,_record_id,_reasons,_warnings,_revert,SKU,Price\r\n"
    "1,created,63cde339155a2af800000001,,,,ABC123,199.00\r\n"
)
_NDJSON_OF_ROWS: Final = (
    '{"row":1,"outcome":"created","record_id":"63cde339155a2af800000001","data":{"SKU":"ABC123","Price":"199.00"},'
    '"data_missing":null,"more_cells":[],"reasons":[],"warnings":[],"revert":null,"kept":null}\n'
)
_CSV_OF_REJECTED: Final = (
    "_row,_run,_reasons,SKU,Price\r\n4,6b0c8b665d103d7badb5067a,REQUIRED SKU: A value is required.,,5.00\r\n"
)
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
class CorrectionFileOperation(ApiOperation):
    """Takes a file of corrections."""

    def __post_init__(self) -> None:
        super().__post_init__()
        form = Schema(type=OpenAPIType.OBJECT, required=["file"], properties={"file": FILE_SCHEMA})
        self.request_body = request_body("multipart/form-data", form)


@dataclass
class BulkCorrectionOperation(ApiOperation):
    """Takes a correction of many rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        body = request_body("application/json", reference(BulkCorrectionRequest))
        change = {"type": "replace", "old": "EUR", "new": "", "match": "part"}
        body.content["application/json"].example = {"code": "NOT_A_NUMBER", "field": "price", "change": change}
        self.request_body = body


@dataclass
class RecordFileOperation(ApiOperation):
    """Answers with a file of records."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {})[str(HTTPStatus.OK.value)]
        if isinstance(answer, OpenAPIResponse):
            answer.content = None
        also_files(self, {_CSV: _CSV_OF_RECORDS, _NDJSON: _NDJSON_OF_RECORDS, _XLSX: None})


@dataclass
class PageOrRecordFileOperation(ApiOperation):
    """Answers with a page, or with a file of records."""

    def __post_init__(self) -> None:
        super().__post_init__()
        also_files(self, {_CSV: _CSV_OF_RECORDS, _NDJSON: _NDJSON_OF_RECORDS, _XLSX: None})


@dataclass
class PageOrRowFileOperation(ApiOperation):
    """Answers with a page, or with a file of rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        also_files(self, {_CSV: _CSV_OF_ROWS, _NDJSON: _NDJSON_OF_ROWS, _XLSX: None})


@dataclass
class RejectedFileOperation(ApiOperation):
    """Answers with a file of rejected rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {})[str(HTTPStatus.OK.value)]
        if isinstance(answer, OpenAPIResponse):
            answer.content = None
        also_files(self, {_XLSX: None, _CSV: _CSV_OF_REJECTED})


@dataclass
class UploadOperation(ApiOperation):
    """Takes a file and the id of a saved template."""

    def __post_init__(self) -> None:
        super().__post_init__()
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=["template_id", "file"],
            properties={
                "template_id": _TEMPLATE_ID,
                "mapping": MAPPING_SCHEMA,
                "target_tenant_id": _TARGET,
                "file": FILE_SCHEMA,
            },
        )
        self.request_body = request_body("multipart/form-data", form)


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
                "mapping": MAPPING_SCHEMA,
                "target_tenant_id": _TARGET,
                "file": FILE_SCHEMA,
                "template": _TEMPLATE,
            },
            one_of=[Schema(required=["template_id"]), Schema(required=["template"])],
        )
        self.request_body = request_body("multipart/form-data", form)
