"""What goes out to receivers, and what comes in."""

from deploy.monitoring.expressions import RATE, J, quantiles, rate
from deploy.monitoring.panels import Dashboard, Panel, Row

WEBHOOKS = Dashboard(
    "rowdock-webhooks",
    "Rowdock / Webhooks and sources",
    "What goes out to receivers, and what comes in.",
    [
        Row(
            "Out: webhooks",
            [
                Panel(
                    "Attempts",
                    {"{{outcome}}": rate("rowdock_webhook_attempts_total", J, "outcome")},
                    "ops",
                    "",
                    "areas",
                ),
                Panel(
                    "Time of an attempt",
                    quantiles("rowdock_webhook_attempt_duration_seconds", J),
                    "s",
                    "Until the end of the receiver's answer.",
                    empty="none",
                ),
                Panel(
                    "Event to first attempt",
                    quantiles("rowdock_webhook_first_attempt_delay_seconds", J),
                    "s",
                    "To endpoints that did not fail before.",
                    empty="none",
                    runbook="RowdockWebhooksLate",
                ),
                Panel(
                    "Ended",
                    {"{{outcome}}": f"sum by (outcome) (increase(rowdock_webhook_deliveries_total{{{J}}}{RATE}))"},
                    "none",
                    "failed: the schedule is used up; disabled: the endpoint is switched off.",
                    "areas",
                ),
                Panel(
                    "To send",
                    {
                        "pending": f"max(rowdock_webhook_deliveries_pending{{{J}}})",
                        "under way": f"sum(rowdock_webhook_attempts_in_progress{{{J}}})",
                    },
                    "none",
                ),
                Panel(
                    "Breakers",
                    {
                        "paused": f'max(rowdock_webhook_endpoints_paused{{{J}, service="webhooks"}})',
                        "given up": f"max(rowdock_webhook_endpoints_given_up{{{J}}})",
                        "pauses in 5 min": f"sum(increase(rowdock_webhook_pauses_total{{{J}}}[5m]))",
                    },
                    "none",
                    "paused: gets nothing for the moment; given up: Rowdock has switched it off.",
                    runbook="RowdockWebhooksFailing",
                ),
            ],
        ),
        Row(
            "In: uploads",
            [
                Panel("Files taken in", {"{{outcome}}": rate("rowdock_uploads_total", J, "outcome")}, "ops"),
                Panel("Bytes taken in", {"bytes": f"sum(rate(rowdock_upload_bytes_total{{{J}}}{RATE}))"}, "Bps"),
                Panel(
                    "Upload requests",
                    {
                        "{{route}} {{status}}": rate(
                            "rowdock_http_requests_total",
                            f'{J}, method="POST", route=~"/imports/upload|/api/v1/imports"',
                            "route, status",
                        )
                    },
                    "reqps",
                    empty="none",
                ),
            ],
        ),
        Row(
            "In: sources",
            [
                Panel(
                    "Sources",
                    {"{{state}}": f"max by (state) (rowdock_sources{{{J}}})"},
                    "none",
                    "failing: cannot be used now, and is tried less and less often.",
                    runbook="RowdockSourcesFailing",
                ),
                Panel(
                    "Looks",
                    {"{{outcome}}": rate("rowdock_source_looks_total", J, "outcome")},
                    "ops",
                    "failed: the source cannot be used; put_off: MongoDB or Kafka did not answer.",
                    "areas",
                    empty="none",
                ),
                Panel(
                    "Looks that failed",
                    {"{{code}}": f"sum by (code) (increase(rowdock_source_faults_total{{{J}}}[1h]))"},
                    "none",
                    "Within an hour, by what is wrong.",
                    "areas",
                    empty="none",
                    runbook="RowdockSourcesFailing",
                ),
                Panel(
                    "Overdue",
                    {"longest": f"max(rowdock_sources_overdue_seconds{{{J}}})"},
                    "s",
                    "For how long the source that waits longest for its turn has waited.",
                    runbook="RowdockSourcesLate",
                ),
                Panel(
                    "Time of a look",
                    quantiles("rowdock_source_look_duration_seconds", J),
                    "s",
                    "With the files that were taken in it.",
                    empty="none",
                ),
                Panel(
                    "Files of sources",
                    {
                        "{{outcome}}": f"sum by (outcome) (increase(rowdock_source_files_total{{{J}}}{RATE}))",
                        "missing": f"sum(increase(rowdock_source_files_missing_total{{{J}}}{RATE}))",
                    },
                    "none",
                    "taken: it has become a run; missing: it was expected and had not come.",
                    empty="none",
                ),
            ],
        ),
        Row(
            "In: requests on Kafka",
            [
                Panel(
                    "Requests",
                    {"{{outcome}}": rate("rowdock_import_requests_total", J, "outcome")},
                    "ops",
                    "That are answered; those of senders who may not ask are dead letters.",
                    "areas",
                    empty="none",
                    runbook="RowdockRequestsRejected",
                ),
                Panel(
                    "Why they are rejected",
                    {"{{code}}": f"sum by (code) (increase(rowdock_import_request_rejections_total{{{J}}}[1h]))"},
                    "none",
                    "Within an hour.",
                    "areas",
                    empty="none",
                ),
            ],
        ),
    ],
)
