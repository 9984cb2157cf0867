"""Dashboards and metrics on live data: what the services export is well-formed, and every panel has an answer."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import choose_ports
from deploy.local.prometheus import prometheus_programs
from deploy.local.stack import OPTIONAL_SERVICES, Endpoint, Stack
from deploy.local.supervision import Program
from deploy.monitoring.alert import Clock
from deploy.monitoring.evaluation import shown_dashboards
from libs.contracts.services import SERVICES
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.monitoring.scraping import EVERY_SECONDS, answered, scraped
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

ROWS = 400


@pytest.fixture
def whole_stack(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """The stack together with the services that run only where somebody asks for them."""
    like = stack.supervisor.program("gateway-1")
    names = {service: f"measured-{service}" for service in OPTIONAL_SERVICES}
    ports = choose_ports(tmp_path / "ports.json", list(names.values()))
    stack.supervisor.put(
        [
            Program(
                name,
                (sys.executable, "-m", OPTIONAL_SERVICES[service]),
                like.priority,
                environment={**like.environment, "ROWDOCK_INSTANCE": name, "ROWDOCK_OPS_PORT": str(ports[name])},
            )
            for service, name in names.items()
        ]
    )
    stack.supervisor.start(names.values())
    processes = stack.supervisor.processes()
    optional = {
        service: [Endpoint(name, f"http://127.0.0.1:{ports[name]}", processes[name].pid)]
        for service, name in names.items()
    }
    whole = replace(stack, services={**stack.services, **optional})
    whole.wait_ready(list(names.values()))
    yield whole
    stack.supervisor.stop(names.values())


def test_what_services_export_follows_the_rules(whole_stack: Stack) -> None:
    _, promtool = prometheus_programs()
    assert set(whole_stack.services) == {*SERVICES, *OPTIONAL_SERVICES}
    for service, some in whole_stack.services.items():
        exposition = httpx.get(f"{some[0].url}/metrics", timeout=30, trust_env=False).content
        assert f'rowdock_process_info{{role="{service}"'.encode() in exposition
        done = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), service


def test_every_panel_has_an_answer(stack: Stack, gateway: GatewayClient, resource: str, receiver: Receiver) -> None:
    webhook = {"webhook_enabled": True, "webhook_url": receiver.url}
    template = {**planted_template(resource), **webhook, "auto_execute": True}
    template_id = gateway.create_template(template)["id"]
    planted = planted_file(ROWS, bad_share=0.1)
    with scraped(stack, Clock()) as prometheus:
        began = time.time()
        written = prometheus.value('sum(rowdock_accounted_rows_total{outcome="written"})') or 0
        run = gateway.wait(gateway.upload(template_id, planted.content)["id"])
        assert run["status"] == "completed"
        gateway.wait(gateway.upload(template_id, b"nothing,that\nfits,here\n")["id"])
        gateway.wait(gateway.upload(template_id, planted.content)["id"])

        def told() -> bool:
            now = prometheus.value('sum(rowdock_accounted_rows_total{outcome="written"})') or 0
            return now - written >= 2 * len(planted.valid)

        eventually(told, "the rows are counted", 60)
        # A rate needs two looks, and what is counted over the state a round of the observer.
        dashboards = shown_dashboards("30s", "5m")
        # Of what happens between two scrapes only there is no rate, so the load goes on.
        deadline = time.monotonic() + 90
        while (wrong := answered(prometheus, dashboards, began)) and time.monotonic() < deadline:
            gateway.wait(gateway.upload(template_id, planted.content)["id"])
            time.sleep(EVERY_SECONDS)
        assert wrong == {}
        for page in dashboards:
            for expression in page.annotations.values():
                prometheus.query(expression)  # it can be evaluated; there need be nothing to tell
