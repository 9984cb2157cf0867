"""For whom a principal may act: its own organization and every one below it, never up, never sideways.

This is the only place that says so, and its answer is a ``Principal``: whoever acts for another organization is that
organization to every capability and store, which know one ``tenant_id`` and nothing of trees. So there is nothing that
a new capability or query could forget. How a route gets its principal stands in ``services/gateway/http/dependencies``:

- ``principal: Asking`` acts for the organization that has the run, the rejected row or the template that the path
  names (a parameter of ``OWNED``; ``run_id`` also in the query), if it may; else for its own, which
  has no such thing: the answer for what is another's and for what is nobody's is the same.
- ``principal: AskingFor`` is for what is new: it acts for the organization that the query names in ``tenant_id``.
- ``principal: AskingForMany`` is for lists: as before, and with ``include_children`` it sees those below as well.
- an upload acts for its ``target_tenant_id``: what follows goes by ``Received.principal``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from cachetools import TTLCache

from libs.storage.client import Mongo
from libs.storage.documents import (
    Organization,
    RejectedRecord,
    RunDocument,
    SourceDocument,
    TemplateDocument,
    WebhookDelivery,
    WebhookEndpoint,
)
from services.gateway.access.organizations import OrganizationTree
from services.gateway.access.principal import Principal
from services.gateway.errors import NotFoundError
from services.gateway.shown import shown

REMEMBERED_SECONDS = 5.0
"""So long a change of the tree may go unnoticed."""
MAX_REMEMBERED = 10_000
OWNED: Final[Mapping[str, str]] = {
    "run_id": RunDocument.Settings.name,
    "record_id": RejectedRecord.Settings.name,
    "template_id": TemplateDocument.Settings.name,
    "importer_id": TemplateDocument.Settings.name,
    "import_id": RunDocument.Settings.name,
    "endpoint_id": WebhookEndpoint.Settings.name,
    "delivery_id": WebhookDelivery.Settings.name,
    "source_id": SourceDocument.Settings.name,
}
"""By the name of a parameter: the collection of what it is the id of."""


class Reach:
    """Judges by the tree of organizations, which it remembers for a moment."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._tree = OrganizationTree(mongo)
        self._below = TTLCache[str, tuple[str, ...], float](MAX_REMEMBERED, REMEMBERED_SECONDS)
        self._above = TTLCache[str, tuple[str, ...], float](MAX_REMEMBERED, REMEMBERED_SECONDS)

    async def acting_for(self, principal: Principal, tenant_id: str) -> Principal:
        """The principal, acting for an organization.

        Raises:
            NotFoundError: ``TENANT_NOT_FOUND``: it may not, or there is no such organization. That takes the same
                questions and gets the same answer.
        """
        if tenant_id == principal.tenant_id:
            return principal
        if tenant_id in await self._remembered(self._below, principal.tenant_id, self._tree.below):
            return principal.acting_for(tenant_id)
        # It may have been placed there a moment ago.
        self._below.pop(principal.tenant_id, None)
        if tenant_id in await self._remembered(self._below, principal.tenant_id, self._tree.below):
            return principal.acting_for(tenant_id)
        raise NotFoundError(
            "TENANT_NOT_FOUND",
            f"there is no organization {shown(tenant_id)} that this key may act for: only its own and those below it; "
            "check the id",
        )

    async def acting_for_owner(self, principal: Principal, parameter: str, identifier: str) -> Principal:
        """The principal, acting for the organization below its own that has what a parameter of ``OWNED`` names; for
        its own where none has."""
        below = await self._remembered(self._below, principal.tenant_id, self._tree.below)
        if not below:
            return principal
        collection = self._mongo.state[OWNED[parameter]]
        found = await collection.find_one({"_id": identifier, "tenant_id": {"$in": below}}, {"tenant_id": 1})
        return principal if found is None else principal.acting_for(found["tenant_id"])

    async def with_children(self, principal: Principal) -> Principal:
        """The principal, whose lists show what the organizations below have too."""
        below = await self._remembered(self._below, principal.tenant_id, self._tree.below)
        return replace(principal, reach=below)

    async def organizations(self, principal: Principal, limit: int, after: str) -> tuple[list[Organization], bool]:
        """The organization that is acted for, and those below it that the principal sees, by their ids from behind
        ``after``; and whether there are more. What is above an organization only those above it know."""
        found, more = await self._tree.some((principal.tenant_id, *principal.reach), limit, after)
        top = {"parent_id": None}
        return [each.model_copy(update=top) if each.id == principal.tenant_id else each for each in found], more

    async def above(self, tenant_id: str) -> tuple[str, ...]:
        """The organizations above one, the nearest first; what they share it may read."""
        return await self._remembered(self._above, tenant_id, self._tree.above)

    async def _remembered(
        self,
        memory: TTLCache[str, tuple[str, ...], float],
        tenant_id: str,
        ask: Callable[[str], Awaitable[tuple[str, ...]]],
    ) -> tuple[str, ...]:
        if (known := memory.get(tenant_id)) is not None:
            return known
        memory[tenant_id] = found = await ask(tenant_id)
        return found
