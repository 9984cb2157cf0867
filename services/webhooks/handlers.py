"""Kafka in."""

from libs.contracts.events import RunStatusChanged
from libs.contracts.topics import RUN_EVENTS
from libs.messaging.consumer import Consumers
from services.webhooks.use_cases import QueueDeliveries


def subscribe(consumers: Consumers, queue_deliveries: QueueDeliveries) -> None:
    """Register the handlers of the webhooks service."""

    @consumers.on(RUN_EVENTS, RunStatusChanged)
    async def on_run_status_changed(event: RunStatusChanged) -> None:  # pyright: ignore[reportUnusedFunction]
        await queue_deliveries(event)
