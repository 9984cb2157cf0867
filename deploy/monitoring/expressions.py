"""Expressions that panels have in common, and what a reader chooses by."""

from deploy.monitoring.panels import TARGETS, Variable

J = TARGETS
S = f'{J}, service=~"$service", instance=~"$instance"'
RATE = "[$__rate_interval]"

SERVICE = Variable("service", "Service", "rowdock_process_info", "service")
INSTANCE = Variable("instance", "Instance", 'rowdock_process_info{service=~"$service"}', "instance")
TOPIC = Variable("topic", "Topic", "rowdock_messages_total", "topic")
LANE = Variable("lane", "Lane", "rowdock_run_duration_seconds_count", "lane")


def quantile(share: float, histogram: str, labels: str, by: str = "") -> str:
    """An expression: how long it takes for a share of what is measured."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({histogram}_bucket{{{labels}}}{RATE})))"


def quantiles(histogram: str, labels: str) -> dict[str, str]:
    """Half, nearly all and the slowest, by legend."""
    return {name: quantile(share, histogram, labels) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def rate(counter: str, labels: str, by: str) -> str:
    """An expression: how much a second, by labels."""
    return f"sum by ({by}) (rate({counter}{{{labels}}}{RATE}))"


def within(histogram: str, seconds: int, labels: str) -> str:
    """An expression: the share that took no longer."""
    fast = f'sum(increase({histogram}_bucket{{{labels}, le=~"{seconds}(\\\\.0)?"}}[$__range]))'
    return f"{fast} / (sum(increase({histogram}_count{{{labels}}}[$__range])) > 0)"
