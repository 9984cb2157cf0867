"""The process around a consuming service's handlers, from its start to its end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
import uvloop

from libs.contracts.errors import TransientError
from libs.messaging.broker import create_broker
from libs.messaging.watchdog import watch_consumers
from libs.process import heap
from libs.process.context import Readiness, ServiceContext, open_context
from libs.process.health import serving_health
from libs.process.loop_watch import watching_loop
from libs.process.loops import Background, end_process, repeat, running
from libs.process.presence import present
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from libs.telemetry import tracing
from libs.telemetry.logs import configure_logging
from libs.telemetry.metrics import Metrics

TOPIC_CHECK_SECONDS = 5.0

logger = structlog.get_logger()

Assemble = Callable[[ServiceContext], Awaitable[Sequence[Background]]]
"""Builds a service's use cases, registers its handlers and returns its background loops."""


def standard_loops(context: ServiceContext) -> list[Background]:
    """The loops of every service: outbox relay, topics that a wiped broker lost."""

    async def topics() -> None:
        try:
            created = await context.topics.ensure()
        except TransientError:
            context.metrics.kafka_reachable.set(0)
            raise
        context.metrics.kafka_reachable.set(1)
        context.metrics.topic_shortfalls.set(len(context.topics.shortfalls))
        if created:
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
            metrics.kafka_reachable.set(1)
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

            async def ready() -> Readiness:
                return Readiness("stopping") if stop.is_set() else await context.readiness()

            async with serving_health(self.settings, ready, metrics):
                try:
                    await broker.start()
                    heap.settle()
                    with watching_loop(self.settings.loop_watch_ms, metrics):
                        async with present(context), running(loops):
                            try:
                                await stop.wait()
                            finally:
                                # Before the loops end: they publish what the last handlers leave in the outbox.
                                await context.consumers.stop()
                finally:
                    await broker.stop()


def run_service(service: Service) -> None:
    """Run ``service`` in a new event loop until it is told to stop."""
    with tracing.exporting(service.name, service.settings.instance):
        uvloop.run(service.run())
