"""``/api/v1/request-producers``: who may ask for imports on Kafka."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

from litestar import Controller, Response, delete, get, post
from pydantic import AwareDatetime, BaseModel, Field

from libs.storage.documents import RequestProducer
from services.gateway.access.principal import Scope
from services.gateway.access.producers import MAX_KEY_CHARS, MAX_TEMPLATES, WantedProducer
from services.gateway.http.admin.key_views import NewApiKey, Rotation
from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.http.dependencies import AnyRequest, Asking, EffectId, ProducersIn
from services.gateway.http.etags import TAGGED, Tagged, encoded_tagged, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation, JsonOperation
from services.gateway.http.page_parameters import After, Id, Limit
from services.gateway.http.places import Places
from services.gateway.http.request_shape import Json, Part, read_part

_PLACES = Places("body")
_EXAMPLE_KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="


class NewProducer(Part):
    """A producer: ``public_key`` is Ed25519, as PEM or as Base64 of its 32 bytes; ``template_ids`` are the only ones
    that it may use, any where they are null."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    public_key: Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS)]
    template_ids: Annotated[tuple[str, ...] | None, Field(max_length=MAX_TEMPLATES, strict=False)] = None
    expires_at: Annotated[AwareDatetime | None, Field(strict=False)] = None


ADMIN_MODELS = (NewApiKey, Rotation, NewProducer)
"""What the OpenAPI document refers to by name."""


class ProducerView(BaseModel):
    """``id`` is the ``kid`` of its tokens; ``last_used_at`` is when it last asked."""

    id: str
    name: str
    public_key: str
    template_ids: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class ProducerPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[ProducerView]
    next_after: str | None


@dataclass
class NewProducerOperation(JsonOperation):
    """Takes a producer that is wanted."""

    model = NewProducer
    shown: ClassVar[Json | None] = {
        "name": "billing",
        "public_key": f"-----BEGIN PUBLIC KEY-----\n{_EXAMPLE_KEY}\n-----END PUBLIC KEY-----\n",
    }


class ProducerController(Controller):
    """Internal producers of the caller's own organization, for keys with the scope ``admin``."""

    path = "/api/v1/request-producers"
    tags = ("Producers on Kafka",)
    opt = {NEEDED_SCOPE: Scope.ADMIN}  # noqa: RUF012 - as Litestar declares it

    @post(
        "/",
        operation_id="createProducer",
        summary="Register a producer",
        description="It may ask for imports on `imports.requested.v1`, for the organization and those below it, with "
        "tokens signed by the private key, which stays its own.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=NewProducerOperation,
    )
    async def create(
        self, request: AnyRequest, principal: Asking, producers: ProducersIn, effect_id: EffectId
    ) -> Response[ProducerView]:
        body = await json_body(request)
        wanted = await asyncio.to_thread(lambda: _read(body.decoded()))
        with _PLACES.translating():
            made = await producers.add(principal, wanted, effect_id)
        location = {"Location": f"{ProducerController.path}/{made.id}"}
        return encoded_tagged(request, made.version, encoded(_present(made)), HTTPStatus.CREATED, location)

    @get("/", operation_id="listProducers", summary="List producers", operation_class=ApiOperation)
    async def page(
        self, principal: Asking, producers: ProducersIn, limit: Limit = 20, after: After = None
    ) -> Response[ProducerPage]:
        found, more = await producers.page(principal, limit, after)
        page = ProducerPage(data=[_present(each) for each in found], next_after=found[-1].id if more else None)
        return encoded_answer(encoded(page))

    @get(
        "/{producer_id:str}",
        operation_id="getProducer",
        summary="Show a producer",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, producer_id: Id, principal: Asking, producers: ProducersIn
    ) -> Response[ProducerView]:
        found = await producers.get(principal, producer_id)
        return encoded_tagged(request, found.version, encoded(_present(found)))

    @delete(
        "/{producer_id:str}",
        operation_id="revokeProducer",
        summary="Revoke a producer",
        description="It asks for nothing from this answer on. It stays in the list, and stays revoked.",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def revoke(
        self, request: AnyRequest, producer_id: Id, principal: Asking, producers: ProducersIn
    ) -> Response[ProducerView]:
        revoked = await producers.revoke(principal, producer_id, wanted_versions(request))
        return encoded_tagged(request, revoked.version, encoded(_present(revoked)))


def _read(body: object) -> WantedProducer:
    """The producer that a request is about.

    Raises:
        InvalidInputError: it has another shape.
    """
    asked, _ = read_part(NewProducer, body)
    return WantedProducer(asked.name, asked.public_key, asked.template_ids, asked.expires_at)


def _present(stored: RequestProducer) -> ProducerView:
    members: dict[str, Any] = stored.model_dump(include=ProducerView.model_fields.keys() - {"template_ids"})
    return ProducerView(**members, template_ids=stored.templates)
