"""Kafka in."""

from libs.contracts.events import BatchParsed
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.topics import BATCH_PARSED, LARGE_BATCH_PARSED
from libs.messaging.consumer import Consumers
from services.validator.use_cases import ValidateBatch


def subscribe(consumers: Consumers, validate_batch: ValidateBatch, *, workers: int) -> None:
    """Register the validator's handlers."""

    @consumers.on(BATCH_PARSED, BatchParsed, workers=workers)
    async def on_batch_parsed(event: BatchParsed) -> None:  # pyright: ignore[reportUnusedFunction]
        await validate_batch(event.run_id, batch_id(event.run_id, event.epoch, event.seq), Lane.SMALL)

    @consumers.on(LARGE_BATCH_PARSED, BatchParsed, workers=workers)
    async def on_large_batch_parsed(event: BatchParsed) -> None:  # pyright: ignore[reportUnusedFunction]
        await validate_batch(event.run_id, batch_id(event.run_id, event.epoch, event.seq), Lane.LARGE)
