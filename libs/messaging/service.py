"""What every service process stands on, and the process around a consuming service's handlers."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import uvicorn
import uvloop
from aiokafka.errors import KafkaError
from beanie import init_beanie  # pyright: ignore[reportUnknownVariableType] - its database is not fully typed
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.asgi.types import Scope
from faststream.kafka import KafkaBroker
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.messaging.broker import create_broker, ensure_topics
from libs.messaging.cancellation import end_tasks
from libs.messaging.consumer import Consumers
from libs.messaging.dead_letters import DeadLetters
from libs.messaging.outbox import OutboxRelay
from libs.messaging.publisher import EventPublisher
from libs.messaging.settings import ServiceSettings
from libs.messaging.watchdog import watch_consumers
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.ledger import Ledger
from libs.storage.mongo_errors import is_transient
from libs.storage.settings import MongoSettings
from libs.telemetry.logs import configure_logging
from libs.telemetry.metrics import METRICS_CONTENT_TYPE, Metrics

READY_TIMEOUT_SECONDS = 5.0
TOPIC_CHECK_SECONDS = 5.0
EXIT_GRACE_SECONDS = 20.0

logger = structlog.get_logger()
Background = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Backbone:
    """The connections and shared machinery of one service process."""

    service: str
    settings: ServiceSettings
    mongo: Mongo
    broker: KafkaBroker
    publisher: EventPublisher
    relay: OutboxRelay
    ledger: Ledger
    consumers: Consumers
    metrics: Metrics

    async def unreadiness(self) -> str | None:
        """Why the process cannot work now, or ``None``."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await self.mongo.ping()
                if not await self.broker.ping(timeout=READY_TIMEOUT_SECONDS):
                    return "Kafka does not answer"
        except (PyMongoError, TimeoutError) as error:
            return f"MongoDB does not answer: {error}"
        for subscriber in self.broker.subscribers:
            if not subscriber.running:
                return "a consumer is not running"
        return self.consumers.unassigned()


Assemble = Callable[[Backbone], Awaitable[Sequence[Background]]]
"""Builds a service's use cases, registers its handlers and returns its background loops."""


@asynccontextmanager
async def open_backbone(
    service: str, settings: ServiceSettings, mongo_settings: MongoSettings, broker: KafkaBroker, metrics: Metrics
) -> AsyncGenerator[Backbone]:
    """Connect to MongoDB and build the machinery; the caller starts and stops ``broker``."""
    mongo = await connect(mongo_settings)
    try:
        await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
        publisher = EventPublisher(broker, metrics)
        relay = OutboxRelay(mongo, service, metrics)
        consumers = Consumers(
            broker,
            service,
            metrics,
            DeadLetters(mongo, service, publisher),
            is_transient,
        )
        ledger = Ledger(mongo, service, relay.wake)
        yield Backbone(service, settings, mongo, broker, publisher, relay, ledger, consumers, metrics)
    finally:
        await mongo.client.close()


@asynccontextmanager
async def running(loops: Sequence[Background]) -> AsyncGenerator[None]:
    """Run ``loops`` in the background; one that ends by an error ends the process, to be started anew."""

    async def supervised(loop: Background) -> None:
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.exception("background.died")
            end_process()

    tasks = [asyncio.create_task(supervised(loop)) for loop in loops]
    try:
        yield
    finally:
        await end_tasks(tasks)


def end_process() -> None:
    """Stop this process in order, or after ``EXIT_GRACE_SECONDS`` at once; its supervisor starts a new one."""
    os.kill(os.getpid(), signal.SIGTERM)
    asyncio.get_running_loop().call_later(EXIT_GRACE_SECONDS, os._exit, 1)


async def repeat(seconds: float, step: Callable[[], Awaitable[object]], name: str) -> None:
    """Call ``step`` every ``seconds`` until cancelled, outliving faults of the servers."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await step()
        except (TransientError, PyMongoError, KafkaError) as error:
            logger.warning("background.waiting", loop=name, error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def repeating(seconds: float, step: Callable[[], Awaitable[object]], name: str) -> AsyncGenerator[None]:
    """``repeat`` for the length of a block: a lease that the block needs is kept alive by it."""
    task = asyncio.create_task(repeat(seconds, step, name))
    try:
        yield
    finally:
        await end_tasks([task])


def standard_loops(backbone: Backbone) -> list[Background]:
    """The loops of every service: outbox relay, topics that a wiped broker lost."""

    async def topics() -> None:
        if created := await ensure_topics(backbone.settings.kafka):
            logger.warning("topics.created_again", topics=created)

    return [
        lambda: backbone.relay.run(backbone.publisher),
        lambda: repeat(TOPIC_CHECK_SECONDS, topics, "topics"),
    ]


class _HttpServer(uvicorn.Server):
    """Leaves signals to the service, which has more to stop than HTTP."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@dataclass(frozen=True, slots=True)
class Service:
    """A consuming service: handlers, loops, ``/health/live``, ``/health/ready`` and ``/metrics``."""

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
        broker = create_broker(self.settings.kafka, f"rowdock-{self.settings.instance}")
        async with open_backbone(self.name, self.settings, self.mongo_settings, broker, metrics) as backbone:
            await ensure_topics(self.settings.kafka)
            loops = [
                *standard_loops(backbone),
                *await self.assemble(backbone),
                lambda: watch_consumers(self.settings, backbone.consumers, metrics, end_process),
            ]
            server = _HttpServer(
                uvicorn.Config(
                    health_app(backbone),
                    host=self.settings.host,
                    port=self.settings.port,
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                )
            )

            def leave() -> None:
                server.should_exit = True

            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, leave)
            try:
                await broker.start()
                async with running(loops):
                    await server.serve()
            finally:
                await backbone.consumers.stop()
                await broker.stop()


def run_service(service: Service) -> None:
    """Run ``service`` in a new event loop until it is told to stop."""
    uvloop.run(service.run())


def health_app(backbone: Backbone) -> AsgiFastStream:
    """The HTTP face of a consuming service."""
    json = {"content-type": "application/json"}

    @get
    async def live(scope: Scope) -> AsgiResponse:
        del scope
        return AsgiResponse(b'{"status": "live"}', 200, json)

    @get
    async def ready(scope: Scope) -> AsgiResponse:
        del scope
        reason = await backbone.unreadiness()
        if reason is None:
            return AsgiResponse(b'{"status": "ready"}', 200, json)
        logger.info("not_ready", reason=reason)
        return AsgiResponse(b'{"status": "not ready"}', 503, json)

    @get
    async def exposition(scope: Scope) -> AsgiResponse:
        del scope
        return AsgiResponse(backbone.metrics.exposition(), 200, {"content-type": METRICS_CONTENT_TYPE})

    return AsgiFastStream(
        asgi_routes=[("/health/live", live), ("/health/ready", ready), ("/metrics", exposition)], logger=None
    )
