"""Endpoints of an organization beside those of its templates."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from libs.contracts.errors import TransientError
from libs.storage.client import Document, Mongo
from libs.storage.documents import OF_ORGANIZATION
from libs.telemetry import failpoints
from tests.integration.webhooks.delivering import (
    KEY,
    SECRET,
    at_work,
    completed,
    deliveries,
    endpoint,
    queue_of,
    sender_of,
    settled,
)
from tests.integration.webhooks.posting import OLD_SECRET
from tests.integration.webhooks.receivers import Receiver, answer, receiving

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


async def listener(mongo: Mongo, receiver: Receiver, **changes: object) -> str:
    identifier = str(ObjectId())
    document: Document = {
        "_id": identifier,
        "tenant_id": "t1",
        "template_id": OF_ORGANIZATION,
        "url": f"http://127.0.0.1:{receiver.port}/hook",
        "encrypted_secret": Fernet(KEY).encrypt(SECRET.encode()).decode(),
        "enabled": True,
        "created_at": LONG_AGO,
        **changes,
    }
    await mongo.state["webhook_endpoints"].insert_one(document)
    return identifier


async def test_everybody_who_listens_hears_beside_the_template(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        of_template = await endpoint(mongo, receiver)
        every = await listener(mongo, receiver)
        ends = await listener(mongo, receiver, event_types=["import.completed"])
        await listener(mongo, receiver, template_ids=["another"])
        await listener(mongo, receiver, tenant_id="t2")
        await listener(mongo, receiver, hears_since=datetime.now(UTC) + timedelta(hours=1))
        for event in await completed(mongo, of_template):
            await queue_of(mongo)(event)
            await queue_of(mongo)(event)
        async with at_work(sender_of(mongo)):
            stored = await settled(mongo)
    heard = {each: [one["event_type"] for one in stored if one["endpoint_id"] == each] for each in (every, ends)}
    assert sorted(heard[every]) == ["import.completed", "import.started", "import.validated"]
    assert heard[ends] == ["import.completed"]
    assert {one["endpoint_id"] for one in stored} == {of_template, every, ends}
    assert {one["state"] for one in stored} == {"delivered"}
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 7
    assert {one["attempts"][0]["url"] for one in stored} == {f"http://127.0.0.1:{receiver.port}/hook"}


async def test_a_run_whose_template_has_no_webhook_is_heard_of(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        every = await listener(mongo, receiver)
        for event in await completed(mongo, None):
            await queue_of(mongo)(event)
    assert {one["endpoint_id"] for one in await deliveries(mongo)} == {every}
    assert len(await deliveries(mongo)) == 3


async def test_rescue_finds_what_listeners_have_not_heard(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        of_template, every = await endpoint(mongo, receiver), await listener(mongo, receiver)
        await completed(mongo, of_template)
        await completed(mongo, None)
        await queue_of(mongo).rescue()
        first = await deliveries(mongo)
        await queue_of(mongo).rescue()
    assert len(first) == len(await deliveries(mongo)) == 9
    assert len([one for one in first if one["endpoint_id"] == every]) == 6


async def test_both_secrets_sign_while_one_is_replaced(mongo: Mongo) -> None:
    old = Fernet(KEY).encrypt(OLD_SECRET.encode()).decode()
    async with receiving(answer("200 OK")) as receiver:
        later = datetime.now(UTC) + timedelta(hours=1)
        await listener(mongo, receiver, previous_secret=old, previous_until=later)
        await listener(mongo, receiver, previous_secret=old, previous_until=LONG_AGO)
        for event in (await completed(mongo, None))[-1:]:
            await queue_of(mongo)(event)
        async with at_work(sender_of(mongo)):
            await settled(mongo)
    assert sorted(len(request.headers["webhook-signature"].split()) for request in receiver.requests) == [1, 2]
    for request in receiver.requests:
        secrets = [SECRET, OLD_SECRET] if " " in request.headers["webhook-signature"] else [SECRET]
        for secret in secrets:
            assert Webhook(secret).verify(request.body, request.headers)["type"] == "import.completed"
            SvixWebhook(secret).verify(request.body, request.headers)  # raises where it does not hold


async def test_a_crash_makes_none_twice_and_loses_none(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it came between the deliveries of one event."""
    async with receiving(answer("200 OK")) as receiver:
        ids = [await listener(mongo, receiver) for _ in range(3)]
        event = (await completed(mongo, None))[-1]
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_points", failpoints._armed("webhooks.delivery_stored_before_commit:raise"))
            with pytest.raises(TransientError):
                await queue_of(mongo)(event)
        first = {each["_id"] for each in await deliveries(mongo)}
        await mongo.state["webhook_deliveries"].delete_one({"endpoint_id": ids[1]})
        await queue_of(mongo)(event)
        assert {each["_id"] for each in await deliveries(mongo)} == first
        async with at_work(sender_of(mongo)), at_work(sender_of(mongo, "webhooks-2")):
            await settled(mongo)
    assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(first)
