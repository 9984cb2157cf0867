"""Metrics of requests: what a client makes up does not become a label."""

from typing import Any

from libs.telemetry.metrics import Metrics
from services.gateway.http.tracing import HttpMetrics


async def test_methods_that_there_are_not_share_one_label() -> None:
    measured = Metrics("gateway")
    registry, metrics = measured.registry, HttpMetrics(measured)
    for method in ("GET", "PROPFIND", "X" * 1_000):
        scope: Any = {"type": "http", "method": method, "path": f"/{method}", "headers": [], "state": {}}
        await metrics.on_send({"type": "http.response.start", "status": 405, "headers": []}, scope)
    labels = {"route": "unknown", "status": "405"}
    assert registry.get_sample_value("rowdock_http_requests_total", {"method": "GET", **labels}) == 1
    assert registry.get_sample_value("rowdock_http_requests_total", {"method": "other", **labels}) == 2
