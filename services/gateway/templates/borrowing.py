"""What it takes to run a template in an organization that it does not belong to: shared from above, or of whoever acts
for that organization.

What a template asks of the target was registered for its own organization when it was saved. For another it is
registered when it is first used there, and counts there.
"""

from libs.contracts.templates import Template, asked_keys
from libs.storage.client import Mongo, Session
from services.gateway.errors import BusyError, GatewayError
from services.gateway.stores.target import OrganizationTarget
from services.gateway.templates.catalog import too_many_resources
from services.gateway.templates.unique_keys import KeyRegistrar


class Borrowing:
    """Registers what borrowed templates ask for.

    Args:
        mongo: the databases.
        keys: registers their keys.
        max_resources: that an organization may have.
    """

    def __init__(self, mongo: Mongo, keys: KeyRegistrar, max_resources: int) -> None:
        self._mongo = mongo
        self._keys = keys
        self._max_resources = max_resources

    async def prepare(self, tenant_id: str, template: Template) -> None:
        """Before a run of the template is made in an organization.

        Raises:
            ConflictError: its records break a key of the template, or it would have more keys or resources than it may
                have; as where it saves the template itself. Nothing is left of it.
        """
        target, asked = OrganizationTarget(self._mongo, tenant_id), {key.names for key in asked_keys(template)}
        try:
            await self._count(target, template.target_resource)
            if asked and not asked <= await target.registered(template.target_resource):
                await self._keys.register(tenant_id, template)
        except BusyError:
            return  # It goes on in the background, and the run does not begin to compare rows before it is done.
        except GatewayError:
            await target.release(template.target_resource, asked)
            await target.forget_if_seen(template.target_resource)
            raise

    async def _count(self, target: OrganizationTarget, resource: str) -> None:
        if await target.counts(resource):
            return

        async def body(session: Session) -> None:
            await target.one_save_at_a_time(session)
            resources, new = await target.count_resource(resource, session)
            if new and resources > self._max_resources:
                raise too_many_resources(self._max_resources)

        await self._mongo.transaction(body)
