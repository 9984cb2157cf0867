"""Traces: off at no cost, and what becomes of what others say of theirs."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from libs.telemetry import tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVICES = ("gateway", "parser", "validator", "writer", "webhooks")


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_off_imports_nothing(service: str) -> None:
    program = f"import sys, services.{service}.app; print(*(name for name in sys.modules if 'opentelemetry.' in name))"
    environment = {"PATH": ""}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    # FastStream asks whether its own module is there.
    assert [name for name in ran.stdout.split() if name.startswith("opentelemetry.sdk")] == []


def test_what_is_off_does_nothing() -> None:
    assert not tracing.on()
    with tracing.span("anything", parent=f"00-{TRACE}-{SPAN}-01", links=["nonsense"]) as span:
        span.set({"a": 1})
        span.rename("another")
        span.failed("CODE")
        assert span is tracing.NO_SPAN is tracing.current_span()
        assert tracing.current() is tracing.current_traceparent() is tracing.exemplar() is None
    tracing.record("anything", datetime.now(UTC), datetime.now(UTC), parent=f"00-{TRACE}-{SPAN}-01")


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_asks_for_traces(
    environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.wanted() is wanted


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_what_a_context_says(traceparent: str, sampled: bool) -> None:
    context = tracing.parsed(traceparent)
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "",
        "01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-zz",
        "00-" + "a" * 1_000_000,
        "\u0660\u0660-" + "\u0660" * 32,
    ],
)
def test_what_is_no_context_is_none(garbage: str | None) -> None:
    assert tracing.parsed(garbage) is None
