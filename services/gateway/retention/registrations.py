"""Releases keys that no template asks for any more, takes what they left out of the records, and lets resources go that
are of no use: what a crash, or a template deleted while a run of it was under way, has left."""

from datetime import timedelta

import structlog
from bson import ObjectId

from libs.storage.client import Mongo
from services.gateway.stores.registrations import Registrations
from services.gateway.stores.target import OrganizationTarget

KEYS_PER_SWEEP = 200
RESOURCES_PER_SWEEP = 10
CLEARED_PER_SWEEP = 20
PORTIONS_OF_EACH = 10
KEY_AGE = timedelta(hours=1)
"""Longer than it takes to save a template: its key is registered first."""
RESOURCE_AGE = timedelta(days=1)

logger = structlog.get_logger()


class UnaskedRegistrations:
    """Looks at all registrations in turn, a bounded number at a time."""

    def __init__(self, mongo: Mongo, *, key_age: timedelta = KEY_AGE, resource_age: timedelta = RESOURCE_AGE) -> None:
        self._mongo = mongo
        self._registrations = Registrations(mongo)
        self._key_age = key_age
        self._resource_age = resource_age
        self._position: ObjectId | None = None

    async def sweep(self) -> int:
        """Go on; how many keys and resources went."""
        gone = await self._release_keys()
        for released in await self._registrations.released(CLEARED_PER_SWEEP):
            for _ in range(PORTIONS_OF_EACH):
                if await self._registrations.clear(released):
                    break
        async for tenant_id, resource in self._registrations.resources_to_look_at(
            self._resource_age, RESOURCES_PER_SWEEP
        ):
            gone += await OrganizationTarget(self._mongo, tenant_id).forget(resource)
        if gone:
            logger.info("registrations.released", count=gone)
        return gone

    async def _release_keys(self) -> int:
        looked_at = await self._registrations.unasked(self._key_age, self._position, KEYS_PER_SWEEP)
        self._position = looked_at[-1].key.id if len(looked_at) == KEYS_PER_SWEEP else None
        return sum(
            [
                await OrganizationTarget(self._mongo, each.tenant_id).release(each.resource, {each.key.names})
                for each in looked_at
            ]
        )
