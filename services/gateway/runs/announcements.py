"""What runs tell of their status, heard by every gateway process, so that those who wait need not ask."""

import asyncio
from collections.abc import Collection
from typing import Any, NoReturn

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from cachetools import LRUCache
from pydantic import ValidationError

from libs.contracts.events import RunStatusChanged
from libs.contracts.states import RunStatus
from libs.contracts.topics import RUN_EVENTS
from libs.messaging.connection import REQUEST_TIMEOUT_MS, KafkaSettings

RECONNECT_SECONDS = 2.0
REMEMBERED_RUNS = 10_000

logger = structlog.get_logger()


class Announcements:
    """Statuses that runs have reached, as ``imports.run-events`` tells them from now on.

    They only say when it is worth looking: one may be late or never come, and MongoDB is the truth.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._latest: LRUCache[str, tuple[int, RunStatus]] = LRUCache(REMEMBERED_RUNS)
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def reached(self, run_id: str, statuses: Collection[RunStatus]) -> None:
        """Return once it was told that the run is in one of ``statuses``; for runs that tell nothing, never."""
        told = asyncio.Event()
        waiting = self._waiting.setdefault(run_id, set())
        waiting.add(told)
        try:
            while (latest := self._latest.get(run_id)) is None or latest[1] not in statuses:
                await told.wait()
                told.clear()
        finally:
            waiting.remove(told)
            if not waiting:
                del self._waiting[run_id]

    async def listen(self) -> NoReturn:
        """Listen until cancelled, from the end of the topic; what is told while Kafka is away is not made up for."""
        while True:
            try:
                await self._listen()
            except (KafkaError, OSError) as error:
                logger.warning("announcements.waiting", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        # Without a group: every process hears all of it, and nothing is committed.
        consumer = AIOKafkaConsumer(
            RUN_EVENTS.name,
            **self._kafka.client_options(),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=10_000,
            auto_offset_reset="latest",
        )
        try:
            await consumer.start()
            while True:
                self._hear(await consumer.getone())
        finally:
            await consumer.stop()

    def _hear(self, record: ConsumerRecord[Any, Any]) -> None:
        try:
            change = RunStatusChanged.model_validate_json(record.value or b"")
        except ValidationError:
            return  # The webhooks service reads it too, and stores it as a dead letter.
        version, _ = self._latest.get(change.run_id, (0, None))
        if change.version > version:
            self._latest[change.run_id] = change.version, change.status
        for told in self._waiting.get(change.run_id, ()):
            told.set()
