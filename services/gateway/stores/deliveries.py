"""Webhooks that were sent, or are to be sent, to the receivers of one organization."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, Field
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.storage.client import Collection as MongoCollection
from libs.storage.client import Document
from libs.storage.documents import WebhookDelivery
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TenantStore

MAX_ATTEMPTS = 100
"""A delivery with so many attempts is not sent again: all of them are kept in its document."""
STATES = ("pending", "delivered", "failed", "disabled")
_SETTLED = ("delivered", "failed", "disabled")
_NEWEST = [("created_at", -1), ("_id", -1)]
_AGAIN: list[Document] = [
    {
        "$set": {
            "state": "pending",
            "next_attempt_at": "$$NOW",
            "resent_after": {
                "$cond": [{"$eq": ["$state", "pending"]}, {"$ifNull": ["$resent_after", 0]}, {"$size": "$attempts"}]
            },
        }
    }
]
"""Due now, with the whole schedule before it again; a lease stays with whoever has it."""
_HEAD: Document = {
    **dict.fromkeys(("endpoint_id", "event_id", "event_type", "run_id", "state", "created_at", "next_attempt_at"), 1),
    "attempts": {"$size": "$attempts"},
    "last": {"$last": "$attempts"},
}


class DeliveryHead(BaseModel):
    """A delivery in a list: its last attempt, and how many there were."""

    id: str = Field(alias="_id")
    endpoint_id: str
    event_id: str
    event_type: str = ""
    run_id: str
    state: str
    created_at: datetime
    next_attempt_at: datetime | None = None
    attempts: int
    last: dict[str, Any] | None = None


class DeliveryStore(TenantStore[WebhookDelivery]):
    """Deliveries, with their attempts."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(WebhookDelivery, principal)

    @property
    def _deliveries(self) -> MongoCollection:
        return cast("MongoCollection", WebhookDelivery.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    async def by_id(self, ids: Collection[str]) -> dict[str, WebhookDelivery]:
        """Those of ``ids`` that there are, by id; also of organizations that the principal looks at."""
        if not ids:
            return {}
        found = await self._read(self._all_seen({"_id": {"$in": list(ids)}}).to_list())
        return {delivery.id: delivery for delivery in found}

    async def get(self, delivery_id: str) -> WebhookDelivery | None:
        """One of them."""
        return await self._read(self._one({"_id": delivery_id}))

    async def page(self, endpoint_id: str, states: Sequence[str], limit: int, after: str | None) -> Page[DeliveryHead]:
        """Those to an endpoint in these states, the newest first; nothing behind an ``after`` that is gone."""
        wanted: Document = {"endpoint_id": endpoint_id, "state": {"$in": list(states)}}
        if after is not None:
            last = await self._deliveries.find_one(self._mine({"_id": after}), {"created_at": 1})
            if last is None:
                return Page([], more=False)
            at = last["created_at"]
            wanted["created_at"] = {"$lte": at}
            wanted["$or"] = [{"created_at": {"$lt": at}}, {"_id": {"$lt": after}}]
        cursor = self._deliveries.find(self._mine(wanted), _HEAD).sort(_NEWEST).limit(limit + 1)
        found = [DeliveryHead.model_validate(each) async for each in cursor]
        return Page(found[:limit], more=len(found) > limit)

    async def add(self, delivery: WebhookDelivery) -> None:
        """Store a delivery, unless it is stored already.

        Raises:
            ValueError: it belongs to another organization.
        """
        if delivery.tenant_id != self._tenant_id:
            raise ValueError(f"a delivery of {delivery.tenant_id} among those of {self._tenant_id}")
        try:
            await delivery.insert()
        except DuplicateKeyError:
            return

    async def send_again(self, delivery_id: str) -> WebhookDelivery | None:
        """Let a delivery be due now; ``None`` where it has too many attempts, or there is none."""
        found = await self._deliveries.find_one_and_update(
            self._mine({"_id": delivery_id, f"attempts.{MAX_ATTEMPTS - 1}": {"$exists": False}}),
            _AGAIN,
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else WebhookDelivery.read(found)

    async def settled(
        self, endpoint_id: str, states: Collection[str], since: datetime, until: datetime, limit: int
    ) -> list[tuple[str, datetime]]:
        """Ids and times of at most ``limit`` settled deliveries of a time, the oldest first."""
        wanted = self._mine(
            {
                "endpoint_id": endpoint_id,
                "state": {"$in": [state for state in _SETTLED if state in states]},
                "created_at": {"$gte": since, "$lte": until},
            }
        )
        order = [("created_at", 1), ("_id", 1)]
        found = self._deliveries.find(wanted, {"created_at": 1}).sort(order).limit(limit)
        return [(each["_id"], each["created_at"]) async for each in found]

    async def send_all_again(self, ids: Sequence[str]) -> int:
        """Let those that are settled, and have not too many attempts, be due now; how many those are."""
        wanted = self._mine(
            {
                "_id": {"$in": list(ids)},
                "state": {"$in": list(_SETTLED)},
                f"attempts.{MAX_ATTEMPTS - 1}": {"$exists": False},
            }
        )
        return (await self._deliveries.update_many(wanted, _AGAIN)).modified_count
