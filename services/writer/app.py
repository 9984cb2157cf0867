"""Composition root of the writer."""

from collections.abc import Sequence

from libs.messaging.service import Backbone, Background, Service, repeat
from libs.messaging.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.writer.handlers import subscribe
from services.writer.settings import WriterSettings
from services.writer.use_cases import AnnounceBatches, RescueInbox, WriteBatch


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, writer: WriterSettings) -> Service:
    """The writer service, not yet running."""

    async def assemble(backbone: Backbone) -> Sequence[Background]:
        ledger, publisher = backbone.ledger, backbone.publisher
        subscribe(
            backbone.consumers,
            AnnounceBatches(ledger, publisher),
            WriteBatch(backbone.mongo, ledger, backbone.metrics, writer),
            workers=writer.writer_transactions,
        )
        rescue = RescueInbox(ledger, publisher, backbone.metrics, settings.rescue_after_seconds)
        return [lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue")]

    return Service("writer", settings, mongo_settings, assemble)
