"""Composition root of the validator."""

from collections.abc import Sequence

from libs.messaging.service import Backbone, Background, Service, repeat
from libs.messaging.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.validator.handlers import subscribe
from services.validator.settings import ValidatorSettings
from services.validator.use_cases import Barrier, RescueInbox, RunCache, ValidateBatch


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, validator: ValidatorSettings) -> Service:
    """The validator service, not yet running."""

    async def assemble(backbone: Backbone) -> Sequence[Background]:
        ledger, metrics = backbone.ledger, backbone.metrics
        runs = RunCache(ledger)
        barrier = Barrier(backbone.mongo, ledger, metrics, validator, runs, settings.instance)
        subscribe(backbone.consumers, ValidateBatch(backbone.mongo, ledger, metrics, validator, barrier, runs))
        rescue = RescueInbox(ledger, backbone.publisher, metrics, barrier, settings.rescue_after_seconds)
        return [lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue")]

    return Service("validator", settings, mongo_settings, assemble)
