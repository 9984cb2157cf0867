"""Webhook receivers of one organization."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, cast

from libs.storage.client import Collection as MongoCollection
from libs.storage.client import Session
from libs.storage.documents import OF_ORGANIZATION, WebhookEndpoint
from libs.storage.documents.state_document import NEXT_VERSION, of_version
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore

WELL: dict[str, Any] = {"failures": 0, "failing_since": None, "paused_until": None, "pauses": 0}
"""How an endpoint does that nothing is known of."""


class EndpointStore(TenantStore[WebhookEndpoint]):
    """Receivers: one of each template that has a ``webhook_url``, and those of the organization."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(WebhookEndpoint, principal)

    @property
    def _endpoints(self) -> MongoCollection:
        return cast("MongoCollection", WebhookEndpoint.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    async def by_id(self, ids: Collection[str]) -> dict[str, WebhookEndpoint]:
        """Those of ``ids`` that there are, by id; also of organizations that the principal looks at."""
        if not ids:
            return {}
        found = await self._read(self._all_seen({"_id": {"$in": list(ids)}}).to_list())
        return {endpoint.id: endpoint for endpoint in found}

    async def get(self, endpoint_id: str) -> WebhookEndpoint | None:
        """One of them."""
        return await self._read(self._one({"_id": endpoint_id}))

    async def page(self, limit: int, after: str | None) -> Page[WebhookEndpoint]:
        """Receivers, the newest first, also of organizations that the principal looks at."""
        behind = {} if after is None else {"_id": {"$lt": after}}
        return await self._page(WebhookEndpoint, behind, ("_id", -1), limit)

    async def of_organization(self, most: int) -> int:
        """How many there are that belong to no template; no more than ``most`` are counted."""
        return await self._many({"template_id": OF_ORGANIZATION}).limit(most).count()

    async def given_up(self) -> dict[str, int]:
        """How many Rowdock has switched off, by organization that the principal sees; none where there are none."""
        matching = {**self._whose(self._seen), "disabled_at": {"$type": "date"}}
        counting = [{"$match": matching}, {"$group": {"_id": "$tenant_id", "count": {"$sum": 1}}}]
        async with await self._endpoints.aggregate(counting) as cursor:
            return {each["_id"]: each["count"] async for each in cursor}

    async def change(
        self, endpoint_id: str, changes: dict[str, Any], session: Session | None = None, version: int | None = None
    ) -> bool:
        """Set ``changes`` of a receiver; ``False`` where there is none, or none of that version."""
        # Fields that a client sends are values here, whatever they look like.
        values = {name: {"$literal": value} for name, value in changes.items()}
        update = [{"$set": {**values, **NEXT_VERSION}}]
        answer = await self._endpoints.update_one(self._in(endpoint_id, version), update, session=session)
        return answer.matched_count == 1

    async def replace_secret(
        self,
        endpoint_id: str,
        encrypted: str,
        now: datetime,
        overlap: timedelta,
        by: str | None,
        version: int | None = None,
    ) -> bool:
        """Sign with a new secret, and with the present one until ``overlap`` is over; ``False`` where there is none, or
        none of that version, or the request ``by`` has done that already.

        In one statement: of two that are made at once, the later one follows the earlier.
        """
        change = {
            "previous_secret": "$encrypted_secret",
            "previous_until": now + overlap,
            "encrypted_secret": {"$literal": encrypted},
            "replaced_by": {"$literal": by},
            **NEXT_VERSION,
        }
        not_yet = {} if by is None else {"replaced_by": {"$ne": by}}
        answer = await self._endpoints.update_one({**self._in(endpoint_id, version), **not_yet}, [{"$set": change}])
        return answer.matched_count == 1

    async def remove(self, endpoint_id: str, version: int | None = None) -> bool:
        """Remove a receiver that belongs to no template; what waits for it is settled when it is due.

        ``False`` where there is none, or none of that version.
        """
        mine = {**self._in(endpoint_id, version), "template_id": OF_ORGANIZATION}
        return (await self._endpoints.delete_one(mine)).deleted_count == 1

    def _in(self, endpoint_id: str, version: int | None) -> dict[str, Any]:
        """The filter of a receiver, in one version where that is to be."""
        return self._mine({"_id": endpoint_id, **({} if version is None else of_version(version))})
