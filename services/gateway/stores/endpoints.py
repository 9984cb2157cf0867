"""Webhook receivers of one organization."""

from collections.abc import Collection
from typing import Any

from libs.storage.client import Session
from libs.storage.documents import WebhookEndpoint
from services.gateway.access.principal import Principal
from services.gateway.stores.tenant import TenantStore


class EndpointStore(TenantStore[WebhookEndpoint]):
    """Receivers, one per template that has a ``webhook_url``."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(WebhookEndpoint, principal)

    async def by_id(self, ids: Collection[str]) -> dict[str, WebhookEndpoint]:
        """Those of ``ids`` that there are, by id; also of organizations that the principal looks at."""
        if not ids:
            return {}
        found = await self._read(self._all_seen({"_id": {"$in": list(ids)}}).to_list())
        return {endpoint.id: endpoint for endpoint in found}

    async def change(self, endpoint_id: str, changes: dict[str, Any], session: Session) -> None:
        """Set ``changes`` of a receiver."""
        await self._set({"_id": endpoint_id}, changes, session)
