"""The OpenAPI document: what all operations have in common, and how the document is served.

What is special of an operation its handler declares: ``responses``, and an operation class for its request body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.serialization import encode_json
from pydantic import BaseModel

from services.gateway.http.envelope import ErrorView

_REFERENCE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> Reference:
    """The place of a model's schema in the document."""
    return Reference(ref=_REFERENCE.format(model=model.__name__))


def request_body(media_type: str, schema: Schema | Reference) -> RequestBody:
    """A body that there has to be."""
    return RequestBody(content={media_type: OpenAPIMediaType(schema=schema)}, required=True)


@dataclass
class ApiOperation(Operation):
    """An operation that may be refused: whatever is wrong, the answer has the one shape of errors."""

    def __post_init__(self) -> None:
        answers = {status: answer for status, answer in (self.responses or {}).items() if not status.startswith("4")}
        refusal = OpenAPIResponse(
            description="What is wrong, where, and how to fix it.",
            headers={"X-Request-ID": OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING))},
            content={"application/json": OpenAPIMediaType(schema=reference(ErrorView))},
        )
        self.responses = {**answers, "default": refusal}


class OpenAPIDocument(JsonRenderPlugin):
    """The document at ``/schema/openapi.json``; there is no page, which would load its scripts from elsewhere.

    Args:
        models: what the request bodies refer to. Of these Pydantic knows more than Litestar does.
    """

    def __init__(self, models: Sequence[type[BaseModel]]) -> None:
        super().__init__(path="/openapi.json")
        self._models = (ErrorView, *models)

    def config(self, version: str) -> OpenAPIConfig:
        """How Litestar makes and serves the document."""
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
            render_plugins=[self],
            use_handler_docstrings=True,
        )

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        return encode_json(self._completed(openapi_schema))

    def of(self, app: Litestar) -> dict[str, Any]:
        """The document of ``app`` as it is served."""
        return self._completed(app.openapi_schema.to_schema())

    def _completed(self, document: dict[str, Any]) -> dict[str, Any]:
        schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
        for model in self._models:
            schema = model.model_json_schema(ref_template=_REFERENCE)
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        # Litestar keeps routes in sets; a document that is compared needs an order.
        document["paths"] = dict(sorted(document["paths"].items()))
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        return document


def _without_pages(response: Response[Any]) -> Response[Any]:
    """Litestar answers for what is not there with a page of HTML; here it is an error like any other."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response
