"""The connections and shared machinery of one service process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from beanie import init_beanie  # pyright: ignore[reportUnknownVariableType] - its database is not fully typed
from faststream.kafka import KafkaBroker
from pymongo.errors import PyMongoError

from libs.ledger import Ledger, Shares
from libs.messaging.consumer import Consumers
from libs.messaging.dead_letters import DeadLetters
from libs.messaging.outbox import OutboxRelay
from libs.messaging.publisher import EventPublisher
from libs.messaging.topics import Topics
from libs.process.settings import ServiceSettings
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.measuring import measuring
from libs.storage.mongo_errors import is_transient
from libs.storage.settings import MongoSettings
from libs.telemetry.error_text import error_text
from libs.telemetry.metrics import Metrics

READY_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a process can work now.

    Attributes:
        obstacle: why it cannot, or ``None``.
        degraded: what works worse than it should. It does not make the process unready: every other one finds the
            same, so taking it out of rotation would mend nothing and stop what works.
    """

    obstacle: str | None = None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service's use cases are built from."""

    service: str
    settings: ServiceSettings
    mongo: Mongo
    broker: KafkaBroker
    topics: Topics
    publisher: EventPublisher
    relay: OutboxRelay
    ledger: Ledger
    consumers: Consumers
    metrics: Metrics

    async def readiness(self) -> Readiness:
        """Whether a consuming service can work: both servers answer and every consumer is a member of its group."""
        return Readiness(await self._obstacle(), self.topics.shortfalls)

    async def mongodb_obstacle(self) -> str | None:
        """Why MongoDB cannot be used, or ``None``."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await self.mongo.ping()
        except TimeoutError:
            return f"MongoDB does not answer within {READY_TIMEOUT_SECONDS:.0f} s"
        except PyMongoError as error:
            return f"MongoDB does not answer: {error_text(error)}"
        return None

    async def _obstacle(self) -> str | None:
        if obstacle := await self.mongodb_obstacle():
            return obstacle
        if not await self.broker.ping(timeout=READY_TIMEOUT_SECONDS):
            return f"Kafka does not answer within {READY_TIMEOUT_SECONDS:.0f} s"
        if not all(subscriber.running for subscriber in self.broker.subscribers):
            return "a consumer is not running"
        return self.consumers.unassigned()


@asynccontextmanager
async def open_context(
    service: str, settings: ServiceSettings, mongo_settings: MongoSettings, broker: KafkaBroker, metrics: Metrics
) -> AsyncGenerator[ServiceContext]:
    """Connect to MongoDB and build the machinery; the caller starts and stops ``broker``."""
    mongo = await connect(mongo_settings, measuring(metrics))
    try:
        await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
        publisher = EventPublisher(broker, metrics)
        relay = OutboxRelay(mongo, service, settings.instance, metrics)
        consumers = Consumers(
            broker,
            service,
            metrics,
            DeadLetters(mongo, service, publisher),
            is_transient,
        )
        shares = Shares(settings.run_window, settings.tenant_window, settings.whole_window)
        ledger = Ledger(mongo, service, relay, shares, metrics)
        for scope, batches in (("run", shares.run), ("organization", shares.tenant), ("all", shares.all)):
            metrics.handout_window.labels(scope).set(batches)
        yield ServiceContext(
            service, settings, mongo, broker, Topics(settings), publisher, relay, ledger, consumers, metrics
        )
    finally:
        await mongo.client.close()
