"""The proof on live data: what should alert does, nothing else does, and the dashboards tell the truth.

The rules are the ones that are shipped, on a clock that goes ten times as fast: faster, and a machine that is busy for
some seconds would look like one that is down.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from deploy.local.prometheus import Prometheus
from deploy.local.stack import Stack, running
from deploy.local.waiting import wait_until
from deploy.monitoring.alerts import Clock, alerts
from deploy.monitoring.evaluation import shown_dashboards
from deploy.monitoring.load import gateways
from libs.contracts.services import SERVICES
from libs.contracts.topics import RUN_SUBMITTED
from tests.client import GatewayClient, planted_file, planted_template
from tests.monitoring.scraping import answered, present, scraped
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(2_700)]

CLOCK = Clock(speed=10, least_seconds=4)
PATIENCE = 480
SCALE = {"gateway": 2, "validator": 2, "writer": 2}
COUNTS = {service: SCALE.get(service, 1) for service in SERVICES}
INSTANCES = {f"{service}-{number}" for service, count in COUNTS.items() for number in range(1, count + 1)}
DELIVERED = 'sum(rowdock_webhook_deliveries_total{outcome="delivered"})'
IMPORTS = 6
ROWS = 200
WAITING = 2
KILLS = 5

Firing = Mapping[str, set[str]]
"""Whom alerts fire for, by their names."""

FAILING: Firing = {"RowdockWebhooksFailing": {""}}
CRASHING: Firing = {"RowdockRestarts": {"writer-1"}}
GONE: Firing = {
    "RowdockServiceDown": {"parser"},
    "RowdockProcessDown": {"parser-1"},
    "RowdockNobodyReads": {RUN_SUBMITTED.name},
    "RowdockRunsStuck": {"pending"},
}
UNREACHABLE: Firing = {"RowdockKafkaUnreachable": set(SERVICES), "RowdockOutboxOld": {"gateway"}}
VALUES = {
    "RowdockWebhooksFailing": (0.5, 1),
    "RowdockRestarts": (4, KILLS),
    "RowdockServiceDown": (0, 0),
    "RowdockProcessDown": (0, 0),
    "RowdockNobodyReads": (1, 100),
    "RowdockRunsStuck": (90, PATIENCE + 120),
    "RowdockKafkaUnreachable": (0, 0),
    "RowdockOutboxOld": (6, PATIENCE),
}
"""Between which the values are that these alerts tell of."""
FOLLOWING = {
    "RowdockSmallImportsSlow",
    "RowdockWebhooksLate",
    "RowdockConsumerLag",
    "RowdockConsumerStalled",
    "RowdockMessagesHandedBack",
}
"""Also true of what was done: imports waited for a parser or for Kafka, and so did their webhooks."""


@pytest.fixture(scope="module")
def watched_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    impatient = {
        "ROWDOCK_RESCUE_AFTER_SECONDS": "4",
        "ROWDOCK_OBSERVE_SECONDS": "1",
        "ROWDOCK_WEBHOOK_RETRY_SECONDS": ",".join(["0", *["5"] * 200]),
        "ROWDOCK_WEBHOOK_PAUSE_AFTER": "100000",
    }
    environment = dict.fromkeys(SERVICES, impatient)
    directory = tmp_path_factory.mktemp("watched")
    with running(directory, scale=SCALE, environment=environment) as started:
        yield started


def fires(prometheus: Prometheus, wanted: Firing, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until alerts fire for whom they should, with values that can be."""

    def all_of_them() -> bool:
        meanwhile()
        found: dict[str, set[str]] = defaultdict(set)
        for each in prometheus.firing():
            name, value = each["labels"]["alertname"], float(each["value"])
            found[name].add(_whom(each["labels"]))
            least, most = VALUES.get(name, (float("-inf"), float("inf")))
            assert least <= value <= most, each
        return all(whom <= found[name] for name, whom in wanted.items())

    wait_until(all_of_them, f"{', '.join(wanted)} fire", seconds=PATIENCE, interval=1)


def fall_silent(prometheus: Prometheus, loud: Firing) -> None:
    def all_of_them() -> bool:
        return not loud.keys() & {each["labels"]["alertname"] for each in prometheus.firing()}

    wait_until(all_of_them, f"{', '.join(loud)} fall silent", seconds=PATIENCE, interval=1)


def fired_since(prometheus: Prometheus, began: float) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for series in prometheus.query_range('ALERTS{alertstate="firing"}', began, time.time(), 1):
        found[series["metric"]["alertname"]].add(_whom(series["metric"]))
    return dict(found)


def _whom(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in ("instance", "service", "topic", "status", "kind") if name in labels), "")


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


def crash(stack: Stack, prometheus: Prometheus, name: str) -> None:
    """Kill a process, and wait until Prometheus has seen the next one of that name."""
    started = f'process_start_time_seconds{{instance="{name}"}}'
    before = prometheus.value(started)
    stack.supervisor.kill(name)
    wait_until(lambda: prometheus.value(started) not in (before, None), f"{name} starts anew", seconds=60, interval=0.5)


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
        runs: list[str] = []

        def upload_more() -> None:
            runs.append(first.upload(good, planted.content, Prefer="wait=0")["id"])

        # All is well. Every process is scraped, each for itself, and what they tell adds up.
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
        assert what_panels_tell(prometheus) == {
            "Processes up": {"up": len(INSTANCES)},
            "Processes down": {"down": 0},
            "Small imports within 10 s": {"share": 1},
            "Rows lost": {"rows": 0},
            "Webhooks tried within 30 s": {"share": 1},
            "Up": COUNTS,
            "Topics that fall short": {"topics": 0},
            "Where rows ended": {
                "written": pytest.approx(IMPORTS * len(planted.valid), rel=0.5),
                "rejected": pytest.approx(IMPORTS * len(planted.rejected), rel=0.5),
                "skipped": 0,
                "refused": 0,
                "lost": 0,
            },
        }
        assert fired_since(prometheus, began) == {}

        # Files that fit nothing, and receivers that fail.
        fires(
            prometheus,
            FAILING,
            meanwhile=now_and_then(lambda: first.upload(told_in_vain, b"nothing,that\nfits,here\n", Prefer="wait=0")),
        )

        # A consumer that is killed again and again; the other one goes on.
        for _ in range(KILLS):
            upload_more()
            crash(watched_stack, prometheus, "writer-1")
        fires(prometheus, CRASHING)
        assert {first.wait(run_id)["status"] for run_id in runs} == {"completed"}

        # A service that is gone.
        supervisor.stop(["parser-1"])
        for _ in range(WAITING):
            upload_more()
        fires(prometheus, GONE)
        supervisor.start(["parser-1"])
        watched_stack.wait_ready(["parser-1"])
        assert {first.wait(run_id)["status"] for run_id in runs} == {"completed"}
        fall_silent(prometheus, GONE)

        # A broker that is gone: files are taken in, and what there is to tell waits.
        supervisor.stop(["broker"])
        fires(prometheus, UNREACHABLE, meanwhile=now_and_then(upload_more))
        supervisor.start(["broker"])
        watched_stack.servers.wait_ready()
        watched_stack.wait_ready()
        assert {first.wait(run_id, seconds=PATIENCE)["status"] for run_id in runs} == {"completed"}
        fall_silent(prometheus, UNREACHABLE)

        asked_for = {**FAILING, **CRASHING, **GONE, **UNREACHABLE}
        fired = fired_since(prometheus, began)
        assert {name: whom for name, whom in fired.items() if name in asked_for} == asked_for
        assert fired.keys() - asked_for.keys() <= FOLLOWING, fired
        assert prometheus.value('sum(rowdock_accounted_rows_total{outcome="lost"})') == 0
        assert answered(prometheus, shown_dashboards("10s", "5m"), began) == {}
        for alert in alerts():
            prometheus.query(alert.expression(CLOCK))


def what_panels_tell(prometheus: Prometheus) -> dict[str, Any]:
    """What some panels show just now, by legend."""
    titles = {
        "rowdock-overview": (
            "Processes up",
            "Processes down",
            "Small imports within 10 s",
            "Rows lost",
            "Webhooks tried within 30 s",
        ),
        "rowdock-infrastructure": ("Up", "Topics that fall short"),
        "rowdock-run": ("Where rows ended",),
    }
    return {
        panel.title: present(prometheus, panel)
        for page in shown_dashboards("10s", "5m")
        for panel in page.panels
        if panel.title in titles.get(page.uid, ())
    }
