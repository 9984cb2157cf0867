"""From a run's events to its deliveries, and the rescue of those whose event did not come."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.errors import TransientError
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.telemetry import failpoints
from libs.telemetry.metrics import Metrics
from services.webhooks.domain.delivery import new_delivery
from services.webhooks.domain.payload import webhook_payload
from tests.integration.webhooks.delivering import (
    at_work,
    completed,
    deliveries,
    move,
    queue_of,
    queued,
    sender_of,
    settled,
    submitted,
    told,
)
from tests.integration.webhooks.receivers import answer, receiving


async def test_an_event_told_twice_makes_one_delivery(mongo: Mongo) -> None:
    events = await completed(mongo, "e1")
    for event in [*events, *events]:
        await queue_of(mongo)(event)
    stored = await deliveries(mongo)
    told_of = [event for event in events if event.status is not RunStatus.EXECUTING]
    assert [delivery["event_id"] for delivery in stored] == [event.event_id for event in told_of]
    assert [delivery["body"] for delivery in stored] == [webhook_payload(event) for event in told_of]
    assert {delivery["state"] for delivery in stored} == {"pending"}


async def test_concurrent_repeats_make_one_delivery(mongo: Mongo) -> None:
    event = (await completed(mongo, "e1"))[0]
    await asyncio.gather(*(queue_of(mongo)(event) for _ in range(10)))
    assert len(await deliveries(mongo)) == 1


@pytest.mark.parametrize(("endpoint_id", "enabled"), [(None, True), ("e1", False)])
async def test_no_receiver_no_delivery(mongo: Mongo, endpoint_id: str | None, enabled: bool) -> None:
    events = await completed(mongo, endpoint_id, webhook_enabled=enabled)
    for event in events:
        await queue_of(mongo)(event)
    await queue_of(mongo)(events[0].model_copy(update={"run_id": "unknown"}))
    await queue_of(mongo).rescue()
    assert await deliveries(mongo) == []


async def test_a_crash_before_the_commit_of_the_event_stores_it_once(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event, *_) = await completed(mongo, "e1")
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_points", failpoints._armed("webhooks.delivery_stored_before_commit:raise"))
        with pytest.raises(TransientError):
            await queue_of(mongo)(event)
    await queue_of(mongo)(event)
    assert len(await deliveries(mongo)) == 1


def rescued(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("rowdock_rescues_total", {"kind": "webhook"}) or 0


async def test_rescue_makes_what_the_events_would_have_made(mongo: Mongo) -> None:
    went_well = await completed(mongo, "e1")
    run = await move(mongo, await submitted(mongo, "e1"), RunStatus.VALIDATING)
    await Ledger(mongo, "parser").stop(run.id, RunStatus.FAILED, "MISSING_COLUMNS", "Column 'é' is gone.")
    went_wrong = await told(mongo, run.id)
    expected = {
        delivery.id: delivery.body
        for event in [*went_well, *went_wrong]
        if (delivery := new_delivery(event, "e1", datetime.now(UTC))) is not None
    }
    assert len(expected) == 5
    assert json.loads(expected[max(expected, key=lambda one: b"MISSING" in expected[one])])["error"]

    await queue_of(mongo)(went_well[0])
    metrics = Metrics("webhooks")
    woken = asyncio.Event()
    queue = queue_of(mongo, metrics=metrics, wake=woken.set)
    await queue.rescue()
    assert {one["_id"]: one["body"] for one in await deliveries(mongo)} == expected
    assert rescued(metrics) == 4
    assert woken.is_set()

    await queue.rescue()
    for event in [*went_well, *went_wrong]:
        await queue_of(mongo)(event)
    assert len(await deliveries(mongo)) == 5
    assert rescued(metrics) == 4


async def test_after_two_hours_without_the_service_everything_is_delivered(mongo: Mongo) -> None:
    """What was stored when it stopped, and what happened meanwhile, whether Kafka still tells of it or not."""
    async with receiving(answer("200 OK")) as receiver:
        endpoint_id, stored = await queued(mongo, receiver)
        lost, late = await completed(mongo, endpoint_id), await completed(mongo, endpoint_id)
        now = datetime.now(UTC)
        then = now - timedelta(hours=2)
        at_work_on = {"owner": "webhooks-9", "until": then + timedelta(seconds=30)}
        waiting = {"created_at": then, "next_attempt_at": then, "lease": at_work_on}
        await mongo.state["webhook_deliveries"].update_many({"run_id": stored}, {"$set": waiting})
        earlier = {"updated_at": then, "history.$[].at": then}
        await mongo.state["runs"].update_many({"_id": {"$in": [stored, lost[0].run_id]}}, {"$set": earlier})

        queue = queue_of(mongo)
        async with at_work(sender_of(mongo)):
            for event in late:
                await queue(event)
            await queue.rescue()
            sent = await settled(mongo)
            for event in [*late, *lost]:
                await queue(event)
            assert await settled(mongo) == sent
    assert Counter(each["run_id"] for each in sent) == {stored: 1, lost[0].run_id: 3, late[0].run_id: 3}
    assert {each["state"] for each in sent} == {"delivered"}
    assert [len(each["attempts"]) for each in sent] == [1] * 7
    assert {request.headers["webhook-id"] for request in receiver.requests} == {each["_id"] for each in sent}
    assert len(receiver.requests) == 7


async def test_rescue_leaves_fresh_changes_to_their_events(mongo: Mongo) -> None:
    await completed(mongo, "e1")
    await queue_of(mongo, rescue_after=3600).rescue()
    assert await deliveries(mongo) == []


async def test_rescue_finds_later_changes_and_leaves_old_runs(mongo: Mongo) -> None:
    metrics = Metrics("webhooks")
    queue = queue_of(mongo, metrics=metrics)
    old = await move(mongo, await submitted(mongo, "e1"), RunStatus.VALIDATING)
    await mongo.state["runs"].update_one({"_id": old.id}, {"$set": {"updated_at": datetime(2024, 1, 1, tzinfo=UTC)}})
    await queue.rescue()
    assert rescued(metrics) == 0

    run = await move(mongo, await submitted(mongo, "e1"), RunStatus.VALIDATING)
    await queue.rescue()
    assert rescued(metrics) == 1
    await move(mongo, run, RunStatus.VALIDATED)
    await queue.rescue()
    assert rescued(metrics) == 2
