"""The proof on live data: what should alert does, nothing else does, and the dashboards tell the truth.

The rules are the ones that are shipped, on a clock that goes ten times as fast, but no time in them is below 20 s: a
machine that is busy for some seconds would look like one that is down.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.local.prometheus import Prometheus
from deploy.local.stack import Stack, running
from deploy.local.waiting import wait_until
from deploy.monitoring.alert import Clock
from deploy.monitoring.alerts import alerts
from deploy.monitoring.evaluation import shown_dashboards
from deploy.monitoring.load import gateways
from libs.contracts.services import SERVICES
from libs.contracts.topics import RUN_SUBMITTED
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.monitoring.scraping import answered, present, scraped
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1_200)]

CLOCK = Clock(speed=10, least_seconds=20)
PATIENCE = 480
SCALE = {"gateway": 2, "validator": 2, "writer": 2}
COUNTS = {service: SCALE.get(service, 1) for service in SERVICES}
INSTANCES = {f"{service}-{number}" for service, count in COUNTS.items() for number in range(1, count + 1)}
IMPORTS = 6
WAITING = 2
KILLS = 5
PLANTED = planted_file(200, bad_share=0.1)

Firing = Mapping[str, set[str]]
"""Whom alerts fire for, by their names."""

FOLLOWING = {
    "RowdockSmallImportsSlow",
    "RowdockWebhooksLate",
    "RowdockConsumerLag",
    "RowdockConsumerStalled",
    "RowdockMessagesHandedBack",
}
"""Also true where imports wait for a parser or for Kafka, and so do their webhooks."""
WITHOUT_KAFKA = {*FOLLOWING, "RowdockRunsStuck", "RowdockNobodyReads", "RowdockRescues"}
"""Also true where Kafka was away: runs stand still, consumers come back one by one, work is found without messages."""
OF_THE_MACHINE = {"RowdockMongodbSlow"}
"""In earnest this takes twenty minutes in which everybody waits for MongoDB; on this clock, two in which the machine
has too much to do for whoever else runs tests on it."""
VALUES = {
    "RowdockWebhooksFailing": (0.5, 1),
    "RowdockRestarts": (4, KILLS),
    "RowdockServiceDown": (0, 0),
    "RowdockProcessDown": (0, 0),
    "RowdockNobodyReads": (1, 100),
    "RowdockRunsStuck": (90, PATIENCE),
    "RowdockKafkaUnreachable": (0, 0),
    "RowdockOutboxOld": (20, PATIENCE),
}
"""Between which the values are that alerts tell of."""


@dataclass
class Watched:
    """A stack, and the Prometheus that looks at it.

    Attributes:
        first, second: clients of its two gateways.
        good: a template whose webhooks go to ``answering``.
        in_vain: one whose webhooks go to ``failing``.
        runs: what was uploaded and has to be completed in the end.
    """

    stack: Stack
    prometheus: Prometheus
    first: GatewayClient
    second: GatewayClient
    answering: Receiver
    failing: Receiver
    good: str = ""
    in_vain: str = ""
    runs: list[str] = field(default_factory=list[str])

    def upload(self) -> None:
        """One more file, without waiting for it."""
        self.runs.append(self.first.upload(self.good, PLANTED.content, Prefer="wait=0")["id"])

    def all_end(self) -> None:
        """Wait for everything that was uploaded."""
        assert {self.first.wait(run_id, seconds=PATIENCE)["status"] for run_id in self.runs} == {"completed"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    impatient = {
        "ROWDOCK_RESCUE_AFTER_SECONDS": "4",
        "ROWDOCK_OBSERVE_SECONDS": "1",
        "ROWDOCK_WEBHOOK_RETRY_SECONDS": ",".join(["0", *["5"] * 200]),
        "ROWDOCK_WEBHOOK_PAUSE_AFTER": "100000",
    }
    environment = dict.fromkeys(SERVICES, impatient)
    with (
        running(tmp_path_factory.mktemp("watched"), scale=SCALE, environment=environment) as stack,
        scraped(stack, CLOCK) as prometheus,
        Receiver() as answering,
        Receiver() as failing,
        GatewayClient(gateways(stack)[0], stack.api_key) as first,
        GatewayClient(gateways(stack)[1], stack.api_key) as second,
    ):
        found = Watched(stack, prometheus, first, second, answering, failing)

        def template(name: str, receiver: Receiver) -> str:
            told = {"webhook_enabled": True, "webhook_url": receiver.url, "auto_execute": True}
            return first.create_template({**planted_template(name), **told})["id"]

        found.good, found.in_vain = template("alerts_good", answering), template("alerts_in_vain", failing)
        yield found


@contextmanager
def fire_only(watched: Watched, wanted: Firing, also: set[str]) -> Iterator[None]:
    """Within a block alerts fire for whom they should, others only of ``also``, and every panel has an answer."""
    began, loud = time.time(), firing(watched.prometheus)
    yield
    found = fired_since(watched.prometheus, began)
    assert {name: found.get(name, set()) for name in wanted} == wanted
    assert found.keys() - loud.keys() - wanted.keys() <= also | OF_THE_MACHINE, found
    assert watched.prometheus.value('sum(rowdock_accounted_rows_total{outcome="lost"})') == 0
    assert answered(watched.prometheus, shown_dashboards("10s", "5m"), began) == {}


def firing(prometheus: Prometheus) -> dict[str, set[str]]:
    """The alerts that fire now, each with a value that can be."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in prometheus.firing():
        name, value = each["labels"]["alertname"], float(each["value"])
        found[name].add(_whom(each["labels"]))
        least, most = VALUES.get(name, (float("-inf"), float("inf")))
        assert least <= value <= most, each
    return dict(found)


def fired_since(prometheus: Prometheus, began: float) -> dict[str, set[str]]:
    """The alerts that have fired since."""
    found: dict[str, set[str]] = defaultdict(set)
    for series in prometheus.query_range('ALERTS{alertstate="firing"}', began, time.time(), 1):
        found[series["metric"]["alertname"]].add(_whom(series["metric"]))
    return dict(found)


def _whom(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in ("instance", "service", "topic", "status", "kind") if name in labels), "")


def fire(prometheus: Prometheus, wanted: Firing, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until alerts fire for whom they should."""

    def all_of_them() -> bool:
        meanwhile()
        found = firing(prometheus)
        return all(whom <= found.get(name, set()) for name, whom in wanted.items())

    wait_until(all_of_them, f"{', '.join(wanted)} fire", seconds=PATIENCE, interval=1)


def fall_silent(prometheus: Prometheus, loud: Firing) -> None:
    """Wait until alerts fire for nobody."""
    what = f"{', '.join(loud)} fall silent"
    wait_until(lambda: not loud.keys() & firing(prometheus).keys(), what, seconds=PATIENCE, interval=1)


def now_and_then(step: Callable[[], object]) -> Callable[[], None]:
    """``step``, however often it is called, every three seconds."""
    due = time.monotonic()

    def call() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 3
            step()

    return call


def test_all_is_well(watched: Watched) -> None:
    prometheus = watched.prometheus
    uploads = 'rowdock_http_requests_total{{route="/imports/upload", instance="{}"}}'
    wanted = {
        'sum(rowdock_rows_total{stage="parsing"})': IMPORTS * PLANTED.rows,
        'sum(rowdock_rows_total{stage="writing", outcome="created"})': IMPORTS * len(PLANTED.valid),
        'sum(rowdock_rows_total{stage="checking", outcome="rejected"})': IMPORTS * len(PLANTED.rejected),
        'sum(rowdock_accounted_rows_total{outcome="rejected"})': IMPORTS * len(PLANTED.rejected),
        'sum(rowdock_runs_total{status="completed"})': IMPORTS,
        'sum(rowdock_uploads_total{outcome="stored"})': IMPORTS,
        uploads.format("gateway-1"): IMPORTS / 2,
        uploads.format("gateway-2"): IMPORTS / 2,
    }
    before = {each: prometheus.value(each) or 0 for each in wanted}
    arrived = watched.answering.count
    delivered = 'sum(rowdock_webhook_deliveries_total{outcome="delivered"})'
    delivered_before = prometheus.value(delivered) or 0

    def differing() -> dict[str, float]:
        """What the processes together do not tell as it was."""
        told = {each: (prometheus.value(each) or 0) - before[each] for each in wanted}
        told[delivered] = (prometheus.value(delivered) or 0) - delivered_before
        return dict(told.items() - {**wanted, delivered: watched.answering.count - arrived}.items())

    with fire_only(watched, {}, also=set()):
        for number in range(IMPORTS):
            client = (watched.first, watched.second)[number % 2]
            assert client.wait(client.upload(watched.good, PLANTED.content)["id"])["status"] == "completed"
        assert {each["labels"]["instance"] for each in prometheus.targets()} == INSTANCES
        eventually(lambda: not differing(), "what processes tell adds up", 60)
        assert prometheus.value("count(rowdock_process_info)") == len(INSTANCES)
        assert prometheus.value("sum(rowdock_observer)") == 1
        shown = what_panels_tell(prometheus)
        accounted = shown.pop("Where rows ended")
        assert shown == {
            "Processes up": {"up": len(INSTANCES)},
            "Processes down": {"down": 0},
            "Rows lost": {"rows": 0},
            "Up": COUNTS,
            "Topics that fall short": {"topics": 0},
        }
        # Increases are about right only: Prometheus draws them out to the ends of the time that is shown.
        assert accounted["written"] == pytest.approx(IMPORTS * len(PLANTED.valid), rel=0.5)
        assert accounted["rejected"] == pytest.approx(IMPORTS * len(PLANTED.rejected), rel=0.5)
        assert (accounted["skipped"], accounted["refused"], accounted["lost"]) == (0, 0, 0)


def test_files_that_fit_nothing_and_receivers_that_fail(watched: Watched) -> None:
    wanted: Firing = {"RowdockWebhooksFailing": {""}}

    def upload() -> None:
        watched.first.upload(watched.in_vain, b"nothing,that\nfits,here\n", Prefer="wait=0")

    with fire_only(watched, wanted, also=set()):
        watched.failing.status = 500
        fire(watched.prometheus, wanted, meanwhile=now_and_then(upload))
        watched.failing.status = 204
        fall_silent(watched.prometheus, wanted)


def test_a_consumer_that_is_killed_again_and_again(watched: Watched) -> None:
    wanted: Firing = {"RowdockRestarts": {"writer-1"}}
    started = 'process_start_time_seconds{instance="writer-1"}'
    with fire_only(watched, wanted, also=FOLLOWING):
        for _ in range(KILLS):
            watched.upload()
            before = watched.prometheus.value(started)
            watched.stack.supervisor.kill("writer-1")
            eventually(lambda old=before: watched.prometheus.value(started) not in (old, None), "it starts anew", 60)
        fire(watched.prometheus, wanted)
        watched.all_end()


def test_a_service_that_is_gone(watched: Watched) -> None:
    wanted: Firing = {
        "RowdockServiceDown": {"parser"},
        "RowdockProcessDown": {"parser-1"},
        "RowdockNobodyReads": {RUN_SUBMITTED.name},
        "RowdockRunsStuck": {"pending"},
    }
    with fire_only(watched, wanted, also=FOLLOWING):
        watched.stack.supervisor.stop(["parser-1"])
        for _ in range(WAITING):
            watched.upload()
        fire(watched.prometheus, wanted)
        watched.stack.supervisor.start(["parser-1"])
        watched.stack.wait_ready(["parser-1"])
        watched.all_end()
        fall_silent(watched.prometheus, wanted)


def test_a_broker_that_is_gone(watched: Watched) -> None:
    # The gateway has nothing to tell that cannot be found without it: the parser finds the runs, and has.
    wanted: Firing = {"RowdockKafkaUnreachable": set(SERVICES), "RowdockOutboxOld": {"parser"}}
    with fire_only(watched, wanted, also=WITHOUT_KAFKA):
        watched.stack.supervisor.stop(["broker"])
        fire(watched.prometheus, wanted, meanwhile=now_and_then(watched.upload))
        watched.stack.supervisor.start(["broker"])
        watched.stack.servers.wait_ready()
        watched.stack.wait_ready()
        watched.all_end()
        fall_silent(watched.prometheus, wanted)


def test_every_alert_can_be_evaluated(watched: Watched) -> None:
    for alert in alerts():
        watched.prometheus.query(alert.expression(CLOCK))


def what_panels_tell(prometheus: Prometheus) -> dict[str, Any]:
    """What some panels show just now, by legend."""
    titles = {
        "rowdock-overview": ("Processes up", "Processes down", "Rows lost"),
        "rowdock-infrastructure": ("Up", "Topics that fall short"),
        "rowdock-run": ("Where rows ended",),
    }
    return {
        panel.title: present(prometheus, panel)
        for page in shown_dashboards("10s", "5m")
        for panel in page.panels
        if panel.title in titles.get(page.uid, ())
    }
