"""Deliveries that another release stored: those of release 0.1 are sent, those that are not understood wait alone."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from libs.storage.client import Mongo
from services.webhooks.domain.delivery import DeliveryState
from tests.compatibility.snapshots import RELEASE_0_1, Snapshot, load_secrets
from tests.integration.webhooks.delivering import at_work, deliveries, eventually, queued, sender_of, settled
from tests.integration.webhooks.receivers import answer, receiving

pytestmark = pytest.mark.servers


async def test_what_release_0_1_left_to_send_is_sent_and_signed(mongo: Mongo) -> None:
    snapshot = Snapshot.load(RELEASE_0_1 / "webhooks_under_way.json").brought_to(datetime.now(UTC) - timedelta(hours=1))
    await mongo.state["webhook_deliveries"].insert_many(snapshot.state["webhook_deliveries"])
    key = load_secrets(RELEASE_0_1)["secret_key"]
    async with receiving(answer("204 No Content")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        endpoints = {each["_id"]: each for each in snapshot.state["webhook_endpoints"]}
        await mongo.state["webhook_endpoints"].insert_many([{**each, "url": url} for each in endpoints.values()])
        async with at_work(sender_of(mongo, secret_key=SecretStr(key))):
            done = await settled(mongo)
    assert {delivery["state"] for delivery in done} == {DeliveryState.DELIVERED.value}
    before = {delivery["_id"]: len(delivery["attempts"]) for delivery in snapshot.state["webhook_deliveries"]}
    assert {delivery["_id"]: len(delivery["attempts"]) - 1 for delivery in done} == before
    secrets = {
        identifier: sender_of(mongo, secret_key=SecretStr(key))._secrets.decrypt(each["encrypted_secret"]).decode()
        for identifier, each in endpoints.items()
    }
    sent = {request.headers["webhook-id"]: request for request in receiver.requests}
    for delivery in done:
        request = sent[delivery["_id"]]
        Webhook(secrets[delivery["endpoint_id"]]).verify(request.body, request.headers)
        assert request.body == delivery["body"]


async def test_one_that_a_newer_release_stored_keeps_nobody_waiting(mongo: Mongo) -> None:
    async with receiving(answer("204 No Content")) as receiver:
        _, theirs = await queued(mongo, receiver)
        attempt = {"number": 1, "result": "handed_over", "at": datetime.now(UTC), "duration_ms": 1}
        await mongo.state["webhook_deliveries"].update_one({"run_id": theirs}, {"$set": {"attempts": [attempt]}})
        _, ours = await queued(mongo, receiver)
        async with at_work(sender_of(mongo)) as task:

            async def delivered() -> bool:
                return [delivery["state"] for delivery in await deliveries(mongo, run_id=ours)] == ["delivered"]

            await eventually(delivered)
            assert not task.done()
    (waiting,) = await deliveries(mongo, run_id=theirs)
    assert (waiting["state"], waiting["attempts"][0]["result"]) == ("pending", "handed_over")
