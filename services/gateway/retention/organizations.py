"""Deletes an organization with everything that it has.

That it is to go is noted first and the organization itself goes last, so that any gateway finishes what a crash on the
way has left. Its keys are of no use at once, but an upload that was under way may still end as a run: so gateways look
again and again, and the organization stays until no such upload can be left.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import structlog

from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.gateway.errors import not_found
from services.gateway.stores.dead_letters import DeadLetterStore
from services.gateway.stores.organizations import Leaving, OrganizationStore

logger = structlog.get_logger()


@dataclass(slots=True)
class Removed:
    """What was removed; ``finished`` where the organization itself is gone too."""

    runs: int = 0
    records: int = 0
    files: int = 0
    dead_letters: int = 0
    others: int = 0
    finished: bool = False


class OrganizationDeletion:
    """Carries deletions out.

    Args:
        longest_upload: how long after its keys were revoked an upload of the organization may still be under way.
    """

    def __init__(
        self,
        store: OrganizationStore,
        letters: DeadLetterStore,
        ledger: Ledger,
        files: FileStore,
        longest_upload: timedelta,
    ) -> None:
        self._store = store
        self._letters = letters
        self._ledger = ledger
        self._files = files
        self._longest_upload = longest_upload

    async def request(self, tenant_id: str, *, keep_records: bool = False) -> Leaving:
        """Decide that an organization goes. From here on it cannot be stopped; asking again changes nothing.

        Raises:
            NotFoundError: there is no such organization.
            ConflictError: ``ORGANIZATION_HAS_CHILDREN``.
        """
        leaving = await self._store.request_deletion(tenant_id, keep_records=keep_records)
        if leaving is None:
            raise not_found("organization", tenant_id)
        await self._store.revoke_keys(tenant_id)
        failpoint("retention.keys_revoked")
        return leaving

    async def sweep(self) -> None:
        """Go on with every deletion that was requested."""
        for leaving in await self._store.leaving():
            removed = await self.carry_out(leaving)
            if removed != Removed():
                logger.info("organization.removed", tenant_id=leaving.id, **asdict(removed))

    async def carry_out(self, leaving: Leaving) -> Removed:
        """Remove what the organization has now, and itself where nothing can come any more."""
        deletion, tenant_id = leaving.deletion, leaving.id
        over = datetime.now(UTC) - deletion.requested_at > self._longest_upload
        await self._store.revoke_keys(tenant_id)
        removed = Removed()
        everything = over or deletion.swept_at is None
        if everything:
            removed.dead_letters = await self._remove_dead_letters(tenant_id)
        resources = await self._remove_runs(tenant_id, removed)
        failpoint("retention.runs_removed")
        removed.others = await self._store.remove_configuration(tenant_id)
        if everything:
            for file_id in await self._store.files(tenant_id):
                await self._files.delete(file_id)
                removed.files += 1
        if not deletion.keep_records:
            everywhere = await self._store.resources() if everything else resources
            removed.records = await self._store.remove_records(tenant_id, everywhere)
        removed.others += await self._store.remove_registrations(tenant_id)
        failpoint("retention.records_removed")
        await self._store.note_swept(tenant_id)
        if over and not resources:
            await self._store.remove(tenant_id)
            removed.finished = True
        return removed

    async def _remove_runs(self, tenant_id: str, removed: Removed) -> set[str]:
        """Stop and remove the runs; the resources that they wrote to, or may have written to."""
        resources: set[str] = set()
        async for run in self._store.runs(tenant_id):
            resources.add(run.resource)
            if run.purged:
                await self._ledger.purge.run(run.id)
            elif run.active:
                await self._ledger.stop(
                    run.id, RunStatus.CANCELLED, RunErrorCode.CANCELLED, "the organization is being deleted"
                )
            removed.runs += run.purged or await self._ledger.expiry.remove(run.id)
        return resources

    async def _remove_dead_letters(self, tenant_id: str) -> int:
        """Before the runs go: by them it is known whose letters those are."""
        mine = [
            letter
            async for letter, ids in self._letters.mentioned_ids()
            if tenant_id in ids or await self._store.has_run(tenant_id, ids)
        ]
        return await self._letters.remove(mine)
