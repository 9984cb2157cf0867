"""The proof on live data: what should alert does, nothing else does, and the dashboards tell the truth.

The rules are the ones that are shipped, on a clock that goes ten times as fast: faster, and a machine that is busy for
some seconds would look like one that is down.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from deploy.local.prometheus import Prometheus
from deploy.local.stack import Stack, running
from deploy.monitoring.alerts import Clock, alerts
from deploy.monitoring.evaluation import shown_dashboards
from deploy.monitoring.load import gateways
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.monitoring.scraping import answered, scraped
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(2_700)]

CLOCK = Clock(speed=10, least_seconds=4)
PATIENCE = 480
SCALE = {"gateway": 2, "validator": 2, "writer": 2}
INSTANCES = {"gateway-1", "gateway-2", "parser-1", "validator-1", "validator-2", "webhooks-1", "writer-1", "writer-2"}
DELIVERED = 'sum(rowdock_webhook_deliveries_total{outcome="delivered"})'
IMPORTS = 6
ROWS = 200

ASKED_FOR = {
    "RowdockWebhooksFailing",
    "RowdockServiceDown",
    "RowdockProcessDown",
    "RowdockNobodyReads",
    "RowdockRunsStuck",
    "RowdockKafkaUnreachable",
    "RowdockOutboxOld",
}
FOLLOWING = {
    "RowdockSmallImportsSlow",
    "RowdockWebhooksLate",
    "RowdockConsumerLag",
    "RowdockConsumerStalled",
    "RowdockMessagesHandedBack",
}
"""Also true of what was done: imports waited for a parser or for Kafka, and so did their webhooks."""
OF_THE_MACHINE = {"RowdockMongodbSlow"}
"""True where the tests run on a busy machine."""


@pytest.fixture(scope="module")
def watched_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    impatient = {
        "ROWDOCK_RESCUE_AFTER_SECONDS": "4",
        "ROWDOCK_OBSERVE_SECONDS": "1",
        "ROWDOCK_WEBHOOK_RETRY_SECONDS": ",".join(["0", *["1"] * 200]),
        "ROWDOCK_WEBHOOK_PAUSE_AFTER": "100000",
    }
    environment = dict.fromkeys(("gateway", "parser", "validator", "writer", "webhooks"), impatient)
    directory = tmp_path_factory.mktemp("watched")
    with running(directory, scale=SCALE, environment=environment) as started:
        yield started


def fires(prometheus: Prometheus, *names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    def all_of_them() -> bool:
        meanwhile()
        return set(names) <= prometheus.firing()

    eventually(all_of_them, f"{', '.join(names)} fire", PATIENCE)


def differing(prometheus: Prometheus, wanted: Mapping[str, float]) -> dict[str, float | None]:
    """What expressions give that do not give what is wanted, within a minute."""
    deadline = time.monotonic() + 60
    while found := {
        expression: value
        for expression, value in ((each, prometheus.value(each)) for each in wanted)
        if value != wanted[expression]
    }:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.5)
    return {}


def now_and_then(step: Callable[[], object]) -> Callable[[], None]:
    """``step``, however often it is called, every three seconds."""
    due = time.monotonic()

    def call() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 3
            step()

    return call


def falls_silent(prometheus: Prometheus, *names: str) -> None:
    eventually(lambda: not set(names) & prometheus.firing(), f"{', '.join(names)} fall silent", PATIENCE)


def fired_since(prometheus: Prometheus, began: float) -> set[str]:
    found = prometheus.query_range('ALERTS{alertstate="firing"}', began, time.time(), 1)
    return {series["metric"]["alertname"] for series in found}


def test_what_should_alert_does_and_nothing_else(watched_stack: Stack) -> None:
    supervisor = watched_stack.supervisor
    planted = planted_file(ROWS, bad_share=0.1)
    with (
        scraped(watched_stack, CLOCK) as prometheus,
        Receiver() as answering,
        Receiver(status=500) as failing,
        GatewayClient(gateways(watched_stack)[0], watched_stack.api_key) as first,
        GatewayClient(gateways(watched_stack)[1], watched_stack.api_key) as second,
    ):
        began = time.time()

        def template(name: str, receiver: Receiver) -> str:
            told = {"webhook_enabled": True, "webhook_url": receiver.url, "auto_execute": True}
            return first.create_template({**planted_template(name), **told})["id"]

        good, told_in_vain = template("alerts_good", answering), template("alerts_failing", failing)

        # All is well. Eight processes are scraped, each for itself, and what they tell adds up.
        for number in range(IMPORTS):
            client = (first, second)[number % 2]
            assert client.wait(client.upload(good, planted.content)["id"])["status"] == "completed"
        assert {each["labels"]["instance"] for each in prometheus.targets()} == INSTANCES
        sums = {
            'sum(rowdock_rows_total{stage="parsing"})': IMPORTS * planted.rows,
            'sum(rowdock_rows_total{stage="writing", outcome="created"})': IMPORTS * len(planted.valid),
            'sum(rowdock_rows_total{stage="checking", outcome="rejected"})': IMPORTS * len(planted.rejected),
            'sum(rowdock_accounted_rows_total{outcome="rejected"})': IMPORTS * len(planted.rejected),
            'sum(rowdock_runs_total{status="completed"})': IMPORTS,
            'sum(rowdock_uploads_total{outcome="stored"})': IMPORTS,
            "count(rowdock_process_info)": len(INSTANCES),
            "sum(rowdock_observer)": 1,
        }
        assert differing(prometheus, sums) == {}
        assert differing(prometheus, {DELIVERED: answering.count}) == {}
        uploads = 'rowdock_http_requests_total{route="/imports/upload"}'
        by_gateway = {each["metric"]["instance"]: float(each["value"][1]) for each in prometheus.query(uploads)}
        assert by_gateway == {"gateway-1": IMPORTS / 2, "gateway-2": IMPORTS / 2}
        assert fired_since(prometheus, began) <= OF_THE_MACHINE

        # Receivers that fail.
        fires(
            prometheus,
            "RowdockWebhooksFailing",
            meanwhile=lambda: first.upload(told_in_vain, b"sku\n", Prefer="wait=0"),
        )

        # A service that is gone.
        supervisor.stop(["parser-1"])
        waiting = [first.upload(good, planted.content, Prefer="wait=0")["id"] for _ in range(2)]
        fires(prometheus, "RowdockServiceDown", "RowdockProcessDown", "RowdockNobodyReads", "RowdockRunsStuck")
        supervisor.start(["parser-1"])
        watched_stack.wait_ready(["parser-1"])
        assert [first.wait(run_id)["status"] for run_id in waiting] == ["completed", "completed"]
        falls_silent(prometheus, "RowdockServiceDown", "RowdockProcessDown", "RowdockNobodyReads", "RowdockRunsStuck")

        # A broker that is gone: files are taken in, and what there is to tell waits.
        supervisor.stop(["broker"])
        fires(
            prometheus,
            "RowdockKafkaUnreachable",
            "RowdockOutboxOld",
            meanwhile=now_and_then(lambda: waiting.append(first.upload(good, planted.content, Prefer="wait=0")["id"])),
        )
        supervisor.start(["broker"])
        watched_stack.servers.wait_ready()
        watched_stack.wait_ready()
        assert {first.wait(run_id, seconds=PATIENCE)["status"] for run_id in waiting} == {"completed"}
        falls_silent(prometheus, "RowdockKafkaUnreachable", "RowdockOutboxOld")

        fired = fired_since(prometheus, began)
        assert fired >= ASKED_FOR
        assert fired - ASKED_FOR - FOLLOWING <= OF_THE_MACHINE
        assert prometheus.value('sum(rowdock_accounted_rows_total{outcome="lost"})') == 0
        assert answered(prometheus, shown_dashboards("10s", "5m"), began) == {}
        for alert in alerts():
            prometheus.query(alert.expression(CLOCK))
