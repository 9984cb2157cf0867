"""Crashes between two steps, and processes that share the deliveries by leases."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
import structlog

from libs.contracts.errors import TransientError
from libs.storage.client import Mongo
from libs.storage.documents import WebhookDelivery
from libs.telemetry import failpoints
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.domain.delivery import new_delivery
from tests.integration.webhooks.delivering import (
    ME,
    at_work,
    claimed,
    completed,
    deliveries,
    eventually,
    queue_of,
    queued,
    sender_of,
    settled,
)
from tests.integration.webhooks.receivers import answer, receiving


async def test_a_crash_after_the_answer_posts_again_with_the_same_id(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver)
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_points", failpoints._armed("webhooks.sent_before_recorded:raise"))
            delivery = await claimed(mongo)
            with pytest.raises(TransientError):
                await sender_of(mongo).attempt(delivery)
        (stored,) = await deliveries(mongo)
        assert (stored["state"], stored["attempts"], len(receiver.requests)) == ("pending", [], 1)
        assert stored["lease"]["owner"] == ME

        # The restarted process has the same name and need not wait for the lease to end.
        async with at_work(sender_of(mongo)):
            (stored,) = await settled(mongo)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == stored["_id"]
    assert first.body == second.body == stored["body"]
    assert (stored["state"], len(stored["attempts"])) == ("delivered", 1)


async def test_another_process_waits_for_the_lease_to_end(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver)
        started = time.monotonic()
        await claimed(mongo, "webhooks-2", lease_seconds=3)
        assert await DeliveryStore(mongo).claim(ME, 30) is None
        async with at_work(sender_of(mongo)):
            await settled(mongo)
    assert time.monotonic() - started >= 3
    assert len(receiver.requests) == 1


async def test_of_two_that_tried_one_records(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver)
        slow = await claimed(mongo, "webhooks-2", lease_seconds=0)

        async def claimable() -> bool:
            return await DeliveryStore(mongo).claim(ME, 0) is not None

        await eventually(claimable)
        await sender_of(mongo).attempt(slow)
        with structlog.testing.capture_logs() as lines:
            await sender_of(mongo).attempt(slow)
    (stored,) = await deliveries(mongo)
    assert (stored["state"], len(stored["attempts"]), len(receiver.requests)) == ("delivered", 1, 2)
    assert [line["recorded"] for line in lines] == [False]


async def test_two_processes_claim_each_delivery_once(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        for _ in range(20):
            await queued(mongo, receiver)
        async with at_work(sender_of(mongo, "webhooks-1")), at_work(sender_of(mongo, "webhooks-2")):
            await settled(mongo)
    assert len(receiver.requests) == 20


async def test_attempts_at_work_are_finished_on_the_way_out(mongo: Mongo) -> None:
    arrived = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.sleep(0.2)
        await answer("200 OK")(reader, writer)

    async with receiving(slowly) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            async with asyncio.timeout(60):
                await arrived.wait()
    (stored,) = await deliveries(mongo)
    assert (stored["state"], len(receiver.requests)) == ("delivered", 1)


async def test_due_deliveries_are_found_by_the_index(mongo: Mongo) -> None:
    await mongo.state["webhook_deliveries"].create_indexes(WebhookDelivery.Settings.indexes)
    event = (await completed(mongo, "e1"))[0]
    await queue_of(mongo)(event)
    store = DeliveryStore(mongo)
    for number in range(50):
        delivery = new_delivery(event, f"e{number}", datetime(2100, 1, 1, tzinfo=UTC))
        assert delivery is not None
        await store.add(delivery)
    await mongo.state.command("profile", 2)
    try:
        assert await store.claim(ME, 30) is not None
        assert await store.claim(ME, 30) is None
    finally:
        await mongo.state.command("profile", 0)
    profiled = await mongo.state["system.profile"].find({"command.findAndModify": "webhook_deliveries"}).to_list()
    assert len(profiled) == 1
    assert profiled[0]["keysExamined"] <= 4
