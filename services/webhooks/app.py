"""Composition root of the webhooks service."""

from collections.abc import Sequence

from libs.process.context import ServiceContext
from libs.process.loops import Background, repeat
from libs.process.service import Service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.handlers import subscribe
from services.webhooks.http_sender import HttpSender
from services.webhooks.settings import WebhookSettings
from services.webhooks.use_cases import QueueDeliveries, SendDeliveries


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, webhooks: WebhookSettings) -> Service:
    """The webhooks service, not yet running."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        store = DeliveryStore(context.mongo)
        sender = HttpSender(webhooks.webhook_allowed_networks, total_seconds=webhooks.webhook_timeout_seconds)
        send = SendDeliveries(store, sender, webhooks, settings.instance)
        queue = QueueDeliveries(
            context.ledger.changes,
            store,
            context.metrics,
            webhooks.schedule,
            send.wake,
            settings.rescue_after_seconds,
        )
        subscribe(context.consumers, queue)
        return [send.run, lambda: repeat(settings.rescue_after_seconds, queue.rescue, "rescue")]

    return Service("webhooks", settings, mongo_settings, assemble)
