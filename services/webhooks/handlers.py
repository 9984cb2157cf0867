"""Kafka in."""

from libs.contracts.events import RunStatusChanged
from libs.contracts.topics import RUN_EVENTS
from libs.messaging.consumer import Consumers
from services.webhooks.use_cases import QueueDeliveries

GATHER_MS = 100
"""A receiver hears of a change so much later; without it four requests to the broker for each run."""


def subscribe(consumers: Consumers, queue_deliveries: QueueDeliveries) -> None:
    """Register the handlers of the webhooks service."""

    @consumers.on(RUN_EVENTS, RunStatusChanged, gather_ms=GATHER_MS)
    async def on_run_status_changed(event: RunStatusChanged) -> None:  # pyright: ignore[reportUnusedFunction]
        await queue_deliveries(event)
