"""What takes files in, put together as the operator has set it, for each process that starts imports."""

from libs.ledger import Ledger
from libs.process.shares import Shares, Turns
from libs.storage.client import Mongo
from libs.storage.files import FileStore
from services.gateway.access.reach import Reach
from services.gateway.settings import GatewaySettings
from services.gateway.stores.usage import UsageStore
from services.gateway.templates.borrowing import Borrowing
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.uploads.quotas import QuotaKeeper, RunQuotas
from services.gateway.uploads.uploads import Uploads


def make_registrar(mongo: Mongo, gateway: GatewaySettings) -> KeyRegistrar:
    """What registers the keys that templates ask for; one in each process, to be closed by it."""
    return KeyRegistrar(mongo, gateway.max_keys_per_resource, gateway.key_wait_seconds)


def make_keeper(mongo: Mongo, gateway: GatewaySettings) -> QuotaKeeper:
    """What an organization may have of runs and stored bytes."""
    quotas = RunQuotas(gateway.max_active_runs, gateway.max_queued_bytes, gateway.max_stored_bytes)
    return QuotaKeeper(UsageStore(mongo), quotas)


def make_uploads(
    files: FileStore, reach: Reach, ledger: Ledger, keys: KeyRegistrar, keeper: QuotaKeeper, gateway: GatewaySettings
) -> Uploads:
    """What takes files in; one in each process, so that all of its uploads wait for the same turns."""
    borrowing = Borrowing(files.mongo, keys, gateway.max_resources)
    turns = Turns(Shares(gateway.max_concurrent_uploads), gateway.upload_queue_seconds, gateway.max_waiting_uploads)
    return Uploads(files, reach, ledger, borrowing, turns, keeper, gateway.large_file_bytes)
