"""Kafka, MongoDB, and the processes."""

from deploy.monitoring.expressions import INSTANCE, RATE, SERVICE, J, S, quantile, rate
from deploy.monitoring.panels import Dashboard, Panel, Row

INFRASTRUCTURE = Dashboard(
    "rowdock-infrastructure",
    "Rowdock / Infrastructure",
    "Kafka, MongoDB, and the processes.",
    [
        Row(
            "Kafka",
            [
                Panel("Reachable", {"{{service}}": f"min by (service) (rowdock_kafka_reachable{{{J}}})"}, "none", runbook="RowdockKafkaUnreachable"),
                Panel("Lag by topic", {"{{topic}}": f"max by (topic) (rowdock_consumer_lag_messages{{{J}}})"}, "none", runbook="RowdockConsumerLag"),
                Panel("Consumers in the group of a topic", {"{{topic}}": f"max by (topic) (rowdock_consumer_group_members{{{J}}})"}, "none", runbook="RowdockNobodyReads"),
                Panel("Stalled consumers", {"{{instance}}": f"max by (instance) (rowdock_consumer_stalled{{{S}}})"}, "none", runbook="RowdockConsumerStalled"),
                Panel("Topics that fall short", {"topics": f"max(rowdock_topic_shortfalls{{{J}}})"}, "none", "", "number", 4, warn=1, runbook="RowdockTopicsFallShort"),
                Panel("Unpublished events", {"{{publisher}}": f"max by (publisher) (rowdock_outbox_rows{{{J}}})"}, "none", width=12),
            ],
        ),
        Row(
            "MongoDB",
            [
                Panel("Reachable", {"{{service}}": f"min by (service) (rowdock_mongodb_reachable{{{J}}})"}, "none", runbook="RowdockMongodbUnreachable"),
                Panel("Commands", {"{{command}}": rate("rowdock_mongodb_command_duration_seconds_count", S, "command")}, "ops", "", "areas"),
                Panel("Time of a command, p95", {"{{command}}": quantile(0.95, "rowdock_mongodb_command_duration_seconds", S, "command")}, "s", runbook="RowdockMongodbSlow"),
                Panel("Commands that failed", {"{{command}}": rate("rowdock_mongodb_command_failures_total", S, "command")}, "ops", "Conflicts of transactions are among them, and are made anew.", empty="none"),
                Panel("Connections", {"{{state}}": f"sum by (state) (rowdock_mongodb_connections{{{S}}})"}, "none"),
                Panel("Wait for a connection, p99", {"p99": quantile(0.99, "rowdock_mongodb_checkout_duration_seconds", S)}, "s"),
                Panel("Bytes by collection", {"{{collection}}": f'max by (collection) (rowdock_collection_bytes{{{J}, kind="storage"}})', "imported records": f'max(rowdock_target_bytes{{{J}, kind="storage"}})'}, "bytes", "files.chunks: uploaded files.", "areas"),
                Panel("Documents", {"{{collection}}": f"max by (collection) (rowdock_collection_documents{{{J}}})"}),
                Panel("Disk that is used", {"used": f'max(rowdock_mongodb_disk_bytes{{{J}, kind="used"}}) / max(rowdock_mongodb_disk_bytes{{{J}, kind="total"}})'}, "percentunit", "", "number", warn=0.75, alarm=0.85, runbook="RowdockDiskFull"),
            ],
        ),
        Row(
            "Processes",
            [
                Panel("Up", {"{{service}}": f"sum by (service) (up{{{J}}})"}, "none", "", "areas", runbook="RowdockServiceDown"),
                Panel("Processor", {"{{instance}}": f"sum by (instance) (rate(process_cpu_seconds_total{{{S}}}{RATE}))"}, "percentunit", "", "areas"),
                Panel("Memory", {"{{instance}}": f"sum by (instance) (process_resident_memory_bytes{{{S}}})"}, "bytes", "", "areas"),
                Panel("Open files", {"{{instance}}": f"max by (instance) (process_open_fds{{{S}}})"}, "none"),
                Panel("Age", {"{{instance}}": f"time() - max by (instance) (process_start_time_seconds{{{S}}})"}, "s", "It falls to 0 where a process was started anew.", runbook="RowdockRestarts"),
                Panel("Time of a count over the state", {"p95": quantile(0.95, "rowdock_observation_duration_seconds", J)}, "s", "Made by one gateway; it does not grow with what is stored.", runbook="RowdockNothingCounted"),
            ],
        ),
    ],
    [SERVICE, INSTANCE],
)  # fmt: skip
