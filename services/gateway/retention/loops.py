"""What is removed in the background."""

from datetime import timedelta

from libs.process.context import ServiceContext
from libs.process.loops import Background, repeat
from libs.storage.files import FileStore
from services.gateway.retention.expiry import Expiry, Keeping
from services.gateway.retention.organizations import OrganizationDeletion
from services.gateway.retention.orphans import MAX_SWEEP_SECONDS, Orphans
from services.gateway.retention.registrations import UnaskedRegistrations
from services.gateway.settings import GatewaySettings
from services.gateway.stores.dead_letters import DeadLetterStore
from services.gateway.stores.organizations import OrganizationStore
from services.gateway.stores.stored_uploads import StoredUploads


def retention_loops(context: ServiceContext, files: FileStore, settings: GatewaySettings) -> list[Background]:
    """The loops that remove what was kept long enough, what a crash left behind, and organizations that are to go."""
    longest_upload = timedelta(seconds=settings.orphan_after_seconds)
    letters = DeadLetterStore(context.mongo)
    keeping = Keeping(
        files=timedelta(days=settings.keep_files_days),
        runs=timedelta(days=settings.keep_runs_days),
        dead_letters=timedelta(days=settings.keep_dead_letters_days),
    )
    orphans = Orphans(StoredUploads(context.mongo), files, longest_upload)
    expiry = Expiry(context.ledger, letters, keeping)
    deletions = OrganizationDeletion(OrganizationStore(context.mongo), letters, context.ledger, files, longest_upload)
    registrations = UnaskedRegistrations(context.mongo)
    orphan_seconds = min(MAX_SWEEP_SECONDS, settings.orphan_after_seconds)
    return [
        lambda: repeat(orphan_seconds, orphans.sweep, "orphans"),
        lambda: repeat(settings.retention_sweep_seconds, expiry.sweep, "expiry"),
        lambda: repeat(settings.retention_sweep_seconds, deletions.sweep, "deletions"),
        lambda: repeat(settings.retention_sweep_seconds, registrations.sweep, "registrations"),
    ]
