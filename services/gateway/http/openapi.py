"""The OpenAPI document: what all operations have in common, and how the document is served.

What is special of an operation its handler declares: ``responses``, and an operation class for its request body.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

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
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.serialization import encode_json
from pydantic import BaseModel

from services.gateway.http.envelope import EitherErrorView, ErrorView
from services.gateway.http.etags import ETAG, IF_MATCH_PARAMETER, IF_NONE_MATCH_PARAMETER, TAGGED, Tagged
from services.gateway.http.idempotency import (
    IDEMPOTENCY_PARAMETER,
    IDEMPOTENT,
    REPLAYED,
    REPLAYED_HEADER,
)
from services.gateway.http.reader.page import READER
from services.gateway.http.webhook_events import EVENT_MODELS, webhooks_section

_HEADERS: dict[str, OpenAPIHeader | Reference] = {
    "X-Request-ID": OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING)),
    **{
        name: OpenAPIHeader(schema=Schema(type=OpenAPIType.INTEGER), description=description)
        for name, description in {
            "X-RateLimit-Limit": "Reads (or writes) that the API key may make in a minute; absent without a limit.",
            "X-RateLimit-Remaining": "How many more it may in this one.",
            "X-RateLimit-Reset": "When that ends, in seconds since 1970.",
            "Retry-After": "Seconds until it is worth trying again.",
        }.items()
    },
}
_REFERENCE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> Reference:
    """The place of a model's schema in the document."""
    return Reference(ref=_REFERENCE.format(model=model.__name__))


def request_body(media_type: str, schema: Schema | Reference) -> RequestBody:
    """A body that there has to be."""
    return RequestBody(content={media_type: OpenAPIMediaType(schema=schema)}, required=True)


@dataclass
class ApiOperation(Operation):
    """An operation that may be refused: whatever is wrong, the answer has the one shape of errors.

    Attributes:
        refusal: that shape.
    """

    refusal: ClassVar[type[BaseModel]] = ErrorView

    def __post_init__(self) -> None:
        answers = {status: answer for status, answer in (self.responses or {}).items() if not status.startswith("4")}
        refusal = OpenAPIResponse(
            description="What is wrong, where, and how to fix it.",
            headers=_HEADERS,
            content={"application/json": OpenAPIMediaType(schema=reference(self.refusal))},
        )
        self.responses = {**answers, "default": refusal}


@dataclass
class JsonOperation(ApiOperation):
    """An operation that takes JSON.

    Attributes:
        model: its shape, by whose name it is in the document.
        shown: an example.
        required: whether there has to be any.
    """

    model: ClassVar[type[BaseModel]]
    shown: ClassVar[dict[str, Any] | None] = None
    required: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        body = request_body("application/json", reference(self.model))
        if self.shown is not None:
            body.content["application/json"].example = self.shown
        body.required = self.required
        self.request_body = body


def refuse_with(operation: ApiOperation, models: Sequence[type[BaseModel]]) -> None:
    """Say that what is wrong is answered in the shape of one of ``models``."""
    refusal = (operation.responses or {})["default"]
    if isinstance(refusal, OpenAPIResponse):
        refusal.content = {"application/json": OpenAPIMediaType(schema=Schema(any_of=[*map(reference, models)]))}


def exemplify(operation: ApiOperation, names: Sequence[str], schema: Schema | Reference | None = None) -> None:
    """Give what an operation answers when it succeeds examples, see ``example``, and another schema than that of its
    handler."""
    for status, response in (operation.responses or {}).items():
        if status.startswith("2") and isinstance(response, OpenAPIResponse):
            media = (response.content or {}).get("application/json", OpenAPIMediaType())
            media.schema = schema or media.schema
            media.examples = {name: example(name) for name in names}
            response.content = {"application/json": media}


def also_files(operation: ApiOperation, files: Mapping[str, str | None]) -> None:
    """Say that an operation may answer with files.

    Args:
        operation: it.
        files: their media types, each with an example where it is a text.
    """
    answer = (operation.responses or {})[str(HTTPStatus.OK.value)]
    if isinstance(answer, OpenAPIResponse):
        text = Schema(type=OpenAPIType.STRING)
        binary = Schema(type=OpenAPIType.STRING, content_media_type="application/octet-stream")
        answer.content = {
            **(answer.content or {}),
            **{
                media_type: OpenAPIMediaType(schema=binary if shown is None else text, example=shown)
                for media_type, shown in files.items()
            },
        }


def example(name: str) -> Reference:
    """The place of an example in the document."""
    return Reference(ref=f"#/components/examples/{name}")


class OpenAPIDocument(JsonRenderPlugin):
    """The document at ``/schema/openapi.json``, beside the page that shows it.

    Args:
        models: what request bodies and answers refer to. Of these Pydantic knows more than Litestar does.
        examples: by name, likewise. Litestar leaves out what is null in its own. Those with the name of a model are
            given to every body of that model that has none, those with the id of an operation to what it takes, and to
            the events that it answers with.
    """

    def __init__(self, models: Sequence[type[BaseModel]], examples: Mapping[str, object]) -> None:
        super().__init__(path="/openapi.json")
        self._examples = {name: {"value": value} for name, value in sorted(examples.items())}
        self._models = (ErrorView, EitherErrorView, *dict.fromkeys(EVENT_MODELS.values()), *models)
        self._making = asyncio.Lock()
        self._made: bytes | None = None

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
            openapi_router=Router(
                "/schema",
                route_handlers=READER,
                include_in_schema=False,
                before_request=self._answer,
                after_request=_without_pages,
            ),
            render_plugins=[self],
            use_handler_docstrings=True,
        )

    async def _answer(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        """The document to whoever asks for it: made once, in a thread, because that takes half a second."""
        if request.scope["path"] != "/schema/openapi.json":
            return None
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(lambda: encode_json(self.of(request.app)))
        return Response(self._made, media_type=self.media_type)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return encode_json(self._completed(openapi_schema, request.app))

    def of(self, app: Litestar) -> dict[str, Any]:
        """The document of ``app`` as it is served."""
        return self._completed(app.openapi_schema.to_schema(), app)

    def _completed(self, document: dict[str, Any], app: Litestar) -> dict[str, Any]:
        for operation, opt, method in _operations(document, app):
            _say_what_may_be_repeated(operation, opt)
            _say_what_has_tags(operation, opt, method)
        schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
        for model in self._models:
            schema = model.model_json_schema(ref_template=_REFERENCE)
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        # Litestar keeps routes in sets; a document that is compared needs an order.
        document["paths"] = dict(sorted(document["paths"].items()))
        document["webhooks"] = webhooks_section()
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        document["components"]["examples"] = self._examples
        self._exemplify(document)
        return document

    def _exemplify(self, document: dict[str, Any]) -> None:
        """Give every body that has no example those of its models, or the one of its operation."""
        for path in document["paths"].values():
            for operation in path.values():
                sent = operation.get("requestBody", {})
                for body in (sent, *operation["responses"].values()):
                    for media_type, media in body.get("content", {}).items():
                        by_operation = body is sent or media_type == "text/event-stream"
                        names = [operation["operationId"]] if by_operation else []
                        names += _models_of(media.get("schema", {}))
                        known = [name for name in names if name in self._examples]
                        if known and not {"example", "examples"} & media.keys():
                            media["examples"] = {name: example(name).to_schema() for name in known}


def _models_of(schema: Mapping[str, Any]) -> list[str]:
    """Names of the models of which a body is one."""
    each: list[Mapping[str, Any]] = [schema, *schema.get("anyOf", [])]
    return [one["$ref"].rpartition("/")[2] for one in each if "$ref" in one]


def _operations(document: dict[str, Any], app: Litestar) -> Iterator[tuple[dict[str, Any], Mapping[str, Any], str]]:
    """Operations of the document, each with the ``opt`` of its handler and its method."""
    described = {
        each.get("operationId"): (each, method) for path in document["paths"].values() for method, each in path.items()
    }
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if (found := described.get(getattr(handler, "operation_id", None))) is not None:
                yield found[0], handler.opt, found[1]


def _say_what_may_be_repeated(operation: dict[str, Any], opt: Mapping[str, Any]) -> None:
    if IDEMPOTENT in opt:
        _take(operation, IDEMPOTENCY_PARAMETER)
        _tell(operation, REPLAYED_HEADER, REPLAYED)


def _say_what_has_tags(operation: dict[str, Any], opt: Mapping[str, Any], method: str) -> None:
    if TAGGED not in opt:
        return
    if "204" not in operation["responses"]:
        _tell(operation, "ETag", ETAG)
    if method == "get":
        _take(operation, IF_NONE_MATCH_PARAMETER)
        not_modified = OpenAPIResponse(description="The client has it already.", headers={"ETag": ETAG})
        operation["responses"].setdefault("304", not_modified.to_schema())
    elif opt[TAGGED] is not Tagged.NEW:
        _take(operation, IF_MATCH_PARAMETER)


def _take(operation: dict[str, Any], parameter: Parameter) -> None:
    parameters = operation.setdefault("parameters", [])
    if not any(each.get("name") == parameter.name for each in parameters):
        parameters.append(parameter.to_schema())


def _tell(operation: dict[str, Any], name: str, header: OpenAPIHeader) -> None:
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            answer.setdefault("headers", {})[name] = header.to_schema()


def _without_pages(response: Response[Any]) -> Response[Any]:
    """Litestar answers for what is not there with a page of HTML; here it is an error like any other."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response
