"""From a run's events to its receivers, on a real MongoDB and real receivers, without Kafka."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import structlog
from cryptography.fernet import Fernet
from standardwebhooks import Webhook

from libs.storage.client import Mongo
from libs.storage.documents import WebhookDelivery
from services.webhooks.domain.delivery import Delivery
from tests.integration.webhooks.delivering import (
    SECRET,
    at_work,
    claimed,
    completed,
    deliveries,
    endpoint,
    eventually,
    queue_of,
    queued,
    sender_of,
    settled,
)
from tests.integration.webhooks.receivers import answer, in_turn, receiving, silent


async def test_stored_deliveries_have_the_shape_of_their_document(mongo: Mongo) -> None:
    async with receiving(answer("500 Broken")) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            stored = await settled(mongo)
    assert set(stored[0]) == set(WebhookDelivery.model_validate(stored[0]).model_dump(by_alias=True)) - {"revision_id"}


async def test_a_run_reaches_its_receiver_at_once(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        events = await completed(mongo, await endpoint(mongo, receiver))
        sender = sender_of(mongo, webhook_poll_seconds=600)
        async with at_work(sender):
            await asyncio.sleep(0.2)  # now it sleeps for longer than anybody waits here, unless woken
            queue = queue_of(mongo, wake=sender.wake)
            for event in events:
                await queue(event)
            stored = await settled(mongo)
    assert [delivery["state"] for delivery in stored] == ["delivered"] * 3
    assert [[attempt["status_code"] for attempt in delivery["attempts"]] for delivery in stored] == [[200]] * 3
    assert {request.headers["webhook-id"] for request in receiver.requests} == {one["_id"] for one in stored}
    bodies = [Webhook(SECRET).verify(request.body, request.headers) for request in receiver.requests]
    assert {body["type"]: body.get("num_rows") for body in bodies} == {
        "import.started": None,
        "import.validated": None,
        "import.completed": 10,
    }


async def test_broken_twice_then_well(mongo: Mongo) -> None:
    async with receiving(in_turn(answer("500 Broken"), answer("503 Broken"), answer("200 OK"))) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            (delivery,) = await settled(mongo)
    assert delivery["state"] == "delivered"
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 503, 200]
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2, 3]
    assert (delivery["next_attempt_at"], delivery["lease"]) == (None, None)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1


async def test_the_schedule_ends(mongo: Mongo) -> None:
    async with receiving(answer("404 Not Found")) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            (delivery,) = await settled(mongo)
    assert (delivery["state"], len(delivery["attempts"]), len(receiver.requests)) == ("failed", 3, 3)


async def test_a_slow_receiver_does_not_hold_up_another(mongo: Mongo) -> None:
    async with receiving(silent) as slow, receiving(answer("200 OK")) as quick:
        slow_id = await endpoint(mongo, slow)
        for _ in range(4):
            for event in await completed(mongo, slow_id):
                await queue_of(mongo)(event)
        await queued(mongo, quick)
        # Room for three of the organization: the twelve of the slow receiver, due earlier, take one of it.
        sender = sender_of(mongo, webhook_concurrency=6, webhook_concurrency_per_endpoint=2, webhook_timeout_seconds=5)
        async with at_work(sender):

            async def quick_is_told() -> bool:
                return bool(await deliveries(mongo, state="delivered"))

            await eventually(quick_is_told, seconds=4)

            assert slow.connections <= 1, "it has answered nothing yet"


async def test_who_answers_quickly_is_told_several_things_at_once(mongo: Mongo) -> None:
    first, now, most = True, 0, 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first, now, most
        now += 1
        most = max(most, now)
        if not first:
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while most < 4:  # noqa: ASYNC110 - others of them change it
                        await asyncio.sleep(0.01)
        first = False
        now -= 1
        await answer("200 OK")(reader, writer)

    async with receiving(counting) as receiver:
        endpoint_id = await endpoint(mongo, receiver)
        for _ in range(3):
            for event in await completed(mongo, endpoint_id):
                await queue_of(mongo)(event)
        async with at_work(sender_of(mongo, webhook_concurrency=32)):
            stored = await settled(mongo)
    assert {each["state"] for each in stored} == {"delivered"}
    assert most == 4


async def test_no_more_at_once_than_allowed(mongo: Mongo) -> None:
    now = most = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                while most < 3:  # noqa: ASYNC110 - others of them change it
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        now -= 1
        await answer("200 OK")(reader, writer)

    async with receiving(counting) as receiver:
        for _ in range(10):
            await queued(mongo, receiver)
        async with at_work(sender_of(mongo, webhook_concurrency=6)):
            stored = await settled(mongo)
    assert len(stored) == len(receiver.requests) == 10
    assert most == 3


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": Fernet.generate_key().decode()}, "cannot be decrypted"),
        ({"secret": "whsec_c2hvcnQ="}, "cannot be signed"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_an_attempt(mongo: Mongo, changes: dict[str, str], error: str) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver, **changes)
        async with at_work(sender_of(mongo)):
            (delivery,) = await settled(mongo)
    assert delivery["state"] == "failed"
    assert [error in attempt["error"] for attempt in delivery["attempts"]] == [True] * 3
    assert receiver.connections == 0


async def test_private_addresses_are_closed_unless_allowed(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo, webhook_allowed_networks="")):
            (delivery,) = await settled(mongo)
    assert delivery["state"] == "failed"
    assert receiver.connections == 0


async def test_one_wide_line_for_an_attempt_without_secrets(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        endpoint_id, run_id = await queued(mongo, receiver)
        delivery = await claimed(mongo)
        with structlog.testing.capture_logs() as lines:
            await sender_of(mongo).attempt(delivery)
    (line,) = lines
    duration = line.pop("duration_ms")
    assert isinstance(duration, int)
    assert line == {
        "log_level": "info",
        "event": "webhook.attempted",
        "run_id": run_id,
        "delivery_id": delivery.id,
        "endpoint_id": endpoint_id,
        "attempt": 1,
        "outcome": "delivered",
        "status_code": 200,
        "error": None,
        "state": "delivered",
        "next_attempt_at": None,
        "recorded": True,
    }


async def test_a_recorded_attempt_survives_storage(mongo: Mongo) -> None:
    async with receiving(answer("429 Slow down", b"later", retry_after="7")) as receiver:
        await queued(mongo, receiver)
        delivery = await claimed(mongo)
        await sender_of(mongo).attempt(delivery)
    (stored,) = await deliveries(mongo)
    again = Delivery.model_validate({**stored, "id": stored["_id"]})
    (attempt,) = again.attempts
    assert (attempt.status_code, attempt.retry_after, attempt.response_excerpt) == (429, 7, "later")
    assert again.next_attempt_at is not None
    assert (again.next_attempt_at - datetime.now(UTC)).total_seconds() > 50
    assert stored["lease"] is None
