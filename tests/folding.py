"""The copy of records that a consumer of ``records.changed.v1`` has, by the code of ``examples/``, and the target."""

import asyncio
import json
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.contracts.events import MAX_RECORDS_CHANGED_BYTES
from libs.contracts.topics import RECORDS_CHANGED
from libs.values.json_values import as_json

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "record_events.py"
Fold: Any = runpy.run_path(str(EXAMPLE))["Fold"]
OWN = {"_id", "tenant_id", "is_deleted", "deleted_at", "created_at", "updated_at", "_import", "_keys"}
Records = dict[str, dict[str, Any]]


def folded(messages: Iterable[Mapping[str, Any]], tenant_id: str, resource: str) -> Records:
    """What a consumer makes of messages."""
    fold = Fold()
    for message in messages:
        fold.take(message)
    assert not any(copy.unread for copy in fold.copies.values())
    return fold.records(tenant_id, resource)


def shown(documents: Iterable[Mapping[str, Any]]) -> Records:
    """The records of a target in the same form."""
    return {
        str(each["_id"]): {
            "is_deleted": each["is_deleted"],
            "fields": {name: as_json(value) for name, value in each.items() if name not in OWN},
        }
        for each in documents
    }


async def _read(kafka: str) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", max_poll_records=1_000)
    await consumer.start()
    try:
        partitions = [TopicPartition(RECORDS_CHANGED.name, number) for number in range(RECORDS_CHANGED.partitions)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[dict[str, Any]] = []
        left = {each for each in partitions if ends[each]}
        while left:
            for partition, messages in (await consumer.getmany(timeout_ms=500)).items():
                for message in messages:
                    assert len(message.value) <= MAX_RECORDS_CHANGED_BYTES
                    found.append(json.loads(message.value))
                if await consumer.position(partition) >= ends[partition]:
                    left.discard(partition)
        return found
    finally:
        await consumer.stop()


def everything_told(kafka: str) -> list[dict[str, Any]]:
    """All messages that are on the topic now, read by a plain consumer, of each partition in its order."""
    return asyncio.run(asyncio.wait_for(_read(kafka), 120))
