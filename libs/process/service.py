"""The process around a consuming service's handlers, from its start to its end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
import uvloop

from libs.messaging.broker import create_broker
from libs.messaging.watchdog import watch_consumers
from libs.process import heap
from libs.process.context import ServiceContext, open_context
from libs.process.health import serving_health
from libs.process.loop_watch import watching_loop
from libs.process.loops import Background, end_process, repeat, running
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from libs.telemetry.logs import configure_logging
from libs.telemetry.metrics import Metrics

TOPIC_CHECK_SECONDS = 5.0

logger = structlog.get_logger()

Assemble = Callable[[ServiceContext], Awaitable[Sequence[Background]]]
"""Builds a service's use cases, registers its handlers and returns its background loops."""


def standard_loops(context: ServiceContext) -> list[Background]:
    """The loops of every service: outbox relay, topics that a wiped broker lost."""

    async def topics() -> None:
        if created := await context.topics.ensure():
            logger.warning("topics.created_again", topics=created)

    return [
        lambda: context.relay.run(context.publisher),
        lambda: repeat(TOPIC_CHECK_SECONDS, topics, "topics"),
    ]


@dataclass(frozen=True, slots=True)
class Service:
    """A consuming service: handlers, loops, health and metrics."""

    name: str
    settings: ServiceSettings
    mongo_settings: MongoSettings
    assemble: Assemble

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then finish what is at work and leave.

        Raises:
            TransientError: Kafka cannot be reached at the start.
            pymongo.errors.PyMongoError: MongoDB cannot be reached at the start.
        """
        configure_logging(self.name, self.settings.instance, self.settings.log_level)
        metrics = Metrics(self.name)
        broker = create_broker(self.settings, f"rowdock-{self.settings.instance}")
        async with open_context(self.name, self.settings, self.mongo_settings, broker, metrics) as context:
            await context.topics.ensure()
            if released := await context.ledger.leases.release_left_behind(self.settings.instance):
                logger.info("leases.released", count=released)
            loops = [
                *standard_loops(context),
                *await self.assemble(context),
                lambda: watch_consumers(
                    self.settings, self.settings.stall_seconds, context.consumers, metrics, end_process
                ),
            ]
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            try:
                async with serving_health(self.settings, context.readiness, metrics):
                    await broker.start()
                    heap.settle()
                    with watching_loop(self.settings.loop_watch_ms, metrics):
                        async with running(loops):
                            await stop.wait()
            finally:
                await context.consumers.stop()
                await broker.stop()


def run_service(service: Service) -> None:
    """Run ``service`` in a new event loop until it is told to stop."""
    uvloop.run(service.run())
