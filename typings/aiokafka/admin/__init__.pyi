from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.admin.config_resource import ConfigResource

class PartitionDescription(TypedDict):
    partition: int
    leader: int
    replicas: list[int]

class TopicDescription(TypedDict):
    error_code: int
    topic: str
    partitions: list[PartitionDescription]

class BrokerDescription(TypedDict):
    node_id: int

class ClusterDescription(TypedDict):
    brokers: list[BrokerDescription]

class DescribedConfigs:
    resources: list[tuple[int, str | None, int, str, list[tuple[str, str, bool, int, bool, list[object]]]]]

class CreateTopicsAnswer:
    topic_errors: list[tuple[str, int, str | None]]

class DescribedGroups:
    groups: list[tuple[Any, ...]]

class NewTopic:
    def __init__(
        self,
        name: str,
        num_partitions: int,
        replication_factor: int,
        replica_assignments: dict[int, list[int]] | None = None,
        topic_configs: dict[str, str] | None = None,
    ) -> None: ...

class NewPartitions:
    def __init__(self, total_count: int, new_assignments: list[list[int]] | None = None) -> None: ...

class AIOKafkaAdminClient:
    def __init__(
        self, *, bootstrap_servers: str | Sequence[str], request_timeout_ms: int = ..., **security: object
    ) -> None: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def describe_cluster(self) -> ClusterDescription: ...
    async def describe_configs(self, config_resources: Sequence[ConfigResource]) -> list[DescribedConfigs]: ...
    async def list_topics(self) -> list[str]: ...
    async def create_topics(self, new_topics: Sequence[NewTopic]) -> CreateTopicsAnswer: ...
    async def create_partitions(self, topic_partitions: Mapping[str, NewPartitions]) -> object: ...
    async def delete_topics(self, topics: Sequence[str]) -> object: ...
    async def describe_topics(self, topics: Sequence[str] | None = None) -> list[TopicDescription]: ...
    async def list_consumer_group_offsets(
        self, group_id: str, *, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...
    async def list_consumer_groups(self) -> list[tuple[Any, ...]]: ...
    async def describe_consumer_groups(self, group_ids: Sequence[str]) -> list[DescribedGroups]: ...
