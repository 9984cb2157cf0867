"""``/api/v1/webhook-endpoints``."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import QueryParameter

from libs.storage.documents import WebhookEndpoint
from services.gateway.http.answers import answer, encoded, encoded_answer
from services.gateway.http.dependencies import AnyRequest, Asking, AskingFor, AskingForMany, EffectId, WebhooksIn
from services.gateway.http.etags import TAGGED, Tagged, encoded_tagged, version_tag, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import After, AfterDigest, Id, Limit
from services.gateway.http.places import Places
from services.gateway.http.request_shape import read_part
from services.gateway.http.webhooks.endpoint_views import (
    DeliveryPage,
    DeliveryState,
    DeliveryView,
    EndpointChangeOperation,
    EndpointPage,
    EndpointView,
    NewEndpointOperation,
    NewEndpointView,
    ReplayOperation,
    ReplayRequest,
    ReplayView,
    SecretRotation,
    SecretRotationOperation,
    overlap_of,
    present_deliveries,
    present_delivery,
    present_endpoint,
    present_endpoints,
    present_made,
    present_replay,
    read_changes,
    read_new,
)

_PLACES = Places("body")
StatusFilter = Annotated[DeliveryState | None, QueryParameter(description="Only deliveries in this status.")]


class EndpointController(Controller):
    """Who hears of an organization's events. Those of templates are listed too; what they are is said there."""

    path = "/api/v1/webhook-endpoints"
    tags = ("Webhooks",)

    @post(
        "/",
        operation_id="createWebhookEndpoint",
        summary="Register an endpoint for events",
        description="It hears of what happens from now on. The secret to verify with is in this answer only.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=NewEndpointOperation,
    )
    async def create(
        self, request: AnyRequest, acting: AskingFor, webhooks: WebhooksIn, effect_id: EffectId
    ) -> Response[NewEndpointView]:
        body = await json_body(request)
        wanted, secret = await asyncio.to_thread(lambda: read_new(body.decoded()))
        with _PLACES.translating():
            made = await webhooks.add(acting, wanted, secret, effect_id)
        headers = {"Location": f"{self.path}/{made.endpoint.id}", **version_tag(made.endpoint.version)}
        return encoded_answer(encoded(present_made(made)), HTTPStatus.CREATED, headers)

    @get("/", operation_id="listWebhookEndpoints", summary="List endpoints", operation_class=ApiOperation)
    async def page(
        self, looking: AskingForMany, webhooks: WebhooksIn, limit: Limit = 20, after: After = None
    ) -> Response[EndpointPage]:
        found = await webhooks.page(looking, limit, after)
        return await answer(lambda: present_endpoints(found.items, more=found.more))

    @get(
        "/{endpoint_id:str}",
        operation_id="getWebhookEndpoint",
        summary="Show one",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn
    ) -> Response[EndpointView]:
        return _shown(request, await webhooks.get(principal, endpoint_id))

    @patch(
        "/{endpoint_id:str}",
        operation_id="changeWebhookEndpoint",
        summary="Change an endpoint",
        description="409 `ENDPOINT_OF_TEMPLATE` where it is a template's: change it there.",
        opt={TAGGED: Tagged.THERE},
        operation_class=EndpointChangeOperation,
    )
    async def change(
        self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn
    ) -> Response[EndpointView]:
        versions, body = wanted_versions(request), await json_body(request)
        changes = await asyncio.to_thread(lambda: read_changes(body.decoded()))
        with _PLACES.translating():
            changed = await webhooks.change(principal, endpoint_id, changes, versions)
        return _shown(request, changed)

    @delete(
        "/{endpoint_id:str}",
        operation_id="removeWebhookEndpoint",
        summary="Remove an endpoint",
        description="What waits for it is not sent. 409 `ENDPOINT_OF_TEMPLATE` where it is a template's.",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def remove(self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn) -> None:
        await webhooks.remove(principal, endpoint_id, wanted_versions(request))

    @post(
        "/{endpoint_id:str}/enable",
        operation_id="enableWebhookEndpoint",
        summary="Switch an endpoint on again",
        description="Also one that Rowdock has switched off. What was not sent meanwhile is sent by a replay.",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def enable(
        self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn
    ) -> Response[EndpointView]:
        return _shown(request, await webhooks.enable(principal, endpoint_id, wanted_versions(request)))

    @post(
        "/{endpoint_id:str}/rotate-secret",
        operation_id="rotateWebhookSecret",
        summary="Replace the signing secret",
        description="The new one is in this answer only. Until `overlap_seconds` are over, a day unless told "
        "otherwise, the header has a signature by each, so that a receiver can change over in between.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.THERE},
        operation_class=SecretRotationOperation,
        status_code=HTTPStatus.OK,
    )
    async def rotate(
        self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn, effect_id: EffectId
    ) -> Response[NewEndpointView]:
        versions, body = wanted_versions(request), await json_body(request)
        wanted, _ = await asyncio.to_thread(lambda: read_part(SecretRotation, body.decoded() if body.content else {}))
        overlap = overlap_of(wanted)
        with _PLACES.translating():
            made = await webhooks.rotate(principal, endpoint_id, wanted.secret, overlap, effect_id, versions)
        return encoded_answer(encoded(present_made(made)), HTTPStatus.OK, version_tag(made.endpoint.version))

    @post(
        "/{endpoint_id:str}/test",
        operation_id="testWebhookEndpoint",
        summary="Send a test",
        description="An event `webhook.test`, whatever the endpoint hears of otherwise; at most one a second. The "
        "answer is its delivery, which tells soon how it went.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.ACCEPTED,
    )
    async def test(self, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn) -> Response[DeliveryView]:
        sent = await webhooks.test(principal, endpoint_id)
        return encoded_answer(encoded(present_delivery(sent)), HTTPStatus.ACCEPTED)

    @get(
        "/{endpoint_id:str}/deliveries",
        operation_id="listWebhookDeliveries",
        summary="List what was sent to an endpoint, or is to be",
        operation_class=ApiOperation,
    )
    async def deliveries(
        self,
        endpoint_id: Id,
        principal: Asking,
        webhooks: WebhooksIn,
        status: StatusFilter = None,
        limit: Limit = 20,
        after: AfterDigest = None,
    ) -> Response[DeliveryPage]:
        found = await webhooks.deliveries(principal, endpoint_id, status and status.value, limit, after)
        return await answer(lambda: present_deliveries(found.items, more=found.more))

    @post(
        "/{endpoint_id:str}/replay",
        operation_id="replayWebhooks",
        summary="Send again what failed, or everything, of a time",
        description="Under the same `webhook-id`, so a receiver that has it already drops it. At most 10,000 at once.",
        operation_class=ReplayOperation,
        status_code=HTTPStatus.OK,
    )
    async def replay(
        self, request: AnyRequest, endpoint_id: Id, principal: Asking, webhooks: WebhooksIn
    ) -> Response[ReplayView]:
        body = await json_body(request)
        wanted, _ = await asyncio.to_thread(lambda: read_part(ReplayRequest, body.decoded()))
        states = {each.value for each in wanted.statuses}
        done = await webhooks.replay(principal, endpoint_id, states, wanted.since, wanted.until)
        return encoded_answer(encoded(present_replay(done)))


def _shown(request: AnyRequest, endpoint: WebhookEndpoint) -> Response[EndpointView]:
    return encoded_tagged(request, endpoint.version, encoded(present_endpoint(endpoint)))
