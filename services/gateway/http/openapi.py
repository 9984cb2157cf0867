"""The OpenAPI document: Litestar's, completed by what it cannot see in the signatures."""

from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import encode_json

from services.gateway.http.engine.template_models import EngineTemplate
from services.gateway.http.engine.upload_form import IDEMPOTENCY_HEADER, MAX_MAPPING_BYTES, MAX_TEMPLATE_BYTES
from services.gateway.http.envelope import ErrorView

_REFERENCE = "#/components/schemas/{model}"
_ACCEPTED = {"uploadFile", "executeRun", "cancelRun"}
_FORMS = {"uploadFile", "dryRun"}
_SUCCESS = {"executeRun": "200", "cancelRun": "200"}


class _CompletedDocument(JsonRenderPlugin):
    """Serves the completed document; there is no page, which would load its scripts from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        return encode_json(_complete(openapi_schema))


def _without_pages(response: Response[Any]) -> Response[Any]:
    """Litestar answers for what is not there with a page of HTML; here it is an error like any other."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response


def openapi_config(version: str) -> OpenAPIConfig:
    """The document at ``/schema/openapi.json``."""
    return OpenAPIConfig(
        title="Rowdock API",
        version=version,
        description="Files in, validated MongoDB documents out, every row exactly once.",
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(type="http", scheme="bearer", description="An API key: `sk_live_…`")
            }
        ),
        security=[{"apiKey": []}],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_without_pages),
        render_plugins=[_CompletedDocument(path="/openapi.json")],
        use_handler_docstrings=True,
    )


def completed_document(app: Litestar) -> dict[str, Any]:
    """The document of ``app`` as it is served."""
    return _complete(app.openapi_schema.to_schema())


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
    for model in (EngineTemplate, ErrorView):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    error = {
        "description": "What is wrong, where, and how to fix it.",
        "headers": {"X-Request-ID": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=ErrorView.__name__)}}},
    }
    template = {"$ref": _REFERENCE.format(model=EngineTemplate.__name__)}
    paths: dict[str, dict[str, dict[str, Any]]] = document["paths"]
    for path in paths.values():
        for operation in path.values():
            name: str = operation["operationId"]
            responses: dict[str, Any] = operation["responses"]
            for status in [status for status in responses if status.startswith("4")]:
                del responses[status]
            success = next(iter(responses.values()))
            if name in _SUCCESS:
                responses.clear()
                responses[_SUCCESS[name]] = success
            if name in _ACCEPTED:
                responses["202"] = {**success, "description": "Not at its end yet; follow Location."}
            responses["default"] = error
            if name in {"createTemplate", "replaceTemplate"}:
                operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": template}}}
            if name in _FORMS:
                form = _form(with_template=name == "dryRun")
                operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
            if name == "uploadFile":
                operation["parameters"] = [
                    {
                        "name": IDEMPOTENCY_HEADER,
                        "in": "header",
                        "schema": {"type": "string", "maxLength": 255},
                        "description": "Makes a repeated upload return the run of the first.",
                    }
                ]
    # Litestar keeps routes in sets; a document that is compared needs an order.
    document["paths"] = dict(sorted(paths.items()))
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _form(*, with_template: bool) -> dict[str, Any]:
    """The form of an upload; of a dry run with a template that need not be saved."""
    form: dict[str, Any] = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "template_id": {"type": "string", "description": "Send it before the file: a mistake shows sooner."},
            "mapping": {
                "type": "string",
                "contentMediaType": "application/json",
                "maxLength": MAX_MAPPING_BYTES,
                "description": "A JSON object: header → name of the field that the column fills, or null for a column "
                "that is not wanted. Where it names a field it decides alone: a field that it does not name has no "
                "column. With nulls only, the rest is found by name.",
                "examples": ['{"E-mail address": "email", "Remarks": null}'],
            },
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        },
    }
    if not with_template:
        return {**form, "required": ["template_id", "file"]}
    form["properties"]["template"] = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": _REFERENCE.format(model=EngineTemplate.__name__)},
        "maxLength": MAX_TEMPLATE_BYTES,
        "description": "A template that is not saved.",
    }
    return {**form, "oneOf": [{"required": ["template_id"]}, {"required": ["template"]}]}
