"""Service levels and symptoms that somebody has to hear of, each with a runbook and a trial.

Times are given in minutes and made by a clock, so that the proof on live data can use the same rules on a faster one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from deploy.monitoring.panels import TARGETS as J
from libs.contracts.services import SERVICES

RULES = "rowdock.yml"
EVERY = "30s"


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a minute is: 1 of 60 seconds by default, less where a proof is in a hurry."""

    speed: float = 1
    least_seconds: int = 1

    def __call__(self, minutes: float) -> str:
        """A duration as Prometheus writes it."""
        seconds = max(self.least_seconds, round(minutes * 60 / self.speed))
        for unit, size in (("h", 3_600), ("m", 60)):
            if seconds % size == 0:
                return f"{seconds // size}{unit}"
        return f"{seconds}s"

    def seconds(self, seconds: float) -> str:
        """A number of seconds, as a number."""
        return f"{max(self.least_seconds, seconds / self.speed):g}"


@dataclass(frozen=True, slots=True)
class Trial:
    """Series under which an alert fires, in the notation of ``promtool test rules``, a sample a minute.

    Attributes:
        series: values by series.
        fires_at: minutes after which it does.
    """

    series: Mapping[str, str]
    fires_at: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody has to hear of.

    Attributes:
        name: also that of its runbook.
        severity: page: somebody is to look now; ticket: in working hours.
        summary: one line for whoever hears of it.
        expression: what is true while it is so.
        minutes: how long it has to be so first.
    """

    name: str
    severity: Literal["page", "ticket"]
    summary: str
    expression: Callable[[Clock], str]
    minutes: float
    trial: Trial


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A share that is promised, and what may be missed of it.

    Attributes:
        name: of its alert.
        promise: for people.
        objective: the share that is promised.
        missed: the share that was missed over a duration.
        enough: what has to be true over the long time, too. Where little is imported, one that is slow is already more
            than the budget, and no reason to call anybody.
    """

    name: str
    promise: str
    objective: float
    missed: Callable[[str], str]
    trial: Trial
    enough: Callable[[str], str] | None = None

    def alerts(self) -> list[Alert]:
        """Burns through its budget of a month in days, or in weeks; over a long and a short time, so that it ends soon
        after its cause."""
        return [
            Alert(self.name, "page", f"{self.promise}: the budget of a month would be gone in 2 days", self._burns(60, 5, 14.4), 0, self.trial),
            Alert(self.name, "ticket", f"{self.promise}: the budget of a month would be gone in 5 days", self._burns(360, 30, 6), 0, self.trial),
        ]  # fmt: skip

    def _burns(self, long: float, short: float, rate: float) -> Callable[[Clock], str]:
        budget = f"{rate * (1 - self.objective):.10g}"

        def expression(clock: Clock) -> str:
            conditions = [f"({self.missed(clock(minutes))}) > {budget}" for minutes in (long, short)]
            conditions += [self.enough(clock(long))] if self.enough else []
            return " and ".join(conditions)

        return expression


FEWEST_SLOW = 5
"""Of so many slow ones somebody hears, if they are also too large a share."""


@dataclass(frozen=True, slots=True)
class _Slower:
    """What took longer than so many seconds."""

    histogram: str
    seconds: int
    labels: str

    def share(self, duration: str) -> str:
        return f"1 - sum(rate({self._fast}[{duration}])) / (sum(rate({self._all}[{duration}])) > 0)"

    def enough(self, duration: str) -> str:
        return f"sum(increase({self._all}[{duration}])) - sum(increase({self._fast}[{duration}])) >= {FEWEST_SLOW}"

    @property
    def _fast(self) -> str:
        return f'{self.histogram}_bucket{{{self.labels}, le=~"{self.seconds}(\\\\.0)?"}}'

    @property
    def _all(self) -> str:
        return f"{self.histogram}_count{{{self.labels}}}"


def _lost(duration: str) -> str:
    lost = f'sum(rate(rowdock_accounted_rows_total{{{J}, outcome="lost"}}[{duration}]))'
    return f"{lost} / (sum(rate(rowdock_accounted_rows_total{{{J}}}[{duration}])) > 0)"


_SLOW_IMPORTS = _Slower("rowdock_run_duration_seconds", 10, f'{J}, lane="small", status=~"completed|failed"')
_LATE_WEBHOOKS = _Slower("rowdock_webhook_first_attempt_delay_seconds", 30, J)
_SMALL = 'job="rowdock",service="writer",instance="writer-1",lane="small",status="completed"'
_WEBHOOKS = 'job="rowdock",service="webhooks",instance="webhooks-1"'

SERVICE_LEVELS = (
    ServiceLevel(
        "RowdockSmallImportsSlow",
        "99 % of small imports end within 10 s",
        0.99,
        _SLOW_IMPORTS.share,
        Trial(
            {
                f'rowdock_run_duration_seconds_bucket{{{_SMALL},le="10.0"}}': "0+5x120",
                f"rowdock_run_duration_seconds_count{{{_SMALL}}}": "0+10x120",
            },
            60,
        ),
        _SLOW_IMPORTS.enough,
    ),
    ServiceLevel(
        "RowdockRowsLost",
        "every accepted row is accounted for, all but one in 100,000",
        0.99999,
        _lost,
        Trial(
            {
                f'rowdock_accounted_rows_total{{{J},service="writer",outcome="written"}}': "0+1000x120",
                f'rowdock_accounted_rows_total{{{J},service="gateway",outcome="lost"}}': "0+10x120",
            },
            60,
        ),
    ),
    ServiceLevel(
        "RowdockWebhooksLate",
        "99 % of webhooks are first tried within 30 s",
        0.99,
        _LATE_WEBHOOKS.share,
        Trial(
            {
                f'rowdock_webhook_first_attempt_delay_seconds_bucket{{{_WEBHOOKS},le="30.0"}}': "0+5x120",
                f"rowdock_webhook_first_attempt_delay_seconds_count{{{_WEBHOOKS}}}": "0+10x120",
            },
            60,
        ),
        _LATE_WEBHOOKS.enough,
    ),
)


def _service_down(_: Clock) -> str:
    gone = " or ".join(f'absent(up{{{J}, service="{service}"}})' for service in SERVICES)
    return f"sum by (service) (up{{{J}}}) == 0 or {gone}"


def _stuck(clock: Clock) -> str:
    oldest = f'max by (status) (rowdock_runs_oldest_seconds{{{J}, status=~"pending|validating|executing|reverting"}})'
    moving = f"sum(rate(rowdock_rows_total{{{J}}}[{clock(10)}]))"
    return f"{oldest} > {clock.seconds(900)} and on () ({moving} == 0 or absent({moving}))"


def _nobody_reads(_: Clock) -> str:
    lag = f"max by (topic) (rowdock_consumer_lag_messages{{{J}}})"
    return f"{lag} > 0 unless on (topic) max by (topic) (rowdock_consumer_group_members{{{J}}}) > 0"


def _lag(clock: Clock) -> str:
    lag = f"max by (topic) (rowdock_consumer_lag_messages{{{J}}})"
    return f"{lag} > 0 and on (topic) sum by (topic) (rate(rowdock_messages_total{{{J}}}[{clock(10)}])) == 0"


def _webhooks_fail(clock: Clock) -> str:
    window = clock(15)
    failed = f'sum(rate(rowdock_webhook_attempts_total{{{J}, outcome!="delivered"}}[{window}]))'
    return f"{failed} / (sum(rate(rowdock_webhook_attempts_total{{{J}}}[{window}])) > 0) > 0.5"


def _sources_fail(_: Clock) -> str:
    failing = f'max(rowdock_sources{{{J}, state="failing"}})'
    return f'{failing} / (max(rowdock_sources{{{J}, state="enabled"}}) > 0) > 0.5'


def _requests_rejected(clock: Clock) -> str:
    window = clock(15)
    rejected = f'sum(rate(rowdock_import_requests_total{{{J}, outcome="rejected"}}[{window}]))'
    return f"{rejected} / (sum(rate(rowdock_import_requests_total{{{J}}}[{window}])) > 0) > 0.5"


def _http_errors(clock: Clock) -> str:
    window = clock(5)
    failed = f'sum(rate(rowdock_http_requests_total{{{J}, status=~"5.."}}[{window}]))'
    return f"{failed} / (sum(rate(rowdock_http_requests_total{{{J}}}[{window}])) > 0) > 0.01"


_ONE = 'job="rowdock",service="writer",instance="writer-1"'
_SEEN = 'job="rowdock",service="gateway",instance="gateway-1"'
_ASKED = 'job="rowdock",service="requests",instance="requests-1"'

SYMPTOMS = (
    Alert(
        "RowdockServiceDown",
        "page",
        "no process of {{ $labels.service }} is up",
        _service_down,
        1,
        Trial({f"up{{{_ONE}}}": "1x5 0x20"}, 10),
    ),
    Alert(
        "RowdockProcessDown",
        "ticket",
        "{{ $labels.instance }} does not answer",
        lambda _: f"up{{{J}}} == 0",
        5,
        Trial({f"up{{{_ONE}}}": "1x5 0x20"}, 15),
    ),
    Alert(
        "RowdockRestarts",
        "ticket",
        "{{ $labels.instance }} is started again and again",
        lambda clock: f"changes(process_start_time_seconds{{{J}}}[{clock(30)}]) > 3",
        0,
        Trial({f"process_start_time_seconds{{{_ONE}}}": "1 2 3 4 5 6 7 8 9"}, 8),
    ),
    Alert(
        "RowdockKafkaUnreachable",
        "page",
        "no process of {{ $labels.service }} reaches Kafka",
        lambda _: f"max by (service) (rowdock_kafka_reachable{{{J}}}) == 0",
        1,
        Trial({f"rowdock_kafka_reachable{{{_ONE}}}": "1x5 0x20"}, 10),
    ),
    Alert(
        "RowdockMongodbUnreachable",
        "page",
        "no process of {{ $labels.service }} reaches MongoDB",
        lambda _: f"max by (service) (rowdock_mongodb_reachable{{{J}}}) == 0",
        1,
        Trial({f"rowdock_mongodb_reachable{{{_ONE}}}": "1x5 0x20"}, 10),
    ),
    Alert(
        "RowdockNothingCounted",
        "page",
        "nobody has counted over the whole state for minutes: dashboards and alerts about it are blind",
        lambda clock: f"time() - max(rowdock_observed_timestamp_seconds{{{J}}}) > {clock.seconds(180)}",
        2,
        Trial({f"rowdock_observed_timestamp_seconds{{{_SEEN}}}": "0x30"}, 10),
    ),
    Alert(
        "RowdockRunsStuck",
        "page",
        "runs are {{ $labels.status }} for {{ $value | humanizeDuration }}, and no row moves",
        _stuck,
        5,
        Trial({f'rowdock_runs_oldest_seconds{{{_SEEN},status="pending"}}': "0+60x60", f'rowdock_rows_total{{{_ONE},stage="writing",outcome="created"}}': "7x60"}, 30),
    ),
    Alert(
        "RowdockOutboxOld",
        "page",
        "events of {{ $labels.service }} wait to be published for {{ $value | humanizeDuration }}",
        lambda clock: f"max by (service) (rowdock_outbox_oldest_seconds{{{J}}}) > {clock.seconds(60)}",
        2,
        Trial({f"rowdock_outbox_oldest_seconds{{{_ONE}}}": "0+60x20"}, 10),
    ),
    Alert(
        "RowdockNobodyReads",
        "page",
        "{{ $labels.topic }} has {{ $value }} messages and no consumer",
        _nobody_reads,
        2,
        Trial({f'rowdock_consumer_lag_messages{{{_SEEN},topic="t"}}': "5x20", f'rowdock_consumer_group_members{{{_SEEN},topic="t"}}': "0x20"}, 10),
    ),
    Alert(
        "RowdockConsumerLag",
        "ticket",
        "{{ $labels.topic }} has {{ $value }} messages, and none was handled for minutes",
        _lag,
        10,
        Trial({f'rowdock_consumer_lag_messages{{{_SEEN},topic="t"}}': "5x60", f'rowdock_messages_total{{{_ONE},topic="t",outcome="done"}}': "9x60"}, 30),
    ),
    Alert(
        "RowdockConsumerStalled",
        "ticket",
        "a consumer of {{ $labels.instance }} receives nothing although messages wait",
        lambda _: f"max by (service, instance) (rowdock_consumer_stalled{{{J}}}) == 1",
        2,
        Trial({f"rowdock_consumer_stalled{{{_ONE}}}": "1x20"}, 10),
    ),
    Alert(
        "RowdockMessagesHandedBack",
        "ticket",
        "messages of {{ $labels.topic }} fail transiently, again and again",
        lambda clock: f'sum by (topic) (increase(rowdock_messages_total{{{J}, outcome="handed_back"}}[{clock(15)}])) > 10',
        5,
        Trial({f'rowdock_messages_total{{{_ONE},topic="t",outcome="handed_back"}}': "0+2x60"}, 30),
    ),
    Alert(
        "RowdockDeadLetters",
        "ticket",
        "{{ $value }} messages could not be handled and wait for a decision",
        lambda _: f"max(rowdock_dead_letters_waiting{{{J}}}) > 0",
        5,
        Trial({f"rowdock_dead_letters_waiting{{{_SEEN}}}": "1x20"}, 10),
    ),
    Alert(
        "RowdockRescues",
        "ticket",
        "{{ $value }} pieces of work ({{ $labels.kind }}) were announced by nobody within an hour",
        lambda clock: f"sum by (kind) (increase(rowdock_rescues_total{{{J}}}[{clock(60)}])) > 100",
        0,
        Trial({f'rowdock_rescues_total{{{_ONE},kind="batch_ready"}}': "0+10x60"}, 30),
    ),
    Alert(
        "RowdockWebhooksFailing",
        "ticket",
        "more than half of the attempts to deliver webhooks fail",
        _webhooks_fail,
        15,
        Trial({f'rowdock_webhook_attempts_total{{{_WEBHOOKS},outcome="failed"}}': "0+9x90", f'rowdock_webhook_attempts_total{{{_WEBHOOKS},outcome="delivered"}}': "0+1x90"}, 60),
    ),
    Alert(
        "RowdockSourcesLate",
        "ticket",
        "a source should have been looked at {{ $value | humanizeDuration }} ago, and nobody does",
        lambda clock: f"max(rowdock_sources_overdue_seconds{{{J}}}) > {clock.seconds(300)}",
        5,
        Trial({f"rowdock_sources_overdue_seconds{{{_SEEN}}}": "0+60x60"}, 30),
    ),
    Alert(
        "RowdockSourcesFailing",
        "ticket",
        "{{ $value | humanizePercentage }} of the sources cannot be used",
        _sources_fail,
        30,
        Trial({f'rowdock_sources{{{_SEEN},state="failing"}}': "6x90", f'rowdock_sources{{{_SEEN},state="enabled"}}': "10x90"}, 60),
    ),
    Alert(
        "RowdockRequestsRejected",
        "ticket",
        "{{ $value | humanizePercentage }} of the requests on Kafka are rejected",
        _requests_rejected,
        15,
        Trial({f'rowdock_import_requests_total{{{_ASKED},outcome="rejected"}}': "0+9x90", f'rowdock_import_requests_total{{{_ASKED},outcome="accepted"}}': "0+1x90"}, 60),
    ),
    Alert(
        "RowdockHttpErrors",
        "page",
        "{{ $value | humanizePercentage }} of the requests are answered with 5xx",
        _http_errors,
        5,
        Trial({f'rowdock_http_requests_total{{{_SEEN},method="GET",route="/",status="500"}}': "0+5x60", f'rowdock_http_requests_total{{{_SEEN},method="GET",route="/",status="200"}}': "0+95x60"}, 30),
    ),
    Alert(
        "RowdockMongodbSlow",
        "ticket",
        "the slowest 5 % of commands of {{ $labels.service }} take more than a second",
        lambda clock: f'histogram_quantile(0.95, sum by (service, le) (rate(rowdock_mongodb_command_duration_seconds_bucket{{{J}, command!="getMore"}}[{clock(10)}]))) > 1',
        10,
        Trial({f'rowdock_mongodb_command_duration_seconds_bucket{{{_ONE},command="find",le="1.0"}}': "0x60", f'rowdock_mongodb_command_duration_seconds_bucket{{{_ONE},command="find",le="2.5"}}': "0+9x60", f'rowdock_mongodb_command_duration_seconds_bucket{{{_ONE},command="find",le="+Inf"}}': "0+9x60"}, 40),
    ),
    Alert(
        "RowdockDiskFull",
        "page",
        "{{ $value | humanizePercentage }} of MongoDB's disk is used",
        lambda _: f'max(rowdock_mongodb_disk_bytes{{{J}, kind="used"}}) / (max(rowdock_mongodb_disk_bytes{{{J}, kind="total"}}) > 0) > 0.85',
        10,
        Trial({f'rowdock_mongodb_disk_bytes{{{_SEEN},kind="used"}}': "90x60", f'rowdock_mongodb_disk_bytes{{{_SEEN},kind="total"}}': "100x60"}, 30),
    ),
    Alert(
        "RowdockTopicsFallShort",
        "ticket",
        "{{ $value }} topics have fewer partitions or replicas than wanted",
        lambda _: f"max(rowdock_topic_shortfalls{{{J}}}) > 0",
        15,
        Trial({f"rowdock_topic_shortfalls{{{_ONE}}}": "2x60"}, 30),
    ),
    Alert(
        "RowdockOpenFiles",
        "ticket",
        "{{ $labels.instance }} has {{ $value | humanizePercentage }} of the files open that it may have",
        lambda _: f"process_open_fds{{{J}}} / process_max_fds{{{J}}} > 0.8",
        10,
        Trial({f"process_open_fds{{{_ONE}}}": "900x60", f"process_max_fds{{{_ONE}}}": "1000x60"}, 30),
    ),
)  # fmt: skip

HEALTHY: Mapping[str, str] = {
    **{f'up{{{J},service="{each}",instance="{each}-1"}}': "1x120" for each in SERVICES},
    **{f'rowdock_kafka_reachable{{{J},service="{each}",instance="{each}-1"}}': "1x120" for each in SERVICES},
    **{f'rowdock_mongodb_reachable{{{J},service="{each}",instance="{each}-1"}}': "1x120" for each in SERVICES},
    f"rowdock_observed_timestamp_seconds{{{_SEEN}}}": "0+60x120",
    f'rowdock_runs_oldest_seconds{{{_SEEN},status="executing"}}': "0+60x120",
    f'rowdock_rows_total{{{_ONE},stage="writing",outcome="created"}}': "0+7x120",
    f"rowdock_outbox_oldest_seconds{{{_ONE}}}": "0x120",
    f'rowdock_consumer_lag_messages{{{_SEEN},topic="t"}}': "5x120",
    f'rowdock_consumer_group_members{{{_SEEN},topic="t"}}': "2x120",
    f'rowdock_messages_total{{{_ONE},topic="t",outcome="done"}}': "0+9x120",
    f'rowdock_run_duration_seconds_bucket{{{_SMALL},le="10.0"}}': "0+999x120",
    f"rowdock_run_duration_seconds_count{{{_SMALL}}}": "0+1000x120",
    f'rowdock_accounted_rows_total{{{_ONE},outcome="written"}}': "0+9x120",
    f'rowdock_accounted_rows_total{{{_ONE},outcome="lost"}}': "0x120",
    f'rowdock_webhook_attempts_total{{{_WEBHOOKS},outcome="failed"}}': "0+1x120",
    f'rowdock_webhook_attempts_total{{{_WEBHOOKS},outcome="delivered"}}': "0+9x120",
    f'rowdock_http_requests_total{{{_SEEN},method="GET",route="/",status="200"}}': "0+9x120",
    f"rowdock_sources_overdue_seconds{{{_SEEN}}}": "20x120",
    f'rowdock_sources{{{_SEEN},state="failing"}}': "2x120",
    f'rowdock_sources{{{_SEEN},state="enabled"}}': "10x120",
    f'rowdock_import_requests_total{{{_ASKED},outcome="rejected"}}': "0+1x120",
    f'rowdock_import_requests_total{{{_ASKED},outcome="accepted"}}': "0+9x120",
    f'rowdock_mongodb_disk_bytes{{{_SEEN},kind="used"}}': "10x120",
    f'rowdock_mongodb_disk_bytes{{{_SEEN},kind="total"}}': "100x120",
}
"""Under these nothing fires."""
FEW: Mapping[str, str] = {
    **HEALTHY,
    f'rowdock_run_duration_seconds_bucket{{{_SMALL},le="10.0"}}': "0x120",
    f"rowdock_run_duration_seconds_count{{{_SMALL}}}": "0x20 0+1x3 3x97",
    f'rowdock_webhook_first_attempt_delay_seconds_bucket{{{_WEBHOOKS},le="30.0"}}': "0x120",
    f"rowdock_webhook_first_attempt_delay_seconds_count{{{_WEBHOOKS}}}": "0x20 0+1x3 3x97",
}
"""Nor under these: all are slow, and there are three."""


def alerts() -> Sequence[Alert]:
    """All of them."""
    return [*(alert for level in SERVICE_LEVELS for alert in level.alerts()), *SYMPTOMS]


def rules_yaml(clock: Clock | None = None, every: str = EVERY) -> str:
    """The rules as Prometheus reads them."""
    clock = clock or Clock()
    groups: list[dict[str, Any]] = [
        {"name": name, "interval": every, "rules": [_rule(each, clock) for each in some]}
        for name, some in (
            ("rowdock-service-levels", [alert for level in SERVICE_LEVELS for alert in level.alerts()]),
            ("rowdock-symptoms", SYMPTOMS),
        )
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=1_000)


def tests_yaml() -> str:
    """What ``promtool test rules`` tries: each alert fires under its trial, and none under what is healthy."""
    trials = [
        {
            "name": f"{alert.name} ({alert.severity})",
            "interval": "1m",
            "input_series": _series(alert.trial.series),
            "promql_expr_test": [_firing(f'alertname="{alert.name}", severity="{alert.severity}"', alert.trial.fires_at, 1)],
        }
        for alert in alerts()
    ]  # fmt: skip
    peaceful = [
        {
            "name": name,
            "interval": "1m",
            "input_series": _series(series),
            "promql_expr_test": [_firing('alertname=~".+"', minutes, 0) for minutes in (1, 24, 30, 90)],
        }
        for name, series in (("nothing fires while all is well", HEALTHY), ("nothing fires because of a few", FEW))
    ]
    document = {"rule_files": [f"../rules/{RULES}"], "evaluation_interval": "1m", "tests": [*trials, *peaceful]}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000)


def _rule(alert: Alert, clock: Clock) -> dict[str, Any]:
    waits = {"for": clock(alert.minutes)} if alert.minutes else {}
    return {
        "alert": alert.name,
        "expr": alert.expression(clock),
        **waits,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": f"docs/runbooks/{alert.name}.md"},
    }


def _series(series: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def _firing(labels: str, minutes: int, count: int) -> dict[str, Any]:
    expression = f'min(count by (alertname) (ALERTS{{alertstate="firing", {labels}}}) > bool 0)'
    samples = [{"labels": "{}", "value": count}] if count else []
    return {"expr": expression, "eval_time": f"{minutes}m", "exp_samples": samples}
