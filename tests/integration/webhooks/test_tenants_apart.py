"""Many deliveries of one organization, and those of another beside them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from cryptography.fernet import Fernet

from libs.storage.client import Document, Mongo
from libs.storage.documents import WebhookDelivery
from services.webhooks.delivery_store import DeliveryStore
from tests.integration.webhooks.delivering import KEY, ME, SECRET, at_work, deliveries, eventually, sender_of
from tests.integration.webhooks.receivers import Receiver, answer, receiving, silent

PAST = datetime.now(UTC) - timedelta(hours=1)


async def endpoint_of(mongo: Mongo, tenant_id: str, receiver: Receiver) -> str:
    identifier = str(ObjectId())
    await mongo.state["webhook_endpoints"].insert_one(
        {
            "_id": identifier,
            "tenant_id": tenant_id,
            "template_id": "m1",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "encrypted_secret": Fernet(KEY).encrypt(SECRET.encode()).decode(),
            "enabled": True,
            "created_at": PAST,
        }
    )
    return identifier


async def due(mongo: Mongo, tenant_id: str, endpoint_ids: Sequence[str], each: int, since: datetime = PAST) -> None:
    """``each`` deliveries that are due to every endpoint."""
    await mongo.state["webhook_deliveries"].create_indexes(WebhookDelivery.Settings.indexes)
    documents: list[Document] = [
        {
            "_id": str(ObjectId()),
            "tenant_id": tenant_id,
            "endpoint_id": endpoint_id,
            "run_id": "r1",
            "event_id": "e1",
            "body": b"{}",
            "state": "pending",
            "attempts": [],
            "next_attempt_at": since + timedelta(microseconds=number * 1_000),
            "lease": None,
            "created_at": since,
        }
        for number in range(each)
        for endpoint_id in endpoint_ids
    ]
    await mongo.state["webhook_deliveries"].insert_many(documents)


async def test_hanging_receivers_of_several_leave_room_for_another(mongo: Mongo) -> None:
    async with receiving(silent) as hanging, receiving(answer("200 OK")) as honest:
        for greedy in ("g1", "g2", "g3"):
            await due(mongo, greedy, [await endpoint_of(mongo, greedy, hanging) for _ in range(10)], 4)
        # They hang for longer than anybody waits here.
        patient = sender_of(mongo, webhook_concurrency=16, webhook_timeout_seconds=600, webhook_lease_seconds=700)
        async with at_work(patient):

            async def all_hang() -> bool:
                return hanging.connections >= 12

            await eventually(all_hang)
            await due(mongo, "other", [await endpoint_of(mongo, "other", honest)], 3)

            async def all_heard() -> bool:
                return len(await deliveries(mongo, tenant_id="other", state="delivered")) == 3

            await eventually(all_heard)
            assert hanging.connections == 12, "each has four, as many as are free"


async def test_a_receiver_that_hangs_leaves_the_others_of_its_organization_room(mongo: Mongo) -> None:
    async with receiving(silent) as hanging, receiving(answer("200 OK")) as honest:
        await due(mongo, "t1", [await endpoint_of(mongo, "t1", hanging)], 50)
        ids = [await endpoint_of(mongo, "t1", honest) for _ in range(3)]
        await due(mongo, "t1", ids, 2, PAST + timedelta(minutes=1))
        async with at_work(sender_of(mongo, webhook_concurrency=16, webhook_timeout_seconds=20)):

            async def all_heard() -> bool:
                return len(await deliveries(mongo, state="delivered")) == 6

            await eventually(all_heard)


async def test_organizations_and_their_endpoints_come_in_turn(mongo: Mongo) -> None:
    await due(mongo, "a", ["a1", "a2"], 3)
    await due(mongo, "b", ["b1"], 3, PAST + timedelta(minutes=1))
    await due(mongo, "c", ["c1"], 1, PAST + timedelta(minutes=2))
    store = DeliveryStore(mongo)
    order: list[str] = []
    while (delivery := await store.claim(ME, 30)) is not None:
        order.append(delivery.endpoint_id)
    assert order == ["a1", "b1", "c1", "a2", "b1", "a1", "b1", "a2", "a1", "a2"]


async def test_what_is_due_to_the_busy_is_not_even_looked_at(mongo: Mongo) -> None:
    await due(mongo, "busy", ["x1", "x2"], 1_500)
    await due(mongo, "other", ["y1", "y2"], 1_500)
    store = DeliveryStore(mongo)
    await mongo.state.command("profile", 2)
    try:
        claimed = await store.claim(ME, 30, busy_endpoints=["y1"], busy_tenants=["busy"])
        assert claimed is not None
        assert claimed.endpoint_id == "y2"
        assert await store.claim(ME, 30, busy_endpoints=["y1", "y2"], busy_tenants=["busy"]) is None
    finally:
        await mongo.state.command("profile", 0)
    query = {"ns": f"{mongo.state.name}.webhook_deliveries", "op": {"$in": ["query", "command", "update"]}}
    profiled = await mongo.state["system.profile"].find(query).to_list()
    examined = [entry["keysExamined"] for entry in profiled if "keysExamined" in entry]
    assert len(examined) >= 3
    assert max(examined) <= 10


async def test_two_processes_in_turn_claim_each_once(mongo: Mongo) -> None:
    await due(mongo, "a", ["a1", "a2"], 20)
    await due(mongo, "b", ["b1"], 20)
    stores = [DeliveryStore(mongo), DeliveryStore(mongo)]

    async def all_of(store: DeliveryStore) -> list[str]:
        found: list[str] = []
        while (delivery := await store.claim(ME, 30)) is not None:
            found.append(delivery.id)
        return found

    first, second = await asyncio.gather(*map(all_of, stores))
    assert len(first) + len(second) == len({*first, *second}) == 60
