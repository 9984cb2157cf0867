"""Rights at a real Kafka with an authorizer: the table is made, holds, and the doctor tells what is missing of it."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from deploy.doctor.findings import Grade
from deploy.doctor.kafka import look_at_kafka
from deploy.kafka_acls import give_rights, open_acls
from deploy.kafka_rights import (
    PROVISION,
    READS,
    USERS,
    WRITES,
    Operation,
    Resource,
    Right,
    rights_of,
    rights_of_producers,
    user_of,
)
from deploy.provision import provision_kafka
from libs.contracts.services import group_of
from libs.contracts.topics import IMPORTS_REQUESTED, RUN_SUBMITTED, TOPICS
from tests.secured import PRODUCER, STRANGER, AuthorizedKafka, authorized_kafka, send

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizedKafka]:
    """Provisioned by a user who may do no more than that takes."""
    users = [*map(user_of, (*USERS, PROVISION)), PRODUCER, STRANGER]

    async def provision(settings: AuthorizedKafka) -> None:
        await provision_kafka(settings.settings_of(user_of(PROVISION)))
        await give_rights(settings.settings_of(user_of(PROVISION)), [PRODUCER])

    with authorized_kafka(tmp_path_factory.mktemp("kafka"), users) as started:
        asyncio.run(provision(started))
        yield started


async def test_only_those_who_are_named_ask_for_imports(kafka: AuthorizedKafka) -> None:
    for user in (STRANGER, user_of("parser")):
        with pytest.raises(TopicAuthorizationFailedError):
            await send(kafka.settings_of(user), IMPORTS_REQUESTED.name, b"{}")
    await send(kafka.settings_of(PRODUCER), IMPORTS_REQUESTED.name, b"{}")


async def test_the_doctor_tells_whose_rights_are_missing(kafka: AuthorizedKafka) -> None:
    settings = kafka.settings_of(user_of("gateway"))
    told = {each.subject: each for each in await look_at_kafka(settings, service="gateway")}
    assert {name for name, each in told.items() if each.grade is not Grade.GOOD} == set(), told
    [other] = [each for each in await look_at_kafka(settings, service="writer") if each.subject == "rights at Kafka"]
    assert other.grade is Grade.PROBLEM
    assert "rowdock-gateway lacks what writer does: READ on topic imports.batch-ready.v1" in other.text
    [unable] = [each for each in await look_at_kafka(kafka.settings_of(user_of("parser")), service="parser")
                if each.subject == "rights at Kafka"]  # fmt: skip
    assert "may not look" in unable.text


async def test_rights_that_no_service_needs_any_more_are_taken_in_the_end(kafka: AuthorizedKafka) -> None:
    settings = kafka.settings_of(user_of(PROVISION))
    old = Right(Operation.WRITE, Resource.TOPIC, "imports.of-an-earlier-release.v1")
    lost = Right(Operation.READ, Resource.TOPIC, RUN_SUBMITTED.name)
    async with open_acls(settings) as acls:
        await acls.give(user_of("parser"), old)
        await acls.take(user_of("parser"), lost)
        given = await give_rights(settings)
        assert given.made == [f"rowdock-parser: {lost}"]
        assert (given.beyond, given.taken) == ([f"rowdock-parser: {old}"], ())
        given = await give_rights(settings, finish=True)
        assert (given.made, given.beyond, given.taken) == ([], (), [f"rowdock-parser: {old}"])
        assert await acls.of_user(user_of("parser")) == rights_of("parser")
        assert await acls.of_user(PRODUCER) == rights_of_producers()


@pytest.mark.parametrize("service", sorted(WRITES))
async def test_a_service_writes_to_no_topic_but_its_own(service: str, kafka: AuthorizedKafka) -> None:
    settings = kafka.settings_of(user_of(service))
    for topic in TOPICS:
        if topic not in WRITES[service]:
            with pytest.raises(TopicAuthorizationFailedError):
                await send(settings, topic.name, b"{}")


@pytest.mark.parametrize("service", sorted(READS))
async def test_a_service_reads_no_topic_and_joins_no_group_but_its_own(service: str, kafka: AuthorizedKafka) -> None:
    options = kafka.settings_of(user_of(service)).client_options()
    foreign = next(topic.name for topic in TOPICS if topic not in READS[service])
    async with AIOKafkaConsumer(foreign, **options, auto_offset_reset="earliest") as consumer:
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.getone()
    other = "writer" if service == "parser" else "parser"
    # Not `async with`: it leaves a consumer open that does not start.
    consumer = AIOKafkaConsumer(foreign, **options, group_id=group_of(other, foreign))
    with pytest.raises(GroupAuthorizationFailedError):
        await consumer.start()
    await consumer.stop()
