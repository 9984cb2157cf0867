"""Topics as the table and the broker say; those that fall short are told of."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from deploy.provision import provision_kafka
from libs.contracts.errors import TransientError
from libs.contracts.topics import TOPICS, Topic
from libs.messaging import topics as messaging_topics
from libs.messaging.connection import KafkaSettings, open_admin
from libs.messaging.topics import Topics
from tests.integration.messaging.conftest import login, unique_topic
from tests.integration.messaging.members import eventually
from tests.secured import SecuredKafka

pytestmark = pytest.mark.servers


async def replicas(kafka: KafkaSettings, *topics: Topic) -> dict[str, list[int]]:
    """Copies of each partition, by topic."""
    async with open_admin(kafka) as admin:
        made = await admin.describe_topics([topic.name for topic in topics])
    return {topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]] for topic in made}


async def until_made(kafka: KafkaSettings, wanted: dict[Topic, list[int]]) -> None:
    async def check() -> bool:
        return await replicas(kafka, *wanted) == {topic.name: copies for topic, copies in wanted.items()}

    await eventually(check, f"{wanted}")


async def make(kafka: KafkaSettings, topic: Topic) -> None:
    """As a release before did it: one replica, whatever the broker would give."""
    async with open_admin(kafka) as admin:
        await admin.create_topics([NewTopic(topic.name, topic.partitions, 1)])


async def test_topics_are_made_once_as_the_table_says(kafka: KafkaSettings) -> None:
    topics = (unique_topic(1), unique_topic(3))
    assert await Topics(kafka, topics[:1]).ensure() == [topics[0].name]
    assert await Topics(kafka, topics).ensure() == [topics[1].name]
    assert await Topics(kafka, topics).ensure() == []
    assert await Topics(kafka).ensure() == [], "the table's own are there"
    await until_made(kafka, {topic: [1] * topic.partitions for topic in (*topics, *TOPICS)})


async def test_many_may_make_the_same_topics_at_once(kafka: KafkaSettings) -> None:
    topics = (unique_topic(), unique_topic())
    await asyncio.gather(*(Topics(kafka, topics).ensure() for _ in range(4)))
    assert await Topics(kafka, topics).ensure() == []


async def test_a_broker_out_of_reach_may_come_back() -> None:
    with pytest.raises(TransientError, match=r"PLAINTEXT: 127\.0\.0\.1:1: .*[Cc]onnect"):
        await Topics(KafkaSettings(kafka="127.0.0.1:1")).ensure()


async def test_a_cluster_whose_brokers_are_all_fenced_may_come_back(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller lists no broker whose heartbeats it has missed, which answers all the same."""

    async def nobody(_: AIOKafkaAdminClient) -> dict[str, object]:
        return {"brokers": []}

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_cluster", nobody)
    with pytest.raises(TransientError, match="no broker"):
        await Topics(kafka).ensure()


async def test_a_topic_gets_as_many_replicas_as_the_broker_gives_or_as_asked(secured: SecuredKafka) -> None:
    by_default, one = unique_topic(2), unique_topic(1)
    await Topics(login(secured), (by_default,)).ensure()
    await Topics(login(secured, replication_factor=1), (one,)).ensure()
    await until_made(login(secured), {by_default: [2, 2], one: [1]})
    too_many = unique_topic()
    with pytest.raises(TransientError, match=rf"{too_many.name}: InvalidReplicationFactorError"):
        await Topics(login(secured, replication_factor=3), (too_many,)).ensure()


async def test_a_topic_short_of_replicas_is_told_of(secured: SecuredKafka) -> None:
    topic = unique_topic(2)
    await make(login(secured), topic)
    await until_made(login(secured), {topic: [1, 1]})
    for settings, wanted in ((login(secured), 2), (login(secured, replication_factor=3), 3)):
        topics = Topics(settings, (topic,))
        assert await topics.ensure() == []
        (told,) = topics.shortfalls
        assert told.startswith(f"{topic.name} has 1 of {wanted} replicas; ")
    content = Topics(login(secured, replication_factor=1), (topic,))
    await content.ensure()
    assert content.shortfalls == ()


async def test_a_topic_short_of_partitions_is_told_of_once_and_again_when_that_changes(kafka: KafkaSettings) -> None:
    small = unique_topic(1)
    other = unique_topic(1)
    await make(kafka, small)
    await make(kafka, other)
    await until_made(kafka, {small: [1], other: [1]})
    topics = Topics(kafka, (replace(small, partitions=3), other))
    with capture_logs() as told:
        for _ in range(3):
            await topics.ensure()
    (shortfall,) = topics.shortfalls
    assert shortfall.startswith(f"{small.name} has 1 of 3 partitions; ")
    assert [(entry["event"], entry["shortfalls"]) for entry in told] == [("topics.fall_short", (shortfall,))]

    with capture_logs() as told:
        assert await topics.add_partitions() == [small.name]
        await until_made(kafka, {small: [1, 1, 1], other: [1]})
        for _ in range(2):
            await topics.ensure()
    assert topics.shortfalls == ()
    assert [entry["event"] for entry in told] == ["topics.complete"]
    assert await topics.add_partitions() == []


async def test_provisioning_makes_and_grows_topics_and_tells_what_it_cannot_mend(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, small = unique_topic(1), unique_topic(1)
    await make(login(secured), small)
    await until_made(login(secured), {small: [1]})
    monkeypatch.setattr(messaging_topics, "TOPICS", (missing, replace(small, partitions=2)))
    await provision_kafka(login(secured))
    await until_made(login(secured), {missing: [2], small: [1, 1]})
    printed = capsys.readouterr().out
    assert f"topics created: {missing.name}" in printed
    assert f"partitions added: {small.name}" in printed
    assert f"falls short: {small.name} has 1 of 2 replicas" in printed
