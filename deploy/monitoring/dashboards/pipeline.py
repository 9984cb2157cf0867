"""What each stage does, how long it takes, and what waits before it."""

from deploy.monitoring.expressions import INSTANCE, SERVICE, TOPIC, J, S, quantile, quantiles, rate
from deploy.monitoring.panels import Dashboard, Panel, Row

PIPELINE = Dashboard(
    "rowdock-pipeline",
    "Rowdock / Pipeline by stage",
    "What each stage does, how long it takes, and what waits before it.",
    [
        Row(
            "Rows and batches",
            [
                Panel(
                    "Rows by stage and outcome",
                    {"{{stage}} {{outcome}}": rate("rowdock_rows_total", J, "stage, outcome")},
                    "rowsps",
                    width=12,
                ),
                Panel(
                    "Rows a second by instance",
                    {"{{instance}}": rate("rowdock_rows_total", S, "instance")},
                    "rowsps",
                    "How the replicas share the work; they add up.",
                    "areas",
                    width=12,
                ),
                Panel(
                    "Batches in flight",
                    {"{{state}} {{lane}}": f"max by (state, lane) (rowdock_batches_in_flight{{{J}}})"},
                    "none",
                    "Announced to workers. parsed: to be checked, validated: to be written, written: to be reverted.",
                ),
                Panel(
                    "Batches that wait",
                    {"{{state}} {{lane}}": f"max by (state, lane) (rowdock_batches_waiting{{{J}}})"},
                    "none",
                    "Held back by the fair hand-out.",
                ),
                Panel(
                    "Window that is used",
                    {
                        "{{state}} {{lane}}": f'max by (state, lane) (rowdock_batches_in_flight{{{J}}}) / on () group_left () max(rowdock_handout_window{{{J}, scope="all"}})'
                    },
                    "percentunit",
                    "Of the most batches that are announced to all at a time, in each lane and state.",
                ),
            ],
        ),
        Row(
            "Messages",
            [
                Panel(
                    "Messages handled",
                    {
                        "{{topic}} {{outcome}}": rate(
                            "rowdock_messages_total", f'{S}, topic=~"$topic"', "topic, outcome"
                        )
                    },
                    "ops",
                    width=12,
                ),
                Panel(
                    "Time of a message, p95",
                    {"{{topic}}": quantile(0.95, "rowdock_message_duration_seconds", f'{S}, topic=~"$topic"', "topic")},
                    "s",
                    width=12,
                ),
                Panel(
                    "Time that a message waited, p95",
                    {"{{topic}}": quantile(0.95, "rowdock_message_wait_seconds", f'{S}, topic=~"$topic"', "topic")},
                    "s",
                    "From its publication to its receipt.",
                ),
                Panel(
                    "At work",
                    {"{{topic}}": f'sum by (topic) (rowdock_messages_in_progress{{{S}, topic=~"$topic"}})'},
                    "none",
                    "",
                    "areas",
                ),
                Panel(
                    "Tried again",
                    {"{{topic}}": rate("rowdock_message_retries_total", f'{S}, topic=~"$topic"', "topic")},
                    "ops",
                    "Transient faults.",
                    runbook="RowdockMessagesHandedBack",
                ),
                Panel(
                    "Events published",
                    {"{{topic}}": rate("rowdock_events_published_total", S, "topic")},
                    "ops",
                    "",
                    "areas",
                ),
                Panel("Time until Kafka confirms", quantiles("rowdock_publish_duration_seconds", S), "s"),
                Panel(
                    "Not confirmed",
                    {"{{topic}}": rate("rowdock_publish_failures_total", S, "topic")},
                    "ops",
                    empty="none",
                ),
            ],
        ),
    ],
    [SERVICE, INSTANCE, TOPIC],
)
