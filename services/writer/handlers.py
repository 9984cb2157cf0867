"""Kafka in."""

from libs.contracts.events import BatchReady, ExecutionRequested
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.topics import BATCH_READY, EXECUTION_REQUESTED, LARGE_BATCH_READY
from libs.messaging.consumer import Consumers
from services.writer.previewing import PreviewRun
from services.writer.reverting import RevertBatch
from services.writer.use_cases import BeginExecution, WriteBatch


def subscribe(
    consumers: Consumers,
    begin_execution: BeginExecution,
    write_batch: WriteBatch,
    revert_batch: RevertBatch,
    previews: PreviewRun,
    *,
    workers: int,
) -> None:
    """Register the writer's handlers."""

    async def work_at(event: BatchReady, lane: Lane) -> None:
        work = revert_batch if event.revert else write_batch
        await work(event.run_id, batch_id(event.run_id, event.epoch, event.seq), lane)

    @consumers.on(EXECUTION_REQUESTED, ExecutionRequested)
    async def on_execution_requested(event: ExecutionRequested) -> None:  # pyright: ignore[reportUnusedFunction]
        if event.preview:
            previews.begin()
        else:
            await begin_execution(event.run_id)

    @consumers.on(BATCH_READY, BatchReady, workers=workers)
    async def on_batch_ready(event: BatchReady) -> None:  # pyright: ignore[reportUnusedFunction]
        await work_at(event, Lane.SMALL)

    @consumers.on(LARGE_BATCH_READY, BatchReady, workers=workers)
    async def on_large_batch_ready(event: BatchReady) -> None:  # pyright: ignore[reportUnusedFunction]
        await work_at(event, Lane.LARGE)
