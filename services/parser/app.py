"""Composition root of the parser."""

from collections.abc import Sequence

from libs.messaging.service import Backbone, Background, Service, repeat
from libs.messaging.settings import ServiceSettings
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.parser.handlers import subscribe
from services.parser.settings import ParserSettings
from services.parser.use_cases import ParseRun, RescueInbox


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, parser: ParserSettings) -> Service:
    """The parser service, not yet running."""

    async def assemble(backbone: Backbone) -> Sequence[Background]:
        files = FileStore(backbone.mongo)
        subscribe(
            backbone.consumers,
            ParseRun(backbone.ledger, files, backbone.publisher, backbone.metrics, parser, settings.instance),
        )
        rescue = RescueInbox(backbone.ledger, backbone.publisher, backbone.metrics, settings.rescue_after_seconds)
        return [lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue")]

    return Service("parser", settings, mongo_settings, assemble)
