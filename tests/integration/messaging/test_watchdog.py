"""The watchdog on a real broker: a silent consumer ends its process, an idle one never does."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.contracts.errors import TransientError
from libs.contracts.events import BatchParsed
from libs.contracts.topics import Topic
from libs.messaging.broker import create_broker
from libs.messaging.cancellation import end_tasks
from libs.messaging.connection import KafkaSettings
from libs.messaging.consumer import Consumers
from libs.messaging.dead_letters import DeadLetters
from libs.messaging.publisher import EventPublisher
from libs.messaging.topics import Topics
from libs.messaging.watchdog import look_at_groups, watch_consumers
from libs.storage.client import Mongo
from libs.storage.mongo_errors import is_transient
from libs.telemetry.metrics import Metrics
from tests.integration.messaging.conftest import unique_topic
from tests.integration.messaging.members import SERVICE, Send, body, eventually, member, until

pytestmark = pytest.mark.servers

STALL_SECONDS = 0.8


@asynccontextmanager
async def watched(kafka: KafkaSettings, consumers: Consumers, metrics: Metrics) -> AsyncIterator[asyncio.Event]:
    """Under the watchdog for the length of a block; set where it would have ended the process."""
    ended = asyncio.Event()
    watch = asyncio.create_task(watch_consumers(kafka, STALL_SECONDS, consumers, metrics, ended.set))
    try:
        yield ended
    finally:
        await end_tasks([watch])


async def test_what_waits_is_what_a_group_has_not_committed(kafka: KafkaSettings, send: Send) -> None:
    topic, other = unique_topic(2), unique_topic()
    await Topics(kafka, (topic, other)).ensure()
    groups = {topic.name: f"group.{topic.name}", other.name: f"group.{other.name}"}

    async def waiting() -> dict[str, dict[int, int]]:
        looks = await look_at_groups(kafka, groups)
        return {name: {part.partition: count for part, count in look.waiting.items()} for name, look in looks.items()}

    async def coordinated() -> bool:
        with suppress(TransientError):  # the first group of a new broker waits for its topic
            return await waiting() == {topic.name: {}, other.name: {}}
        return False

    await eventually(coordinated, "nothing waits")
    for partition in (0, 0, 0, 1):
        await send(topic, body(1), partition=partition)
    await send(other, body(1))
    assert await waiting() == {topic.name: {0: 3, 1: 1}, other.name: {0: 1}}
    partition = TopicPartition(topic.name, 0)
    reader = AIOKafkaConsumer(**kafka.client_options(), group_id=groups[topic.name], enable_auto_commit=False)
    await reader.start()
    reader.assign([partition])
    await reader.commit({partition: 2})
    await reader.stop()
    assert await waiting() == {topic.name: {0: 1, 1: 1}, other.name: {0: 1}}


async def test_the_members_of_several_groups_are_told(kafka: KafkaSettings, mongo: Mongo, topic: Topic) -> None:
    other = unique_topic()
    await Topics(kafka, (other,)).ensure()

    async def never(_: BatchParsed) -> None:
        raise AssertionError("nothing is sent")

    async with member(kafka, mongo, {topic: never, other: never}) as process:
        await until(lambda: process.consumers.unassigned() is None, "the member has joined")
        groups = {one.name: process.consumers.group(one.name) for one in (topic, other)}

        async def told() -> bool:
            looks = await look_at_groups(kafka, groups)
            return [looks[name].members for name in groups] == [{process.consumers.client_id: 1}] * 2

        await eventually(told, "both have a member")


async def test_a_look_that_is_cancelled_leaves_no_connection_open(kafka: KafkaSettings, topic: Topic) -> None:
    for milliseconds in range(1, 30):
        look = asyncio.create_task(look_at_groups(kafka, {topic.name: f"group.{topic.name}"}))
        await asyncio.wait([look], timeout=milliseconds / 1000)
        await end_tasks([look])
        gc.collect()  # warns of a connection that was left


@pytest.mark.parametrize("lag", [0, 1])
async def test_one_without_a_place_in_its_group_ends_its_process(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, lag: int
) -> None:
    metrics = Metrics(SERVICE)
    broker = create_broker(kafka, "silent")
    dead_letters = DeadLetters(mongo, SERVICE, EventPublisher(broker, metrics))
    consumers = Consumers(broker, SERVICE, metrics, dead_letters, is_transient)

    async def never(_: BatchParsed) -> None:
        raise AssertionError("the broker was not started")

    consumers.on(topic, BatchParsed)(never)
    consumers._listeners[0].joined = True
    for _ in range(lag):
        await send(topic, body(1))
    async with watched(kafka, consumers, metrics) as ended:
        if lag:
            async with asyncio.timeout(30):
                await ended.wait()
            assert metrics.stalled._value.get() == 1
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ended.wait(), 3 * STALL_SECONDS)


async def test_one_that_receives_no_more_ends_its_process_beside_a_busy_one(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    at_work, over = asyncio.Event(), asyncio.Event()
    other = unique_topic()
    await Topics(kafka, (other,)).ensure()

    async def busy(_: BatchParsed) -> None:
        at_work.set()
        await over.wait()

    async def never(_: BatchParsed) -> None:
        raise AssertionError("nothing is read any more")

    async with member(kafka, mongo, {topic: never, other: busy}) as process:
        await until(lambda: process.consumers.unassigned() is None, "the member has joined")
        silent = next(each for each in process.consumers._broker.subscribers if topic.name in str(each.topic_names))
        await end_tasks(silent.tasks)
        await send(other, body(1))
        await at_work.wait()
        async with watched(kafka, process.consumers, process.metrics) as ended:
            await send(topic, body(1))
            async with asyncio.timeout(30):
                await ended.wait()
        over.set()


async def test_idle_ones_beside_a_busy_one_are_left_alone(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    """Two of three members get no partition; the third is at work for many times the stall, with more waiting."""
    at_work, over = asyncio.Event(), asyncio.Event()

    async def busy(_: BatchParsed) -> None:
        at_work.set()
        await over.wait()

    async with (
        member(kafka, mongo, {topic: busy}, "one") as one,
        member(kafka, mongo, {topic: busy}, "two") as two,
        member(kafka, mongo, {topic: busy}, "three") as three,
    ):
        for process in (one, two, three):
            await until(lambda process=process: process.consumers.unassigned() is None, "everybody has joined")
        for _ in range(5):
            await send(topic, body(1))
        await at_work.wait()
        async with (
            watched(kafka, one.consumers, one.metrics) as first,
            watched(kafka, two.consumers, two.metrics) as second,
            watched(kafka, three.consumers, three.metrics) as third,
        ):
            waits = [asyncio.create_task(ended.wait()) for ended in (first, second, third)]
            done, _ = await asyncio.wait(waits, timeout=6 * STALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await end_tasks(waits)
            assert not done
            assert [process.metrics.stalled._value.get() for process in (one, two, three)] == [0, 0, 0]
        over.set()
