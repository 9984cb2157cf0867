"""What is saved of a release as a whole: its messages, its indexes, and the schemas of its models."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from libs.contracts import events
from libs.contracts.topics import TOPICS
from libs.storage.documents import DOCUMENTS
from services.webhooks.domain.delivery import Delivery
from tests.compatibility.inputs import POISON_KEY
from tests.compatibility.leavings import Capture
from tests.compatibility.snapshots import Document, save_documents

WORDS = frozenset({"title", "description", "default"})


def messages(capture: Capture) -> None:
    """One message of each kind on each topic: kinds differ in topic, members and status."""

    async def read() -> list[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=capture.stack.kafka)
        consumer = AIOKafkaConsumer(bootstrap_servers=capture.stack.kafka, auto_offset_reset="earliest")
        await admin.start()
        await consumer.start()
        try:
            described = await admin.describe_topics([topic.name for topic in TOPICS])
            partitions = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in described
                for partition in topic["partitions"]
            ]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            records: list[Any] = []
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    fetched = await consumer.getmany(timeout_ms=500)
                    records += [record for some in fetched.values() for record in some]
            return records
        finally:
            await consumer.stop()
            await admin.close()

    kinds: dict[tuple[object, ...], Document] = {}
    for record in asyncio.run(read()):
        try:
            value = json.loads(record.value)
        except (TypeError, ValueError):
            continue
        kind = (record.topic, *sorted(value), value.get("status"), value.get("error_code"), bool(value.get("counts")))
        if record.key != POISON_KEY:
            headers = [[name, content.decode()] for name, content in record.headers]
            message = {"key": record.key.decode(), "value": record.value.decode(), "headers": headers}
            kinds.setdefault(kind, message)
    topics: dict[str, list[Document]] = {}
    for (topic, *_), message in sorted(kinds.items(), key=lambda entry: str(entry[0])):
        topics.setdefault(str(topic), []).append(message)
    save_documents(capture.folder / "messages.json", topics)


def schemas(folder: Path) -> None:
    """What the models of this release read, as JSON Schema without its words for people."""
    told: list[type[BaseModel]] = [
        events.RunSubmitted,
        events.BatchParsed,
        events.ExecutionRequested,
        events.BatchReady,
        events.RunStatusChanged,
        events.MessageDeadLettered,
    ]
    _, schema = models_json_schema(
        [(model, "validation") for model in [*DOCUMENTS, *told, Delivery]], ref_template="#/$defs/{model}"
    )

    def bare(part: Any, *, members: bool = False) -> Any:  # noqa: ANN401 - JSON
        if isinstance(part, list):
            return [bare(entry) for entry in part]
        if not isinstance(part, dict):
            return part
        words = frozenset() if members else WORDS
        return {
            name: bare(value, members=name in {"properties", "$defs"} and not members)
            for name, value in part.items()
            if name not in words
        }

    (folder / "schemas.json").write_text(json.dumps(bare(schema), separators=(",", ":")) + "\n")


def indexes(capture: Capture) -> None:
    """The indexes that the release's provisioning made."""
    found = {
        name: [index.to_dict() for index in capture.state[name].list_indexes()]
        for name in sorted(capture.state.list_collection_names())
    }
    save_documents(capture.folder / "indexes.json", found)
