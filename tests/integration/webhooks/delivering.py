"""Endpoints, runs, their deliveries and a sender at work, on a real MongoDB, without Kafka."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bson import ObjectId
from cryptography.fernet import Fernet

from libs.contracts.events import RunCounts, RunStatusChanged
from libs.contracts.states import RunStatus
from libs.contracts.templates import Template, TemplateField
from libs.contracts.topics import RUN_EVENTS
from libs.ledger import Ledger
from libs.messaging.cancellation import end_tasks
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument, StoredFile
from libs.telemetry.metrics import Metrics
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.domain.delivery import Delivery
from services.webhooks.http_sender import HttpSender
from services.webhooks.receivers import Receivers
from services.webhooks.settings import WebhookSettings
from services.webhooks.use_cases import QueueDeliveries, SendDeliveries
from services.webhooks.written_rows import WrittenRows
from tests.integration.webhooks.receivers import Receiver

KEY = Fernet.generate_key().decode()


SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


ME = "webhooks-1"


def settings(**changes: object) -> WebhookSettings:
    quick = {"webhook_allowed_networks": "127.0.0.0/8", "webhook_retry_seconds": "0,0.01,0.01"}
    return WebhookSettings.model_validate({"secret_key": KEY, "webhook_poll_seconds": 0.02, **quick, **changes})


def sender_of(mongo: Mongo, instance: str = ME, **changes: object) -> SendDeliveries:
    told = settings(**changes)
    http = HttpSender(told.webhook_allowed_networks, total_seconds=told.webhook_timeout_seconds)
    return SendDeliveries(DeliveryStore(mongo), Receivers(mongo), http, Metrics("webhooks"), told, instance)


def queue_of(
    mongo: Mongo, *, wake: Callable[[], None] = lambda: None, metrics: Metrics | None = None, rescue_after: float = 0
) -> QueueDeliveries:
    changes = Ledger(mongo, "webhooks").changes
    told = metrics or Metrics("webhooks")
    store, receivers = DeliveryStore(mongo), Receivers(mongo)
    return QueueDeliveries(changes, store, receivers, WrittenRows(mongo), told, settings().schedule, wake, rescue_after)


async def endpoint(mongo: Mongo, receiver: Receiver, secret: str = SECRET, key: str = KEY) -> str:
    identifier = str(ObjectId())
    await mongo.state["webhook_endpoints"].insert_one(
        {
            "_id": identifier,
            "tenant_id": "t1",
            "template_id": "m1",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "encrypted_secret": Fernet(key).encrypt(secret.encode()).decode(),
            "enabled": True,
            "disabled_reason": None,
            "created_at": datetime.now(UTC),
        }
    )
    return identifier


async def submitted(mongo: Mongo, endpoint_id: str | None, *, webhook_enabled: bool = True) -> RunDocument:
    now = datetime.now(UTC)
    template = Template(
        name="People",
        fields=(TemplateField(name="name"),),
        target_resource="people",
        webhook_enabled=webhook_enabled,
    )
    run = RunDocument.model_validate(
        {
            "_id": str(ObjectId()),
            "tenant_id": "t1",
            "template_id": "m1",
            "template_version": 1,
            "template": template,
            "webhook_endpoint_id": endpoint_id,
            "file": StoredFile(id="f1", name="people.csv", size=1, sha256="0" * 64),
            "created_at": now,
            "updated_at": now,
        }
    )
    await Ledger(mongo, "gateway").runs.submit(run)
    return run


async def move(mongo: Mongo, run: RunDocument, *statuses: RunStatus, counts: RunCounts | None = None) -> RunDocument:
    ledger = Ledger(mongo, "gateway")
    for status in statuses:
        moved = await ledger.runs.transition(run, status, counts=counts)
        assert moved is not None
        run = moved
    return run


COUNTS = RunCounts(rows=10, written=7, created=7, rejected=2, skipped=1, skip_reasons={"DUPLICATE_UPSERT_KEY": 1})


async def completed(mongo: Mongo, endpoint_id: str | None, *, webhook_enabled: bool = True) -> list[RunStatusChanged]:
    """The events of a run that went well, as the ledger told them."""
    run = await submitted(mongo, endpoint_id, webhook_enabled=webhook_enabled)
    run = await move(mongo, run, RunStatus.VALIDATING)
    run = await move(mongo, run, RunStatus.VALIDATED, counts=RunCounts(rows=10, rejected=2))
    run = await move(mongo, run, RunStatus.EXECUTING)
    await move(mongo, run, RunStatus.COMPLETED, counts=COUNTS)
    return await told(mongo, run.id)


async def told(mongo: Mongo, run_id: str) -> list[RunStatusChanged]:
    rows = mongo.state["outbox"].find({"topic": RUN_EVENTS.name, "key": run_id})
    events = [RunStatusChanged.model_validate_json(row["value"]) async for row in rows]
    return sorted(events, key=lambda event: event.version)


async def queued(mongo: Mongo, receiver: Receiver, **changes: str) -> tuple[str, str]:
    """Endpoint and run of one pending delivery, of a run that has just started."""
    endpoint_id = await endpoint(mongo, receiver, **changes)
    run = await move(mongo, await submitted(mongo, endpoint_id), RunStatus.VALIDATING)
    for event in await told(mongo, run.id):
        await queue_of(mongo)(event)
    return endpoint_id, run.id


async def deliveries(mongo: Mongo, **query: str) -> list[Document]:
    return await mongo.state["webhook_deliveries"].find(query).sort("created_at").to_list()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(0.01)


async def settled(mongo: Mongo) -> list[Document]:
    """All deliveries, once none is pending."""

    async def none_pending() -> bool:
        return not await deliveries(mongo, state="pending")

    await eventually(none_pending)
    return await deliveries(mongo)


@asynccontextmanager
async def at_work(sender: SendDeliveries) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sender.run())
    try:
        yield task
    finally:
        await end_tasks([task])


async def ledger_run(mongo: Mongo, run_id: str) -> RunDocument:
    run = await Ledger(mongo, "gateway").runs.get(run_id)
    assert run is not None
    return run


async def claimed(mongo: Mongo, instance: str = ME, lease_seconds: float = 30) -> Delivery:
    delivery = await DeliveryStore(mongo).claim(instance, lease_seconds)
    assert delivery is not None
    return delivery
