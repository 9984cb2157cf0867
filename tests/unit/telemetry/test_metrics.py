"""What a scrape finds."""

from prometheus_client.parser import text_string_to_metric_families

from libs.telemetry.metrics import METRICS_CONTENT_TYPE, Metrics


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
    metrics.rows.labels("written").inc(5_000)
    metrics.rescues.labels("batch").inc()
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
        ("rowdock_rows_total", (("outcome", "written"),)): 5_000,
        ("rowdock_rescues_total", (("kind", "batch"),)): 1,
        ("rowdock_events_published_total", (topic,)): 1,
        ("rowdock_outbox_oldest_seconds", ()): 1.5,
        ("rowdock_consumer_stalled", ()): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_each_process_has_a_registry_of_its_own() -> None:
    one, other = Metrics("writer"), Metrics("writer")
    one.rows.labels("written").inc()
    assert not [name for name, _ in samples(other) if name == "rowdock_rows_total"]


def test_no_label_names_a_run() -> None:
    names = {name for family in Metrics("writer").registry.collect() for s in family.samples for name in s.labels}
    assert names <= {"topic", "outcome", "kind", "le"}


def test_the_content_type_is_that_of_prometheus() -> None:
    assert METRICS_CONTENT_TYPE.startswith("text/plain")
