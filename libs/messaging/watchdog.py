"""Ends a process whose consumers have stopped receiving although there is something to receive.

A consumer can fall silent for good after a broker restart while everything else looks alive.
What the broker holds is asked by a client of its own, not by the one under suspicion.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from aiokafka import TopicPartition

from libs.contracts.errors import TransientError
from libs.messaging.connection import KafkaSettings, open_admin, open_reader
from libs.messaging.consumer import Consumers
from libs.telemetry.metrics import Metrics

logger = structlog.get_logger()


async def group_lag(settings: KafkaSettings, groups: Mapping[str, str]) -> int:
    """Messages that consumer groups have not committed.

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

        def of(topic: str) -> list[TopicPartition]:
            return [partition for partition in partitions if partition.topic == topic]

        committed = {
            partition: entry.offset
            for topic, group in groups.items()
            for partition, entry in (await admin.list_consumer_group_offsets(group, partitions=of(topic))).items()
        }
        begin = await reader.beginning_offsets(partitions)
        end = await reader.end_offsets(partitions)
        return sum(
            max(0, end[partition] - max(committed.get(partition, 0), begin[partition])) for partition in partitions
        )


async def watch_consumers(
    kafka: KafkaSettings,
    stall_seconds: float,
    consumers: Consumers,
    metrics: Metrics,
    end_process: Callable[[], None],
) -> None:
    """Call ``end_process`` once the group has lag and nothing was handled for ``stall_seconds``."""
    if not consumers.topics:
        return
    silent_since: float | None = None
    while True:
        await asyncio.sleep(stall_seconds / 4)
        if consumers.busy or consumers.seconds_idle < stall_seconds / 2:
            silent_since = None
            continue
        try:
            lag = await group_lag(kafka, {topic: consumers.group(topic) for topic in consumers.topics})
        except TransientError as error:
            logger.info("watchdog.cannot_tell", error=str(error))
            silent_since = None
            continue
        if not lag or consumers.unassigned() is not None:
            silent_since = None
        elif silent_since is None:
            silent_since = time.monotonic()
        metrics.stalled.set(silent_since is not None)
        if silent_since is not None and time.monotonic() - silent_since > stall_seconds / 2:
            logger.error("watchdog.consumer_stalled", lag=lag)
            end_process()
            return
