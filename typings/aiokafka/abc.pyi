from collections.abc import Sequence

from aiokafka import TopicPartition

class ConsumerRebalanceListener:
    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None: ...
    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None: ...
