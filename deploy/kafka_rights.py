"""What each service does at Kafka, and so what it has to be allowed: the one table.

``deploy.kafka_acls`` makes it so, and the doctor holds a user against it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from libs.contracts.services import GROUP_PREFIX, OPTIONAL_SERVICES, SERVICES, group_of
from libs.contracts.topics import (
    BATCH_PARSED,
    BATCH_READY,
    DEAD_LETTERS,
    EXECUTION_REQUESTED,
    IMPORTS_REQUESTED,
    LARGE_BATCH_PARSED,
    LARGE_BATCH_READY,
    RECORDS_CHANGED,
    RUN_EVENTS,
    RUN_SUBMITTED,
    TOPICS,
    Topic,
)


class Resource(IntEnum):
    """On what, by Kafka's numbers."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4


class Operation(IntEnum):
    """What may be done, by Kafka's numbers. Who may read or write, may describe too."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


CLUSTER = "kafka-cluster"
"""The name that Kafka has for the one cluster."""
EVERYTHING = "*"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that somebody may do; ``prefixed``: on everything whose name begins so."""

    operation: Operation
    resource: Resource
    name: str
    prefixed: bool = False

    def __str__(self) -> str:
        return f"{self.operation.name} on {self.resource.name.lower()} {self.name}{'*' if self.prefixed else ''}"

    def covers(self, other: "Right") -> bool:
        """Whether who has this may do the other."""
        if self.resource is not other.resource or not self._names(other):
            return False
        implied = other.operation is Operation.DESCRIBE and self.operation in _DESCRIBE_TOO
        return implied or self.operation in {Operation.ALL, other.operation}

    def _names(self, other: "Right") -> bool:
        if self.prefixed:
            return other.name.startswith(self.name)
        return self.name == EVERYTHING or (self.name, self.prefixed) == (other.name, other.prefixed)


_DESCRIBE_TOO = {Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER}

READS: Mapping[str, Sequence[Topic]] = {
    "gateway": (RUN_EVENTS,),
    "parser": (RUN_SUBMITTED,),
    "validator": (BATCH_PARSED, LARGE_BATCH_PARSED),
    "writer": (EXECUTION_REQUESTED, BATCH_READY, LARGE_BATCH_READY),
    "webhooks": (RUN_EVENTS,),
    "requests": (IMPORTS_REQUESTED,),
    "sources": (),
}
"""Which service handles the messages of which topics."""
WITHOUT_GROUP = {"gateway"}
"""Who only listens: every process hears everything, and nothing is committed."""
HANDLED = tuple(dict.fromkeys(topic for topics in READS.values() for topic in topics))
WRITES: Mapping[str, Sequence[Topic]] = {
    # It replays what could not be handled, wherever that came from.
    "gateway": HANDLED,
    # Who takes a run's last step of a stage hands out the first of the next one.
    "parser": (BATCH_PARSED, LARGE_BATCH_PARSED, BATCH_READY, LARGE_BATCH_READY, EXECUTION_REQUESTED, RUN_EVENTS,
               DEAD_LETTERS),
    "validator": (BATCH_PARSED, LARGE_BATCH_PARSED, BATCH_READY, LARGE_BATCH_READY, EXECUTION_REQUESTED, RUN_EVENTS,
                  DEAD_LETTERS),
    "writer": (BATCH_READY, LARGE_BATCH_READY, EXECUTION_REQUESTED, RUN_EVENTS, RECORDS_CHANGED, DEAD_LETTERS),
    "webhooks": (DEAD_LETTERS,),
    "requests": (RUN_SUBMITTED, RUN_EVENTS, DEAD_LETTERS),
    "sources": (RUN_SUBMITTED, RUN_EVENTS),
}  # fmt: skip
"""Which service tells something on which topics. Producers are not idempotent, so no transactional ids are needed."""
MONITOR = "monitor"
"""The user who is asked how far the groups are behind, as by an autoscaler; not one of the services."""
PROVISION = "provision"
"""The user of ``deploy.provision``. Nobody but an administrator can give it its rights: who may give rights to others
may give itself any, so it may as well be one of the brokers' ``super.users``."""
# The gateway's beyond what it does itself are for the doctor, who asks with its login.
OF_CLUSTER: Mapping[str, Sequence[Operation]] = {
    "gateway": (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS),
    PROVISION: (Operation.CREATE, Operation.ALTER, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS),
}
OF_EVERY_TOPIC: Mapping[str, Sequence[Operation]] = {
    "gateway": (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS),
    PROVISION: (Operation.ALTER,),
}
"""What somebody does with each; all others look whether it is there."""
OF_ALL_GROUPS: Mapping[str, Sequence[Operation]] = {"gateway": (Operation.DESCRIBE,), MONITOR: (Operation.DESCRIBE,)}
USERS = (*SERVICES, *OPTIONAL_SERVICES, MONITOR)
"""Whose rights are made."""


def user_of(service: str) -> str:
    """The name that a service logs in with."""
    return f"rowdock-{service}"


def rights_of(service: str) -> frozenset[Right]:
    """All that a service does at Kafka, or ``MONITOR``, or ``PROVISION``."""
    return frozenset(_rights_of(service))


def _rights_of(service: str) -> Iterator[Right]:
    for operation in OF_CLUSTER.get(service, ()):
        yield Right(operation, Resource.CLUSTER, CLUSTER)
    for operation in OF_EVERY_TOPIC.get(service, (Operation.DESCRIBE,)):
        yield from (Right(operation, Resource.TOPIC, topic.name) for topic in TOPICS)
    for operation in OF_ALL_GROUPS.get(service, ()):
        yield Right(operation, Resource.GROUP, GROUP_PREFIX, prefixed=True)
    for topic in READS.get(service, ()):
        yield Right(Operation.READ, Resource.TOPIC, topic.name)
        if service not in WITHOUT_GROUP:
            yield Right(Operation.READ, Resource.GROUP, group_of(service, topic.name))
    for topic in WRITES.get(service, ()):
        yield Right(Operation.WRITE, Resource.TOPIC, topic.name)


def rights_of_producers() -> frozenset[Right]:
    """What somebody needs who asks for imports."""
    return frozenset({Right(Operation.WRITE, Resource.TOPIC, IMPORTS_REQUESTED.name)})


def missing_rights(service: str, have: Iterable[Right]) -> list[Right]:
    """What a service does and a user with these rights may not."""
    have = tuple(have)
    return sorted(want for want in rights_of(service) if not any(right.covers(want) for right in have))
