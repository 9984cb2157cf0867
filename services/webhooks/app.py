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
from services.webhooks.receivers import Receivers
from services.webhooks.settings import WebhookSettings
from services.webhooks.use_cases import QueueDeliveries, SendDeliveries
from services.webhooks.written_rows import WrittenRows


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, webhooks: WebhookSettings) -> Service:
    """The webhooks service, not yet running."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        store = DeliveryStore(context.mongo)
        sender = HttpSender(webhooks.webhook_allowed_networks, total_seconds=webhooks.webhook_timeout_seconds)
        receivers = Receivers(context.mongo)
        send = SendDeliveries(store, receivers, sender, context.metrics, webhooks, settings.instance)
        queue = QueueDeliveries(
            context.ledger.changes,
            store,
            receivers,
            WrittenRows(context.mongo),
            context.metrics,
            webhooks.schedule,
            send.wake,
            settings.rescue_after_seconds,
        )
        subscribe(context.consumers, queue)
        return [send.run, lambda: repeat(settings.rescue_after_seconds, queue.rescue, "rescue")]

    return Service("webhooks", settings, mongo_settings, assemble)
