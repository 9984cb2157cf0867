"""A Prometheus beside a stack, for the length of a block."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.local.ports import choose_ports
from deploy.local.prometheus import Prometheus, start_prometheus
from deploy.local.stack import Stack
from deploy.monitoring.alerts import Clock
from deploy.monitoring.evaluation import ShownDashboard, every_query
from tests.client import eventually

EVERY_SECONDS = 2.0


@contextmanager
def scraped(stack: Stack, clock: Clock) -> Iterator[Prometheus]:
    """Prometheus scrapes every instance every two seconds."""
    port = choose_ports(stack.directory / "ports.json", ["prometheus"])["prometheus"]
    prometheus = start_prometheus(stack, port, clock, EVERY_SECONDS)
    try:
        instances = {one.name for some in stack.services.values() for one in some}

        def all_up() -> bool:
            up = {each["labels"]["instance"] for each in prometheus.targets() if each["health"] == "up"}
            return up == instances

        eventually(all_up, "every instance is scraped", 90)
        yield prometheus
    finally:
        stack.supervisor.stop(["prometheus"])


def answered(prometheus: Prometheus, dashboards: Sequence[ShownDashboard], since: float) -> dict[str, str]:
    """What is wrong with the answers to the queries of dashboards between ``since`` and now, by panel."""
    wrong: dict[str, str] = {}
    for where, panel, query in every_query(dashboards):
        found = prometheus.query_range(query.expression, since, time.time(), EVERY_SECONDS)
        values = [float(value) for series in found for _, value in series["values"]]
        finite = [value for value in values if math.isfinite(value)]
        if not finite and panel.empty is None:
            wrong[where] = f"no value: {query.expression}"
        if any(value < 0 for value in finite):
            wrong[where] = f"less than nothing: {query.expression}"
        if panel.unit == "percentunit" and panel.title != "Processor" and any(value > 1.0001 for value in finite):
            wrong[where] = f"more than all: {query.expression}"
    return wrong
