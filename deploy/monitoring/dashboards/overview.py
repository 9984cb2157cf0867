"""Is it healthy, how fast is it, what is stuck."""

from deploy.monitoring.expressions import RATE, J, quantiles, rate, within
from deploy.monitoring.panels import Dashboard, Panel, Row

OVERVIEW = Dashboard(
    "rowdock-overview",
    "Rowdock / Overview",
    "Is it healthy, how fast is it, what is stuck.",
    [
        Row(
            "Healthy",
            [
                Panel(
                    "Alerts",
                    {
                        "{{alertname}}": 'count by (alertname, severity) (ALERTS{alertname=~"Rowdock.+", alertstate="firing"})'
                    },
                    kind="table",
                    width=6,
                    height=6,
                    text="What is firing; each has a runbook.",
                    empty="none",
                ),
                Panel("Processes up", {"up": f"sum(up{{{J}}})"}, "none", kind="number", width=3, height=6),
                Panel(
                    "Processes down",
                    {"down": f"count(up{{{J}}} == 0) or vector(0)"},
                    "none",
                    kind="number",
                    width=3,
                    height=6,
                    alarm=1,
                    runbook="RowdockProcessDown",
                ),
                Panel(
                    "Small imports within 10 s",
                    {
                        "share": within(
                            "rowdock_run_duration_seconds", 10, f'{J}, lane="small", status=~"completed|failed"'
                        )
                    },
                    "percentunit",
                    kind="number",
                    width=4,
                    height=6,
                    text="Over the time shown; promised are 99 %.",
                    good=0.99,
                    empty="no imports",
                    runbook="RowdockSmallImportsSlow",
                ),
                Panel(
                    "Rows lost",
                    {"rows": f'sum(increase(rowdock_accounted_rows_total{{{J}, outcome="lost"}}[$__range]))'},
                    "none",
                    kind="number",
                    width=4,
                    height=6,
                    text="Rows of imports that failed by a fault of Rowdock's own.",
                    alarm=1,
                    runbook="RowdockRowsLost",
                ),
                Panel(
                    "Webhooks tried within 30 s",
                    {"share": within("rowdock_webhook_first_attempt_delay_seconds", 30, J)},
                    "percentunit",
                    kind="number",
                    width=4,
                    height=6,
                    text="Over the time shown; promised are 99 %.",
                    good=0.99,
                    empty="no webhooks",
                    runbook="RowdockWebhooksLate",
                ),
            ],
        ),
        Row(
            "Fast",
            [
                Panel(
                    "Rows a second",
                    {"{{stage}}": rate("rowdock_rows_total", J, "stage")},
                    "rowsps",
                    text="What each stage gets done. They are the same over time; a stage that stays behind is the slow one.",
                ),
                Panel(
                    "Imports that end",
                    {
                        "{{status}}": rate(
                            "rowdock_runs_total",
                            f'{J}, purpose="import", status=~"completed|failed|cancelled|reverted"',
                            "status",
                        )
                    },
                    "ops",
                    "",
                    "areas",
                ),
                Panel(
                    "Time of small imports",
                    quantiles("rowdock_run_duration_seconds", f'{J}, lane="small", status="completed"'),
                    "s",
                    text="From the submission to the end, without the time that somebody took to have it executed.",
                    empty="no imports",
                ),
                Panel(
                    "HTTP requests",
                    {"{{status}}": rate("rowdock_http_requests_total", J, "status")},
                    "reqps",
                    "",
                    "areas",
                ),
                Panel("Time of HTTP requests", quantiles("rowdock_http_request_duration_seconds", J), "s"),
                Panel(
                    "Webhooks",
                    {"{{outcome}}": rate("rowdock_webhook_attempts_total", J, "outcome")},
                    "ops",
                    "",
                    "areas",
                ),
            ],
        ),
        Row(
            "Stuck",
            [
                Panel(
                    "Runs under way",
                    {"{{status}}": f"max by (status) (rowdock_runs_active{{{J}}})"},
                    "none",
                    "validated: waits for somebody to have it executed.",
                    "areas",
                ),
                Panel(
                    "Longest without a change",
                    {"{{status}}": f'max by (status) (rowdock_runs_oldest_seconds{{{J}, status!="validated"}})'},
                    "s",
                    "A large import may be executing for hours; while rows move, nothing is stuck.",
                    runbook="RowdockRunsStuck",
                ),
                Panel(
                    "Messages not read",
                    {"{{topic}}": f"max by (topic) (rowdock_consumer_lag_messages{{{J}}})"},
                    "none",
                    runbook="RowdockConsumerLag",
                ),
                Panel(
                    "Oldest unpublished event",
                    {"{{service}}": f"max by (service) (rowdock_outbox_oldest_seconds{{{J}}})"},
                    "s",
                    runbook="RowdockOutboxOld",
                ),
                Panel(
                    "Dead letters",
                    {"waiting": f"max(rowdock_dead_letters_waiting{{{J}}})"},
                    "none",
                    "Messages that nobody could handle and nobody has decided on.",
                    "number",
                    width=4,
                    alarm=1,
                    runbook="RowdockDeadLetters",
                ),
                Panel(
                    "Webhooks to send",
                    {"pending": f"max(rowdock_webhook_deliveries_pending{{{J}}})"},
                    "none",
                    "Those that wait for their next attempt are among them.",
                    "number",
                    width=4,
                ),
                Panel(
                    "Rescues",
                    {"{{kind}}": f"sum by (kind) (increase(rowdock_rescues_total{{{J}}}{RATE}))"},
                    "none",
                    "Work that no message announced. Near zero without faults; after one they bring everything back.",
                    runbook="RowdockRescues",
                ),
            ],
        ),
    ],
)
