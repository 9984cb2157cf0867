"""What a scrape finds."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from libs.telemetry.declaring import METRICS_CONTENT_TYPE
from libs.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_what_was_counted_is_exposed() -> None:
    metrics = Metrics("writer")
    metrics.messages.labels("t.v1", "done").inc()
    metrics.messages.labels("t.v1", "done").inc()
    metrics.messages.labels("t.v1", "dead_lettered").inc()
    metrics.message_seconds.labels("t.v1").observe(0.2)
    metrics.rows.labels("writing", "created").inc(5_000)
    metrics.rescues.labels("batch_ready").inc()
    metrics.published.labels("t.v1").inc()
    metrics.outbox_oldest_seconds.set(1.5)
    metrics.stalled.set(1)
    found = samples(metrics)
    topic = ("topic", "t.v1")
    expected = {
        ("rowdock_messages_total", (("outcome", "done"), topic)): 2,
        ("rowdock_messages_total", (("outcome", "dead_lettered"), topic)): 1,
        ("rowdock_message_duration_seconds_bucket", (("le", "0.1"), topic)): 0,
        ("rowdock_message_duration_seconds_bucket", (("le", "0.25"), topic)): 1,
        ("rowdock_message_duration_seconds_count", (topic,)): 1,
        ("rowdock_rows_total", (("outcome", "created"), ("stage", "writing"))): 5_000,
        ("rowdock_rescues_total", (("kind", "batch_ready"),)): 1,
        ("rowdock_events_published_total", (topic,)): 1,
        ("rowdock_outbox_oldest_seconds", ()): 1.5,
        ("rowdock_consumer_stalled", ()): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_each_process_has_a_registry_of_its_own() -> None:
    one, other = Metrics("writer"), Metrics("writer")
    one.rows.labels("writing", "created").inc()
    assert not [name for name, _ in samples(other) if name == "rowdock_rows_total"]


def test_what_all_values_are_known_of_is_there_from_the_start() -> None:
    found = samples(Metrics("writer"))
    assert found["rowdock_runs_total", (("purpose", "import"), ("status", "failed"))] == 0
    assert found["rowdock_accounted_rows_total", (("outcome", "lost"),)] == 0
    assert (
        found["rowdock_run_duration_seconds_bucket", (("lane", "small"), ("le", "10.0"), ("status", "completed"))] == 0
    )


def test_no_label_names_a_run_or_what_clients_make_up() -> None:
    declared = {name for each in Metrics("writer").declared for name in each.labels}
    bounded = {
        "topic", "outcome", "kind", "stage", "status", "purpose", "lane", "code", "scope", "state", "publisher",
        "collection", "tenant", "method", "route", "whose", "command", "role", "version",
    }  # fmt: skip
    assert declared <= bounded


@pytest.mark.parametrize("declaration", Metrics("writer").declared, ids=lambda each: each.name)
def test_names_follow_the_rules(declaration: object) -> None:
    each = next(one for one in Metrics("writer").declared if one == declaration)
    assert re.fullmatch(r"rowdock_[a-z_]+", each.name)
    assert each.name.endswith("_total") == (each.kind == "counter")
    assert each.kind != "histogram" or each.name.endswith("_seconds")
    assert not re.search(r"_(ms|milliseconds|kb|mb|minutes|percent)(_|$)", each.name)
    assert each.text.endswith((".", ")"))


def test_the_content_type_is_that_of_prometheus() -> None:
    assert METRICS_CONTENT_TYPE.startswith("text/plain")
