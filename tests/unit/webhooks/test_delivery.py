"""What an event and an attempt do to a delivery."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from libs.contracts.events import RunStatusChanged
from libs.contracts.states import RunStatus
from services.webhooks.domain.delivery import (
    AttemptOutcome,
    Delivery,
    DeliveryState,
    after_attempt,
    new_delivery,
)
from services.webhooks.domain.payload import webhook_payload
from services.webhooks.domain.schedule import AttemptResult, RetrySchedule

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
EVENT = RunStatusChanged(
    event_id="e1",
    occurred_at=NOW,
    run_id="r1",
    tenant_id="t1",
    template_id="m1",
    status=RunStatus.COMPLETED,
    version=4,
)
TWO_TRIES = RetrySchedule(delays=(timedelta(0), timedelta(seconds=10)), jitter=0)


def pending() -> Delivery:
    delivery = new_delivery(EVENT, "p1", NOW, TWO_TRIES)
    assert delivery is not None
    return delivery


def outcome(result: AttemptResult, status_code: int | None = None) -> AttemptOutcome:
    return AttemptOutcome(result=result, at=NOW, duration_ms=3, status_code=status_code)


def test_a_new_delivery_is_due_at_once_and_holds_the_bytes() -> None:
    delivery = pending()
    assert delivery.state is DeliveryState.PENDING
    assert delivery.next_attempt_at == NOW
    assert delivery.body == webhook_payload(EVENT)


def test_a_replayed_event_makes_the_same_delivery() -> None:
    again = new_delivery(EVENT, "p1", NOW + timedelta(hours=1))
    other = new_delivery(EVENT, "p2", NOW)
    assert again is not None
    assert other is not None
    assert again.id == pending().id
    assert again.body == pending().body
    assert other.id != pending().id
    assert "." not in pending().id


def test_no_delivery_without_a_webhook() -> None:
    assert new_delivery(EVENT.model_copy(update={"status": RunStatus.EXECUTING}), "p1", NOW) is None


@pytest.mark.parametrize(
    ("result", "state"),
    [(AttemptResult.DELIVERED, DeliveryState.DELIVERED), (AttemptResult.GONE, DeliveryState.DISABLED)],
)
def test_an_answer_settles(result: AttemptResult, state: DeliveryState) -> None:
    update = after_attempt(pending(), outcome(result), NOW, Random(1), TWO_TRIES)
    assert (update.state, update.next_attempt_at) == (state, None)
    assert update.attempt.number == 1


def test_failures_are_tried_again_until_the_schedule_ends() -> None:
    first = after_attempt(pending(), outcome(AttemptResult.FAILED, 500), NOW, Random(1), TWO_TRIES)
    assert (first.state, first.next_attempt_at) == (DeliveryState.PENDING, NOW + timedelta(seconds=10))
    assert first.attempt.status_code == 500

    tried_once = pending().model_copy(update={"attempts": (first.attempt,)})
    second = after_attempt(tried_once, outcome(AttemptResult.THROTTLED), NOW, Random(1), TWO_TRIES)
    assert (second.state, second.next_attempt_at) == (DeliveryState.FAILED, None)
    assert second.attempt.number == 2


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.DISABLED])
def test_a_settled_delivery_takes_no_attempt(state: DeliveryState) -> None:
    settled = pending().model_copy(update={"state": state})
    with pytest.raises(ValueError, match="not pending"):
        after_attempt(settled, outcome(AttemptResult.FAILED), NOW, Random(1))


def test_a_delivery_survives_storage() -> None:
    update = after_attempt(pending(), outcome(AttemptResult.FAILED, 500), NOW, Random(1))
    delivery = pending().model_copy(update={"attempts": (update.attempt,)})
    assert Delivery.model_validate(delivery.model_dump()) == delivery
