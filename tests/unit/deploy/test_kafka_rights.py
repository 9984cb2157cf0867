"""The table of rights at Kafka: whom it names, and which right covers which."""

import pytest

from deploy.kafka_rights import MONITOR, READS, WRITES, Operation, Resource, Right, missing_rights, rights_of
from libs.contracts import services
from libs.contracts.topics import IMPORTS_REQUESTED, TOPICS

READ, WRITE, DESCRIBE, ALL = Operation.READ, Operation.WRITE, Operation.DESCRIBE, Operation.ALL
TOPIC, GROUP = Resource.TOPIC, Resource.GROUP


def test_every_service_and_every_topic_is_in_the_table() -> None:
    assert READS.keys() == WRITES.keys() == {*services.SERVICES, *services.OPTIONAL_SERVICES}
    assert {topic for told in WRITES.values() for topic in told} == set(TOPICS)


def test_only_those_who_ask_and_the_gateway_that_replays_write_requests() -> None:
    write = Right(WRITE, TOPIC, IMPORTS_REQUESTED.name)
    assert [service for service in READS if write in rights_of(service)] == ["gateway"]


def test_a_monitor_reads_no_messages() -> None:
    assert {right.operation for right in rights_of(MONITOR)} == {DESCRIBE}


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        (Right(READ, TOPIC, "a"), Right(READ, TOPIC, "a"), True),
        (Right(READ, TOPIC, "a"), Right(DESCRIBE, TOPIC, "a"), True),
        (Right(DESCRIBE, TOPIC, "a"), Right(READ, TOPIC, "a"), False),
        (Right(READ, TOPIC, "a"), Right(Operation.DESCRIBE_CONFIGS, TOPIC, "a"), False),
        (Right(ALL, TOPIC, "a"), Right(WRITE, TOPIC, "a"), True),
        (Right(ALL, TOPIC, "*"), Right(WRITE, TOPIC, "a"), True),
        (Right(READ, TOPIC, "a."), Right(READ, TOPIC, "a.b"), False),
        (Right(READ, TOPIC, "a.", prefixed=True), Right(READ, TOPIC, "a.b"), True),
        (Right(READ, TOPIC, "a.b", prefixed=True), Right(READ, TOPIC, "a.", prefixed=True), False),
        (Right(READ, TOPIC, "a"), Right(READ, TOPIC, "a", prefixed=True), False),
        (Right(READ, TOPIC, "a"), Right(READ, GROUP, "a"), False),
    ],
)
def test_rights_that_cover_others(wide: Right, narrow: Right, *, covered: bool) -> None:
    assert wide.covers(narrow) is covered


def test_what_is_missing_is_told() -> None:
    parser = rights_of("parser")
    assert missing_rights("parser", parser) == []
    lost = Right(READ, TOPIC, "imports.run-submitted.v1")
    assert missing_rights("parser", parser - {lost}) == [lost]
    assert str(lost) == "READ on topic imports.run-submitted.v1"
    everything = [Right(ALL, TOPIC, "*"), Right(ALL, GROUP, "rowdock.", prefixed=True)]
    assert missing_rights("writer", everything) == []
