"""Receivers in MongoDB: which of them hear of an event, and how they do.

How a receiver does is stored on its endpoint, so that all processes know and its owner sees it. Each change is one
statement on one document; of two processes that would send the one attempt after a pause, one does.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ReturnDocument

from libs.contracts.events import RunStatusChanged
from libs.contracts.listening import Listener
from libs.storage.client import Document, Mongo
from libs.storage.documents import LISTENING, MAX_LISTENERS, WebhookEndpoint, listener, of_organization
from services.webhooks.domain.health import Health

_WELL: Document = {"failures": 0, "failing_since": None, "paused_until": None, "pauses": 0}
_HEALTH = dict.fromkeys(_WELL, 1)


class Receivers:
    """The collection ``webhook_endpoints``."""

    def __init__(self, mongo: Mongo) -> None:
        self._endpoints = mongo.state[WebhookEndpoint.Settings.name]

    async def any(self) -> bool:
        """Whether an organization has endpoints that belong to no template."""
        return await self._endpoints.find_one(of_organization({"$gt": ""}), {"_id": 1}) is not None

    async def listeners(self, tenant_id: str) -> Sequence[Listener]:
        """The endpoints of an organization that belong to no template, also those that are switched off."""
        found = self._endpoints.find(of_organization(tenant_id), LISTENING).limit(MAX_LISTENERS)
        return [listener(each) async for each in found]

    async def listening(self, event: RunStatusChanged, event_type: str) -> list[str]:
        """Ids of those that hear of an event."""
        listeners = await self.listeners(event.tenant_id)
        return [each.id for each in listeners if each.hears(event_type, event.template_id, event.occurred_at)]

    # --- how they do ----------------------------------------------------------------------------

    async def failed(self, endpoint_id: str, at: datetime) -> Health:
        """Count an attempt that failed; how the endpoint does now."""
        found = await self._endpoints.find_one_and_update(
            {"_id": endpoint_id},
            [
                {
                    "$set": {
                        "failures": {"$add": [{"$ifNull": ["$failures", 0]}, 1]},
                        "failing_since": {"$ifNull": ["$failing_since", at]},
                    }
                }
            ],
            _HEALTH,
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return Health()  # it was removed meanwhile
        return Health(found["failures"], found["failing_since"], found.get("paused_until"), found.get("pauses", 0))

    async def went_well(self, endpoint_id: str) -> None:
        """An attempt went well: what failed before is of no account."""
        await self._endpoints.update_one({"_id": endpoint_id}, {"$set": _WELL})

    async def pause(self, endpoint_id: str, health: Health, until: datetime) -> bool:
        """Let nothing be sent before ``until``; ``False`` where it is paused otherwise since ``health`` was read."""
        answer = await self._endpoints.update_one(
            {"_id": endpoint_id, "paused_until": health.paused_until},
            {"$set": {"paused_until": until}, "$inc": {"pauses": 1}},
        )
        return answer.modified_count == 1

    async def take_probe(self, endpoint_id: str, health: Health, now: datetime, longest: timedelta) -> bool:
        """Be the one that sends the attempt after a pause; nobody else sends for ``longest``, should this one die."""
        answer = await self._endpoints.update_one(
            {"_id": endpoint_id, "paused_until": health.paused_until}, {"$set": {"paused_until": now + longest}}
        )
        return answer.modified_count == 1


def health_of(endpoint: WebhookEndpoint) -> Health:
    """How an endpoint does."""
    return Health(endpoint.failures, endpoint.failing_since, endpoint.paused_until, endpoint.pauses)
