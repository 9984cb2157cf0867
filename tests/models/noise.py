"""Messages that come again, late, and in another order than they were sent."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from libs.contracts.events import BatchParsed, BatchReady, Event, ExecutionRequested, RunSubmitted, of_batch, to_revert
from libs.contracts.ids import event_id
from libs.contracts.lanes import Lane
from libs.contracts.topics import BATCH_PARSED, BATCH_READY, EXECUTION_REQUESTED, RUN_SUBMITTED, Topic
from tests.client import eventually

Message = tuple[Topic, str, Event]
GROUPS = {
    RUN_SUBMITTED: "rowdock.parser",
    BATCH_PARSED: "rowdock.validator",
    EXECUTION_REQUESTED: "rowdock.writer",
    BATCH_READY: "rowdock.writer",
}
Answer = TypeVar("Answer")


def messages_about(run: dict[str, Any], batches: Iterable[dict[str, Any]]) -> list[Message]:
    """Every message that any service has ever sent to another about a run, and some that it has not yet."""
    run_id, tenant_id = run["_id"], run["tenant_id"]
    found: list[Message] = [(RUN_SUBMITTED, run_id, RunSubmitted.of(run_id, tenant_id, Lane.SMALL))]
    for preview in (False, True):
        identifier = event_id("again", run_id, preview)
        requested = ExecutionRequested(
            event_id=identifier, occurred_at=run["created_at"], run_id=run_id, tenant_id=tenant_id, preview=preview
        )
        found.append((EXECUTION_REQUESTED, run_id, requested))
    for batch in batches:
        key, parsed = of_batch(BatchParsed, run_id, batch["epoch"], batch["seq"])
        _, ready = of_batch(BatchReady, run_id, batch["epoch"], batch["seq"])
        found += [(BATCH_PARSED, key, parsed), (BATCH_READY, key, ready), (BATCH_READY, key, to_revert(ready))]
    return found


class Noise:
    """Sends messages past the outbox, from a loop of its own."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._producer: AIOKafkaProducer = self._do(self._started())

    async def _started(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka)
        await producer.start()
        return producer

    def _do(self, what: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages in this order."""
        self._do(self._sent(list(messages)))

    async def _sent(self, messages: list[Message]) -> None:
        for topic, key, event in messages:
            headers = [("content-type", b"application/json"), ("event-id", event.event_id.encode())]
            value = event.model_dump_json().encode()
            await self._producer.send_and_wait(topic.name, value, key=key.encode(), headers=headers)

    def wait_until_heard(self) -> None:
        """Until the services have done with everything that was sent before."""
        ends = self._do(self._ends())
        eventually(lambda: self._do(self._heard(ends)), "all messages are done with", 60)

    async def _ends(self) -> dict[TopicPartition, int]:
        partitions = [TopicPartition(topic.name, number) for topic in GROUPS for number in range(topic.partitions)]
        return await self._offsets(partitions)

    async def _offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka)
        await consumer.start()
        try:
            return await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()

    async def _heard(self, ends: dict[TopicPartition, int]) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        await admin.start()
        try:
            for topic, service in GROUPS.items():
                wanted = [each for each in ends if each.topic == topic.name]
                done = await admin.list_consumer_group_offsets(f"{service}.{topic.name}", partitions=wanted)
                if any(done[each].offset < ends[each] for each in wanted if ends[each]):
                    return False
            return True
        finally:
            await admin.close()

    def close(self) -> None:
        self._do(self._producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
