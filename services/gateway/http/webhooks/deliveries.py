"""``/api/v1/webhook-deliveries``."""

from http import HTTPStatus

from litestar import Controller, Response, get, post

from services.gateway.http.answers import answer
from services.gateway.http.dependencies import Asking, WebhooksIn
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import Id
from services.gateway.http.webhooks.endpoint_views import DeliveryView, present_delivery


class DeliveryController(Controller):
    """Single deliveries."""

    path = "/api/v1/webhook-deliveries"
    tags = ("Webhooks",)

    @get(
        "/{delivery_id:str}",
        operation_id="getWebhookDelivery",
        summary="Show a delivery with every attempt",
        operation_class=ApiOperation,
    )
    async def show(self, delivery_id: Id, principal: Asking, webhooks: WebhooksIn) -> Response[DeliveryView]:
        found = await webhooks.delivery(principal, delivery_id)
        return await answer(lambda: present_delivery(found))

    @post(
        "/{delivery_id:str}/resend",
        operation_id="resendWebhook",
        summary="Send a delivery again",
        description="Under the same `webhook-id`, with the whole schedule before it; what is waiting is tried at once.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.ACCEPTED,
    )
    async def resend(self, delivery_id: Id, principal: Asking, webhooks: WebhooksIn) -> Response[DeliveryView]:
        again = await webhooks.resend(principal, delivery_id)
        return await answer(lambda: present_delivery(again), HTTPStatus.ACCEPTED)
