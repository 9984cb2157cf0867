"""A delivery: one event for one receiver, its attempts, and how an attempt changes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.events import RunStatusChanged
from libs.contracts.ids import delivery_id, event_id
from libs.contracts.webhooks import ENDPOINT_DISABLED
from services.webhooks.domain.payload import event_type_of, notice_payload, webhook_payload
from services.webhooks.domain.schedule import STANDARD_SCHEDULE, AttemptResult, RetrySchedule, next_delay

MAX_EXCERPT_BYTES = 1024
MAX_ERROR_CHARS = 300


class DeliveryState(StrEnum):
    """``pending`` goes to one of the others and none of those goes anywhere."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """The schedule is used up."""
    DISABLED = "disabled"
    """The receiver answered 410 Gone, or its endpoint was switched off when this was due."""


class AttemptOutcome(BaseModel):
    """The outcome of one request.

    Attributes:
        result: what it means for the delivery.
        at: when the request was begun and which time it was signed with, UTC.
        duration_ms: until the end of the answer, or until it was given up.
        status_code: of the final answer, where there was one.
        error: why there was none, for the owner of the receiver.
        retry_after: seconds that the receiver asked us to wait.
        response_excerpt: start of the answer's text, at most 1,024 bytes of UTF-8.
        url: where it went; empty in attempts of earlier releases.
    """

    model_config = ConfigDict(frozen=True)

    result: AttemptResult
    at: datetime
    duration_ms: int = Field(ge=0)
    status_code: int | None = None
    error: str | None = Field(default=None, max_length=MAX_ERROR_CHARS)
    retry_after: float | None = None
    response_excerpt: str = Field(default="", max_length=MAX_EXCERPT_BYTES)
    url: str = ""


class Attempt(AttemptOutcome):
    """An outcome in its delivery's log; ``number`` is 1-based."""

    number: int = Field(ge=1)


class Delivery(BaseModel):
    """One event for one receiver.

    Attributes:
        id: derived from event and endpoint, so that a replayed event makes no second delivery. It is
            the ``webhook-id`` of every attempt, by which the receiver drops repeats.
        body: the exact bytes to sign and send.
        next_attempt_at: when it is due; ``None`` unless it is pending.
        attempts: in order.
        event_type: such as ``import.completed``; empty in those of earlier releases.
        resent_after: how many attempts there had been when it was last asked for again; the schedule counts from there.
        trace: ``traceparent`` below which its attempts stand.
        occurred_at: when the event was; ``None`` in those of earlier releases.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    tenant_id: str
    event_id: str
    endpoint_id: str
    run_id: str
    body: bytes
    state: DeliveryState = DeliveryState.PENDING
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: tuple[Attempt, ...] = ()
    event_type: str = ""
    resent_after: int = 0
    trace: str | None = None
    occurred_at: datetime | None = None


class DeliveryUpdate(BaseModel):
    """What to record after an attempt: append ``attempt``, set the rest.

    With ``state`` disabled the endpoint itself is to be switched off as well.
    """

    model_config = ConfigDict(frozen=True)

    attempt: Attempt
    state: DeliveryState
    next_attempt_at: datetime | None


def new_delivery(
    event: RunStatusChanged,
    endpoint_id: str,
    now: datetime,
    schedule: RetrySchedule = STANDARD_SCHEDULE,
    rows: Sequence[Mapping[str, Any]] | None = None,
    trace: str | None = None,
) -> Delivery | None:
    """The delivery of an event, with rows if there are any, to an endpoint, or ``None`` where receivers do not get
    events of its status."""
    body = webhook_payload(event, rows)
    if body is None:
        return None
    return Delivery(
        event_type=event_type_of(event) or "",
        id=delivery_id(event.event_id, endpoint_id),
        tenant_id=event.tenant_id,
        event_id=event.event_id,
        endpoint_id=endpoint_id,
        run_id=event.run_id,
        body=body,
        created_at=now,
        next_attempt_at=now + schedule.delays[0],
        trace=trace,
        occurred_at=event.occurred_at,
    )


def new_notice(
    listener_id: str,
    delivery: Delivery,
    template_id: str | None,
    reason: str,
    now: datetime,
    schedule: RetrySchedule = STANDARD_SCHEDULE,
) -> Delivery:
    """The delivery that tells another endpoint that the one of ``delivery`` was switched off."""
    told = event_id("endpoint disabled", delivery.id, len(delivery.attempts))
    return Delivery(
        id=delivery_id(told, listener_id),
        tenant_id=delivery.tenant_id,
        event_id=told,
        endpoint_id=listener_id,
        run_id="",
        event_type=ENDPOINT_DISABLED,
        body=notice_payload(told, delivery.endpoint_id, template_id, reason, now),
        created_at=now,
        next_attempt_at=now + schedule.delays[0],
        trace=delivery.trace,
    )


def after_attempt(
    delivery: Delivery,
    outcome: AttemptOutcome,
    now: datetime,
    random: Random,
    schedule: RetrySchedule = STANDARD_SCHEDULE,
) -> DeliveryUpdate:
    """How an attempt changes its delivery; ``now`` is when the outcome is recorded.

    Raises:
        ValueError: the delivery is not pending, so nobody should have tried it.
    """
    if delivery.state is not DeliveryState.PENDING:
        raise ValueError(f"delivery {delivery.id} is {delivery.state}, not pending")
    attempt = Attempt(number=len(delivery.attempts) + 1, **outcome.model_dump())
    since_asked_for = attempt.number - delivery.resent_after
    delay = next_delay(since_asked_for, outcome.result, outcome.retry_after, random, schedule)
    if delay is not None:
        return DeliveryUpdate(attempt=attempt, state=DeliveryState.PENDING, next_attempt_at=now + delay)
    state = _SETTLED.get(outcome.result, DeliveryState.FAILED)
    return DeliveryUpdate(attempt=attempt, state=state, next_attempt_at=None)


_SETTLED = {
    AttemptResult.DELIVERED: DeliveryState.DELIVERED,
    AttemptResult.GONE: DeliveryState.DISABLED,
}
