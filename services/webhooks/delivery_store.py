"""Deliveries and their receivers in MongoDB.

A delivery changes by compare-and-set on its state and the number of its attempts, so that of two processes that tried
it at the same time only one records the outcome. Leases run by the server's clock.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import structlog
from cachetools import LRUCache
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.contracts.errors import UnreadableDocumentError
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import WebhookDelivery, WebhookEndpoint
from libs.storage.documents.state_document import NEXT_VERSION, read_stored
from libs.storage.stored_times import seconds_from_now
from libs.telemetry.failpoints import failpoint
from services.webhooks.domain.delivery import Delivery, DeliveryState, DeliveryUpdate

_PENDING: Document = {"state": DeliveryState.PENDING.value}
_DUE: Document = {
    **_PENDING,
    "$expr": {
        "$and": [
            {"$lte": ["$next_attempt_at", "$$NOW"]},
            {"$lt": [{"$ifNull": ["$lease.until", datetime.fromtimestamp(0, UTC)]}, "$$NOW"]},
        ]
    },
}
_SETTLED_UNSENT: Document = {"$set": {"state": DeliveryState.DISABLED.value, "next_attempt_at": None, "lease": None}}
MAX_REMEMBERED_TENANTS = 10_000

logger = structlog.get_logger()


class DeliveryStore:
    """Reads and writes deliveries and endpoints."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._deliveries = mongo.state[WebhookDelivery.Settings.name]
        self._endpoints = mongo.state[WebhookEndpoint.Settings.name]
        self._last_tenant = ""
        self._last_endpoints = LRUCache[str, str](MAX_REMEMBERED_TENANTS)

    async def add(self, delivery: Delivery) -> bool:
        """Store a new delivery; ``False`` where it is stored already."""
        try:
            await _document(delivery).insert()
        except DuplicateKeyError:
            return False
        return True

    async def add_all(self, deliveries: Sequence[Delivery]) -> None:
        """Store those of them that are not stored already."""
        if len(deliveries) == 1:
            await self.add(deliveries[0])
            return
        missing = set(await self.missing([delivery.id for delivery in deliveries]))
        for delivery in deliveries:
            if delivery.id in missing:
                await self.add(delivery)

    async def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of which no delivery is stored."""
        cursor = self._deliveries.find({"_id": {"$in": list(ids)}}, {"_id": 1})
        stored = {delivery["_id"] async for delivery in cursor}
        return [each for each in ids if each not in stored]

    async def claim(
        self,
        owner: str,
        lease_seconds: float,
        busy_endpoints: Collection[str] = (),
        busy_tenants: Collection[str] = (),
    ) -> Delivery | None:
        """Take a delivery that is due, for ``lease_seconds``, or ``None``.

        Organizations come in turn, and of each its endpoints in turn; of an endpoint, what is due longest. However
        many deliveries of one are due, those of the others are found beside them along the index ``turns``.

        One that cannot be read is left to the release that stored it: it waits until its lease is over.

        Args:
            owner: who takes it.
            lease_seconds: for how long.
            busy_endpoints: ids of endpoints that get nothing more at the moment.
            busy_tenants: ids of organizations that get nothing more at the moment.
        """
        due: Document = {**_DUE, "endpoint_id": {"$nin": list(busy_endpoints)}}
        while (tenant_id := await self._next_tenant(due, busy_tenants)) is not None:
            found = await self._take(owner, lease_seconds, {**due, "tenant_id": tenant_id})
            if found is None:
                continue  # another process was faster
            try:
                return read_stored(Delivery, {**found, "id": found["_id"]}, self._deliveries.name)
            except UnreadableDocumentError as error:
                logger.warning("webhook.unreadable", delivery_id=found["_id"], error=error.detail)
        return None

    async def _next_tenant(self, due: Document, busy_tenants: Collection[str]) -> str | None:
        """The organization after the last one that has something due; the first one again behind the last."""
        for after in dict.fromkeys((self._last_tenant, "")):
            candidates = {"tenant_id": {"$gt": after, "$nin": list(busy_tenants)}, **due}
            order = [("tenant_id", 1), ("endpoint_id", 1), ("next_attempt_at", 1)]
            found = await self._deliveries.find_one(candidates, {"tenant_id": 1}, sort=order)
            if found is not None:
                self._last_tenant = found["tenant_id"]
                return self._last_tenant
        self._last_tenant = ""
        return None

    async def _take(self, owner: str, lease_seconds: float, due: Document) -> Document | None:
        lease: Document = {"owner": {"$literal": owner}, "until": seconds_from_now(lease_seconds)}
        last = self._last_endpoints.get(due["tenant_id"], "")
        for after in dict.fromkeys((last, "")):
            found = await self._deliveries.find_one_and_update(
                {**due, "endpoint_id": {"$gt": after, **due["endpoint_id"]}},
                [{"$set": {"lease": lease}}],
                sort=[("endpoint_id", 1), ("next_attempt_at", 1)],
                return_document=ReturnDocument.AFTER,
            )
            if found is not None:
                self._last_endpoints[due["tenant_id"]] = found["endpoint_id"]
                return found
        return None

    async def release(self, owner: str) -> int:
        """Give back what a dead process of this name had taken; how many deliveries."""
        answer = await self._deliveries.update_many({**_PENDING, "lease.owner": owner}, {"$set": {"lease": None}})
        return answer.modified_count

    async def receiver(self, endpoint_id: str) -> WebhookEndpoint | None:
        """Where the deliveries of an endpoint go now, or ``None`` where it is switched off or gone."""
        return await WebhookEndpoint.find_one({"_id": endpoint_id, "enabled": True})

    async def record(self, delivery: Delivery, update: DeliveryUpdate) -> bool:
        """Append an attempt and give the delivery back; ``False`` where it has moved since it was claimed."""
        return await self._advance(delivery, _recorded(update))

    async def postpone(self, delivery: Delivery, until: datetime) -> bool:
        """Give a delivery back without an attempt, to be due at ``until``; ``False`` where it has moved meanwhile."""
        return await self._advance(delivery, {"$set": {"next_attempt_at": until, "lease": None}})

    async def settle_unsent(self, delivery: Delivery) -> bool:
        """Settle a delivery whose endpoint is switched off; ``False`` where it has moved since it was claimed."""
        return await self._advance(delivery, _SETTLED_UNSENT)

    async def record_gone(
        self,
        delivery: Delivery,
        update: DeliveryUpdate,
        endpoint: WebhookEndpoint,
        reason: str,
        notices: Sequence[Delivery] = (),
    ) -> tuple[bool, int | None]:
        """Record an attempt whose receiver wants no more: switch its endpoint off, and settle what is pending for it.

        In one transaction, so that a crash leaves nothing half done, and nothing is settled that came after the owner
        switched the endpoint on again.

        Args:
            endpoint: as it was when the receiver was asked.
            reason: for its owner.
            notices: what others are told where it is switched off.

        Returns:
            Whether the attempt was recorded, as ``record``; and how many other deliveries were settled, ``None`` where
            the owner has changed the endpoint or switched it off meanwhile, and it was left alone.
        """

        async def in_one(session: Session) -> tuple[bool, int | None]:
            if not await self._advance(delivery, _recorded(update), session):
                return False, None
            unchanged = {"_id": endpoint.id, "url": endpoint.url, "enabled": True}
            off = {"enabled": False, "disabled_at": update.attempt.at, "disabled_reason": {"$literal": reason}}
            switched = await self._endpoints.update_one(unchanged, [{"$set": {**off, **NEXT_VERSION}}], session=session)
            if not switched.matched_count:
                return True, None
            pending = {"endpoint_id": endpoint.id, **_PENDING}
            answer = await self._deliveries.update_many(pending, _SETTLED_UNSENT, session=session)
            if notices:
                told = [_document(each).model_dump(by_alias=True) for each in notices]
                await self._deliveries.insert_many(told, session=session)
            failpoint("webhooks.switched_off_before_commit")
            return True, answer.modified_count

        return await self._mongo.transaction(in_one)

    async def _advance(self, delivery: Delivery, change: Document, session: Session | None = None) -> bool:
        answer = await self._deliveries.update_one(
            {"_id": delivery.id, **_PENDING, "attempts": {"$size": len(delivery.attempts)}}, change, session=session
        )
        return answer.modified_count == 1


def _document(delivery: Delivery) -> WebhookDelivery:
    return WebhookDelivery.model_validate({**delivery.model_dump(exclude={"id"}), "_id": delivery.id})


def _recorded(update: DeliveryUpdate) -> Document:
    return {
        "$push": {"attempts": {**update.attempt.model_dump(), "result": update.attempt.result.value}},
        "$set": {"state": update.state.value, "next_attempt_at": update.next_attempt_at, "lease": None},
    }
