from collections.abc import Sequence
from typing import TypedDict

from aiokafka import OffsetAndMetadata, TopicPartition

class PartitionDescription(TypedDict):
    partition: int
    leader: int

class TopicDescription(TypedDict):
    error_code: int
    topic: str
    partitions: list[PartitionDescription]

class CreateTopicsAnswer:
    topic_errors: list[tuple[str, int, str | None]]

class NewTopic:
    def __init__(
        self,
        name: str,
        num_partitions: int,
        replication_factor: int,
        replica_assignments: dict[int, list[int]] | None = None,
        topic_configs: dict[str, str] | None = None,
    ) -> None: ...

class AIOKafkaAdminClient:
    def __init__(self, *, bootstrap_servers: str | Sequence[str], request_timeout_ms: int = ...) -> None: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def describe_cluster(self) -> dict[str, object]: ...
    async def list_topics(self) -> list[str]: ...
    async def create_topics(self, new_topics: Sequence[NewTopic]) -> CreateTopicsAnswer: ...
    async def delete_topics(self, topics: Sequence[str]) -> object: ...
    async def describe_topics(self, topics: Sequence[str] | None = None) -> list[TopicDescription]: ...
    async def list_consumer_group_offsets(
        self, group_id: str, *, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...
