"""Where the time of an import goes."""

from deploy.monitoring.expressions import LANE, RATE, J, quantile, quantiles, rate
from deploy.monitoring.panels import Dashboard, Panel, Row, Variable

RUN = Dashboard(
    "rowdock-run",
    "Rowdock / One run's life",
    "Where the time of an import goes. Runs are no labels: a single one is looked up by its id through the links.",
    [
        Row(
            "Stages, in the order of their time",
            [
                *(
                    Panel(
                        title,
                        {
                            name: quantile(
                                share, "rowdock_run_stage_duration_seconds", f'{J}, lane=~"$lane", stage="{stage}"'
                            )
                            for name, share in (("p50", 0.5), ("p95", 0.95))
                        },
                        "s",
                        text,
                        width=6,
                        empty="none",
                    )
                    for title, stage, text in (
                        ("1. pending", "pending", "It waits for a parser, or its first batches are read."),
                        ("2. validating", "validating", "Its rows are read and checked."),
                        (
                            "3. validated",
                            "validated",
                            "It waits to be executed: by somebody, unless its template goes on by itself.",
                        ),
                        ("4. executing", "executing", "Its rows are written."),
                    )
                ),
                Panel(
                    "Mean time by stage",
                    {
                        "{{stage}}": f'sum by (stage) (rate(rowdock_run_stage_duration_seconds_sum{{{J}, lane=~"$lane", stage=~"pending|validating|executing|reverting"}}{RATE})) / (sum by (stage) (rate(rowdock_run_stage_duration_seconds_count{{{J}, lane=~"$lane", stage=~"pending|validating|executing|reverting"}}{RATE})) > 0)'
                    },
                    "s",
                    "",
                    "areas",
                    12,
                    empty="none",
                ),
                Panel(
                    "The whole run, by lane, p95",
                    {
                        "{{lane}} {{status}}": quantile(
                            0.95, "rowdock_run_duration_seconds", f'{J}, lane=~"$lane"', "lane, status"
                        )
                    },
                    "s",
                    width=12,
                    empty="none",
                ),
            ],
        ),
        Row(
            "How they end",
            [
                Panel(
                    "Statuses reached",
                    {"{{status}}": rate("rowdock_runs_total", f'{J}, purpose="import"', "status")},
                    "ops",
                    width=12,
                ),
                Panel(
                    "Why they fail",
                    {"{{code}}": f"sum by (code) (increase(rowdock_runs_failed_total{{{J}}}[$__range]))"},
                    "none",
                    "Runs over the time shown, by the code of their error.",
                    "table",
                    6,
                    empty="none failed",
                ),
                Panel(
                    "Where rows ended",
                    {"{{outcome}}": f"sum by (outcome) (increase(rowdock_accounted_rows_total{{{J}}}[$__range]))"},
                    "none",
                    "Rows over the time shown.",
                    "table",
                    6,
                    runbook="RowdockRowsLost",
                ),
                Panel(
                    "Event to webhook",
                    quantiles("rowdock_webhook_first_attempt_delay_seconds", J),
                    "s",
                    "The end of a run's life: its webhook is tried.",
                    width=12,
                    empty="none",
                ),
                Panel(
                    "Purposes",
                    {
                        "{{purpose}}": rate(
                            "rowdock_runs_total", f'{J}, status=~"completed|failed|cancelled|validated"', "purpose"
                        )
                    },
                    "ops",
                    "dry_run, check and preview end as validated and leave nothing.",
                    width=12,
                ),
            ],
        ),
    ],
    [LANE, Variable("run", "Run", text="")],
    {"This run in the API": "/imports/runs/${run}", "Rows of this run": "/imports/runs/${run}/rows"},
)
