"""Every metric that a service exports, declared once: name, meaning and the values of its labels.

Labels are bounded: their values are words of Rowdock's own, or those of the few organizations that have most going on.
Runs, rows, addresses and whatever else a client makes up are never labels. What all values of are known beforehand is
exported from the start, as 0: Prometheus sees no increase in a series that begins with 1. ``docs/metrics.md`` is made
from the declarations.
"""

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import HANDED_OUT, RunStatus
from libs.telemetry.declaring import DeclaredMetrics
from libs.telemetry.release import RELEASE

MESSAGE_OUTCOMES = ("done", "ignored", "dead_lettered", "handed_back")
BUSIEST_ORGANIZATIONS = 20
"""Most organizations that are named by a label at a time."""

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Buckets of what takes milliseconds, in seconds."""
USUAL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Buckets of one piece of work."""
LONG = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)
"""Buckets of whole imports; 10 s and 30 s are limits that are promised."""

_STATUSES = tuple(RunStatus)
_LANES = tuple(Lane)
_STATES = tuple(HANDED_OUT.values())


class Metrics(DeclaredMetrics):
    """Every metric that a service exports, in one registry per process.

    Attributes:
        service: which service it is.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service
        self._declare_messages()
        self._declare_runs()
        self._declare_state()
        self._declare_http()
        self._declare_other_doors()
        self._declare_webhooks()
        self._declare_servers()
        self.process_info.labels(service, RELEASE).set(1)

    # --- Kafka ----------------------------------------------------------------------------------

    def _declare_messages(self) -> None:
        topic = "of the table of topics"
        self.messages = self._counter(
            "rowdock_messages", "Kafka messages handled, by outcome.", topic=topic, outcome=MESSAGE_OUTCOMES
        )
        self.message_seconds = self._histogram(
            "rowdock_message_duration_seconds",
            "Time from receipt of a message to the end of its effect.",
            USUAL,
            topic=topic,
        )
        self.message_wait_seconds = self._histogram(
            "rowdock_message_wait_seconds", "Time from publication of a message to its receipt.", USUAL, topic=topic
        )
        self.message_retries = self._counter(
            "rowdock_message_retries", "Attempts at a message after one that failed.", topic=topic
        )
        self.messages_in_progress = self._gauge(
            "rowdock_messages_in_progress", "Messages at work in this process.", topic=topic
        )
        self.published = self._counter("rowdock_events_published", "Events that Kafka has confirmed.", topic=topic)
        self.publish_failures = self._counter(
            "rowdock_publish_failures", "Events that Kafka has not confirmed in time; they are sent again.", topic=topic
        )
        self.publish_seconds = self._histogram(
            "rowdock_publish_duration_seconds", "Time until Kafka has confirmed an event.", QUICK
        )
        self.outbox_oldest_seconds = self._gauge(
            "rowdock_outbox_oldest_seconds",
            "Age of the oldest unpublished event of this service, asked for once a second.",
        )
        self.stalled = self._gauge(
            "rowdock_consumer_stalled", "1 while a consumer of this process has lag and receives nothing."
        )

    # --- runs and rows --------------------------------------------------------------------------

    def _declare_runs(self) -> None:
        self.rows = self._counter(
            "rowdock_rows",
            "Rows handled, counted once a batch, or once a file as it is parsed.",
            stage=("parsing", "checking", "writing", "reverting"),
            outcome="where they went",
        )
        self.runs = self._counter(
            "rowdock_runs", "Runs that have reached a status.", status=_STATUSES, purpose=tuple(RunPurpose)
        )
        self.runs_failed = self._counter(
            "rowdock_runs_failed", "Runs that have failed, by the code of their error.", code="see docs/values.md"
        )
        self.run_stage_seconds = self._histogram(
            "rowdock_run_stage_duration_seconds",
            "Time that a run was in a status, when it has left it.",
            LONG,
            stage=_STATUSES,
            lane=_LANES,
        )
        self.run_seconds = self._histogram(
            "rowdock_run_duration_seconds",
            "Time of a run from its submission to its end, less the time that it waited to be executed by somebody.",
            LONG,
            status=("completed", "failed", "cancelled"),
            lane=_LANES,
        )
        self.accounted_rows = self._counter(
            "rowdock_accounted_rows",
            "Rows of imports that have ended, by where they ended. lost: of runs that failed by a fault of Rowdock's "
            "own or of its servers.",
            outcome=("written", "rejected", "skipped", "refused", "lost"),
        )
        self.rescues = self._counter(
            "rowdock_rescues",
            "Work found in MongoDB that no message announced; stays near zero without faults.",
            kind=("stop", "rows", "dry_run", "retry", "batch_parsed", "batch_ready", "sync", "webhook", "run"),
        )
        self.handout_window = self._gauge(
            "rowdock_handout_window",
            "Most batches that are announced at a time in one lane and state.",
            scope=("run", "organization", "all"),
        )

    # --- counted over everything by one process -------------------------------------------------

    def _declare_state(self) -> None:
        self.observer = self._gauge(
            "rowdock_observer",
            "1 where this process is the one that counts over the whole state, and so the only one that exports what "
            "is marked with (observer), or a number there.",
        )
        self.observed_at = self._gauge(
            "rowdock_observed_timestamp_seconds",
            "When this process last counted the state, since the epoch; 0 where it never has.",
        )
        self.observing_seconds = self._histogram(
            "rowdock_observation_duration_seconds", "Time that one count over the whole state takes.", QUICK
        )
        active = "a status that is not an end"
        self.runs_active = self._gauge(
            "rowdock_runs_active", "Runs that have not ended, up to 10,000 of a status. (observer)", status=active
        )
        self.runs_oldest_seconds = self._gauge(
            "rowdock_runs_oldest_seconds",
            "Time since the last change of the run of a status that has not changed for longest. (observer)",
            status=active,
        )
        self.batches_in_flight = self._gauge(
            "rowdock_batches_in_flight", "Batches that are announced to workers. (observer)", state=_STATES, lane=_LANES
        )
        self.batches_waiting = self._gauge(
            "rowdock_batches_waiting",
            "Batches that wait to be announced, up to 10,000 of the 100 oldest runs. (observer)",
            state=_STATES,
            lane=_LANES,
        )
        self.outbox_rows = self._gauge(
            "rowdock_outbox_rows",
            "Events that are not published yet, up to 10,000 of a service. (observer)",
            publisher="a service",
        )
        self.consumer_lag = self._gauge(
            "rowdock_consumer_lag_messages",
            "Messages that the consumer group of a topic has not committed. (observer)",
            topic="of the table of topics",
        )
        self.consumer_members = self._gauge(
            "rowdock_consumer_group_members",
            "Consumers that Kafka counts in the group of a topic. (observer)",
            topic="of the table of topics",
        )
        self.topic_shortfalls = self._gauge(
            "rowdock_topic_shortfalls", "Topics with fewer partitions or replicas than wanted, as this process sees it."
        )
        self.dead_letters_waiting = self._counted_by_one(
            "rowdock_dead_letters_waiting", "Dead letters that nobody has decided on, up to 10,000. (observer)"
        )
        self.deliveries_pending = self._counted_by_one(
            "rowdock_webhook_deliveries_pending", "Webhooks that are still to be sent, up to 10,000. (observer)"
        )
        self.endpoints_given_up = self._counted_by_one(
            "rowdock_webhook_endpoints_given_up",
            "Endpoints of webhooks that Rowdock has switched off, up to 10,000. (observer)",
        )
        self.sources = self._gauge(
            "rowdock_sources",
            "Sources that are looked at, and those of them that cannot be used, up to 10,000. (observer)",
            state=("enabled", "failing"),
        )
        self.sources_overdue_seconds = self._counted_by_one(
            "rowdock_sources_overdue_seconds",
            "For how long the source that waits longest for its turn has waited. (observer)",
        )
        self.collection_bytes = self._gauge(
            "rowdock_collection_bytes",
            "Size of a collection of Rowdock's own; files.chunks are the uploaded files. (observer)",
            collection="with data that grows",
            kind=("data", "storage", "indexes"),
        )
        self.collection_documents = self._gauge(
            "rowdock_collection_documents",
            "Documents of a collection, as MongoDB estimates. (observer)",
            collection="with data that grows",
        )
        self.target_bytes = self._gauge(
            "rowdock_target_bytes",
            "Size of the database of imported records. (observer)",
            kind=("data", "storage", "indexes"),
        )
        self.disk_bytes = self._gauge(
            "rowdock_mongodb_disk_bytes", "The file system that MongoDB stores in. (observer)", kind=("used", "total")
        )
        busiest = f"the {BUSIEST_ORGANIZATIONS} organizations with most"
        self.tenant_runs = self._gauge(
            "rowdock_tenant_runs_active", "Runs of an organization that have not ended. (observer)", tenant=busiest
        )
        self.tenant_bytes = self._gauge(
            "rowdock_tenant_queued_bytes", "Bytes of the files of those. (observer)", tenant=busiest
        )
        self.tenant_batches = self._gauge(
            "rowdock_tenant_batches_in_flight",
            "Batches of an organization that are announced. (observer)",
            tenant=busiest,
        )
        self.tenant_rows = self._gauge(
            "rowdock_tenant_recent_rows",
            "Rows of the runs of an organization that have ended in the last 10 minutes, of 2,000 runs at most. "
            "(observer)",
            tenant=busiest,
        )
        self.tenants_active = self._counted_by_one(
            "rowdock_tenants_active", "Organizations with runs that have not ended. (observer)"
        )

    # --- the gateway ----------------------------------------------------------------------------

    def _declare_http(self) -> None:
        route = "the path as it is declared, or unknown"
        self.http_requests = self._counter(
            "rowdock_http_requests",
            "HTTP requests answered.",
            method="GET, POST, …, or other",
            route=route,
            status="of HTTP",
        )
        self.http_seconds = self._histogram(
            "rowdock_http_request_duration_seconds",
            "Time from the request to the first byte of its answer.",
            USUAL,
            method="GET, POST, …, or other",
            route=route,
        )
        self.rate_limited = self._counter(
            "rowdock_rate_limited_requests",
            "Requests that were refused because they came too often.",
            whose=("known", "unknown"),
        )
        self.upload_bytes = self._counter(
            "rowdock_upload_bytes", "Bytes of files that came in, also of those that broke off."
        )
        self.uploads = self._counter(
            "rowdock_uploads", "Files that were taken in, or broke off.", outcome=("stored", "broken_off")
        )

    # --- sources, and requests on Kafka ---------------------------------------------------------

    def _declare_other_doors(self) -> None:
        self.source_looks = self._counter(
            "rowdock_source_looks",
            "Looks at sources. failed: the source cannot be used; put_off: MongoDB or Kafka did not answer; lost: "
            "another process has it by now.",
            outcome=("done", "failed", "put_off", "lost"),
        )
        self.source_faults = self._counter(
            "rowdock_source_faults", "Looks that failed, by what is wrong.", code="see docs/sources.md"
        )
        self.source_look_seconds = self._histogram(
            "rowdock_source_look_duration_seconds",
            "Time of a look at a source, with the files that were taken in it.",
            LONG,
        )
        self.source_files = self._counter(
            "rowdock_source_files",
            "Files of sources that are decided on; taken: they have become runs.",
            outcome=("taken", "refused", "unchanged", "vanished"),
        )
        self.source_files_missing = self._counter(
            "rowdock_source_files_missing", "Times that a file was expected and had not come."
        )
        self.import_requests = self._counter(
            "rowdock_import_requests",
            "Requests on Kafka that are answered. Those of senders who may not ask are dead letters.",
            outcome=("accepted", "rejected"),
        )
        self.import_request_rejections = self._counter(
            "rowdock_import_request_rejections",
            "Requests on Kafka that are rejected, by the code of their answer.",
            code="see docs/kafka.md",
        )

    # --- webhooks -------------------------------------------------------------------------------

    def _declare_webhooks(self) -> None:
        self.webhook_attempts = self._counter(
            "rowdock_webhook_attempts",
            "Attempts to deliver a webhook.",
            outcome=("delivered", "failed", "throttled", "gone"),
        )
        self.webhook_seconds = self._histogram(
            "rowdock_webhook_attempt_duration_seconds", "Time of an attempt until the end of the answer.", USUAL
        )
        self.webhook_first_seconds = self._histogram(
            "rowdock_webhook_first_attempt_delay_seconds",
            "Time from the event to the beginning of the first attempt, to endpoints that did not fail before.",
            LONG,
        )
        self.webhook_ends = self._counter(
            "rowdock_webhook_deliveries", "Webhooks that are done with.", outcome=("delivered", "failed", "disabled")
        )
        self.webhook_pauses = self._counter(
            "rowdock_webhook_pauses", "Times that an endpoint was paused because it fails."
        )
        self.webhooks_in_progress = self._gauge(
            "rowdock_webhook_attempts_in_progress", "Attempts under way in this process."
        )
        self.webhook_endpoints_paused = self._gauge(
            "rowdock_webhook_endpoints_paused", "Endpoints to which this process sends nothing for the moment."
        )

    # --- what it runs on ------------------------------------------------------------------------

    def _declare_servers(self) -> None:
        self.kafka_reachable = self._gauge(
            "rowdock_kafka_reachable", "1 where Kafka has answered this process when it last asked, every 5 s."
        )
        self.mongodb_reachable = self._gauge(
            "rowdock_mongodb_reachable", "1 where MongoDB answers the heartbeats of this process."
        )
        self.mongodb_seconds = self._histogram(
            "rowdock_mongodb_command_duration_seconds",
            "Time of a command to MongoDB.",
            QUICK,
            command="find, insert, update, …, or other",
        )
        self.mongodb_failures = self._counter(
            "rowdock_mongodb_command_failures",
            "Commands that MongoDB refused or that broke off; conflicts of transactions are among them.",
            command="find, insert, update, …, or other",
        )
        self.mongodb_connections = self._gauge(
            "rowdock_mongodb_connections", "Connections of this process to MongoDB.", state=("open", "in_use")
        )
        self.mongodb_checkout_seconds = self._histogram(
            "rowdock_mongodb_checkout_duration_seconds", "Time that somebody waited for a connection.", QUICK
        )
        self.mongodb_checkout_failures = self._counter(
            "rowdock_mongodb_checkout_failures", "Times that there was no connection."
        )
        self.loop_blocks = self._counter(
            "rowdock_loop_blocks",
            "Times that the event loop was busy too long; counted where ROWDOCK_LOOP_WATCH_MS is set.",
        )
        self.process_info = self._gauge("rowdock_process_info", "Always 1.", role="the service", version="of Rowdock")
