"""From a run's events to its receivers, on a real MongoDB and real receivers, without Kafka."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog
from bson import ObjectId
from cryptography.fernet import Fernet
from standardwebhooks import Webhook

from libs.contracts.errors import TransientError
from libs.contracts.events import RunCounts, RunStatusChanged
from libs.contracts.states import RunStatus
from libs.contracts.templates import Template, TemplateField
from libs.contracts.topics import RUN_EVENTS
from libs.ledger import Ledger
from libs.messaging.cancellation import end_tasks
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument, StoredFile, WebhookDelivery
from libs.telemetry import failpoints
from libs.telemetry.metrics import Metrics
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.domain.delivery import Delivery, new_delivery
from services.webhooks.domain.payload import webhook_payload
from services.webhooks.http_sender import HttpSender
from services.webhooks.settings import WebhookSettings
from services.webhooks.use_cases import QueueDeliveries, SendDeliveries
from tests.integration.webhooks.receivers import Receiver, Script, answer, receiving

KEY = Fernet.generate_key().decode()
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ME = "webhooks-1"


def settings(**changes: object) -> WebhookSettings:
    quick = {"webhook_allowed_networks": "127.0.0.0/8", "webhook_retry_seconds": "0,0.01,0.01"}
    return WebhookSettings.model_validate({"secret_key": KEY, "webhook_poll_seconds": 0.02, **quick, **changes})


def sender_of(mongo: Mongo, instance: str = ME, **changes: object) -> SendDeliveries:
    told = settings(**changes)
    http = HttpSender(told.webhook_allowed_networks, total_seconds=told.webhook_timeout_seconds)
    return SendDeliveries(DeliveryStore(mongo), http, told, instance)


def queue_of(
    mongo: Mongo, *, wake: Callable[[], None] = lambda: None, metrics: Metrics | None = None, rescue_after: float = 0
) -> QueueDeliveries:
    changes = Ledger(mongo, "webhooks", lambda: None).changes
    told = metrics or Metrics("webhooks")
    return QueueDeliveries(changes, DeliveryStore(mongo), told, settings().schedule, wake, rescue_after)


async def endpoint(mongo: Mongo, receiver: Receiver, secret: str = SECRET, key: str = KEY) -> str:
    identifier = str(ObjectId())
    await mongo.state["webhook_endpoints"].insert_one(
        {
            "_id": identifier,
            "tenant_id": "t1",
            "template_id": "m1",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "encrypted_secret": Fernet(key).encrypt(secret.encode()).decode(),
            "enabled": True,
            "disabled_reason": None,
            "created_at": datetime.now(UTC),
        }
    )
    return identifier


async def submitted(mongo: Mongo, endpoint_id: str | None, *, webhook_enabled: bool = True) -> RunDocument:
    now = datetime.now(UTC)
    template = Template(
        name="People",
        fields=(TemplateField(name="name"),),
        target_resource="people",
        webhook_enabled=webhook_enabled,
    )
    run = RunDocument.model_validate(
        {
            "_id": str(ObjectId()),
            "tenant_id": "t1",
            "template_id": "m1",
            "template_version": 1,
            "template": template,
            "webhook_endpoint_id": endpoint_id,
            "file": StoredFile(id="f1", name="people.csv", size=1, sha256="0" * 64),
            "created_at": now,
            "updated_at": now,
        }
    )
    await Ledger(mongo, "gateway", lambda: None).runs.submit(run)
    return run


async def move(mongo: Mongo, run: RunDocument, *statuses: RunStatus, counts: RunCounts | None = None) -> RunDocument:
    ledger = Ledger(mongo, "gateway", lambda: None)
    for status in statuses:
        moved = await ledger.runs.transition(run, status, counts=counts)
        assert moved is not None
        run = moved
    return run


COUNTS = RunCounts(rows=10, written=7, created=7, rejected=2, skipped=1, skip_reasons={"DUPLICATE_UPSERT_KEY": 1})


async def completed(mongo: Mongo, endpoint_id: str | None, *, webhook_enabled: bool = True) -> list[RunStatusChanged]:
    """The events of a run that went well, as the ledger told them."""
    run = await submitted(mongo, endpoint_id, webhook_enabled=webhook_enabled)
    run = await move(mongo, run, RunStatus.VALIDATING)
    run = await move(mongo, run, RunStatus.VALIDATED, counts=RunCounts(rows=10, rejected=2))
    run = await move(mongo, run, RunStatus.EXECUTING)
    await move(mongo, run, RunStatus.COMPLETED, counts=COUNTS)
    return await told(mongo, run.id)


async def told(mongo: Mongo, run_id: str) -> list[RunStatusChanged]:
    rows = mongo.state["outbox"].find({"topic": RUN_EVENTS.name, "key": run_id})
    events = [RunStatusChanged.model_validate_json(row["value"]) async for row in rows]
    return sorted(events, key=lambda event: event.version)


async def queued(mongo: Mongo, receiver: Receiver, **changes: str) -> tuple[str, str]:
    """Endpoint and run of one pending delivery, of a run that has just started."""
    endpoint_id = await endpoint(mongo, receiver, **changes)
    run = await move(mongo, await submitted(mongo, endpoint_id), RunStatus.VALIDATING)
    for event in await told(mongo, run.id):
        await queue_of(mongo)(event)
    return endpoint_id, run.id


async def deliveries(mongo: Mongo, **query: str) -> list[Document]:
    return await mongo.state["webhook_deliveries"].find(query).sort("created_at").to_list()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(0.01)


async def settled(mongo: Mongo) -> list[Document]:
    """All deliveries, once none is pending."""

    async def none_pending() -> bool:
        return not await deliveries(mongo, state="pending")

    await eventually(none_pending)
    return await deliveries(mongo)


@asynccontextmanager
async def at_work(sender: SendDeliveries) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sender.run())
    try:
        yield task
    finally:
        await end_tasks([task])


def in_turn(*scripts: Script) -> Script:
    """The first request gets the first answer, and so on; all after the last get the last one."""
    left = list(scripts)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return script


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


# Events to deliveries ----------------------------------------------------------------------------


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


async def test_stored_deliveries_have_the_shape_of_their_document(mongo: Mongo) -> None:
    async with receiving(answer("500 Broken")) as receiver:
        await queued(mongo, receiver)
        async with at_work(sender_of(mongo)):
            stored = await settled(mongo)
    assert set(stored[0]) == set(WebhookDelivery.model_validate(stored[0]).model_dump(by_alias=True)) - {"revision_id"}


@pytest.mark.parametrize(("endpoint_id", "enabled"), [(None, True), ("e1", False)])
async def test_no_receiver_no_delivery(mongo: Mongo, endpoint_id: str | None, enabled: bool) -> None:
    events = await completed(mongo, endpoint_id, webhook_enabled=enabled)
    for event in events:
        await queue_of(mongo)(event)
    await queue_of(mongo)(events[0].model_copy(update={"run_id": "unknown"}))
    await queue_of(mongo).rescue()
    assert await deliveries(mongo) == []


# Attempts ----------------------------------------------------------------------------------------


async def test_a_run_reaches_its_receiver_at_once(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        events = await completed(mongo, await endpoint(mongo, receiver))
        sender = sender_of(mongo, webhook_poll_seconds=60)
        async with at_work(sender):
            await asyncio.sleep(0.2)  # now it sleeps for a minute, unless woken
            started = time.monotonic()
            queue = queue_of(mongo, wake=sender.wake)
            for event in events:
                await queue(event)
            stored = await settled(mongo)
            assert time.monotonic() - started < 2
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


async def ledger_run(mongo: Mongo, run_id: str) -> RunDocument:
    run = await Ledger(mongo, "gateway", lambda: None).runs.get(run_id)
    assert run is not None
    return run


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


async def test_a_slow_receiver_does_not_hold_up_another(mongo: Mongo) -> None:
    async with receiving(silent) as slow, receiving(answer("200 OK")) as quick:
        slow_id = await endpoint(mongo, slow)
        for _ in range(4):
            for event in await completed(mongo, slow_id):
                await queue_of(mongo)(event)
        await queued(mongo, quick)
        # Room for three in all: the twelve of the slow receiver, due earlier, may take two of it.
        sender = sender_of(mongo, webhook_concurrency=3, webhook_concurrency_per_endpoint=2, webhook_timeout_seconds=5)
        async with at_work(sender):

            async def quick_is_told() -> bool:
                return bool(await deliveries(mongo, state="delivered"))

            await eventually(quick_is_told, seconds=4)
            assert slow.connections == 2


async def test_no_more_at_once_than_allowed(mongo: Mongo) -> None:
    now = most = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        await answer("200 OK")(reader, writer)

    async with receiving(counting) as receiver:
        for _ in range(10):
            await queued(mongo, receiver)
        async with at_work(sender_of(mongo, webhook_concurrency=3)):
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


# Crashes and leases ------------------------------------------------------------------------------


async def claimed(mongo: Mongo, instance: str = ME, lease_seconds: float = 30) -> Delivery:
    delivery = await DeliveryStore(mongo).claim(instance, lease_seconds)
    assert delivery is not None
    return delivery


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


async def test_another_process_waits_for_the_lease_to_end(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await queued(mongo, receiver)
        started = time.monotonic()
        await claimed(mongo, "webhooks-2", lease_seconds=0.5)
        assert await DeliveryStore(mongo).claim(ME, 30) is None
        async with at_work(sender_of(mongo)):
            await settled(mongo)
    assert time.monotonic() - started >= 0.5
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
            async with asyncio.timeout(5):
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
    assert len(profiled) == 2
    assert max(entry["keysExamined"] for entry in profiled) <= 2


# Rescue ------------------------------------------------------------------------------------------


def rescued(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("rowdock_rescues_total", {"kind": "webhook"}) or 0


async def test_rescue_makes_what_the_events_would_have_made(mongo: Mongo) -> None:
    went_well = await completed(mongo, "e1")
    run = await move(mongo, await submitted(mongo, "e1"), RunStatus.VALIDATING)
    await Ledger(mongo, "parser", lambda: None).stop(run.id, RunStatus.FAILED, "MISSING_COLUMNS", "Column 'é' is gone.")
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
