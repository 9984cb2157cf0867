"""A Prometheus beside a stack, for the length of a block."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from deploy.local.ports import choose_ports
from deploy.local.prometheus import Prometheus, start_prometheus
from deploy.local.stack import Stack
from deploy.monitoring.alert import Clock
from deploy.monitoring.evaluation import ShownDashboard, ShownPanel, every_query
from tests.client import eventually

EVERY_SECONDS = 2.0
MOST: Mapping[str, float] = {
    "s": 86_400,
    "percentunit": 1.0001,
    "bytes": 1e15,
    "Bps": 1e9,
    "rowsps": 1e6,
    "reqps": 1e4,
    "ops": 1e5,
    "short": 1e7,
    "none": 1e6,
}
"""What a value of a panel cannot be above, by its unit, where little is imported for some minutes."""
OF_PANELS: Mapping[str, tuple[float, float]] = {
    "Processor": (0, 1.1 * (os.cpu_count() or 1)),
    "Memory": (10e6, 4e9),
    "Processes up": (1, 100),
    "Processes down": (0, 100),
    "Connections": (0, 1_000),
    "Open files": (1, 5_000),
    "Disk that is used": (0.001, 1),
    "Rows of the last 10 minutes": (0, 1e7),
}
"""The same of single panels, with what a value cannot be below."""


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
        least, most = OF_PANELS.get(panel.title, (0, MOST[panel.unit]))
        if outside := [value for value in finite if not least <= value <= most]:
            wrong[where] = f"{outside[0]:g} is not between {least:g} and {most:g} {panel.unit}: {query.expression}"
    return wrong


def present(prometheus: Prometheus, panel: ShownPanel) -> dict[str, float]:
    """What a panel shows just now: values by legend."""
    return {
        query.name(series["metric"]): float(series["value"][1])
        for query in panel.queries
        for series in prometheus.query(query.expression)
    }
