"""Service levels and symptoms that somebody has to hear of, each with a runbook and a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from deploy.monitoring.alert import Alert, Clock, Trial
from deploy.monitoring.panels import TARGETS as J
from deploy.monitoring.service_levels import SERVICE_LEVELS, SMALL_IMPORTS, WEBHOOKS
from libs.contracts.services import SERVICES

RULES = "rowdock.yml"
EVERY = "30s"


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
        Trial({f'rowdock_webhook_attempts_total{{{WEBHOOKS},outcome="failed"}}': "0+9x90", f'rowdock_webhook_attempts_total{{{WEBHOOKS},outcome="delivered"}}': "0+1x90"}, 60),
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
    f'rowdock_run_duration_seconds_bucket{{{SMALL_IMPORTS},le="10.0"}}': "0+999x120",
    f"rowdock_run_duration_seconds_count{{{SMALL_IMPORTS}}}": "0+1000x120",
    f'rowdock_accounted_rows_total{{{_ONE},outcome="written"}}': "0+9x120",
    f'rowdock_accounted_rows_total{{{_ONE},outcome="lost"}}': "0x120",
    f'rowdock_webhook_attempts_total{{{WEBHOOKS},outcome="failed"}}': "0+1x120",
    f'rowdock_webhook_attempts_total{{{WEBHOOKS},outcome="delivered"}}': "0+9x120",
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
    f'rowdock_run_duration_seconds_bucket{{{SMALL_IMPORTS},le="10.0"}}': "0x120",
    f"rowdock_run_duration_seconds_count{{{SMALL_IMPORTS}}}": "0x20 0+1x3 3x97",
    f'rowdock_webhook_first_attempt_delay_seconds_bucket{{{WEBHOOKS},le="30.0"}}': "0x120",
    f"rowdock_webhook_first_attempt_delay_seconds_count{{{WEBHOOKS}}}": "0x20 0+1x3 3x97",
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
