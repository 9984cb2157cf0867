"""The outbox relay: what a transaction left to tell is published, then forgotten."""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

import structlog
from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.contracts.messages import Message
from libs.messaging.cancellation import run_together
from libs.messaging.publisher import EventPublisher
from libs.storage.client import Document, Mongo
from libs.storage.documents import OUTBOX_LEASE, OutboxEntry
from libs.storage.stored_times import seconds_from_now
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 0.5
"""How long rows that are published wait for others, to be deleted together."""
ROWS_AT_A_TIME = 100
MAX_HANDED_OVER = 1_000
MAX_HANDED_OVER_BYTES = 32 * 1024 * 1024

_HINT = "hint"
"""Marks in memory what is not stored."""
_MARK = "#"
_AFTER_MARK = chr(ord(_MARK) + 1)

logger = structlog.get_logger()


class OutboxRelay:
    """Publishes the outbox rows of one service, each at least once.

    A process hands the rows of its own commits over in memory; they are stored with a lease, so that nobody else looks
    at them. The sweep is the net: it takes rows whose lease is over, oldest first, because their process died or
    Kafka was away. Rows handed over do not wait for it, so a row may pass older ones.

    Attributes:
        owner: by what name this relay leases rows: that of its process and a random part.
    """

    def __init__(self, mongo: Mongo, service: str, instance: str, metrics: Metrics) -> None:
        self._outbox = mongo.state[OutboxEntry.Settings.name]
        self._service = service
        self._instance = instance
        self._metrics = metrics
        self._handed_over: deque[Document] = deque()
        self._handed_over_bytes = 0
        self._woken = asyncio.Event()
        self._published: list[str] = []
        self._to_forget = asyncio.Event()
        self.owner = f"{instance}{_MARK}{secrets.token_hex(8)}"

    def hand_over(self, rows: Sequence[Document]) -> None:
        """Publish the rows of a commit at once. Where too many wait already, they are left to the sweep."""
        size = sum(map(_size, rows))
        many = len(self._handed_over) + len(rows) > MAX_HANDED_OVER
        if not many and self._handed_over_bytes + size <= MAX_HANDED_OVER_BYTES:
            self._handed_over.extend(rows)
            self._handed_over_bytes += size
            self._woken.set()

    def hint(self, message: Message) -> None:
        """Publish what is not stored, at once or never: whoever reads it would find the same without it, only later."""
        event = message.event
        row = {"_id": event.event_id, "topic": message.topic.name, "key": message.key, "value": event.model_dump_json()}
        self.hand_over([{**row, "trace": message.trace, _HINT: True}])

    async def run(self, publisher: EventPublisher) -> None:
        """Relay until cancelled; faults of either server are logged and outlived."""
        await run_together([self._publish_what_is_handed_over(publisher), self._sweep(publisher), self._forget()])

    async def _publish_what_is_handed_over(self, publisher: EventPublisher) -> NoReturn:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                while self._handed_over:
                    count = min(ROWS_AT_A_TIME, len(self._handed_over))
                    rows = [self._handed_over.popleft() for _ in range(count)]
                    self._handed_over_bytes -= sum(map(_size, rows))
                    await self._publish(publisher, rows)
            except (TransientError, PyMongoError) as error:
                logger.warning("outbox.left_to_the_sweep", error=error_text(error))
                self._handed_over.clear()
                self._handed_over_bytes = 0

    async def _sweep(self, publisher: EventPublisher) -> NoReturn:
        released = False
        while True:
            try:
                released = released or await self._release_left_behind()
                await self._sweep_once(publisher)
            except (TransientError, PyMongoError) as error:
                logger.warning("outbox.waiting", error=error_text(error))
            await asyncio.sleep(SWEEP_SECONDS)

    async def _release_left_behind(self) -> bool:
        """Let a sweep take at once what a dead process of this name was about to publish."""
        under_this_name = {"$gt": f"{self._instance}{_MARK}", "$lt": f"{self._instance}{_AFTER_MARK}"}
        await self._outbox.update_many(
            {"service": self._service, "lease_owner": {**under_this_name, "$ne": self.owner}},
            {"$set": {"lease_until": None}},
        )
        return True

    async def _sweep_once(self, publisher: EventPublisher) -> None:
        oldest = await self._outbox.find_one({"service": self._service}, {"created_at": 1}, sort=[("created_at", 1)])
        age = (datetime.now(UTC) - oldest["created_at"]).total_seconds() if oldest else 0.0
        self._metrics.outbox_oldest_seconds.set(age)
        if oldest is None:
            return
        while rows := await self._take():
            await self._publish(publisher, rows)

    async def _take(self) -> list[Document]:
        """Lease the oldest rows that nobody has."""
        never = datetime.fromtimestamp(0, UTC)
        free = {
            "service": self._service,
            "$expr": {"$lt": [{"$ifNull": ["$lease_until", never]}, "$$NOW"]},
        }
        found = self._outbox.find(free, {"_id": 1}).sort("created_at").limit(ROWS_AT_A_TIME)
        ids = [row["_id"] async for row in found]
        if not ids:
            return []
        token = f"{self.owner}{_MARK}{secrets.token_hex(8)}"
        later = seconds_from_now(OUTBOX_LEASE.total_seconds())
        await self._outbox.update_many(
            {"_id": {"$in": ids}, **free},
            [{"$set": {"lease_until": later, "lease_owner": {"$literal": token}}}],
        )
        return await self._outbox.find({"_id": {"$in": ids}, "lease_owner": token}).sort("created_at").to_list()

    async def _publish(self, publisher: EventPublisher, rows: Sequence[Document]) -> None:
        """Publish rows side by side.

        Raises:
            TransientError: not all are confirmed; what is not is free for a sweep.
        """
        sent = (
            publisher.publish_raw(row["topic"], row["key"], row["_id"], row["value"], row.get("trace")) for row in rows
        )
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        stored = [(row["_id"], outcome) for row, outcome in zip(rows, outcomes, strict=True) if _HINT not in row]
        published = [identifier for identifier, outcome in stored if outcome is None]
        errors = [outcome for outcome in outcomes if outcome is not None]
        if published:
            failpoint("outbox.published_before_delete")
            self._published.extend(published)
            self._to_forget.set()
        if errors:
            failed = [identifier for identifier, outcome in stored if outcome is not None]
            await self._outbox.update_many({"_id": {"$in": failed}}, {"$set": {"lease_until": None}})
            raise errors[0]

    async def _forget(self) -> NoReturn:
        # A deletion that gets lost with a primary lets the row be published once more, which is harmless.
        outbox = self._outbox.with_options(write_concern=WriteConcern(w=1))
        while True:
            await self._to_forget.wait()
            await asyncio.sleep(FORGET_SECONDS)
            self._to_forget.clear()
            published, self._published = self._published, []
            try:
                await outbox.delete_many({"_id": {"$in": published}})
            except PyMongoError as error:
                logger.warning("outbox.waiting", error=error_text(error))
                self._published.extend(published)
                self._to_forget.set()
                await asyncio.sleep(SWEEP_SECONDS)


def _size(row: Document) -> int:
    """Characters of a message; those of large ones are nearly all of one byte."""
    return len(row["value"])
