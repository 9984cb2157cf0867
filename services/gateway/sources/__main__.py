"""Take files from sources: ``python -m services.gateway.sources``, in any number of processes."""

from collections.abc import Sequence
from functools import partial

from libs.process.context import ServiceContext
from libs.process.loops import Background
from libs.process.service import Service, run_service
from libs.process.settings import ServiceSettings
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.gateway.access.reach import Reach
from services.gateway.settings import GatewaySettings
from services.gateway.sources.opening import Places
from services.gateway.sources.polling import Pace, Poller, poll
from services.gateway.sources.taking import Taking
from services.gateway.stores.source_ledger import SourceLedger
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.uploads.assembly import make_keeper, make_registrar, make_uploads

SERVICE = "sources"


def poller(context: ServiceContext, gateway: GatewaySettings, keys: KeyRegistrar) -> Poller:
    """What takes files, within the limits that the gateway has for uploads."""
    ledger = SourceLedger(context.mongo, context.ledger.leases, context.settings.instance)
    files, keeper = FileStore(context.mongo, context.metrics), make_keeper(context.mongo, gateway)
    uploads = make_uploads(files, Reach(context.mongo), context.ledger, keys, keeper, gateway)
    pace = Pace(gateway.source_files_a_look, gateway.source_looks)
    return Poller(
        ledger,
        Places.of(gateway),
        Taking(ledger, uploads, gateway.max_upload_bytes, context.metrics, gateway.upload_bytes_per_second),
        context.metrics,
        pace,
    )


async def assemble(context: ServiceContext) -> Sequence[Background]:
    """The loops that look at sources."""
    gateway = GatewaySettings.model_validate({})
    keys = make_registrar(context.mongo, gateway)
    polling = poller(context, gateway, keys)
    return [keys.close_at_the_end, *(partial(poll, polling) for _ in range(gateway.source_looks))]


def main() -> None:
    """Work until told to stop."""
    run_service(Service(SERVICE, ServiceSettings.model_validate({}), MongoSettings.model_validate({}), assemble))


if __name__ == "__main__":
    main()
