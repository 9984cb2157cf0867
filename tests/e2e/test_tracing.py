"""One trace from an upload to its webhooks, span by span, as a collector gets it from every service."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from deploy.local.stack import Stack, running
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.collector import Collector, Recorded
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

SERVICES = ("gateway", "parser", "validator", "writer", "webhooks")
IN_TRACE = 4
EVENTS = 4
"""One for each status that a run reaches."""
CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="module")
def stack(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that traces, with small batches."""
    tracing = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "ROWDOCK_BATCH_ROWS": "100",
    }
    directory = tmp_path_factory.mktemp("traced")
    with running(directory, environment=dict.fromkeys(SERVICES, tracing)) as started:
        yield started


def test_one_trace_leads_from_the_upload_to_the_webhooks(
    gateway: GatewayClient, collector: Collector, receiver: Receiver, resource: str
) -> None:
    run_id = imported(gateway, resource, rows=50, webhook_url=receiver.url)
    spans = whole_trace(collector, run_id, webhooks=3)
    [root] = [span for span in spans if not span.parent]
    assert (root.service, root.name, root.kind) == ("rowdock-gateway", "POST /imports/upload", "SERVER")
    assert root.attributes["http.response.status_code"] in {200, 201, 202}
    [submitted] = named(spans, "submit run")
    assert (submitted.service, submitted.parent) == ("rowdock-gateway", root.span_id)
    assert submitted.attributes["rowdock.run_id"] == run_id

    below = [span for span in spans if span.parent == submitted.span_id]
    assert {(span.service, span.name) for span in below} >= {
        ("rowdock-parser", "process imports.run-submitted.v1"),
        ("rowdock-parser", "parse"),
        ("rowdock-parser", "run pending"),
        ("rowdock-validator", "process imports.batch-parsed.v1"),
        ("rowdock-validator", "run validating"),
        ("rowdock-writer", "process imports.batch-ready.v1"),
        ("rowdock-writer", "run executing"),
        ("rowdock-webhooks", "process imports.run-events.v1"),
    }
    heard = {span.span_id for span in named(below, "process imports.run-events.v1")}
    sent = named(spans, "send webhook")
    assert {span.parent for span in sent} <= heard
    assert {(span.service, span.kind, span.attributes["http.response.status_code"]) for span in sent} == {
        ("rowdock-webhooks", "CLIENT", 204)
    }
    assert {span.span_id for span in spans} == {
        root.span_id, submitted.span_id, *(span.span_id for span in below), *(span.span_id for span in sent)
    }  # fmt: skip
    assert not any(span.failed or span.links for span in spans)
    assert {span.instance for span in spans} == {f"{service}-1" for service in SERVICES}


def test_a_large_run_keeps_a_small_trace_that_its_batches_are_linked_with(
    gateway: GatewayClient, collector: Collector, resource: str
) -> None:
    run_id = imported(gateway, resource, rows=1_000)
    spans = whole_trace(collector, run_id)
    trace_id = spans[0].trace_id
    for topic in ("imports.batch-parsed.v1", "imports.batch-ready.v1"):
        handled = eventually(partial(handlings, collector, topic, run_id, 10), "all batches", 120)
        within = {span.attributes["rowdock.seq"] for span in handled if span.trace_id == trace_id}
        assert within == set(range(IN_TRACE))
        apart = [span for span in handled if span.trace_id != trace_id]
        assert len({span.trace_id for span in apart}) == len(apart)
        assert not any(span.parent for span in apart)
        assert all(trace_id in {linked for linked, _ in span.links} for span in apart)


def test_the_trace_of_a_client_is_linked_and_garbage_is_no_trace(gateway: GatewayClient, collector: Collector) -> None:
    requests: dict[str, dict[str, str]] = {
        "linked": {"traceparent": CLIENTS, "tracestate": "a=b," * 5_000},
        "garbage": {"traceparent": "00-\x80\xff-" + "f" * 3_000},
        "none": {},
    }
    for name, headers in requests.items():
        sent = {key: value.encode("latin-1") for key, value in headers.items()}
        answer = gateway.http.get("/imports/runs", headers={**sent, "X-Request-ID": f"asked-{name}"})
        assert answer.status_code == 200, answer.text

    def asked() -> dict[str, Recorded]:
        found = collector.spans(lambda span: str(span.attributes.get("rowdock.request_id")).startswith("asked-"))
        return {str(span.attributes["rowdock.request_id"]).removeprefix("asked-"): span for span in found}

    eventually(lambda: asked().keys() == requests.keys(), "a span for each request")
    linked = CLIENTS.split("-")[1], CLIENTS.split("-")[2]
    assert {name: span.links for name, span in asked().items()} == {
        "linked": frozenset([linked]),
        "garbage": frozenset(),
        "none": frozenset(),
    }
    assert not any(span.parent for span in asked().values())
    assert linked[0] not in {span.trace_id for span in asked().values()}


def test_spans_tell_nothing_of_files_people_and_secrets(
    stack: Stack, gateway: GatewayClient, collector: Collector, receiver: Receiver, resource: str
) -> None:
    template = gateway.create_template(
        planted_template(resource, auto_execute=True, webhook_url=f"{receiver.url}?token=quiet-word")
    )
    content = planted_file(50, bad_share=0.2).content
    run = gateway.upload(template["id"], content, "payroll-of-march.csv")
    gateway.http.get(f"/imports/runs/{run['id']}", params={"whisper": "unheard-of"})
    whole_trace(collector, run["id"], webhooks=3)
    sent = b"".join(collector.bodies)
    told = (
        "payroll",
        "quiet-word",
        "/hook",
        "whisper",
        "unheard-of",
        "@example",
        "nobody at",
        "Name 1",
        "S0000",
    )
    for secret in (*told, stack.api_key, template["webhook_secret"], resource):
        assert secret.encode() not in sent, secret


def test_logs_and_measured_times_lead_to_the_trace(
    stack: Stack, gateway: GatewayClient, collector: Collector, resource: str
) -> None:
    run_id = imported(gateway, resource, rows=50)
    trace_id = whole_trace(collector, run_id)[0].trace_id
    for service in ("parser", "validator", "writer", "webhooks"):
        log = (stack.directory / "logs" / f"{service}-1.log").read_text().splitlines()
        lines = [json.loads(line) for line in log if line.startswith("{") and trace_id in line]
        assert lines, service
        assert {line["run_id"] for line in lines} == {run_id}
        assert {line["trace_id"] for line in lines} == {trace_id}
    [writer] = stack.services["writer"]
    answer = httpx.get(f"{writer.url}/metrics", headers={"Accept": "application/openmetrics-text"}, trust_env=False)
    assert f'# {{trace_id="{trace_id}"}}' in answer.text
    assert answer.headers["content-type"].startswith("application/openmetrics-text")


def imported(gateway: GatewayClient, resource: str, rows: int, **template: str) -> str:
    """Id of a completed run that nobody had to ask to be executed."""
    made = gateway.create_template(planted_template(resource, auto_execute=True, **template))
    run_id: str = gateway.upload(made["id"], planted_file(rows, bad_share=0).content)["id"]
    assert gateway.wait(run_id)["status"] == "completed"
    return run_id


def whole_trace(collector: Collector, run_id: str, webhooks: int = 0) -> list[Recorded]:
    """The spans of the trace of a run, once all have arrived: its request, its last status, its webhooks."""

    def arrived() -> list[Recorded]:
        began = collector.spans(lambda span: span.name == "submit run" and span.attributes["rowdock.run_id"] == run_id)
        if not began:
            return []
        spans = collector.spans(lambda span: span.trace_id == began[0].trace_id)
        names = Counter(span.name for span in spans)
        whole = names["POST /imports/upload"] and names["run executing"] and names["send webhook"] == webhooks
        return spans if whole and names["process imports.run-events.v1"] == EVENTS else []

    return eventually(arrived, f"the trace of run {run_id}", 120)


def handlings(collector: Collector, topic: str, run_id: str, batches: int) -> list[Recorded]:
    """The spans of messages about batches of a run, once there are some of each of its ``batches``."""
    found = [span for span in collector.spans() if span.name == f"process {topic}"]
    of_run = [span for span in found if span.attributes["rowdock.run_id"] == run_id]
    return of_run if {span.attributes["rowdock.seq"] for span in of_run} == set(range(batches)) else []


def named(spans: list[Recorded], name: str) -> list[Recorded]:
    return [span for span in spans if span.name == name]
