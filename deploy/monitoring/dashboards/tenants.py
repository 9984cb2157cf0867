"""Who has most going on."""

from deploy.monitoring.expressions import J, rate
from deploy.monitoring.panels import Dashboard, Panel, Row

TENANTS = Dashboard(
    "rowdock-tenants",
    "Rowdock / Organizations",
    "Who has most going on: the 20 organizations with most, as they are counted; what one of them has done tells the API.",
    [
        Row(
            "Now",
            [
                Panel(
                    "Organizations with runs under way",
                    {"organizations": f"max(rowdock_tenants_active{{{J}}})"},
                    "none",
                    "",
                    "number",
                    6,
                ),
                Panel(
                    "Share of the busiest one",
                    {
                        "share": f"max(max by (tenant) (rowdock_tenant_batches_in_flight{{{J}}})) / sum(max by (tenant) (rowdock_tenant_batches_in_flight{{{J}}}))"
                    },
                    "percentunit",
                    "Of the batches in flight. The hand-out lets nobody have more than its share while others wait.",
                    "number",
                    6,
                    empty="nothing in flight",
                ),
                Panel(
                    "Rejected by rate limits",
                    {"{{whose}}": rate("rowdock_rate_limited_requests_total", J, "whose")},
                    "reqps",
                    "known: by a key that works; unknown: without one.",
                    width=12,
                ),
                Panel(
                    "Runs under way",
                    {"{{tenant}}": f"max by (tenant) (rowdock_tenant_runs_active{{{J}}})"},
                    "none",
                    "",
                    "areas",
                    12,
                    empty="none",
                ),
                Panel(
                    "Bytes that wait",
                    {"{{tenant}}": f"max by (tenant) (rowdock_tenant_queued_bytes{{{J}}})"},
                    "bytes",
                    "Files of the runs under way.",
                    "areas",
                    12,
                    empty="none",
                ),
                Panel(
                    "Batches in flight",
                    {"{{tenant}}": f"max by (tenant) (rowdock_tenant_batches_in_flight{{{J}}})"},
                    "none",
                    "",
                    "areas",
                    12,
                    empty="none",
                ),
                Panel(
                    "Rows of the last 10 minutes",
                    {"{{tenant}}": f"max by (tenant) (rowdock_tenant_recent_rows{{{J}}})"},
                    "none",
                    "Of runs that have ended.",
                    "areas",
                    12,
                    empty="none",
                ),
            ],
        ),
    ],
)
