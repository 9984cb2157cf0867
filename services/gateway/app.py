"""The gateway's composition root."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from cryptography.fernet import Fernet
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp
from pydantic import SecretStr
from pymongo.errors import PyMongoError

from libs.messaging.broker import create_broker
from libs.process.context import Readiness, ServiceContext, open_context
from libs.process.loop_watch import watching_loop
from libs.process.loops import Background, repeat, running
from libs.process.observer import Observer
from libs.process.presence import present
from libs.process.service import standard_loops
from libs.process.settings import ServiceSettings
from libs.process.shares import Shares, Turns
from libs.storage.client import Mongo
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from libs.telemetry.metrics import Metrics
from libs.telemetry.release import RELEASE
from services.gateway.access.api_keys import ApiKeys
from services.gateway.access.callers import Callers
from services.gateway.access.clerk_events import ClerkEvents
from services.gateway.access.clerk_organizations import ClerkOrganizations
from services.gateway.access.plans import PlanRates
from services.gateway.access.producers import Producers
from services.gateway.access.reach import Reach
from services.gateway.access.session_tokens import SessionTokens
from services.gateway.access.signing_keys import SigningKeys, fetching
from services.gateway.access.strangers import Strangers
from services.gateway.branding.branding import OrganizationBranding
from services.gateway.dead_letters.office import DeadLetterOffice
from services.gateway.http.admin.api_keys import ApiKeyController
from services.gateway.http.admin.clerk_webhook import receive_clerk_event
from services.gateway.http.admin.dead_letters import DeadLetterController, Discarding
from services.gateway.http.admin.producers import ADMIN_MODELS, ProducerController
from services.gateway.http.admin.status import StatusController
from services.gateway.http.answers import RememberedAnswers
from services.gateway.http.authentication import Authentication
from services.gateway.http.compression import CompressedJson
from services.gateway.http.cross_origin import CrossOrigin
from services.gateway.http.dependencies import Capabilities, dependencies
from services.gateway.http.engine.bulk_correction_views import BulkCorrectionRequest
from services.gateway.http.engine.bulk_corrections import BulkCorrectionController
from services.gateway.http.engine.corrections import CorrectionController
from services.gateway.http.engine.imports import ImportController
from services.gateway.http.engine.previews import PreviewController
from services.gateway.http.engine.progress_views import RunProgressView, RunReachedView
from services.gateway.http.engine.records import RecordController, ResourceController, RunRecordController
from services.gateway.http.engine.rejected import RejectedController
from services.gateway.http.engine.rejected_views import Correction
from services.gateway.http.engine.rows import RowController
from services.gateway.http.engine.template_models import EngineTemplate
from services.gateway.http.engine.templates import TemplateController
from services.gateway.http.engine.tenants import TenantController
from services.gateway.http.envelope import MAX_JSON_BYTES, exception_handlers, present_either, present_error
from services.gateway.http.event_stream import FaultView
from services.gateway.http.examples import common_examples
from services.gateway.http.idempotency import IdempotentRequests, Replayed, present_replayed
from services.gateway.http.importers.errors import present_importers_error
from services.gateway.http.importers.importer_models import Importer, ImporterChanges
from services.gateway.http.importers.importers import ImporterController
from services.gateway.http.importers.imports import IMPORTS as IMPORTERS_IMPORTS
from services.gateway.http.importers.operations import EXAMPLES as IMPORTER_EXAMPLES
from services.gateway.http.importers.progress_views import ImportProgressView, ImportReachedView
from services.gateway.http.methods import HeadAsGet
from services.gateway.http.openapi import OpenAPIDocument
from services.gateway.http.query_parameters import only_declared
from services.gateway.http.rate_limits import add_rate_limit_headers
from services.gateway.http.request_shares import RequestShares
from services.gateway.http.response_headers import add_security_headers
from services.gateway.http.rowporter.branding import BrandingController
from services.gateway.http.rowporter.branding_models import BrandingChanges, BrandingSaved, BrandingView
from services.gateway.http.rowporter.import_views import ImportPage
from services.gateway.http.rowporter.imports import IMPORTS as ROWPORTER_IMPORTS
from services.gateway.http.rowporter.operations import EXAMPLES as ROWPORTER_EXAMPLES
from services.gateway.http.rowporter.progress_views import RowporterProgress, RowporterReached
from services.gateway.http.rowporter.refusals import RowporterError, present_refusal
from services.gateway.http.rowporter.template_models import (
    RowporterTemplate,
    RowporterTemplateChanges,
    RowporterTemplatePage,
    RowporterTemplateView,
)
from services.gateway.http.rowporter.templates import RowporterTemplateController
from services.gateway.http.shared_imports import imports_controller
from services.gateway.http.sources.source_views import SOURCE_MODELS
from services.gateway.http.sources.sources import SourceController
from services.gateway.http.tracing import HttpMetrics, traced
from services.gateway.http.webhooks.deliveries import DeliveryController
from services.gateway.http.webhooks.endpoint_views import WEBHOOK_MODELS
from services.gateway.http.webhooks.endpoints import EndpointController
from services.gateway.kafka_link import KafkaLink
from services.gateway.records.bulk_corrections import AT_WORK, BulkCorrections
from services.gateway.records.correction_files import CorrectionFiles
from services.gateway.records.records import Records
from services.gateway.records.records_of_runs import RecordsOfRuns
from services.gateway.records.rejected import RejectedRows
from services.gateway.records.retries import Retries
from services.gateway.records.rows import RowOutcomes
from services.gateway.retention.loops import retention_loops
from services.gateway.runs.announcements import Announcements
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.previews import Previews
from services.gateway.runs.runs import Runs
from services.gateway.runs.watching import RunWatches, WatchLimits
from services.gateway.settings import GatewaySettings
from services.gateway.sources.opening import Places
from services.gateway.sources.registered import Sources
from services.gateway.status.overview import InstallationStatus
from services.gateway.stores.idempotency import IdempotencyStore
from services.gateway.stores.records import ListIndexes
from services.gateway.templates.catalog import Quotas, TemplateCatalog
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.assembly import make_keeper, make_registrar, make_uploads
from services.gateway.webhooks.endpoints import Webhooks
from services.gateway.webhooks.registered import RegisteredEndpoints

SERVICE = "gateway"
IMPORTS_VOCABULARIES = (IMPORTERS_IMPORTS, ROWPORTER_IMPORTS)
IMPORTS_ANSWERS = [each for spoken in IMPORTS_VOCABULARIES for each in (spoken.started_model, spoken.shown_model)]
EXCEPTION_HANDLERS = exception_handlers(
    present_error,
    {
        "/api/v1": present_either,
        "/api/v1/importers": present_importers_error,
        "/api/v1/organization": present_refusal,
        "/api/v1/templates": present_refusal,
    },
)
DESCRIBED_MODELS = (
    EngineTemplate,
    Correction,
    BulkCorrectionRequest,
    Importer,
    ImporterChanges,
    BrandingChanges,
    BrandingSaved,
    BrandingView,
    RowporterError,
    RowporterTemplate,
    RowporterTemplateChanges,
    RowporterTemplateView,
    RowporterTemplatePage,
    ImportPage,
    *ADMIN_MODELS,
    RunProgressView,
    RunReachedView,
    ImportProgressView,
    ImportReachedView,
    RowporterProgress,
    RowporterReached,
    FaultView,
    *WEBHOOK_MODELS,
    *SOURCE_MODELS,
    Discarding,
    *(each.model for each in IMPORTS_ANSWERS),
)
DESCRIBED_EXAMPLES = {
    **common_examples(),
    **IMPORTER_EXAMPLES,
    **ROWPORTER_EXAMPLES,
    **{each.model.__name__: each.example for each in IMPORTS_ANSWERS},
}
"""What the OpenAPI document refers to by name."""
REMEMBERED_BYTES = 32 * 1024 * 1024
REMEMBERED_SECONDS = 60.0
"""Of answers that show ended runs."""
REPLAY_SECONDS = 1.0

logger = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class _Gateway:
    """What a started gateway works with."""

    context: ServiceContext
    kafka: KafkaLink
    capabilities: Capabilities


def create_app(service: ServiceSettings, mongo: MongoSettings, gateway: GatewaySettings) -> Litestar:
    """Build the application; its connections are opened when its lifespan begins."""
    metrics = Metrics(SERVICE)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        broker = create_broker(service, f"rowdock-{service.instance}")
        async with open_context(SERVICE, service, mongo, broker, metrics) as context:
            files = FileStore(context.mongo, metrics)
            cipher = gateway.secret_keys
            dry_runs = DryRuns(
                context.ledger,
                gateway.dry_run_wait_seconds,
                gateway.max_errors,
                Shares(gateway.max_concurrent_dry_runs),
            )
            announcements = Announcements(service)
            keys = make_registrar(context.mongo, gateway)
            reach = Reach(context.mongo)
            link = KafkaLink(context.topics, broker, metrics)
            keeper = make_keeper(context.mongo, gateway)
            uploads = make_uploads(files, reach, context.ledger, keys, keeper, gateway)
            runs = Runs(context.ledger, announcements, gateway.wait_seconds, gateway.max_errors)
            retries = Retries(context.ledger, runs, keeper, files, gateway.large_file_bytes)
            bulk_corrections = BulkCorrections(
                context.ledger, dry_runs, retries, service.instance, gateway.wait_seconds
            )
            watches = RunWatches(context.mongo, announcements, WatchLimits.of(gateway))
            row_outcomes = RowOutcomes(context.mongo, context.ledger, *_readers(gateway))
            lists = ListIndexes(context.mongo, gateway.wait_seconds)
            records = Records(context.mongo, reach, lists, row_outcomes.turn)
            dead_letters = DeadLetterOffice(context.mongo)
            plans = PlanRates(context.mongo, gateway.rate_limits)
            app.state.callers = Callers(context.mongo, plans)
            clerks = ClerkOrganizations(context.mongo)
            app.state.idempotency_keys = IdempotencyStore(context.mongo, gateway.keep_idempotency_keys_hours * 3600)
            app.state.idempotency_cipher = cipher
            app.state.session_tokens = _session_tokens(clerks, gateway)
            app.state.clerk_events = _clerk_events(context.mongo, clerks, gateway)
            app.state.gateway = _Gateway(
                context,
                link,
                Capabilities(
                    reach=reach,
                    plans=plans,
                    api_keys=ApiKeys(),
                    producers=Producers(),
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
                    branding=OrganizationBranding(context.mongo),
                    correction_files=CorrectionFiles(context.ledger),
                    bulk_corrections=bulk_corrections,
                    watches=watches,
                    row_outcomes=row_outcomes,
                    records=records,
                    records_of_runs=RecordsOfRuns(context.mongo, records),
                    remembered=RememberedAnswers(REMEMBERED_BYTES, REMEMBERED_SECONDS),
                    dead_letters=dead_letters,
                    installation=InstallationStatus(context.mongo, service, gateway),
                    sources=Sources(Places.of(gateway), reach),
                    webhooks=RegisteredEndpoints(cipher, gateway.webhook_allowed_networks),
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

            observer = Observer(context.mongo, service, metrics, gateway.observe_seconds)

            async def replay_letters() -> None:
                await repeat(
                    REPLAY_SECONDS, lambda: dead_letters.publish_wanted(context.publisher.publish_bytes), "replays"
                )

            loops: list[Background] = [
                lambda: link.run([*standard_loops(context), announcements.listen, replay_letters]),
                lambda: repeat(service.rescue_after_seconds, finish_stops, "stops"),
                lambda: repeat(gateway.listener_check_seconds, watches.watch_keys, "listeners"),
                *(partial(bulk_corrections.work, place) for place in range(AT_WORK)),
                lambda: repeat(gateway.observe_seconds, observer.observe, "observer"),
                lambda: repeat(gateway.observe_seconds, observer.observe_kafka, "observer of Kafka"),
                *retention_loops(context, files, gateway),
            ]
            try:
                with watching_loop(service.loop_watch_ms, metrics):
                    async with present(context), running(loops):
                        yield
            finally:
                with suppress(PyMongoError):
                    await observer.leave()
                await keys.close()
                await lists.close()
                await broker.stop()

    app = Litestar(
        route_handlers=[
            TemplateController,
            ImportController,
            PreviewController,
            RejectedController,
            CorrectionController,
            BulkCorrectionController,
            RowController,
            ResourceController,
            RecordController,
            RunRecordController,
            TenantController,
            BrandingController,
            RowporterTemplateController,
            ApiKeyController,
            ProducerController,
            EndpointController,
            DeliveryController,
            SourceController,
            DeadLetterController,
            StatusController,
            receive_clerk_event,
            ImporterController,
            imports_controller(*IMPORTS_VOCABULARIES),
        ],
        dependencies=dependencies(lambda request: _gateway(request).capabilities),
        middleware=[
            DefineMiddleware(Authentication, exclude=["^/schema"]),
            DefineMiddleware(RequestShares, shares=Shares(gateway.max_concurrent_requests)),
            IdempotentRequests,
        ],
        lifespan=[lifespan],
        exception_handlers={**EXCEPTION_HANDLERS, Replayed: present_replayed},
        guards=[only_declared()],
        before_send=[add_security_headers, add_rate_limit_headers, HttpMetrics(metrics).on_send],
        openapi_config=OpenAPIDocument(DESCRIBED_MODELS, DESCRIBED_EXAMPLES).config(RELEASE),
        request_max_body_size=MAX_JSON_BYTES,
        logging_config=None,
        state=State(
            {
                "metrics": metrics,
                "body_seconds": gateway.body_seconds,
                "strangers": Strangers(gateway.strangers_per_minute),
                "trusted_proxies": gateway.trusted_proxies,
            }
        ),
        debug=False,
    )
    handler: ASGIApp = HeadAsGet(CompressedJson(app.asgi_handler))
    app.asgi_handler = traced(CrossOrigin(handler, gateway.cors_origins) if gateway.cors_origins else handler)
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
    return OpenAPIDocument(DESCRIBED_MODELS, DESCRIBED_EXAMPLES).of(app)


def _readers(gateway: GatewaySettings) -> tuple[Turns, Turns]:
    """Whose turn it is to read a page of rows, or to download them."""

    def turns() -> Turns:
        return Turns(
            Shares(gateway.max_concurrent_row_readers), gateway.upload_queue_seconds, gateway.max_waiting_uploads
        )

    return turns(), turns()


def _session_tokens(organizations: ClerkOrganizations, gateway: GatewaySettings) -> SessionTokens | None:
    """Judges session tokens, where there are any."""
    if gateway.clerk_issuer is None:
        return None
    keys = SigningKeys(fetching(gateway.clerk_jwks_url or f"{gateway.clerk_issuer}/.well-known/jwks.json"))
    return SessionTokens(
        keys, gateway.clerk_issuer, gateway.clerk_authorized_parties, organizations, gateway.clerk_roles
    )


def _clerk_events(mongo: Mongo, organizations: ClerkOrganizations, gateway: GatewaySettings) -> ClerkEvents | None:
    """Takes events of Clerk, where there is a secret to check them with."""
    secrets = [secret.get_secret_value() for secret in gateway.clerk_webhook_secrets]
    return ClerkEvents(mongo, organizations, secrets) if secrets else None


def _gateway(request: AnyRequest) -> _Gateway:
    return request.app.state.gateway
