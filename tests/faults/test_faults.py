"""Faults at the worst moments, each judged by the one oracle.

``make faults`` runs all of them with 100,000 rows; ``make test`` runs the ones marked ``pick`` with fewer.
A kill happens up to three times a run, at the failpoint, in whichever replica passes it first.
"""

import asyncio
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.local.stack import Stack, restart
from libs.contracts.topics import (
    BATCH_PARSED,
    BATCH_READY,
    EXECUTION_REQUESTED,
    LARGE_BATCH_PARSED,
    LARGE_BATCH_READY,
    RUN_EVENTS,
    RUN_SUBMITTED,
)
from tests.client import TERMINAL, GatewayClient, PlantedFile, eventually, planted_file, planted_template
from tests.leaving import told_to_leave
from tests.oracle import Oracle
from tests.receiver import Receiver
from tests.renderings import planted_as

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

ROWS = int(os.environ.get("FAULT_ROWS", "20000"))
KILLS = 3
INTERNAL_TOPICS = (
    RUN_SUBMITTED,
    BATCH_PARSED,
    LARGE_BATCH_PARSED,
    EXECUTION_REQUESTED,
    BATCH_READY,
    LARGE_BATCH_READY,
)

pick = pytest.mark.pick


@pytest.fixture(scope="module")
def planted() -> PlantedFile:
    return planted_file(ROWS, repeated_share=0.01)


@pytest.fixture
def template_id(gateway: GatewayClient, resource: str) -> str:
    return gateway.create_template(planted_template(resource, import_mode="upsert", upsert_key="sku"))["id"]


def drive(
    gateway: GatewayClient, template_id: str, planted: PlantedFile, during: Callable[[], None] | None = None
) -> str:
    """Upload and execute, whatever dies meanwhile, and the id of the completed run.

    ``during`` runs beside it, from the moment the run exists.
    """
    run_id = gateway.upload_outliving_faults(template_id, planted.content, uuid.uuid4().hex)["id"]
    beside = threading.Thread(target=during) if during else None
    if beside:
        beside.start()

    def executed() -> bool:
        run = gateway.run_outliving_faults(run_id)
        if run is None:
            return False
        if run["status"] == "validated":
            try:
                gateway.try_execute(run_id)
            except httpx.TransportError:
                return False
        return run["status"] in TERMINAL

    eventually(executed, f"run {run_id} ends", 300)
    if beside:
        beside.join()
    return run_id


def assert_promise_kept(oracle: Oracle, run_id: str, planted: PlantedFile, resource: str) -> None:
    oracle.assert_exactly_once(run_id, planted, resource)


@pytest.fixture
def armed(stack: Stack, tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Arms a failpoint in every replica of a service; answers the folder that shows what was hit.

    Afterwards it kills nothing any more, whatever became of the test.
    """
    folder = tmp_path / "hits"
    points: list[str] = []

    def arm(service: str, point: str) -> Path:
        folder.mkdir()
        points.append(point)
        environment = {
            "FAILPOINT": f"{point}:kill",
            "FAILPOINT_DIRECTORY": str(folder),
            "FAILPOINT_LIMIT": str(KILLS),
        }
        for replica in stack.services[service]:
            restart(stack, replica.name, environment)
        return folder

    yield arm
    for point in points:
        for number in range(KILLS):
            (folder / f"{point}.{number}").touch()
    stack.wait_ready()


FAILPOINTS = [
    pytest.param("gateway", "ledger.stored_before_hint"),
    pytest.param("gateway", "ledger.committed_before_relay", marks=pick),
    pytest.param("gateway", "outbox.published_before_delete"),
    pytest.param("gateway", "gateway.file_stored_before_submit"),
    pytest.param("gateway", "gateway.submitted_before_answer"),
    pytest.param("parser", "ledger.committed_before_relay"),
    pytest.param("parser", "outbox.published_before_delete"),
    pytest.param("parser", "parser.begun"),
    pytest.param("parser", "parser.planned"),
    pytest.param("parser", "parser.batch_stored_before_announced", marks=pick),
    pytest.param("parser", "parser.batch_announced"),
    pytest.param("parser", "parser.stored_before_close"),
    pytest.param("parser", "parser.effect_before_commit"),
    pytest.param("validator", "ledger.committed_before_relay"),
    pytest.param("validator", "validator.checked_before_stored"),
    pytest.param("validator", "validator.stored_before_advance", marks=pick),
    pytest.param("validator", "validator.duplicates_resolved"),
    pytest.param("validator", "validator.resolution_applied"),
    pytest.param("validator", "validator.effect_before_commit"),
    pytest.param("validator", "ledger.announced_before_published", marks=pick),
    pytest.param("validator", "refill.published_before_commit"),
    pytest.param("writer", "ledger.announced_before_published"),
    pytest.param("writer", "refill.published_before_commit"),
    pytest.param("writer", "writer.read_before_written"),
    pytest.param("writer", "writer.inserted_before_commit", marks=pick),
    pytest.param("writer", "writer.written_before_advance"),
    pytest.param("writer", "writer.effect_before_commit"),
    pytest.param("writer", "ledger.committed_before_relay"),
    pytest.param("writer", "outbox.published_before_delete"),
]


@pytest.mark.parametrize(("service", "point"), FAILPOINTS)
def test_kill_at_a_failpoint(
    service: str,
    point: str,
    armed: Callable[[str, str], Path],
    gateway: GatewayClient,
    oracle: Oracle,
    template_id: str,
    planted: PlantedFile,
    resource: str,
) -> None:
    hits = armed(service, point)
    run_id = drive(gateway, template_id, planted)
    assert_promise_kept(oracle, run_id, planted, resource)
    assert len(oracle.terminal_events(run_id)) == 1
    assert list(hits.iterdir()), "the failpoint was never passed"


@pytest.mark.parametrize("point", ["writer.read_before_written", "writer.inserted_before_commit"])
def test_kill_the_writer_of_an_update(
    point: str,
    armed: Callable[[str, str], Path],
    gateway: GatewayClient,
    oracle: Oracle,
    template_id: str,
    planted: PlantedFile,
    resource: str,
) -> None:
    """Every second key has a record; what the update does not find is skipped, and nothing is created."""
    drive(gateway, template_id, every_second_row(planted))
    held = set(oracle.target[resource].distinct("sku"))
    template = planted_template(resource, import_mode="update", upsert_key="sku")
    hits = armed("writer", point)
    changed = replace(planted.only_with(held), content=planted.content.replace(b",Name ", b",Renamed "))
    run_id = drive(gateway, gateway.create_template(template)["id"], changed)
    assert_promise_kept(oracle, run_id, changed, resource)
    assert set(oracle.target[resource].distinct("sku")) == held
    oracle.assert_before_images(run_id, len(changed.valid))
    assert list(hits.iterdir()), "the failpoint was never passed"


@pytest.mark.parametrize("point", ["writer.read_before_written", "writer.inserted_before_commit"])
def test_kill_the_writer_of_deletions(
    point: str,
    armed: Callable[[str, str], Path],
    gateway: GatewayClient,
    oracle: Oracle,
    template_id: str,
    planted: PlantedFile,
    resource: str,
) -> None:
    drive(gateway, template_id, planted)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku", delete_column="gone")
    hits = armed("writer", point)
    deleting = planted.deleting(0.3)
    run_id = drive(gateway, gateway.create_template(template)["id"], deleting)
    assert_promise_kept(oracle, run_id, deleting, resource)
    oracle.assert_before_images(run_id, len(deleting.valid))
    assert list(hits.iterdir()), "the failpoint was never passed"


def every_second_row(planted: PlantedFile) -> PlantedFile:
    """Of a file the header and every second row; what becomes of them is not looked at."""
    header, *rows = planted.content.splitlines(keepends=True)
    return PlantedFile(b"".join([header, *rows[::2]]), {}, frozenset())


@pytest.mark.parametrize("name", ["json", "ndjson", pytest.param("xml", marks=pick), "xlsx", "fixed_width"])
def test_kill_the_parser_at_random_moments_in_any_format(
    name: str, stack: Stack, gateway: GatewayClient, oracle: Oracle, planted: PlantedFile, resource: str
) -> None:
    """A repeated parse cuts the same batches whatever the format, or the run would fail."""
    same_rows, source = planted_as(name, planted)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku", **source)
    chance = random.Random(name)

    def kills() -> None:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 1.5))  # the moment is the case
            parser = eventually(lambda: stack.supervisor.processes()[stack.services["parser"][0].name].pid, "a parser")
            os.kill(parser, signal.SIGKILL)

    run_id = drive(gateway, gateway.create_template(template)["id"], same_rows, kills)
    assert_promise_kept(oracle, run_id, same_rows, resource)
    assert len(oracle.terminal_events(run_id)) == 1


@pytest.mark.parametrize(
    "point",
    [
        "webhooks.delivery_stored_before_commit",
        pytest.param("webhooks.sent_before_recorded", marks=pick),
        "webhooks.effect_before_commit",
    ],
)
def test_kill_webhooks_at_a_failpoint(
    point: str,
    armed: Callable[[str, str], Path],
    gateway: GatewayClient,
    oracle: Oracle,
    receiver: Receiver,
    planted: PlantedFile,
    resource: str,
) -> None:
    """Attempts may repeat; each event arrives, always under the same id."""
    template = gateway.create_template(
        planted_template(resource, import_mode="upsert", upsert_key="sku", webhook_url=receiver.url)
    )
    hits = armed("webhooks", point)
    run_id = drive(gateway, template["id"], planted)
    assert_promise_kept(oracle, run_id, planted, resource)
    expected = {"import.started", "import.validated", "import.completed"}

    def arrived() -> set[tuple[str, str]]:
        return {(body["type"], webhook_id) for webhook_id, body in receiver.verified(template["webhook_secret"])}

    eventually(lambda: {kind for kind, _ in arrived()} == expected, "all webhooks", 120)
    eventually(
        lambda: oracle.state["webhook_deliveries"].count_documents({"run_id": run_id, "state": "delivered"}) == 3,
        "all deliveries recorded",
    )
    assert len(arrived()) == len(expected)
    assert list(hits.iterdir()), "the failpoint was never passed"


def test_kill_webhooks_while_a_receiver_is_switched_off(
    armed: Callable[[str, str], Path], gateway: GatewayClient, oracle: Oracle, planted: PlantedFile, resource: str
) -> None:
    """A receiver that answers 410 is off in the end, and nothing waits for it, however often it is begun anew."""
    hits = armed("webhooks", "webhooks.switched_off_before_commit")
    with Receiver(status=410) as gone:
        template = gateway.create_template(
            planted_template(resource, import_mode="upsert", upsert_key="sku", webhook_url=gone.url)
        )
        run_id = drive(gateway, template["id"], planted)
        assert_promise_kept(oracle, run_id, planted, resource)

        def all_off() -> bool:
            endpoint = oracle.state["webhook_endpoints"].find_one({"template_id": template["id"]})
            states = [one["state"] for one in oracle.state["webhook_deliveries"].find({"run_id": run_id})]
            return endpoint is not None and not endpoint["enabled"] and states == ["disabled"] * 3

        eventually(all_off, "the receiver off and nothing pending", 120)
    assert list(hits.iterdir()), "the failpoint was never passed"


def wait_for_progress(oracle: Oracle, state: str, share: float) -> None:
    """Until the newest run has a share of its batches in ``state``."""

    def reached() -> bool:
        run = oracle.state["runs"].find_one({}, sort=[("_id", -1)])
        if run is None or not run["parse"]["batches"]:
            return False
        done = oracle.state["batches"].count_documents({"run_id": run["_id"], "state": state})
        return done >= share * run["parse"]["batches"] or run["status"] in TERMINAL

    eventually(reached, f"{share:.0%} of the batches {state}", 120)


def test_a_stopped_writer_wakes_up_as_a_zombie(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def pause() -> None:
        wait_for_progress(oracle, "written", 0.05)
        stack.supervisor.kill("writer-1", signal.SIGSTOP)

    try:
        run_id = drive(gateway, template_id, planted, pause)
        oracle.settled(run_id)
    finally:
        stack.supervisor.kill("writer-1", signal.SIGCONT)
    stack.wait_ready(["writer-1"])
    assert_promise_kept(oracle, run_id, planted, resource)


@pick
def test_messages_come_three_times_and_shuffled(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    stop = threading.Event()
    echo = threading.Thread(target=lambda: asyncio.run(_echo(stack.kafka, stop)))
    echo.start()
    try:
        run_id = drive(gateway, template_id, planted)
        assert_promise_kept(oracle, run_id, planted, resource)
    finally:
        stop.set()
        echo.join()
    assert_promise_kept(oracle, run_id, planted, resource)
    assert len(oracle.terminal_events(run_id)) == 1


async def _echo(kafka: str, stop: threading.Event) -> None:
    """Send every internal message twice more, later and in another order."""
    chance = random.Random(5)
    consumer = AIOKafkaConsumer(
        *(topic.name for topic in INTERNAL_TOPICS), bootstrap_servers=kafka, auto_offset_reset="latest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await consumer.start()
    await producer.start()
    echoed: set[bytes] = set()
    try:
        while not stop.is_set():
            fetched = await consumer.getmany(timeout_ms=200)
            records = [record for some in fetched.values() for record in some]
            fresh = [record for record in records if record.value and record.value not in echoed]
            echoed.update(record.value for record in fresh)
            copies = fresh * 2
            chance.shuffle(copies)
            for record in copies:
                await producer.send_and_wait(record.topic, record.value, key=record.key)
    finally:
        await consumer.stop()
        await producer.stop()


POISON: list[tuple[bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"not json", []),
    (b"", []),
    (None, []),
    (b"\xff\xfe\x00", []),
    (b"[]", []),
    (b'{"event_id": 1}', []),
    (b'{"event_id":"x","occurred_at":"2026-01-01T00:00:00Z","schema_version":99,"run_id":"r"}', []),
    (b"null", [("content-type", b"\xff\xfe")]),
    (b"not json", [("trace", None)]),
]
"""Bodies and headers; aiokafka's own producer sends a null header as it is."""


@pick
def test_poison_is_put_aside_and_stops_nothing(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    topics = [topic.name for topic in (*INTERNAL_TOPICS, RUN_EVENTS)]
    key = os.urandom(8)
    asyncio.run(_poison(stack.kafka, topics, key))
    run_id = drive(gateway, template_id, planted)
    assert_promise_kept(oracle, run_id, planted, resource)
    eventually(
        lambda: oracle.state["dead_letters"].count_documents({"key": key}) >= len(topics) * len(POISON),
        "all poison in dead letters",
        60,
    )
    for letter in oracle.state["dead_letters"].find({"key": key}):
        assert letter["code"] == "UNDECODABLE_MESSAGE", letter


def test_messages_about_unknown_runs_are_ignored(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    before = oracle.state["runs"].count_documents({})
    body = (
        b'{"event_id":"x","occurred_at":"2026-01-01T00:00:00Z","run_id":"000000000000000000000000",'
        b'"tenant_id":"t","epoch":0,"seq":0}'
    )
    asyncio.run(_send_everywhere(stack.kafka, [topic.name for topic in INTERNAL_TOPICS], body))
    run_id = drive(gateway, template_id, planted)
    assert_promise_kept(oracle, run_id, planted, resource)
    assert oracle.state["runs"].count_documents({}) == before + 1


async def _send_everywhere(kafka: str, topics: list[str], body: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for topic in topics:
            for partition in await producer.partitions_for(topic):
                await producer.send_and_wait(topic, body, key=b"", partition=partition)
    finally:
        await producer.stop()


async def _poison(kafka: str, topics: list[str], key: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for topic in topics:
            for body, headers in POISON:
                await producer.send_and_wait(topic, body, key=key, headers=headers)
    finally:
        await producer.stop()


def test_the_broker_is_killed(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def kill() -> None:
        wait_for_progress(oracle, "checked", 0.2)
        stack.supervisor.kill("broker")
        wait_for_progress(oracle, "written", 0.2)
        stack.supervisor.kill("broker")

    run_id = drive(gateway, template_id, planted, kill)
    assert_promise_kept(oracle, run_id, planted, resource)


@pick
def test_the_broker_forgets_everything(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def wipe() -> None:
        wait_for_progress(oracle, "checked", 0.2)
        stack.servers.wipe_broker()

    run_id = drive(gateway, template_id, planted, wipe)
    assert_promise_kept(oracle, run_id, planted, resource)


def test_the_broker_forgets_everything_while_writing(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def wipe() -> None:
        wait_for_progress(oracle, "written", 0.2)
        stack.servers.wipe_broker()

    run_id = drive(gateway, template_id, planted, wipe)
    assert_promise_kept(oracle, run_id, planted, resource)


def test_mongod_is_killed(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def kill() -> None:
        wait_for_progress(oracle, "checked", 0.2)
        stack.supervisor.kill("mongod")
        stack.servers.wait_ready()
        wait_for_progress(oracle, "written", 0.2)
        stack.supervisor.kill("mongod")
        stack.servers.wait_ready()

    run_id = drive(gateway, template_id, planted, kill)
    assert_promise_kept(oracle, run_id, planted, resource)


def test_every_service_is_told_to_leave_under_load(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    def terminate() -> None:
        for replica in (each for some in stack.services.values() for each in some):
            told_to_leave(stack, replica.name)

    run_id = drive(gateway, template_id, planted, terminate)
    assert_promise_kept(oracle, run_id, planted, resource)


def test_a_cancelled_run_stays_still(
    gateway: GatewayClient, oracle: Oracle, template_id: str, planted: PlantedFile, resource: str
) -> None:
    """Cancel at moments spread over the whole life of a run."""
    for step in range(10):
        run_id = gateway.upload_outliving_faults(template_id, planted.content, uuid.uuid4().hex)["id"]
        if step >= 3:
            gateway.wait(run_id, "validated")
            threading.Thread(target=gateway.try_execute, args=[run_id]).start()
            eventually(
                lambda run_id=run_id, step=step: (
                    oracle.state["batches"].count_documents({"run_id": run_id, "state": "written"})
                    >= (step - 3) * 0.15 * ROWS / 5_000
                    or (oracle.state["runs"].find_one({"_id": run_id}) or {})["status"] in TERMINAL
                ),
                "written so far",
            )
        answer = gateway.try_cancel(run_id)
        assert answer.status_code in {200, 409}, answer.text
        _assert_still(oracle, run_id, resource, reported=answer)


def _assert_still(oracle: Oracle, run_id: str, resource: str, reported: httpx.Response) -> None:
    written = oracle.target[resource].count_documents({"_import.run_id": run_id})
    run = oracle.settled(run_id)
    assert (run["status"] == "cancelled") is (reported.status_code == 200)
    if run["status"] == "cancelled":
        assert oracle.target[resource].count_documents({"_import.run_id": run_id}) == written
        counts = run["counts"]
        assert counts["written"] + counts["rejected"] + counts["skipped"] == counts["rows"]
        assert counts["written"] == written
    oracle.assert_nothing_left(run)


@pick
def test_cancel_races_with_the_last_batch(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    """Exactly one of completed and cancelled, never both; nothing appears after cancelled was reported."""
    races = 200 if "FAULT_ROWS" in os.environ else 20
    template = gateway.create_template(planted_template(resource, auto_execute=True))
    content = planted_file(50, bad_share=0).content
    ends = {"completed": 0, "cancelled": 0}
    chance = random.Random(3)
    for _ in range(races):
        run_id = uuid.uuid4().hex
        upload = threading.Thread(
            target=gateway.upload, args=[template["id"], content], kwargs={"Idempotency-Key": run_id}
        )
        upload.start()
        run = eventually(
            lambda key=run_id: oracle.state["runs"].find_one({"idempotency_key": key}), "the run exists", 30
        )
        deadline = time.monotonic() + chance.uniform(0, 0.25)
        eventually(lambda deadline=deadline: time.monotonic() >= deadline, "a random moment", 1)
        answer = gateway.try_cancel(run["_id"])
        upload.join()
        _assert_still(oracle, run["_id"], resource, reported=answer)
        final = oracle.settled(run["_id"])
        ends[final["status"]] += 1
    assert sum(ends.values()) == races
    assert ends["cancelled"], "the race was never won by cancel"
