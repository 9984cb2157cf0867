"""How far consumer groups are behind."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.contracts.errors import TransientError
from libs.contracts.services import group_of
from libs.contracts.topics import Topic
from libs.messaging.connection import KafkaSettings
from libs.messaging.lag import GroupLag, lag_of_services
from tests.integration.messaging.members import Send

pytestmark = pytest.mark.servers


async def test_what_a_group_has_not_committed_waits(kafka: KafkaSettings, topic: Topic, send: Send) -> None:
    for _ in range(3):
        await send(topic, b"{}")
    group = group_of("lagging", topic.name)
    for foreign in (group, f"someone.else.{topic.name}"):
        consumer = AIOKafkaConsumer(**kafka.client_options(), group_id=foreign, enable_auto_commit=False)
        partition = TopicPartition(topic.name, 0)
        consumer.assign([partition])
        await consumer.start()
        await consumer.commit({partition: 1})
        await consumer.stop()
    found = [each for each in await lag_of_services(kafka) if each.service == "lagging"]
    assert [(each.topic, each.members, each.waiting) for each in found] == [(topic.name, 0, 2)]
    assert isinstance(found[0], GroupLag)


async def test_a_broker_out_of_reach_is_told() -> None:
    with pytest.raises(TransientError):
        await lag_of_services(KafkaSettings(kafka="127.0.0.1:1"))
