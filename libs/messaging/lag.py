"""How far behind the consumer groups of all services are, as the broker tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from libs.contracts.services import GROUP_PREFIX
from libs.messaging.connection import KafkaSettings, open_admin, open_reader


@dataclass(frozen=True, slots=True)
class GroupLag:
    """One consumer group.

    Attributes:
        state: as Kafka names it, such as ``Stable`` or ``Empty``.
        members: consumers in it.
        waiting: messages that it has not committed.
    """

    service: str
    topic: str
    state: str
    members: int
    waiting: int


async def lag_of_services(settings: KafkaSettings) -> list[GroupLag]:
    """Every consumer group of Rowdock's, by service and topic.

    Raises:
        TransientError: no broker answers.
    """
    async with open_admin(settings) as admin, open_reader(settings) as reader:
        listed = await admin.list_consumer_groups()
        groups = sorted({str(name) for name, *_ in listed if str(name).startswith(GROUP_PREFIX)})
        # One at a time: aiokafka reads the answer about several at once by the wrong version's schema.
        described = {group: await _described(admin, group) for group in groups}
        committed = {group: await admin.list_consumer_group_offsets(group) for group in groups}
        partitions = sorted({partition for offsets in committed.values() for partition in offsets})
        begin = await reader.beginning_offsets(partitions) if partitions else {}
        # Last, so that what is committed meanwhile never looks as if it were waiting.
        end = await reader.end_offsets(partitions) if partitions else {}

    def waiting(group: str) -> int:
        behind = (end[partition] - max(entry.offset, begin[partition]) for partition, entry in committed[group].items())
        return sum(count for count in behind if count > 0)

    return [GroupLag(*_named(group), *described[group], waiting(group)) for group in groups]


def _named(group: str) -> tuple[str, str]:
    service, _, topic = group.removeprefix(GROUP_PREFIX).partition(".")
    return service, topic


async def _described(admin: AIOKafkaAdminClient, group: str) -> tuple[str, int]:
    """State and number of members."""
    answers: Sequence[Any] = await admin.describe_consumer_groups([group])
    for answer in answers:
        for _, name, state, _, _, members, *_ in answer.groups:
            if name == group:
                return str(state), len(members)
    return "Dead", 0
