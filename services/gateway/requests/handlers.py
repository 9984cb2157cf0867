"""Kafka in."""

from libs.contracts.topics import IMPORTS_REQUESTED
from libs.messaging.consumer import Consumers
from libs.messaging.receiving import Incoming
from services.gateway.requests.use_cases import TakeRequest


def subscribe(consumers: Consumers, take_request: TakeRequest, workers: int) -> None:
    """Register the handlers of the requests service."""

    @consumers.on_message(IMPORTS_REQUESTED, workers=workers)
    async def on_import_requested(message: Incoming) -> None:  # pyright: ignore[reportUnusedFunction]
        await take_request(message)
