"""The outbox relay: what a transaction left to tell is published, then forgotten."""

import asyncio
from datetime import UTC, datetime

import structlog
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Mongo
from libs.storage.documents import OutboxEntry
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics

LEASE_MS = 20_000
SWEEP_SECONDS = 1.0

logger = structlog.get_logger()


class OutboxRelay:
    """Publishes the outbox rows of one service, oldest first, at least once.

    ``wake`` after a commit makes it act at once; a sweep finds what a dead process left.
    """

    def __init__(self, mongo: Mongo, service: str, metrics: Metrics) -> None:
        self._outbox = mongo.state[OutboxEntry.Settings.name]
        self._service = service
        self._metrics = metrics
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something to publish."""
        self._woken.set()

    async def run(self, publisher: EventPublisher) -> None:
        """Relay until cancelled; faults of either server are logged and outlived."""
        while True:
            try:
                await self._relay_all(publisher)
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue
            except (TransientError, PyMongoError) as error:
                logger.warning("outbox.waiting", error=error_text(error))
                await asyncio.sleep(SWEEP_SECONDS)
            finally:
                self._woken.clear()

    async def _relay_all(self, publisher: EventPublisher) -> None:
        oldest = await self._outbox.find_one({"service": self._service}, sort=[("created_at", 1)])
        age = (datetime.now(UTC) - oldest["created_at"]).total_seconds() if oldest else 0.0
        self._metrics.outbox_oldest_seconds.set(age)
        if oldest is None:
            return
        while entry := await self._outbox.find_one_and_update(
            {
                "service": self._service,
                "$expr": {"$lt": [{"$ifNull": ["$lease_until", datetime.fromtimestamp(0, UTC)]}, "$$NOW"]},
            },
            [
                {
                    "$set": {
                        "lease_until": {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": LEASE_MS}}
                    }
                }
            ],
            sort=[("created_at", 1)],
            return_document=ReturnDocument.AFTER,
        ):
            try:
                await publisher.publish_raw(entry["topic"], entry["key"], entry["_id"], entry["value"])
            except TransientError:
                await self._outbox.update_one({"_id": entry["_id"]}, {"$set": {"lease_until": None}})
                raise
            failpoint("outbox.published_before_delete")
            await self._outbox.delete_one({"_id": entry["_id"]})
