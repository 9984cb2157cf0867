"""The topics of the table on a cluster: those that are missing are made, those that fall short are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.contracts.errors import TransientError
from libs.contracts.topics import TOPICS, Topic
from libs.messaging.connection import KafkaSettings, open_admin

BROKERS_DEFAULT = -1
"""As a replication factor: the broker's own ``default.replication.factor``."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Examined:
    """How the topics of the table are: names of those that are missing, and what falls short of it."""

    missing: tuple[str, ...]
    shortfalls: tuple[str, ...]


class Topics:
    """Makes the topics of the table and knows which of them fall short of it.

    A topic falls short where it has fewer partitions than the table says, or fewer replicas than
    ``ROWDOCK_REPLICATION_FACTOR`` or, without that, than the broker gives to new topics. Services never change a topic
    that exists: more partitions change which messages share one, and more replicas are for an operator to place.

    Attributes:
        shortfalls: what falls short and how to mend it, one text a topic, as ``ensure`` last saw it.
    """

    def __init__(self, settings: KafkaSettings, topics: tuple[Topic, ...] | None = None) -> None:
        self._settings = settings
        self._topics = TOPICS if topics is None else topics
        self.shortfalls: tuple[str, ...] = ()

    async def ensure(self) -> list[str]:
        """Create the topics that the cluster does not have; log what falls short, each time that this changes.

        Returns:
            Names of the topics created.

        Raises:
            TransientError: the broker cannot be reached or refuses.
        """
        async with open_admin(self._settings) as admin:
            present = await _described(admin)
            created = await self._create(admin, [topic for topic in self._topics if topic.name not in present])
            wanted = await self._wanted_replicas(admin)
        found = self._shortfalls(present, wanted)
        if found != self.shortfalls:
            self.shortfalls = found
            if found:
                logger.warning("topics.fall_short", shortfalls=found)
            else:
                logger.info("topics.complete")
        return created

    async def examine(self) -> Examined:
        """Look, and change nothing.

        Raises:
            TransientError: the broker cannot be reached or refuses.
        """
        async with open_admin(self._settings) as admin:
            present = await _described(admin)
            wanted = await self._wanted_replicas(admin)
        missing = tuple(topic.name for topic in self._topics if topic.name not in present)
        return Examined(missing, self._shortfalls(present, wanted))

    def _shortfalls(self, present: Mapping[str, list[int]], wanted: int) -> tuple[str, ...]:
        return tuple(
            text
            for topic in self._topics
            if topic.name in present and (text := _shortfall(topic, present[topic.name], wanted))
        )

    async def add_partitions(self) -> list[str]:
        """Give the topics of the table the partitions that they lack.

        From then on a key may lead to another partition than before, so what was sent under it before and after may be
        read out of order. Nothing in Rowdock relies on that order: messages only say where to look, and run events
        carry a ``version`` by which a reader drops what comes late.

        Returns:
            Names of the topics that got some.

        Raises:
            TransientError: the broker cannot be reached or refuses.
        """
        async with open_admin(self._settings) as admin:
            present = await _described(admin)
            short = {
                topic.name: NewPartitions(topic.partitions)
                for topic in self._topics
                if topic.name in present and len(present[topic.name]) < topic.partitions
            }
            if short:
                await admin.create_partitions(short)
        return list(short)

    async def _create(self, admin: AIOKafkaAdminClient, missing: Sequence[Topic]) -> list[str]:
        if not missing:
            return []
        factor = self._settings.replication_factor
        answer = await admin.create_topics(
            [
                NewTopic(
                    name=topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=factor or BROKERS_DEFAULT,
                    # The client takes the broker's default only together with an assignment, though an empty one.
                    replica_assignments=None if factor else {},
                    topic_configs={"retention.ms": str(topic.retention_ms)},
                )
                for topic in missing
            ]
        )
        errors = [(name, for_code(code), message) for name, code, message in answer.topic_errors if code]
        refused = [entry for entry in errors if entry[1] is not TopicAlreadyExistsError]
        if refused:
            reasons = "; ".join(f"{name}: {kind.__name__}: {message or ''}" for name, kind, message in refused)
            raise TransientError(f"the broker refuses to create topics: {reasons}")
        return [name for name, code, _ in answer.topic_errors if not code]

    async def _wanted_replicas(self, admin: AIOKafkaAdminClient) -> int:
        if self._settings.replication_factor is not None:
            return self._settings.replication_factor
        brokers = (await admin.describe_cluster())["brokers"]
        if not brokers:
            # The controller has missed the heartbeats of them all, as of a busy machine: it will hear them again.
            raise TransientError("the cluster knows of no broker at the moment")
        if len(brokers) == 1:
            return 1  # there can be no more, whatever the broker would give
        return await _default_replication_factor(admin, brokers[0]["node_id"])


async def _described(admin: AIOKafkaAdminClient) -> Mapping[str, list[int]]:
    """Number of replicas of each partition, by topic."""
    return {
        topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]]
        for topic in await admin.describe_topics()
    }


async def _default_replication_factor(admin: AIOKafkaAdminClient, node: int) -> int:
    """How many replicas a broker gives to a topic that asks for its default; 1 where it may not be asked for that."""
    resource = ConfigResource(ConfigResourceType.BROKER, str(node), {"default.replication.factor": ""})
    (answer,) = await admin.describe_configs([resource])
    return next((int(entry[1]) for described in answer.resources for entry in described[4]), 1)


def _shortfall(topic: Topic, replicas: Sequence[int], wanted: int) -> str:
    findings: list[str] = []
    if len(replicas) < topic.partitions:
        findings.append(
            f"{len(replicas)} of {topic.partitions} partitions; `python -m deploy.provision` adds the missing ones"
        )
    if (fewest := min(replicas, default=wanted)) < wanted:
        findings.append(f"{fewest} of {wanted} replicas; reassign its partitions with kafka-reassign-partitions.sh")
    return f"{topic.name} has {'; and '.join(findings)}" if findings else ""
