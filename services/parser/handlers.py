"""Kafka in."""

from collections.abc import Sequence

from libs.contracts.events import RunSubmitted
from libs.contracts.topics import RUN_SUBMITTED
from libs.messaging.consumer import Consumers
from services.parser.places import Places


def subscribe(consumers: Consumers, lanes: Sequence[Places]) -> None:
    """Register the parser's handlers."""

    @consumers.on(RUN_SUBMITTED, RunSubmitted)
    async def on_run_submitted(event: RunSubmitted) -> None:  # pyright: ignore[reportUnusedFunction]
        # Which run comes next is for the ledger to say; the release before does not tell the lane.
        for places in lanes:
            if event.lane in {None, places.lane}:
                places.wake()
