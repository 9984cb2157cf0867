"""Ends a process whose consumers have stopped receiving although there is something to receive.

A consumer can fall silent for good after a broker restart while everything else looks alive. Each consumer is judged by
itself: by the partitions that it holds, and by whether the broker still counts it among its group. What others hold,
however much of it waits, is no sign of anything here; and one that is busy does not speak for one that is silent. What
the broker holds is asked by a client of its own, not by the ones under suspicion.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import TopicPartition

from libs.contracts.errors import TransientError
from libs.messaging.connection import KafkaSettings, open_admin, open_reader
from libs.messaging.consumer import Consumers, ConsumerState
from libs.telemetry.metrics import Metrics

logger = structlog.get_logger()

_SETTLED_GROUPS = frozenset({"Stable", "Empty", "Dead"})
"""States of a group in which its members are all that it has; in others they are joining."""


@dataclass(frozen=True, slots=True)
class GroupLook:
    """What the broker says of one consumer group.

    Attributes:
        waiting: messages that the group has not committed, by partition; only partitions that have some.
        members: members that the group counts, by client id; ``None`` while they are joining.
    """

    waiting: Mapping[TopicPartition, int]
    members: Mapping[str, int] | None


async def look_at_groups(settings: KafkaSettings, groups: Mapping[str, str]) -> dict[str, GroupLook]:
    """What the broker says of consumer groups, by topic.

    Args:
        groups: group name by the topic that it reads.

    Raises:
        TransientError: the broker cannot tell.
    """
    async with open_admin(settings) as admin, open_reader(settings) as reader:
        partitions = [
            TopicPartition(description["topic"], partition["partition"])
            for description in await admin.describe_topics(sorted(groups))
            for partition in description["partitions"]
        ]
        begin = await reader.beginning_offsets(partitions)
        # One at a time: aiokafka reads the answer about several at once by the wrong version's schema.
        described = [await admin.describe_consumer_groups([group]) for group in sorted(groups.values())]
        members = dict(_members(group) for answers in described for answer in answers for group in answer.groups)
        committed = {
            topic: await admin.list_consumer_group_offsets(
                group, partitions=[p for p in partitions if p.topic == topic]
            )
            for topic, group in groups.items()
        }
        # Last, so that what is committed meanwhile never looks as if it were waiting without end.
        end = await reader.end_offsets(partitions)

    def waiting(topic: str) -> dict[TopicPartition, int]:
        offsets = {partition: entry.offset for partition, entry in committed[topic].items()}
        behind = {
            partition: end[partition] - max(offsets.get(partition, 0), begin[partition])
            for partition in partitions
            if partition.topic == topic
        }
        return {partition: count for partition, count in behind.items() if count > 0}

    return {topic: GroupLook(waiting(topic), members.get(group)) for topic, group in groups.items()}


def _members(group: Sequence[Any]) -> tuple[str, Counter[str] | None]:
    """Name and members of a group as ``DescribeGroups`` tells it."""
    _, name, state, _, _, members, *_ = group
    return name, Counter(str(member[1]) for member in members) if state in _SETTLED_GROUPS else None


class Suspicions:
    """Which consumers of this process look stalled, and since when.

    Args:
        client_id: what the consumers of this process call themselves to the broker.
        stall_seconds: how long one may be silent although messages wait for it.
    """

    def __init__(self, client_id: str, stall_seconds: float) -> None:
        self._client_id = client_id
        self._stall_seconds = stall_seconds
        self._since: dict[object, float] = {}

    def suspects(self, consumers: Collection[ConsumerState]) -> list[ConsumerState]:
        """Consumers that are silent: only those are worth a question to the broker."""
        quiet = self._stall_seconds / 2
        return [each for each in consumers if each.joined and not each.busy and each.seconds_idle >= quiet]

    def judge(self, consumers: Collection[ConsumerState], looks: Mapping[str, GroupLook], now: float) -> list[str]:
        """Take in a look at the groups of the silent consumers; topics of those that are stalled for good.

        Args:
            consumers: all of this process.
            looks: what the broker said, by topic; without those of topics where nobody is silent.
            now: in seconds, of a clock that never goes back.
        """
        standing = Counter(each.topic for each in consumers if each.joined)
        found: dict[object, str] = {}
        for each in self.suspects(consumers):
            if (look := looks.get(each.topic)) is None:
                continue
            # The same messages as before: a partition that moves on, or comes and goes, is no silent one.
            for partition in each.assigned & look.waiting.keys():
                found[partition, each.handled] = each.topic
            if (
                look.waiting
                and look.members is not None
                and look.members.get(self._client_id, 0) < standing[each.topic]
            ):
                found[each.topic] = each.topic
        self._since = {suspicion: self._since.get(suspicion, now) for suspicion in found}
        over = now - self._stall_seconds / 2
        return sorted({found[suspicion] for suspicion, since in self._since.items() if since < over})

    @property
    def any(self) -> bool:
        """Whether a consumer looks stalled."""
        return bool(self._since)

    def forget(self) -> None:
        """Nothing can be told, or nobody is silent."""
        self._since.clear()


async def watch_consumers(
    kafka: KafkaSettings,
    stall_seconds: float,
    consumers: Consumers,
    metrics: Metrics,
    end_process: Callable[[], None],
) -> None:
    """Call ``end_process`` once a consumer of this process was silent for ``stall_seconds`` with messages waiting for
    it, or with no place in its group."""
    if not consumers.topics:
        return
    suspicions = Suspicions(consumers.client_id, stall_seconds)
    while True:
        await asyncio.sleep(stall_seconds / 4)
        silent = {each.topic for each in suspicions.suspects(consumers.states())}
        stalled: list[str] = []
        try:
            looks = await look_at_groups(kafka, {topic: consumers.group(topic) for topic in silent}) if silent else {}
        except TransientError as error:
            logger.info("watchdog.cannot_tell", error=str(error))
            suspicions.forget()
        else:
            stalled = suspicions.judge(consumers.states(), looks, time.monotonic())
        metrics.stalled.set(suspicions.any)
        if stalled:
            logger.error("watchdog.consumer_stalled", topics=stalled)
            end_process()
            return
