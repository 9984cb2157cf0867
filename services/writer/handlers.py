"""Kafka in."""

from libs.contracts.events import BatchReady, ExecutionRequested
from libs.contracts.ids import batch_id
from libs.contracts.topics import BATCH_READY, EXECUTION_REQUESTED
from libs.messaging.consumer import Consumers
from services.writer.use_cases import AnnounceBatches, WriteBatch


def subscribe(
    consumers: Consumers, announce_batches: AnnounceBatches, write_batch: WriteBatch, *, workers: int
) -> None:
    """Register the writer's handlers."""

    @consumers.on(EXECUTION_REQUESTED, ExecutionRequested)
    async def on_execution_requested(event: ExecutionRequested) -> None:  # pyright: ignore[reportUnusedFunction]
        await announce_batches(event.run_id)

    @consumers.on(BATCH_READY, BatchReady, workers=workers)
    async def on_batch_ready(event: BatchReady) -> None:  # pyright: ignore[reportUnusedFunction]
        await write_batch(event.run_id, batch_id(event.run_id, event.epoch, event.seq))
