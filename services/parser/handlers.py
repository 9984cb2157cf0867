"""Kafka in."""

from libs.contracts.events import RunSubmitted
from libs.contracts.topics import RUN_SUBMITTED
from libs.messaging.consumer import Consumers
from services.parser.use_cases import ParseRun


def subscribe(consumers: Consumers, parse_run: ParseRun) -> None:
    """Register the parser's handlers."""

    @consumers.on(RUN_SUBMITTED, RunSubmitted)
    async def on_run_submitted(event: RunSubmitted) -> None:  # pyright: ignore[reportUnusedFunction]
        await parse_run(event.run_id)
