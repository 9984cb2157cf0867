"""The outbox relay on real servers: every row once and in order, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.errors import TransientError
from libs.contracts.events import RunSubmitted
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.topics import Topic
from libs.messaging import outbox, publisher
from libs.messaging.broker import create_broker
from libs.messaging.cancellation import end_tasks
from libs.messaging.connection import KafkaSettings
from libs.messaging.outbox import OutboxRelay
from libs.messaging.publisher import EventPublisher
from libs.messaging.topics import Topics
from libs.storage.client import Mongo
from libs.telemetry.metrics import Metrics
from tests.integration.messaging.conftest import unique_topic
from tests.integration.messaging.members import SERVICE, eventually, read_all

pytestmark = pytest.mark.servers
BEGIN = datetime.now(UTC) - timedelta(minutes=1)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LATER = datetime.now(UTC) + timedelta(hours=1)


async def leave(mongo: Mongo, topic: Topic, numbers: range, **changes: Any) -> None:  # noqa: ANN401
    """Leave outbox rows, one a second."""
    await mongo.state["outbox"].insert_many(
        [
            {
                "_id": f"{topic.name}-{number}",
                "service": SERVICE,
                "topic": topic.name,
                "key": "run",
                "value": str(number),
                "created_at": BEGIN + timedelta(seconds=number),
                "lease_until": None,
                **changes,
            }
            for number in numbers
        ]
    )


async def waiting(mongo: Mongo) -> int:
    return await mongo.state["outbox"].count_documents({})


async def until_empty(mongo: Mongo) -> None:
    async def check() -> bool:
        return await waiting(mongo) == 0

    await eventually(check, "the outbox is empty")


@asynccontextmanager
async def relaying(kafka: KafkaSettings, mongo: Mongo, instance: str = "one") -> AsyncGenerator[OutboxRelay]:
    metrics = Metrics(SERVICE)
    broker = create_broker(kafka, "relay")
    await broker.start()
    relay = OutboxRelay(mongo, SERVICE, instance, metrics)
    task = asyncio.create_task(relay.run(EventPublisher(broker, metrics)))
    try:
        yield relay
    finally:
        await end_tasks([task])
        await broker.stop()


async def published(kafka: KafkaSettings, topic: Topic) -> list[str]:
    return [record.value.decode() for record in await read_all(kafka, topic.name)]


async def test_rows_leave_once_and_in_order(kafka: KafkaSettings, mongo: Mongo, topic: Topic) -> None:
    await leave(mongo, topic, range(5))
    await leave(mongo, topic, range(5, 6), service="another")
    async with relaying(kafka, mongo) as relay:

        async def one_left() -> bool:
            return await waiting(mongo) == 1

        await eventually(one_left, "all but the other service's rows have left")
        await leave(mongo, topic, range(6, 8), lease_owner=relay.owner, lease_until=LATER)
        relay.hand_over(await mongo.state["outbox"].find({"lease_owner": relay.owner}).sort("created_at").to_list())
        await eventually(one_left, "what came later has left too")
    records = await read_all(kafka, topic.name)
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3", b"4", b"6", b"7"]
    assert {record.key for record in records} == {b"run"}
    headers = dict(records[0].headers)
    assert (headers["event-id"], headers["content-type"]) == (f"{topic.name}-0".encode(), b"application/json")


async def test_what_a_row_is_about_is_traced_by_who_publishes_it_later(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic
) -> None:
    await leave(mongo, topic, range(1), trace=TRACE)
    await leave(mongo, topic, range(1, 2))  # as earlier releases left them
    async with relaying(kafka, mongo) as relay:
        relay.hint(Message(topic, "run", RunSubmitted.of("run", "tenant", Lane.SMALL), TRACE))
        await until_empty(mongo)

        async def all_three() -> bool:
            return len(await published(kafka, topic)) == 3

        await eventually(all_three, "rows and hint have left")
    headers = {record.value: dict(record.headers).get("traceparent") for record in await read_all(kafka, topic.name)}
    assert (headers.pop(b"0"), headers.pop(b"1")) == (TRACE.encode(), None)
    assert list(headers.values()) == [TRACE.encode()]


async def test_a_hint_leaves_without_ever_being_stored(kafka: KafkaSettings, mongo: Mongo, topic: Topic) -> None:
    event = RunSubmitted.of("run", "tenant", Lane.SMALL)
    await leave(mongo, topic, range(1))
    async with relaying(kafka, mongo) as relay:
        relay.hint(Message(topic, "run", event))
        await until_empty(mongo)

        async def both() -> bool:
            return len(await published(kafka, topic)) == 2

        await eventually(both, "the stored row and the hint have left")
    (hint,) = [record for record in await read_all(kafka, topic.name) if record.value != b"0"]
    assert (hint.key, RunSubmitted.model_validate_json(hint.value)) == (b"run", event)


async def test_a_hint_that_cannot_leave_is_forgotten(
    kafka: KafkaSettings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    nowhere, topic = unique_topic(), unique_topic()
    await Topics(kafka, (topic,)).ensure()
    async with relaying(kafka, mongo) as relay:
        relay.hint(Message(nowhere, "run", RunSubmitted.of("run", "tenant", Lane.SMALL)))
        await leave(mongo, topic, range(1))
        await until_empty(mongo)
    assert await published(kafka, topic) == ["0"]


async def test_two_relays_share_the_work(kafka: KafkaSettings, mongo: Mongo, topic: Topic) -> None:
    await leave(mongo, topic, range(20))
    async with relaying(kafka, mongo), relaying(kafka, mongo, "another"):
        await until_empty(mongo)
    assert sorted(map(int, await published(kafka, topic))) == list(range(20))


async def test_a_failed_row_is_released_and_leaves_later(
    kafka: KafkaSettings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    topic = unique_topic()
    metrics = Metrics(SERVICE)
    broker = create_broker(kafka, "relay")
    await broker.start()
    relay = OutboxRelay(mongo, SERVICE, "one", metrics)
    await leave(mongo, topic, range(2))
    with pytest.raises(TransientError, match=topic.name):
        await relay._sweep_once(EventPublisher(broker, metrics))
    await broker.stop()
    rows = await mongo.state["outbox"].find(sort=[("created_at", 1)]).to_list()
    assert [row["lease_until"] for row in rows] == [None, None]
    assert metrics.outbox_oldest_seconds._value.get() > 50
    async with relaying(kafka, mongo):
        await Topics(kafka, (topic,)).ensure()
        await until_empty(mongo)
    assert sorted(set(await published(kafka, topic))) == ["0", "1"]


async def test_what_a_dead_relay_held_leaves_when_its_lease_ends(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    now = datetime.now(UTC)
    await leave(mongo, topic, range(1), lease_until=now - timedelta(seconds=1))
    await leave(mongo, topic, range(1, 2), lease_until=now + timedelta(hours=1))
    await leave(mongo, topic, range(2, 3))
    async with relaying(kafka, mongo):

        async def one_left() -> bool:
            return await waiting(mongo) == 1

        await eventually(one_left, "the row of the living relay alone is left")
        assert await published(kafka, topic) == ["0", "2"]
        await mongo.state["outbox"].update_one({}, {"$set": {"lease_until": now}})
        await until_empty(mongo)
    assert await published(kafka, topic) == ["0", "2", "1"]


async def test_what_a_dead_process_of_the_same_name_held_leaves_at_once(
    kafka: KafkaSettings, mongo: Mongo, topic: Topic
) -> None:
    await leave(
        mongo,
        topic,
        range(1),
        lease_until=LATER,
        lease_owner=OutboxRelay(mongo, SERVICE, "one", Metrics(SERVICE)).owner,
    )
    await leave(mongo, topic, range(1, 2), lease_until=LATER, lease_owner="one-more#1")
    async with relaying(kafka, mongo, "one"):

        async def one_left() -> bool:
            return await waiting(mongo) == 1

        await eventually(one_left, "the row of the process with another name alone is left")
    assert await published(kafka, topic) == ["0"]


@pytest.mark.parametrize("limit", ["MAX_HANDED_OVER", "MAX_HANDED_OVER_BYTES"])
async def test_rows_handed_over_in_an_outage_are_left_to_the_sweep(
    kafka: KafkaSettings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(outbox, limit, 3)  # a row holds one digit
    topic = unique_topic()
    async with relaying(kafka, mongo) as relay:
        for number in range(5):  # as many commits; the topic does not exist yet
            await leave(mongo, topic, range(number, number + 1), lease_owner=relay.owner, lease_until=LATER)
            relay.hand_over(await mongo.state["outbox"].find({"value": str(number)}).to_list())

        async def released() -> bool:
            return await mongo.state["outbox"].count_documents({"lease_until": None}) > 0

        await eventually(released, "what could not be published is free for whoever comes first")
        assert len(relay._handed_over) <= 3, "memory is bounded while Kafka is away"
        # What was not taken in, or waited behind the failure, is free when its lease is over.
        await mongo.state["outbox"].update_many({}, {"$set": {"lease_until": BEGIN}})
        await Topics(kafka, (topic,)).ensure()
        await until_empty(mongo)
    assert sorted(set(await published(kafka, topic))) == ["0", "1", "2", "3", "4"]
