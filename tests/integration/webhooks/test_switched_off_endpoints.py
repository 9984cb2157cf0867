"""Endpoints that are gone or that their owner switched off, and what waits for them."""

import asyncio
from datetime import UTC, datetime

import pytest

from libs.contracts.errors import TransientError
from libs.contracts.states import RunStatus
from libs.storage.client import Mongo
from libs.telemetry import failpoints
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.domain.delivery import new_delivery
from tests.integration.webhooks.delivering import (
    at_work,
    claimed,
    deliveries,
    endpoint,
    eventually,
    ledger_run,
    move,
    queue_of,
    queued,
    sender_of,
    settled,
    told,
)
from tests.integration.webhooks.receivers import answer, in_turn, receiving


async def test_gone_disables_the_endpoint_and_what_it_waits_for(mongo: Mongo) -> None:
    script = in_turn(answer("500 Broken"), answer("410 Gone"))
    async with receiving(script) as receiver:
        endpoint_id, run_id = await queued(mongo, receiver)
        other_id = await endpoint(mongo, receiver)
        # Two more of the same receiver that are due later, and one of another.
        (event,) = await told(mongo, run_id)
        later = datetime(2100, 1, 1, tzinfo=UTC)
        store = DeliveryStore(mongo)
        for number, identifier in enumerate([endpoint_id, endpoint_id, other_id]):
            renamed = event.model_copy(update={"event_id": f"later{number}"})
            delivery = new_delivery(renamed, identifier, later)
            assert delivery is not None
            await store.add(delivery)
        async with at_work(sender_of(mongo)):

            async def three_settled() -> bool:
                return len(await deliveries(mongo, state="disabled")) == 3

            await eventually(three_settled)
            found = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint_id})
            assert found is not None
            assert found["enabled"] is False
            (asked,) = [one for one in await deliveries(mongo, state="disabled") if one["attempts"]]
            assert found["disabled_at"] == asked["attempts"][-1]["at"]
            when = f"{found['disabled_at']:%Y-%m-%d %H:%M:%S} UTC"
            assert found["disabled_reason"].startswith(f"the receiver answered 410 Gone at {when}")
            assert "switch the template's webhook on again" in found["disabled_reason"]

            # A new event is kept on record, but sent nowhere.
            await move(mongo, await ledger_run(mongo, run_id), RunStatus.VALIDATED)
            await queue_of(mongo)((await told(mongo, run_id))[-1])

            async def four_settled() -> bool:
                return len(await deliveries(mongo, state="disabled")) == 4

            await eventually(four_settled)
    assert len(receiver.requests) == 2
    assert [one["endpoint_id"] for one in await deliveries(mongo, state="pending")] == [other_id]
    other = await mongo.state["webhook_endpoints"].find_one({"_id": other_id})
    assert other is not None
    assert other["enabled"] is True


async def test_gone_from_an_address_that_was_changed_meanwhile(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as new:

        async def moving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await mongo.state["webhook_endpoints"].update_one({}, {"$set": {"url": f"http://127.0.0.1:{new.port}/"}})
            await answer("410 Gone")(reader, writer)

        async with receiving(moving) as old:
            endpoint_id, run_id = await queued(mongo, old)
            async with at_work(sender_of(mongo)):
                await settled(mongo)
                await move(mongo, await ledger_run(mongo, run_id), RunStatus.VALIDATED)
                await queue_of(mongo)((await told(mongo, run_id))[-1])
                stored = await settled(mongo)
    assert [delivery["state"] for delivery in stored] == ["disabled", "delivered"]
    assert await DeliveryStore(mongo).receiver(endpoint_id) is not None


async def switch(mongo: Mongo, endpoint_id: str, *, on: bool) -> None:
    """What the gateway does when the owner saves the template."""
    changes = {"enabled": on, "disabled_at": None, "disabled_reason": None}
    await mongo.state["webhook_endpoints"].update_one({"_id": endpoint_id}, {"$set": changes})


async def test_switched_off_by_its_owner_and_on_again(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        endpoint_id, run_id = await queued(mongo, receiver)
        (event,) = await told(mongo, run_id)
        later = new_delivery(
            event.model_copy(update={"event_id": "later"}), endpoint_id, datetime(2100, 1, 1, tzinfo=UTC)
        )
        assert later is not None
        await DeliveryStore(mongo).add(later)
        await switch(mongo, endpoint_id, on=False)
        async with at_work(sender_of(mongo)):

            async def one_settled() -> bool:
                return len(await deliveries(mongo, state="disabled")) == 1

            await eventually(one_settled)
            # What is not due yet waits for its time.
            assert [one["_id"] for one in await deliveries(mongo, state="pending")] == [later.id]
            await switch(mongo, endpoint_id, on=True)
            await mongo.state["webhook_deliveries"].update_one(
                {"_id": later.id}, {"$set": {"next_attempt_at": datetime.now(UTC)}}
            )
            await settled(mongo)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [later.id]
    assert {one["_id"]: one["state"] for one in await deliveries(mongo)}[later.id] == "delivered"


async def test_after_gone_and_on_again_new_events_are_sent_and_old_ones_are_not(mongo: Mongo) -> None:
    async with receiving(in_turn(answer("410 Gone"), answer("200 OK"))) as receiver:
        endpoint_id, run_id = await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            await settled(mongo)
            await switch(mongo, endpoint_id, on=True)
            await move(mongo, await ledger_run(mongo, run_id), RunStatus.VALIDATED)
            await queue_of(mongo)((await told(mongo, run_id))[-1])
            stored = await settled(mongo)
    assert [delivery["state"] for delivery in stored] == ["disabled", "delivered"]
    assert len(receiver.requests) == 2


async def test_a_crash_leaves_an_endpoint_and_what_waits_for_it_as_they_were(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one step: else the owner could switch it on between two, and what came after that would be settled too."""
    async with receiving(answer("410 Gone")) as receiver:
        endpoint_id, run_id = await queued(mongo, receiver)
        (event,) = await told(mongo, run_id)
        later = datetime(2100, 1, 1, tzinfo=UTC)
        other = new_delivery(event.model_copy(update={"event_id": "other"}), endpoint_id, later)
        assert other is not None
        await DeliveryStore(mongo).add(other)
        delivery = await claimed(mongo)
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_points", failpoints._armed("webhooks.switched_off_before_commit:raise"))
            with pytest.raises(TransientError):
                await sender_of(mongo).attempt(delivery)
        assert await DeliveryStore(mongo).receiver(endpoint_id) is not None
        assert [(one["state"], one["attempts"]) for one in await deliveries(mongo)] == [("pending", [])] * 2

        # The next attempt makes it good, although nothing else is due.
        async with at_work(sender_of(mongo)):
            stored = await settled(mongo)
    assert await DeliveryStore(mongo).receiver(endpoint_id) is None
    assert [len(one["attempts"]) for one in stored] == [1, 0]
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("changes", [{"enabled": False}, {"url": "https://example.com/other"}])
async def test_an_endpoint_that_its_owner_changed_meanwhile_is_left_alone(
    mongo: Mongo, changes: dict[str, object]
) -> None:
    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await mongo.state["webhook_endpoints"].update_one({}, {"$set": changes})
        await answer("410 Gone")(reader, writer)

    async with receiving(changing) as receiver:
        endpoint_id, _ = await queued(mongo, receiver)
        before = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint_id})
        assert before is not None
        await sender_of(mongo).attempt(await claimed(mongo))
    assert await mongo.state["webhook_endpoints"].find_one({"_id": endpoint_id}) == {**before, **changes}
    assert [one["state"] for one in await deliveries(mongo)] == ["disabled"]
