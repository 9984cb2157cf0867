"""From the events of runs to webhooks: durable deliveries, and the attempts to send them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import SystemRandom

import structlog
from cryptography.fernet import Fernet, InvalidToken
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.contracts.events import RunStatusChanged
from libs.ledger.changes import Changes
from libs.messaging.cancellation import end_tasks
from libs.process.shares import Shares
from libs.storage.documents import WebhookEndpoint
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.domain.delivery import (
    MAX_ERROR_CHARS,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    DeliveryUpdate,
    after_attempt,
    new_delivery,
)
from services.webhooks.domain.payload import WEBHOOK_EVENT_TYPES
from services.webhooks.domain.schedule import AttemptResult, RetrySchedule
from services.webhooks.http_sender import HttpSender
from services.webhooks.settings import WebhookSettings

RESCUE_HOURS = 24
RESCUE_OVERLAP = timedelta(minutes=5)
"""How long after its time a change may become visible: clocks differ, and transactions take time."""
RESCUE_CHUNK = 500
DRAIN_SECONDS = 5.0

logger = structlog.get_logger()


class QueueDeliveries:
    """Stores one delivery for each event of a run, also where the event arrives more than once.

    Args:
        wake: called after a delivery was stored.
        rescue_after_seconds: age at which a change is no longer expected to be announced by its event.
    """

    def __init__(
        self,
        changes: Changes,
        store: DeliveryStore,
        metrics: Metrics,
        schedule: RetrySchedule,
        wake: Callable[[], None],
        rescue_after_seconds: float,
    ) -> None:
        self._changes = changes
        self._store = store
        self._metrics = metrics
        self._schedule = schedule
        self._wake = wake
        self._rescue_after = timedelta(seconds=rescue_after_seconds)
        self._checked_until: datetime | None = None

    async def __call__(self, event: RunStatusChanged) -> None:
        """Store the delivery of an event whose status receivers hear of."""
        if event.status not in WEBHOOK_EVENT_TYPES:
            return
        endpoint_id = await self._changes.endpoint_of(event.run_id)
        if endpoint_id is None:
            return
        if delivery := self._delivery(event, endpoint_id):
            await self._store.add(delivery)
            failpoint("webhooks.delivery_stored_before_commit")
            self._wake()

    async def rescue(self) -> None:
        """Store the deliveries of events that never arrived, for runs changed within ``RESCUE_HOURS``.

        Each pass goes on where the one before ended, less an overlap.
        """
        now = datetime.now(UTC)
        since = self._checked_until or now - timedelta(hours=RESCUE_HOURS)
        until = now - self._rescue_after
        deliveries: list[Delivery] = []
        async for endpoint_id, event in self._changes.events(since, until):
            if delivery := self._delivery(event, endpoint_id):
                deliveries.append(delivery)
            if len(deliveries) == RESCUE_CHUNK:
                await self._add_missing(deliveries)
                deliveries.clear()
        await self._add_missing(deliveries)
        self._checked_until = until - RESCUE_OVERLAP

    def _delivery(self, event: RunStatusChanged, endpoint_id: str) -> Delivery | None:
        return new_delivery(event, endpoint_id, datetime.now(UTC), self._schedule)

    async def _add_missing(self, deliveries: list[Delivery]) -> None:
        for delivery in await self._store.missing(deliveries):
            if await self._store.add(delivery):
                self._metrics.rescues.labels("webhook").inc()
                logger.warning("webhook.rescued", run_id=delivery.run_id, delivery_id=delivery.id)
                self._wake()


class SendDeliveries:
    """Sends deliveries that are due, several at once, few of them to the same receiver or for the same organization.

    Args:
        instance: name of this process, the same after a restart.
    """

    def __init__(self, store: DeliveryStore, sender: HttpSender, settings: WebhookSettings, instance: str) -> None:
        self._store = store
        self._sender = sender
        self._settings = settings
        self._schedule = settings.schedule
        self._secrets = Fernet(settings.secret_key.get_secret_value())
        self._instance = instance
        self._random = SystemRandom()
        self._woken = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._at_work: Counter[str] = Counter()
        self._shares = Shares(settings.webhook_concurrency)

    def wake(self) -> None:
        """Look for deliveries that are due now: one was stored, or an attempt has ended."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled; waits where MongoDB does not answer."""
        await self._store.release(self._instance)
        try:
            while True:
                self._woken.clear()
                try:
                    await self._begin_due()
                except (TransientError, PyMongoError) as error:
                    logger.warning("webhooks.waiting", error=error_text(error))
                    await asyncio.sleep(self._settings.webhook_poll_seconds)
                await self._wait()
        finally:
            await self._finish()

    async def claim(self) -> Delivery | None:
        """Take a delivery that is due, whose receiver is not busy and whose organization has slots left."""
        most = self._settings.webhook_concurrency_per_endpoint
        busy = [endpoint_id for endpoint_id, count in self._at_work.items() if count >= most]
        lease_seconds = self._settings.webhook_lease_seconds
        return await self._store.claim(self._instance, lease_seconds, busy, self._shares.over())

    async def attempt(self, delivery: Delivery) -> None:
        """Try a claimed delivery once and record the outcome."""
        receiver = await self._store.receiver(delivery.endpoint_id)
        if receiver is None:
            # Only this one: the others that wait are judged in their turn, perhaps when it is on again.
            if await self._store.settle_unsent(delivery):
                logger.info("webhook.not_sent", delivery_id=delivery.id, endpoint_id=delivery.endpoint_id)
            return
        outcome = await self._send(receiver, delivery)
        if outcome.result is AttemptResult.DELIVERED:
            failpoint("webhooks.sent_before_recorded")
        update = after_attempt(delivery, outcome, datetime.now(UTC), self._random, self._schedule)
        if update.state is DeliveryState.DISABLED:
            recorded, settled = await self._store.record_gone(delivery, update, receiver, _gone(outcome.at))
            if settled is not None:
                logger.warning("webhook.endpoint_disabled", endpoint_id=receiver.id, settled=settled)
        else:
            recorded = await self._store.record(delivery, update)
        _log(delivery, update, recorded=recorded)

    async def _send(self, receiver: WebhookEndpoint, delivery: Delivery) -> AttemptOutcome:
        at = datetime.now(UTC)
        try:
            secret = self._secrets.decrypt(receiver.encrypted_secret).decode()
            return await self._sender.send(receiver.url, [secret], delivery.id, delivery.body, delivery.tenant_id)
        except InvalidToken:
            error = "the signing secret cannot be decrypted with ROWDOCK_SECRET_KEY"
        except ValueError as unusable:
            error = f"the request cannot be signed: {unusable}"
        # An attempt like any other, so that it shows where its owner looks and is tried again once repaired.
        return AttemptOutcome(result=AttemptResult.FAILED, at=at, duration_ms=0, error=error[:MAX_ERROR_CHARS])

    async def _begin_due(self) -> None:
        while self._shares.free and (delivery := await self.claim()):
            self._begin(delivery)

    def _begin(self, delivery: Delivery) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._attempts.discard(task)
            self._at_work -= Counter([delivery.endpoint_id])
            self._shares.give_back(delivery.tenant_id)
            self.wake()

        self._at_work[delivery.endpoint_id] += 1
        self._shares.take(delivery.tenant_id)
        task = asyncio.create_task(self._attempt_and_log(delivery))
        self._attempts.add(task)
        task.add_done_callback(ended)

    async def _attempt_and_log(self, delivery: Delivery) -> None:
        """One attempt; after an error the delivery is tried again when its lease ends."""
        try:
            await self.attempt(delivery)
        except (TransientError, PyMongoError) as error:
            logger.warning("webhook.not_recorded", delivery_id=delivery.id, error=error_text(error))
        except Exception:
            logger.exception("webhook.unforeseen_error", delivery_id=delivery.id)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._settings.webhook_poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _finish(self) -> None:
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=DRAIN_SECONDS)
        await end_tasks(self._attempts)


def _gone(at: datetime) -> str:
    return (
        f"the receiver answered 410 Gone at {at:%Y-%m-%d %H:%M:%S} UTC, which asks for no more webhooks; "
        "once it takes them again, switch the template's webhook on again"
    )


def _log(delivery: Delivery, update: DeliveryUpdate, *, recorded: bool) -> None:
    logger.info(
        "webhook.attempted",
        run_id=delivery.run_id,
        delivery_id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        attempt=update.attempt.number,
        outcome=update.attempt.result.value,
        status_code=update.attempt.status_code,
        error=update.attempt.error,
        duration_ms=update.attempt.duration_ms,
        state=update.state.value,
        next_attempt_at=update.next_attempt_at and update.next_attempt_at.isoformat(),
        recorded=recorded,
    )
