"""From the events of runs to webhooks: durable deliveries, and the attempts to send them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import SystemRandom

import structlog
from cachetools import LRUCache
from cryptography.fernet import InvalidToken
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.contracts.events import RunStatusChanged
from libs.contracts.listening import Listener
from libs.contracts.states import RunStatus
from libs.contracts.webhooks import ENDPOINT_DISABLED
from libs.ledger.changes import Changes
from libs.messaging.cancellation import end_tasks
from libs.process.shares import Shares
from libs.storage.documents import WebhookEndpoint
from libs.telemetry import tracing
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
    new_notice,
)
from services.webhooks.domain.health import Health, needs_probe, next_pause, paused, to_be_given_up
from services.webhooks.domain.payload import event_type_of
from services.webhooks.domain.schedule import AttemptResult, RetrySchedule
from services.webhooks.http_sender import HttpSender
from services.webhooks.pauses import Pauses
from services.webhooks.receivers import Receivers, health_of
from services.webhooks.settings import WebhookSettings
from services.webhooks.written_rows import WrittenRows

RESCUE_HOURS = 24
RESCUE_OVERLAP = timedelta(minutes=5)
"""How long after its time a change may become visible: clocks differ, and transactions take time."""
RESCUE_CHUNK = 500
REMEMBERED_TENANTS = 1_000
DRAIN_SECONDS = 5.0
QUICK_MS = 2_000
REMEMBERED_ENDPOINTS = 10_000

logger = structlog.get_logger()


class QueueDeliveries:
    """Stores one delivery for each event of a run and each receiver, also where the event arrives more than once.

    Receivers are that of the run's template and those endpoints of its organization that hear of such events.

    Args:
        wake: called after a delivery was stored.
        rescue_after_seconds: age at which a change is no longer expected to be announced by its event.
    """

    def __init__(
        self,
        changes: Changes,
        store: DeliveryStore,
        receivers: Receivers,
        written_rows: WrittenRows,
        metrics: Metrics,
        schedule: RetrySchedule,
        wake: Callable[[], None],
        rescue_after_seconds: float,
    ) -> None:
        self._changes = changes
        self._store = store
        self._receivers = receivers
        self._written_rows = written_rows
        self._metrics = metrics
        self._schedule = schedule
        self._wake = wake
        self._rescue_after = timedelta(seconds=rescue_after_seconds)
        self._checked_until: datetime | None = None

    async def __call__(self, event: RunStatusChanged) -> None:
        """Store the deliveries of an event whose status receivers hear of."""
        if (event_type := event_type_of(event)) is None:
            return
        endpoint_ids = await self._receivers.listening(event, event_type)
        if (of_template := await self._changes.endpoint_of(event.run_id)) is not None:
            endpoint_ids.append(of_template)
        if not endpoint_ids:
            return
        await self._store.add_all(await self._deliveries(event, endpoint_ids, tracing.current_traceparent()))
        failpoint("webhooks.delivery_stored_before_commit")
        self._wake()

    async def rescue(self) -> None:
        """Store the deliveries of events that never arrived, for runs changed within ``RESCUE_HOURS``.

        Each pass goes on where the one before ended, less an overlap.
        """
        now = datetime.now(UTC)
        since = self._checked_until or now - timedelta(hours=RESCUE_HOURS)
        until = now - self._rescue_after
        expected: list[tuple[str, RunStatusChanged]] = []
        async for each in self._expected(since, until):
            expected.append(each)
            if len(expected) == RESCUE_CHUNK:
                await self._add_missing(expected)
                expected.clear()
        await self._add_missing(expected)
        self._checked_until = until - RESCUE_OVERLAP

    async def _expected(self, since: datetime, until: datetime) -> AsyncIterator[tuple[str, RunStatusChanged]]:
        """Endpoints, each with an event that it is to hear of."""
        async for expected in self._changes.events(since, until):
            yield expected
        if not await self._receivers.any():
            return
        listeners = LRUCache[str, Sequence[Listener]](REMEMBERED_TENANTS)  # as they are in this pass
        async for event in self._changes.all_events(since, until):
            if (event_type := event_type_of(event)) is None:
                continue
            if event.tenant_id not in listeners:
                listeners[event.tenant_id] = await self._receivers.listeners(event.tenant_id)
            for each in listeners[event.tenant_id]:
                if each.hears(event_type, event.template_id, event.occurred_at):
                    yield each.id, event

    async def _deliveries(
        self, event: RunStatusChanged, endpoint_ids: Sequence[str], trace: str | None
    ) -> list[Delivery]:
        rows = None
        if event.status is RunStatus.COMPLETED:
            rows = await self._written_rows.of(event.tenant_id, event.run_id)
        now = datetime.now(UTC)
        made = (new_delivery(event, each, now, self._schedule, rows, trace) for each in endpoint_ids)
        return [delivery for delivery in made if delivery is not None]

    async def _add_missing(self, expected: Sequence[tuple[str, RunStatusChanged]]) -> None:
        now = datetime.now(UTC)
        made = {each.id: pair for pair in expected if (each := new_delivery(pair[1], pair[0], now)) is not None}
        for identifier in await self._store.missing(list(made)):
            endpoint_id, event = made[identifier]
            trace = await self._changes.trace_of(event.run_id) if tracing.on() else None
            [delivery] = await self._deliveries(event, [endpoint_id], trace)
            if await self._store.add(delivery):
                self._metrics.rescues.labels("webhook").inc()
                logger.warning("webhook.rescued", run_id=delivery.run_id, delivery_id=delivery.id)
                self._wake()


class SendDeliveries:
    """Sends deliveries that are due, several at once, few of them to the same receiver or for the same organization.

    Args:
        instance: name of this process, the same after a restart.
    """

    def __init__(
        self,
        store: DeliveryStore,
        receivers: Receivers,
        sender: HttpSender,
        metrics: Metrics,
        settings: WebhookSettings,
        instance: str,
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._receivers = receivers
        self._sender = sender
        self._settings = settings
        self._schedule = settings.schedule
        self._rules = settings.health_rules
        self._secrets = settings.secret_keys
        self._instance = instance
        self._random = SystemRandom()
        self._woken = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._at_work: Counter[str] = Counter()
        self._paused = Pauses()
        self._quick = LRUCache[str, None](REMEMBERED_ENDPOINTS)
        self._shares = Shares(settings.webhook_concurrency)
        metrics.webhook_endpoints_paused.set_function(lambda: len(self._paused.ids()))
        metrics.webhooks_in_progress.set_function(lambda: len(self._attempts))

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
        busy = [endpoint_id for endpoint_id, count in self._at_work.items() if count >= self._most(endpoint_id)]
        busy += self._paused.ids()
        lease_seconds = self._settings.webhook_lease_seconds
        return await self._store.claim(self._instance, lease_seconds, busy, self._shares.over())

    def _most(self, endpoint_id: str) -> int:
        """How many attempts an endpoint may have at once: one, unless the last one was answered quickly.

        So one that hangs takes one place of its organization's, from the beginning, and those beside it the others.
        """
        return self._settings.webhook_concurrency_per_endpoint if endpoint_id in self._quick else 1

    async def attempt(self, delivery: Delivery) -> None:
        """Try a claimed delivery once and record the outcome."""
        receiver = await self._store.receiver(delivery.endpoint_id)
        if receiver is None:
            # Only this one: the others that wait are judged in their turn, perhaps when it is on again.
            if await self._store.settle_unsent(delivery):
                logger.info("webhook.not_sent", delivery_id=delivery.id, endpoint_id=delivery.endpoint_id)
            return
        if not await self._may_send(receiver, delivery):
            return
        outcome = await self._send(receiver, delivery)
        self._measure(receiver, delivery, outcome)
        if outcome.result is AttemptResult.DELIVERED:
            failpoint("webhooks.sent_before_recorded")
        if outcome.duration_ms <= QUICK_MS:
            self._quick[receiver.id] = None
        else:
            self._quick.pop(receiver.id, None)
        now = datetime.now(UTC)
        update = after_attempt(delivery, outcome, now, self._random, self._schedule)
        given_up = _gone(receiver, outcome.at) if update.state is DeliveryState.DISABLED else None
        if given_up is None:
            given_up = await self._judge(receiver, outcome, now)
        if given_up is None:
            recorded = await self._store.record(delivery, update)
        else:
            notices = await self._notices(receiver, delivery, given_up, now)
            recorded, settled = await self._store.record_gone(delivery, update, receiver, given_up, notices)
            if settled is not None:
                logger.warning("webhook.endpoint_disabled", endpoint_id=receiver.id, settled=settled, reason=given_up)
        if recorded and update.state is not DeliveryState.PENDING:
            self._metrics.webhook_ends.labels(update.state.value).inc()
        _log(delivery, update, recorded=recorded)

    def _measure(self, receiver: WebhookEndpoint, delivery: Delivery, outcome: AttemptOutcome) -> None:
        self._metrics.webhook_attempts.labels(outcome.result.value).inc()
        self._metrics.webhook_seconds.observe(outcome.duration_ms / 1000)
        # One that fails is paused, and its deliveries wait for that: no delay of ours.
        if not delivery.attempts and delivery.occurred_at is not None and not receiver.failures:
            delay = (outcome.at - delivery.occurred_at).total_seconds()
            self._metrics.webhook_first_seconds.observe(max(0.0, delay))

    async def _notices(
        self, receiver: WebhookEndpoint, delivery: Delivery, reason: str, now: datetime
    ) -> list[Delivery]:
        """What the other endpoints of an organization hear when one is switched off."""
        listeners = await self._receivers.listeners(receiver.tenant_id)
        others = [each for each in listeners if each.id != receiver.id and each.hears(ENDPOINT_DISABLED, None, now)]
        template_id = receiver.template_id or None
        return [new_notice(each.id, delivery, template_id, reason, now, self._schedule) for each in others]

    async def _may_send(self, receiver: WebhookEndpoint, delivery: Delivery) -> bool:
        """Whether the receiver gets anything now; where it is paused, the delivery waits for the end of that."""
        now, health = datetime.now(UTC), health_of(receiver)
        until = health.paused_until
        if until is None:
            return True
        if needs_probe(health, now):
            longest = timedelta(seconds=self._settings.webhook_lease_seconds)
            until = now + longest
            # Meanwhile nothing else of it is taken here; another process finds it paused.
            self._paused.add(receiver.id, longest.total_seconds())
            if await self._receivers.take_probe(receiver.id, health, now, longest):
                return True
        elif paused(health, now):
            self._paused.add(receiver.id, (until - now).total_seconds())
        await self._store.postpone(delivery, until)
        return False

    async def _judge(self, receiver: WebhookEndpoint, outcome: AttemptOutcome, now: datetime) -> str | None:
        """Note how the receiver does; why it is given up, or ``None``."""
        known = health_of(receiver)
        if outcome.result is AttemptResult.DELIVERED:
            if known != Health():
                await self._receivers.went_well(receiver.id)
                self._paused.lift(receiver.id)
            return None
        health = await self._receivers.failed(receiver.id, outcome.at)
        if to_be_given_up(health, now, self._rules):
            return _failing(health)
        probed = needs_probe(known, now)  # what it is paused until now is only the time that the attempt had
        judged = replace(health, paused_until=None) if probed else health
        pause = next_pause(judged, now, self._rules)
        if pause is not None and await self._receivers.pause(receiver.id, health, now + pause):
            logger.warning("webhook.endpoint_paused", endpoint_id=receiver.id, seconds=pause.total_seconds())
            self._paused.add(receiver.id, pause.total_seconds())
            self._metrics.webhook_pauses.inc()
        return None

    async def _send(self, receiver: WebhookEndpoint, delivery: Delivery) -> AttemptOutcome:
        with _span(delivery) as span:
            outcome = await self._post(receiver, delivery)
            if outcome.status_code is not None:
                span.set({"http.response.status_code": outcome.status_code})
            if outcome.result is not AttemptResult.DELIVERED:
                span.failed(outcome.result.value)
        return outcome

    async def _post(self, receiver: WebhookEndpoint, delivery: Delivery) -> AttemptOutcome:
        at = datetime.now(UTC)
        try:
            secrets = [self._secrets.decrypt(each).decode() for each in _live_secrets(receiver, at)]
            return await self._sender.send(receiver.url, secrets, delivery.id, delivery.body, delivery.tenant_id)
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


def _span(delivery: Delivery) -> tracing.Span:
    attributes = {
        "rowdock.run_id": delivery.run_id,
        "rowdock.delivery_id": delivery.id,
        "rowdock.endpoint_id": delivery.endpoint_id,
        "rowdock.attempt": len(delivery.attempts) + 1,
        "rowdock.event_type": delivery.event_type,
        "http.request.method": "POST",
    }
    return tracing.span("send webhook", kind=tracing.Kind.CLIENT, parent=delivery.trace, attributes=attributes)


def _gone(receiver: WebhookEndpoint, at: datetime) -> str:
    switch = "switch the template's webhook" if receiver.template_id else "switch the endpoint"
    return (
        f"the receiver answered 410 Gone at {at:%Y-%m-%d %H:%M:%S} UTC, which asks for no more webhooks; "
        f"once it takes them again, {switch} on again"
    )


def _failing(health: Health) -> str:
    since = health.failing_since or datetime.now(UTC)
    return (
        f"every attempt since {since:%Y-%m-%d %H:%M:%S} UTC has failed, {health.failures} of them; "
        "once the receiver answers 2xx again, enable it again and replay what has failed since"
    )


def _live_secrets(receiver: WebhookEndpoint, now: datetime) -> list[str]:
    """What is signed with, encrypted: the present secret and, while it is replaced, the one before."""
    if receiver.previous_secret is None or receiver.previous_until is None or receiver.previous_until <= now:
        return [receiver.encrypted_secret]
    return [receiver.encrypted_secret, receiver.previous_secret]


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
