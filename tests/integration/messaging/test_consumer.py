"""The one error policy on a real broker: what is committed, what comes again, what is given up."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo.errors import AutoReconnect

from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.events import BatchParsed, MessageDeadLettered
from libs.contracts.topics import DEAD_LETTERS, Topic
from libs.messaging import consumer
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from libs.storage.client import Document, Mongo
from tests.integration.messaging.conftest import unique_topic
from tests.integration.messaging.members import (
    Send,
    body,
    committed,
    member,
    read_all,
    until,
    until_committed,
)

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry for a moment only."""
    monkeypatch.setattr(consumer, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(consumer, "UNFORESEEN_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(consumer, "HAND_BACK_SECONDS", 0.05)
    monkeypatch.setattr(consumer, "STOP_SECONDS", 0.2)


async def dead_letters(mongo: Mongo) -> list[Document]:
    return await mongo.state["dead_letters"].find(sort=[("offset", 1)]).to_list()


async def test_a_message_is_committed_after_its_effect(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        begun.set()
        await may_end.wait()
        handled.append(told.seq)

    await send(topic, body(1))
    async with member(kafka, mongo, {topic: handler}) as process:
        await begun.wait()
        assert process.consumers.busy
        assert await committed(kafka, topic) == {}
        may_end.set()
        await until_committed(kafka, topic, {0: 1})
        assert process.consumers.unassigned() is None
        assert process.outcomes(topic) == {"done": 1}
    assert handled == [1]


async def test_a_restart_repeats_what_was_not_committed_and_nothing_else(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    begun: list[int] = []

    async def stuck_at_three(told: BatchParsed) -> None:
        begun.append(told.seq)
        if told.seq == 3:
            await asyncio.Event().wait()

    again: list[int] = []

    async def fine(told: BatchParsed) -> None:
        again.append(told.seq)

    for seq in (1, 2, 3, 4):
        await send(topic, body(seq))
    async with member(kafka, mongo, {topic: stuck_at_three}):
        await until(lambda: begun == [1, 2, 3], "three begun")
    assert await committed(kafka, topic) == {0: 2}
    async with member(kafka, mongo, {topic: fine}):
        await until_committed(kafka, topic, {0: 4})
    assert again == [3, 4]
    assert begun == [1, 2, 3]


async def test_a_partition_that_was_left_out_of_a_request_does_not_wait_for_its_end(
    kafka: KafkaSettings, mongo: Mongo, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "FETCH_WAIT_MS", 9_000)
    topic = unique_topic(partitions=2)
    await Topics(kafka, (topic,)).ensure()
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        handled.append(told.seq)
        if len(handled) == 2:
            begun = time.monotonic()
            await until(lambda: time.monotonic() - begun > 0.3, "longer than aiokafka waits before it asks ahead")
            await send(topic, body(3), partition=told.seq - 1)

    for seq in (1, 2):
        await send(topic, body(seq), partition=seq - 1)
    async with member(kafka, mongo, {topic: handler}):
        await until(lambda: len(handled) == 2, "both handled")
        await until(lambda: len(handled) == 3, "the third one handled", seconds=7)


async def test_the_end_waits_for_a_commit_under_way(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = AIOKafkaConsumer.commit
    begun = asyncio.Event()

    async def slow(reader: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        await commit(reader, offsets)

    async def handler(_: BatchParsed) -> None:
        return

    monkeypatch.setattr(AIOKafkaConsumer, "commit", slow)
    await send(topic, body(1))
    async with member(kafka, mongo, {topic: handler}):
        await begun.wait()
    assert await committed(kafka, topic) == {0: 1}


@pytest.mark.parametrize("error", [TransientError("not now"), AutoReconnect("election")], ids=["ours", "mongodb's"])
async def test_a_transient_fault_is_handed_back_until_it_passes(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, error: Exception
) -> None:
    passed = False
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        if not passed:
            raise error
        handled.append(told.seq)

    await send(topic, body(1))
    await send(topic, body(2))
    async with member(kafka, mongo, {topic: handler}) as process:
        await until(lambda: process.outcomes(topic).get("handed_back", 0) >= 2, "handed back twice")
        assert await committed(kafka, topic) == {}
        passed = True
        await until_committed(kafka, topic, {0: 2})
    assert handled == [1, 2], "in order, although the first one failed"
    assert await dead_letters(mongo) == []


async def test_a_short_fault_is_outlived_without_handing_back(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "RETRY_SECONDS", 30)
    tries = 0

    async def handler(_: BatchParsed) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise TransientError("not now")

    await send(topic, body(1))
    async with member(kafka, mongo, {topic: handler}) as process:
        await until_committed(kafka, topic, {0: 1})
        assert process.outcomes(topic) == {"done": 1}
    assert tries == 3


async def test_a_permanent_fault_is_a_dead_letter_at_once(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        handled.append(told.seq)
        if told.seq == 1:
            raise PermanentError("NOT_POSSIBLE", "the reason, for a person")

    await send(topic, body(1), headers=[("event-id", b"e1")])
    await send(topic, body(2))
    async with member(kafka, mongo, {topic: handler}) as process:
        await until_committed(kafka, topic, {0: 2})
        assert process.outcomes(topic) == {"dead_lettered": 1, "done": 1}
    assert handled == [1, 2]
    (letter,) = await dead_letters(mongo)
    assert (letter["service"], letter["topic"], letter["partition"], letter["offset"]) == ("test", topic.name, 0, 0)
    assert (letter["code"], letter["message"]) == ("NOT_POSSIBLE", "the reason, for a person")
    assert letter["key"] == b"key"
    assert BatchParsed.model_validate_json(letter["value"]).seq == 1
    assert letter["headers"] == [{"name": "event-id", "value": b"e1"}]
    announced = [
        MessageDeadLettered.model_validate_json(record.value) for record in await read_all(kafka, DEAD_LETTERS.name)
    ]
    (ours,) = [told for told in announced if told.topic == topic.name]
    assert (ours.dead_letter_id, ours.code, ours.offset) == (letter["_id"], "NOT_POSSIBLE", 0)


async def test_an_unforeseen_fault_is_tried_again_and_then_given_up(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    tries = 0

    async def handler(told: BatchParsed) -> None:
        nonlocal tries
        if told.seq == 1:
            tries += 1
            raise KeyError("a bug")

    await send(topic, body(1))
    await send(topic, body(2))
    async with member(kafka, mongo, {topic: handler}):
        await until_committed(kafka, topic, {0: 2})
    assert tries >= 2
    (letter,) = await dead_letters(mongo)
    assert letter["code"] == "UNFORESEEN_ERROR"
    assert letter["message"].startswith(f"KeyError in {__file__}, line "), "what it quotes may be a cell"


async def test_what_is_no_event_is_a_dead_letter(kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send) -> None:
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        handled.append(told.seq)

    values = [None, b"", b"not json", b"\xff\xfe", b"{}", b'{"run_id": 1}']
    for value in values:
        await send(topic, value)
    await send(topic, body(7))
    async with member(kafka, mongo, {topic: handler}):
        await until_committed(kafka, topic, {0: len(values) + 1})
    assert handled == [7]
    letters = await dead_letters(mongo)
    assert [letter["value"] for letter in letters] == values
    assert {letter["code"] for letter in letters} == {"UNDECODABLE_MESSAGE"}


@pytest.mark.parametrize(
    "headers",
    [
        [("trace", None)],
        [("trace", b"\xff\xfe")],
        [("correlation_id", b"\xff"), ("content-type", None)],
        [("content-type", b"application/json; charset=\xff")],
        [("content-type", b"text/plain")],
        [("same", b"1"), ("same", b"2"), ("", b"")],
    ],
)
async def test_headers_never_stop_a_message(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, headers: list[tuple[str, bytes | None]]
) -> None:
    handled: list[int] = []

    async def handler(told: BatchParsed) -> None:
        handled.append(told.seq)

    await send(topic, body(1), headers=headers)
    async with member(kafka, mongo, {topic: handler}):
        await until_committed(kafka, topic, {0: 1})
    assert handled == [1]
    assert await dead_letters(mongo) == []


async def test_a_message_stays_where_its_dead_letter_cannot_be_stored(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_: BatchParsed) -> None:
        raise PermanentError("NOT_POSSIBLE", "why")

    await send(topic, body(1))
    async with member(kafka, mongo, {topic: handler}) as process:
        with monkeypatch.context() as fault:

            async def unreachable(*_: object) -> None:
                raise AutoReconnect("MongoDB is away")

            fault.setattr(consumer.DeadLetters, "store", unreachable)
            await until(lambda: process.outcomes(topic).get("handed_back", 0) >= 2, "handed back")
            assert await committed(kafka, topic) == {}
        await until_committed(kafka, topic, {0: 1})
    assert len(await dead_letters(mongo)) == 1


async def test_partitions_are_handed_over_between_messages(kafka: KafkaSettings, mongo: Mongo, send: Send) -> None:
    """A member that joins waits for the handler at work, and then nothing is handled twice."""
    topic = unique_topic(partitions=2)
    await Topics(kafka, (topic,)).ensure()
    begun, may_end = asyncio.Event(), asyncio.Event()
    handled: list[tuple[str, int]] = []

    async def slow(told: BatchParsed) -> None:
        begun.set()
        await may_end.wait()
        handled.append(("one", told.seq))

    async def fast(told: BatchParsed) -> None:
        handled.append(("two", told.seq))

    async def join() -> None:
        async with member(kafka, mongo, {topic: fast}, "member-2") as two:
            await until(lambda: two.consumers.unassigned() is None, "the second member has joined")
            await until_committed(kafka, topic, {0: 3, 1: 2})

    await send(topic, body(1), partition=0)
    async with member(kafka, mongo, {topic: slow}, "member-1") as one, asyncio.TaskGroup() as group:
        await begun.wait()
        group.create_task(join())
        await until(lambda: not one.consumers._gate.is_open, "the first member drains")
        for seq, partition in ((2, 0), (3, 1), (4, 0), (5, 1)):
            await send(topic, body(seq), partition=partition)
        assert handled == [], "nobody gets a partition before the first member is done"
        may_end.set()
    assert sorted(seq for _, seq in handled) == [1, 2, 3, 4, 5]
    assert {who for who, _ in handled} == {"one", "two"}


async def test_nothing_begins_while_one_of_two_drains_is_still_waiting(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, send: Send
) -> None:
    """Partitions of two topics are given up side by side; the drain that ends first must not let work begin."""
    other = unique_topic()
    await Topics(kafka, (other,)).ensure()
    begun: list[tuple[str, int]] = []
    may_end = {topic.name: asyncio.Event(), other.name: asyncio.Event()}

    def stuck(name: str) -> Callable[[BatchParsed], Awaitable[None]]:
        async def handler(told: BatchParsed) -> None:
            begun.append((name, told.seq))
            await may_end[name].wait()

        return handler

    for each in (topic, other):
        for seq in (1, 2):
            await send(each, body(seq))
    handlers = {each: stuck(each.name) for each in (topic, other)}
    async with member(kafka, mongo, handlers) as process:
        await until(lambda: len(begun) == 2, "the first message of each topic is at work")
        drains = [asyncio.create_task(process.consumers.drain(each)) for each in (topic, other)]
        await asyncio.wait(drains, timeout=0)
        may_end[topic.name].set()
        await drains[0]
        assert await committed(kafka, topic) == {0: 1}
        await asyncio.wait(drains[1:], timeout=1)
        assert sorted(begun) == sorted([(topic.name, 1), (other.name, 1)])
        may_end[other.name].set()
        await drains[1]
        await until_committed(kafka, topic, {0: 2})
        await until_committed(kafka, other, {0: 2})
