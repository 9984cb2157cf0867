"""Receivers that fail again and again are paused, tried once, and given up in the end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

from libs.storage.client import Document, Mongo
from libs.storage.documents import WebhookEndpoint
from services.webhooks.receivers import Receivers, health_of
from tests.integration.webhooks.delivering import at_work, deliveries, eventually, sender_of, settled
from tests.integration.webhooks.receivers import answer, in_turn, receiving
from tests.integration.webhooks.test_listeners import listener
from tests.integration.webhooks.test_tenants_apart import due, endpoint_of


async def stored(mongo: Mongo, endpoint_id: str) -> Document:
    found = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint_id})
    assert found is not None
    return found


RETRIES = {"webhook_retry_seconds": "0,3600,3600"}


async def test_nothing_is_sent_in_a_pause_and_no_attempt_is_used_up(mongo: Mongo) -> None:
    async with receiving(answer("500 Broken")) as failing, receiving(answer("200 OK")) as honest:
        endpoint_id, other = await endpoint_of(mongo, "t1", failing), await endpoint_of(mongo, "t1", honest)
        await due(mongo, "t1", [endpoint_id], 40)
        await due(mongo, "t1", [other], 10)
        async with at_work(sender_of(mongo, webhook_pause_after=3, webhook_pause_seconds=60, **RETRIES)):

            async def all_heard() -> bool:
                return len(await deliveries(mongo, endpoint_id=other, state="delivered")) == 10

            await eventually(all_heard)

            async def paused() -> bool:
                return (await stored(mongo, endpoint_id)).get("pauses", 0) == 1

            await eventually(paused)
    # Those that were under way when the third failed are tried, no more.
    tried = [one for one in await deliveries(mongo, endpoint_id=endpoint_id) if one["attempts"]]
    assert 3 <= len(tried) <= 3 + 4
    assert len(failing.requests) == len(tried)
    assert len(await deliveries(mongo, endpoint_id=endpoint_id, state="pending")) == 40
    endpoint = await stored(mongo, endpoint_id)
    assert endpoint["paused_until"] > datetime.now(UTC) + timedelta(seconds=30)
    assert endpoint["enabled"] is True


async def test_after_a_pause_one_attempt_opens_the_way(mongo: Mongo) -> None:
    script = in_turn(*[answer("500 Broken")] * 3, answer("200 OK"))
    async with receiving(script) as receiver:
        endpoint_id = await endpoint_of(mongo, "t1", receiver)
        await due(mongo, "t1", [endpoint_id], 30)
        changes = {"webhook_pause_after": 3, "webhook_pause_seconds": 0.3, "webhook_lease_seconds": 2}
        changes |= {"webhook_timeout_seconds": 1, "webhook_concurrency_per_endpoint": 1}
        async with (
            at_work(sender_of(mongo, webhook_retry_seconds="0,0.1,0.1", **changes)),
            at_work(sender_of(mongo, "webhooks-2", webhook_retry_seconds="0,0.1,0.1", **changes)),
        ):
            found = await settled(mongo)
    assert {one["state"] for one in found} == {"delivered"}
    endpoint = await stored(mongo, endpoint_id)
    assert (endpoint["failures"], endpoint["paused_until"], endpoint["failing_since"]) == (0, None, None)


async def test_of_two_processes_one_makes_the_attempt_after_a_pause(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        endpoint_id = await endpoint_of(mongo, "t1", receiver)
    now = datetime.now(UTC)
    await mongo.state["webhook_endpoints"].update_one(
        {"_id": endpoint_id}, {"$set": {"failures": 10, "paused_until": now - timedelta(seconds=1), "pauses": 1}}
    )
    endpoint = await WebhookEndpoint.get(endpoint_id)
    assert endpoint is not None
    takes = (Receivers(mongo).take_probe(endpoint_id, health_of(endpoint), now, timedelta(seconds=30)) for _ in "12345")
    assert sorted(await asyncio.gather(*takes)) == [False] * 4 + [True]


async def test_an_attempt_that_fails_doubles_the_pause(mongo: Mongo) -> None:
    async with receiving(answer("503 Down")) as receiver:
        endpoint_id = await endpoint_of(mongo, "t1", receiver)
        await due(mongo, "t1", [endpoint_id], 5)
        just_over = datetime.now(UTC) - timedelta(seconds=1)
        await mongo.state["webhook_endpoints"].update_one(
            {"_id": endpoint_id},
            {"$set": {"failures": 10, "failing_since": just_over, "paused_until": just_over, "pauses": 2}},
        )
        async with at_work(sender_of(mongo, **RETRIES)):

            async def paused() -> bool:
                return (await stored(mongo, endpoint_id))["pauses"] == 3

            await eventually(paused)
    assert len(receiver.requests) == 1
    left = (await stored(mongo, endpoint_id))["paused_until"] - datetime.now(UTC)
    assert timedelta(seconds=100) < left <= timedelta(seconds=120)


async def test_days_of_failure_switch_an_endpoint_off(mongo: Mongo) -> None:
    async with receiving(answer("500 Broken")) as receiver:
        endpoint_id = await endpoint_of(mongo, "t1", receiver)
        await due(mongo, "t1", [endpoint_id], 5)
        other = await listener(mongo, receiver)
        await listener(mongo, receiver, event_types=["import.completed"])
        long_ago = datetime.now(UTC) - timedelta(days=6)
        await mongo.state["webhook_endpoints"].update_one(
            {"_id": endpoint_id}, {"$set": {"failures": 12, "failing_since": long_ago}}
        )
        async with at_work(sender_of(mongo, webhook_concurrency_per_endpoint=1, **RETRIES)):

            async def five_settled() -> bool:
                return len(await deliveries(mongo, endpoint_id=endpoint_id, state="disabled")) == 5

            await eventually(five_settled)
    endpoint = await stored(mongo, endpoint_id)
    assert endpoint["enabled"] is False
    assert endpoint["disabled_reason"].startswith(f"every attempt since {long_ago:%Y-%m-%d %H:%M}")
    assert sum(len(one["attempts"]) for one in await deliveries(mongo, endpoint_id=endpoint_id)) == 1
    # Those of the organization that hear of it are told.
    [notice] = await deliveries(mongo, event_type="webhook.endpoint_disabled")
    assert notice["endpoint_id"] == other
    data = json.loads(notice["body"])["data"]
    assert (data["endpoint_id"], data["reason"]) == (endpoint_id, endpoint["disabled_reason"])
