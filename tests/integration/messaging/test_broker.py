"""Publishing and dead letters on a real broker."""

from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord

from libs.contracts.errors import TransientError
from libs.contracts.events import BatchParsed
from libs.contracts.messages import Message
from libs.contracts.topics import DEAD_LETTERS, Topic
from libs.messaging.broker import create_broker
from libs.messaging.connection import KafkaSettings
from libs.messaging.dead_letters import MAX_STORED_BYTES, DeadLetters
from libs.messaging.publisher import EventPublisher
from libs.messaging.topics import Topics
from libs.storage.client import Mongo
from libs.telemetry.metrics import Metrics
from tests.integration.messaging.conftest import unique_topic
from tests.integration.messaging.members import SERVICE, event, read_all

pytestmark = pytest.mark.servers


async def test_an_event_out_of_reach_may_arrive_later(kafka: KafkaSettings, topic: Topic) -> None:
    metrics = Metrics(SERVICE)
    broker = create_broker(kafka, "publisher")
    await broker.start()
    publisher = EventPublisher(broker, metrics)
    await publisher.publish(topic, "run", event(1))
    await publisher.publish_all([Message(topic, "run", event(seq)) for seq in (2, 3)])
    with pytest.raises(TransientError):
        await publisher.publish_raw(topic.name, "run", "e4", "x" * 300_000)
    await broker.stop()
    records = await read_all(kafka, topic.name)
    assert sorted(BatchParsed.model_validate_json(record.value).seq for record in records) == [1, 2, 3]


async def test_the_batches_of_a_run_are_shared_out_evenly_and_other_messages_by_their_key(kafka: KafkaSettings) -> None:
    topic = unique_topic(partitions=4)
    await Topics(kafka, (topic,)).ensure()
    broker = create_broker(kafka, "publisher")
    await broker.start()
    publisher = EventPublisher(broker, Metrics(SERVICE))
    batches = [Message(topic, f"run:{seq}", event(seq)) for seq in range(10)]
    await publisher.publish_all([*batches, *batches[:3], *(Message(topic, "run", event(50 + n)) for n in range(5))])
    await broker.stop()
    partitions = [await read_all(kafka, topic.name, of) for of in range(4)]
    keys = [[record.key for record in records if record.key != b"run"] for records in partitions]
    assert sorted(len(set(found)) for found in keys) == [2, 2, 3, 3]
    assert sum(map(len, keys)) == 13
    assert sorted(sum(record.key == b"run" for record in records) for records in partitions) == [0, 0, 0, 5]


async def test_a_message_is_one_dead_letter_however_often_it_is_given_up(kafka: KafkaSettings, mongo: Mongo) -> None:
    topic, metrics = unique_topic(), Metrics(SERVICE)
    broker = create_broker(kafka, "dead")
    await broker.start()
    letters = DeadLetters(mongo, SERVICE, EventPublisher(broker, metrics))
    at = int(datetime.now(UTC).timestamp() * 1_000)

    def record(offset: int, value: bytes | None) -> ConsumerRecord[bytes | None, bytes | None]:
        size = len(value or b"")
        return ConsumerRecord(topic.name, 0, offset, at, 0, None, value, None, 0, size, (("a", b"\xff"),))

    await letters.store(record(1, b"x" * (MAX_STORED_BYTES + 1)), "FIRST", "m" * 5_000)
    await letters.store(record(1, b"x" * (MAX_STORED_BYTES + 1)), "SECOND", "again")
    await letters.store(record(2, None), "OTHER", "another message")
    await broker.stop()
    stored = await mongo.state["dead_letters"].find(sort=[("offset", 1)]).to_list()
    assert [(letter["offset"], letter["code"]) for letter in stored] == [(1, "FIRST"), (2, "OTHER")]
    assert (len(stored[0]["value"]), len(stored[0]["message"])) == (MAX_STORED_BYTES, 2_000)
    assert (stored[1]["key"], stored[1]["value"]) == (None, None)
    assert stored[0]["headers"] == [{"name": "a", "value": b"\xff"}]
    told = [entry for entry in await read_all(kafka, DEAD_LETTERS.name) if topic.name.encode() in entry.value]
    assert len({entry.value for entry in told}) == 3
    assert len({dict(entry.headers)["event-id"] for entry in told}) == 2
