"""The gateway's composition root."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from cryptography.fernet import Fernet
from faststream.kafka import KafkaBroker
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from pydantic import SecretStr

from libs.contracts.errors import TransientError
from libs.messaging.broker import create_broker
from libs.messaging.topics import Topics
from libs.process.context import Readiness, ServiceContext, open_context
from libs.process.loop_watch import watching_loop
from libs.process.loops import Background, repeat, running
from libs.process.service import standard_loops
from libs.process.settings import ServiceSettings
from libs.process.shares import Shares, Turns
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from libs.telemetry.metrics import Metrics
from services.gateway.access.api_keys import ApiKeys
from services.gateway.access.reach import Reach
from services.gateway.http.authentication import Authentication
from services.gateway.http.dependencies import Capabilities, dependencies
from services.gateway.http.engine.imports import ImportController
from services.gateway.http.engine.previews import PreviewController
from services.gateway.http.engine.rejected import RejectedController
from services.gateway.http.engine.rejected_views import Correction
from services.gateway.http.engine.rows import RowController
from services.gateway.http.engine.template_models import EngineTemplate
from services.gateway.http.engine.templates import TemplateController
from services.gateway.http.envelope import EXCEPTION_HANDLERS, MAX_JSON_BYTES
from services.gateway.http.methods import HeadAsGet
from services.gateway.http.not_yet import not_yet_handlers
from services.gateway.http.openapi import OpenAPIDocument
from services.gateway.http.query_parameters import only_declared
from services.gateway.http.request_shares import RequestShares
from services.gateway.http.response_headers import add_security_headers
from services.gateway.http.tracing import HttpMetrics
from services.gateway.records.rejected import RejectedRows
from services.gateway.records.retries import Retries
from services.gateway.records.rows import RowOutcomes
from services.gateway.retention.loops import retention_loops
from services.gateway.runs.announcements import Announcements
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.previews import Previews
from services.gateway.runs.runs import Runs
from services.gateway.settings import GatewaySettings
from services.gateway.stores.usage import UsageStore
from services.gateway.templates.borrowing import Borrowing
from services.gateway.templates.catalog import Quotas, TemplateCatalog
from services.gateway.templates.judging import TemplateJudge
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.uploads.quotas import QuotaKeeper, RunQuotas
from services.gateway.uploads.uploads import Uploads
from services.gateway.webhooks.endpoints import Webhooks

SERVICE = "gateway"
REQUEST_MODELS = (EngineTemplate, Correction)
KAFKA_RETRY_SECONDS = 2.0
HEALTH_TIMEOUT_SECONDS = 3.0

logger = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class _Gateway:
    """What a started gateway works with."""

    context: ServiceContext
    kafka: "_KafkaLink"
    capabilities: Capabilities


class _KafkaLink:
    """Connects in the background: without Kafka the gateway works, and the outbox holds the events."""

    def __init__(self, topics: Topics, broker: KafkaBroker) -> None:
        self._topics = topics
        self._broker = broker
        self._connected = False

    async def run(self, loops: Sequence[Background]) -> None:
        """Connect, as often as it takes; then run what needs the connection."""
        while not self._connected:
            try:
                await self._topics.ensure()
                await self._broker.start()
                self._connected = True
            except (TransientError, KafkaError, OSError) as error:
                logger.warning("kafka.waiting", error=str(error))
                await asyncio.sleep(KAFKA_RETRY_SECONDS)
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop())

    async def answers(self) -> bool:
        """Whether Kafka can be used now."""
        return self._connected and await self._broker.ping(timeout=HEALTH_TIMEOUT_SECONDS)


def create_app(service: ServiceSettings, mongo: MongoSettings, gateway: GatewaySettings) -> Litestar:
    """Build the application; its connections are opened when its lifespan begins."""
    metrics = Metrics(SERVICE)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        broker = create_broker(service, f"rowdock-{service.instance}")
        async with open_context(SERVICE, service, mongo, broker, metrics) as context:
            files = FileStore(context.mongo)
            cipher = Fernet(gateway.secret_key.get_secret_value())
            dry_runs = DryRuns(
                context.ledger,
                gateway.dry_run_wait_seconds,
                gateway.max_errors,
                Shares(gateway.max_concurrent_dry_runs),
            )
            quotas = RunQuotas(gateway.max_active_runs, gateway.max_queued_bytes, gateway.max_stored_bytes)
            turns = Turns(
                Shares(gateway.max_concurrent_uploads), gateway.upload_queue_seconds, gateway.max_waiting_uploads
            )
            announcements = Announcements(service)
            keys = KeyRegistrar(context.mongo, gateway.max_keys_per_resource, gateway.key_wait_seconds)
            reach = Reach(context.mongo)
            link = _KafkaLink(context.topics, broker)
            keeper = QuotaKeeper(UsageStore(context.mongo), quotas)
            borrowing = Borrowing(context.mongo, keys, gateway.max_resources)
            uploads = Uploads(files, reach, context.ledger, borrowing, turns, keeper, gateway.large_file_bytes)
            runs = Runs(context.ledger, announcements, gateway.wait_seconds, gateway.max_errors)
            retries = Retries(context.ledger, runs, keeper)
            app.state.api_keys = ApiKeys()
            app.state.gateway = _Gateway(
                context,
                link,
                Capabilities(
                    reach=reach,
                    settings=gateway,
                    judge=TemplateJudge(gateway.webhook_allowed_networks),
                    catalog=TemplateCatalog(
                        context.mongo,
                        reach,
                        Webhooks(cipher),
                        keys,
                        Quotas(gateway.max_templates, gateway.max_resources),
                    ),
                    uploads=uploads,
                    runs=runs,
                    dry_runs=dry_runs,
                    previews=Previews(context.ledger, dry_runs, gateway.wait_seconds, gateway.max_errors),
                    rejected_rows=RejectedRows(context.ledger, dry_runs, retries),
                    retries=retries,
                    row_outcomes=RowOutcomes(context.mongo, context.ledger, *_readers(gateway)),
                ),
            )

            async def finish_stops() -> None:
                for run_id in await context.ledger.stops.unfinished():
                    metrics.rescues.labels("stop").inc()
                    await context.ledger.stops.finish(run_id)
                if ended := await context.ledger.purge.rows_of_ended_runs():
                    metrics.rescues.labels("rows").inc(ended)
                if forgotten := await dry_runs.sweep():
                    metrics.rescues.labels("dry_run").inc(forgotten)
                if settled := await retries.sweep():
                    metrics.rescues.labels("retry").inc(settled)

            loops: list[Background] = [
                lambda: link.run([*standard_loops(context), announcements.listen]),
                lambda: repeat(service.rescue_after_seconds, finish_stops, "stops"),
                *retention_loops(context, files, gateway),
            ]
            try:
                with watching_loop(service.loop_watch_ms, metrics):
                    async with running(loops):
                        yield
            finally:
                await keys.close()
                await broker.stop()

    app = Litestar(
        route_handlers=[
            TemplateController,
            ImportController,
            PreviewController,
            RejectedController,
            RowController,
            *not_yet_handlers(),
        ],
        dependencies=dependencies(lambda request: _gateway(request).capabilities),
        middleware=[
            DefineMiddleware(Authentication, exclude=["^/schema"]),
            DefineMiddleware(RequestShares, shares=Shares(gateway.max_concurrent_requests)),
        ],
        lifespan=[lifespan],
        exception_handlers=EXCEPTION_HANDLERS,
        guards=[only_declared()],
        before_send=[add_security_headers, HttpMetrics(metrics.registry).on_send],
        openapi_config=OpenAPIDocument(REQUEST_MODELS).config(_version()),
        request_max_body_size=MAX_JSON_BYTES,
        logging_config=None,
        state=State({"metrics": metrics, "body_seconds": gateway.body_seconds}),
        debug=False,
    )
    app.asgi_handler = HeadAsGet(app.asgi_handler)
    return app


async def readiness(app: Litestar) -> Readiness:
    """MongoDB must answer; without Kafka uploads are accepted all the same, only nothing moves on."""
    gateway: _Gateway | None = app.state.get("gateway")
    if gateway is None:
        return Readiness("starting")
    obstacle = await gateway.context.mongodb_obstacle()
    without_kafka = () if await gateway.kafka.answers() else ("Kafka does not answer: files are taken in and wait",)
    return Readiness(obstacle, (*without_kafka, *gateway.context.topics.shortfalls))


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, without any server."""
    app = create_app(
        ServiceSettings(kafka="localhost:9092", ops_port=1, instance="openapi"),
        MongoSettings(mongodb=SecretStr("mongodb://localhost")),
        GatewaySettings(secret_key=SecretStr(Fernet.generate_key().decode())),
    )
    return OpenAPIDocument(REQUEST_MODELS).of(app)


def _readers(gateway: GatewaySettings) -> tuple[Turns, Turns]:
    """Whose turn it is to read a page of rows, or to download them."""

    def turns() -> Turns:
        return Turns(
            Shares(gateway.max_concurrent_row_readers), gateway.upload_queue_seconds, gateway.max_waiting_uploads
        )

    return turns(), turns()


def _version() -> str:
    try:
        return version("rowdock")
    except PackageNotFoundError:
        return "0.0.0"


def _gateway(request: AnyRequest) -> _Gateway:
    return request.app.state.gateway
