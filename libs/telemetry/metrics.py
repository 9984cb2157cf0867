"""The declared metrics of a service process; labels are bounded, run ids are never labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Every metric that a service exports, in one registry per process."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.service = service
        self.messages = Counter(
            "rowdock_messages", "Kafka messages by outcome.", ["topic", "outcome"], registry=self.registry
        )
        self.message_seconds = Histogram(
            "rowdock_message_duration_seconds",
            "Time from receipt of a message to the end of its effect.",
            ["topic"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self.registry,
        )
        self.rows = Counter("rowdock_rows", "Rows handled, by where they went.", ["outcome"], registry=self.registry)
        self.rescues = Counter(
            "rowdock_rescues",
            "Work found in MongoDB that no message announced; stays near zero without faults.",
            ["kind"],
            registry=self.registry,
        )
        self.published = Counter(
            "rowdock_events_published", "Events published, by topic.", ["topic"], registry=self.registry
        )
        self.outbox_oldest_seconds = Gauge(
            "rowdock_outbox_oldest_seconds", "Age of the oldest unpublished event.", registry=self.registry
        )
        self.stalled = Gauge(
            "rowdock_consumer_stalled",
            "1 while a consumer has lag and receives nothing.",
            registry=self.registry,
        )
        self.loop_blocks = Counter(
            "rowdock_loop_blocks",
            "Times that the event loop was busy too long; counted where ROWDOCK_LOOP_WATCH_MS is set.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
