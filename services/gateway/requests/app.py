"""Composition root of the requests service."""

from collections.abc import Sequence

from libs.process.context import ServiceContext
from libs.process.loops import Background
from libs.process.service import Service
from libs.process.settings import ServiceSettings
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.gateway.access.callers import Callers
from services.gateway.access.plans import PlanRates
from services.gateway.access.producers import Producers
from services.gateway.access.reach import Reach
from services.gateway.requests.authorization import Askers
from services.gateway.requests.handlers import subscribe
from services.gateway.requests.settings import RequestSettings
from services.gateway.requests.use_cases import TakeRequest
from services.gateway.settings import GatewaySettings
from services.gateway.stores.organizations import OrganizationStore
from services.gateway.uploads.assembly import make_keeper, make_registrar, make_uploads


def create_service(
    settings: ServiceSettings, mongo_settings: MongoSettings, gateway: GatewaySettings, requests: RequestSettings
) -> Service:
    """The requests service, not yet running; ``gateway`` says what an upload may be."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        files, reach = FileStore(context.mongo, context.metrics), Reach(context.mongo)
        keys = make_registrar(context.mongo, gateway)
        uploads = make_uploads(files, reach, context.ledger, keys, make_keeper(context.mongo, gateway), gateway)
        callers = Callers(context.mongo, PlanRates(context.mongo, gateway.rate_limits))
        askers = Askers(requests.requests_trust, Producers(), reach, OrganizationStore(context.mongo))
        take_request = TakeRequest(
            askers, reach, callers, uploads, files, context.ledger.answers, context.metrics, requests
        )
        subscribe(context.consumers, take_request, requests.request_workers)
        return [keys.close_at_the_end]

    return Service("requests", settings, mongo_settings, assemble)
