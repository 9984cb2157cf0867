"""Templates of one organization."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import DESCENDING

from libs.storage.client import Session
from libs.storage.documents import TemplateDocument
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore


class TemplateStore(TenantStore[TemplateDocument]):
    """Those that were not deleted."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(TemplateDocument, principal)

    async def get(self, template_id: str) -> TemplateDocument | None:
        """A template, or ``None``."""
        return await self._read(self._one({"_id": template_id, "deleted_at": None}))

    async def replace_version(self, successor: TemplateDocument, session: Session) -> bool:
        """Store the successor of version ``successor.version - 1``; ``False`` where that is no longer the current."""
        return await self._set(
            {"_id": successor.id, "deleted_at": None, "version": successor.version - 1},
            {
                "version": successor.version,
                "template": successor.template,
                "vocabulary": successor.vocabulary,
                "wording": successor.wording,
                "webhook_endpoint_id": successor.webhook_endpoint_id,
                "updated_at": successor.updated_at,
            },
            session,
        )

    async def delete(self, template_id: str, now: datetime) -> bool:
        """Hide a template for good; its runs carry a copy. ``False`` where there is none."""
        return await self._set(
            {"_id": template_id, "deleted_at": None}, {"deleted_at": now, "updated_at": now}, session=None
        )


class UsableTemplates(TenantStore[TemplateDocument]):
    """Those that were not deleted, with those that the organizations above share with this one: to be read only.

    Args:
        principal: who asks.
        above: the organizations above the principal's, as ``Reach.above`` tells.
    """

    def __init__(self, principal: Principal, above: Sequence[str]) -> None:
        super().__init__(TemplateDocument, principal)
        self._above = list(above)

    def _whose(self, tenants: Sequence[str]) -> dict[str, Any]:
        own = super()._whose(tenants)
        if not self._above or self._tenant_id not in tenants:
            return own
        return {"$and": [{"$or": [own, shared_by(self._above)]}]}

    async def get(self, template_id: str) -> TemplateDocument | None:
        """A template, or ``None``."""
        return await self._read(self._one({"_id": template_id, "deleted_at": None}))

    async def page(self, limit: int, after: str | None) -> Page[TemplateDocument]:
        """Templates, newest first, from behind the id ``after``."""
        behind = {} if after is None else {"_id": {"$lt": after}}
        return await self._page(TemplateDocument, {"deleted_at": None, **behind}, ("_id", DESCENDING), limit)


def shared_by(tenants: Sequence[str]) -> dict[str, Any]:
    """The filter of the templates that some organizations share with those below them."""
    return {"tenant_id": {"$in": list(tenants)}, "template.shared_with_children": True}
