"""What OpenTelemetry's SDK makes of our spans, as a collector gets it."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.errors import PermanentError
from libs.telemetry import tracing
from libs.telemetry.recorder import MAX_VALUE_CHARS
from tests.collector import Collector, Recorded

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{PARENT[:-1]}0"
TRACE_ID, SPAN_ID = PARENT.split("-")[1:3]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.url)
        yield listening


def spans(collector: Collector) -> dict[str, Recorded]:
    return {span.name: span for span in collector.spans()}


def test_spans_stand_below_each_other_and_below_what_they_are_told(collector: Collector) -> None:
    with tracing.exporting("test", "test-1"):
        assert tracing.on()
        with tracing.span("outer", kind=tracing.Kind.CONSUMER, parent=PARENT, attributes={"a": "b", "n": 1}):
            with tracing.span("inner"):
                now = tracing.current()
                assert now is not None
                assert tracing.exemplar() == {"trace_id": TRACE_ID}
                assert tracing.parsed(tracing.current_traceparent()) == now
            with tracing.span("elsewhere", apart=True, links=[PARENT]):
                pass
            with tracing.span("of another run", parent=PARENT.replace("0af7", "1af7")):
                pass
        assert tracing.current() is None
    assert not tracing.on()
    found = spans(collector)
    outer, inner, elsewhere, other = (found[name] for name in ("outer", "inner", "elsewhere", "of another run"))
    assert (outer.service, outer.instance, outer.kind) == ("rowdock-test", "test-1", "CONSUMER")
    assert (outer.trace_id, outer.parent, outer.attributes) == (TRACE_ID, SPAN_ID, {"a": "b", "n": 1})
    assert (inner.trace_id, inner.parent, inner.span_id) == (TRACE_ID, outer.span_id, now.span_id)
    assert elsewhere.trace_id != TRACE_ID
    assert elsewhere.parent == ""
    assert elsewhere.links == {(TRACE_ID, SPAN_ID), (TRACE_ID, outer.span_id)}
    assert (other.parent, other.links) == (SPAN_ID, {(TRACE_ID, outer.span_id)})
    assert not any(span.failed for span in found.values())


def test_errors_are_told_by_their_codes_and_never_by_their_texts(collector: Collector) -> None:
    with tracing.exporting("test", "test-1"):
        for name, error in (("permanent", PermanentError("A_CODE", "quoted cell")), ("other", KeyError("quoted cell"))):
            with pytest.raises(type(error)), tracing.span(name):
                raise error
    found = spans(collector)
    assert {name: span.attributes for name, span in found.items()} == {
        "permanent": {"error.type": "A_CODE"},
        "other": {"error.type": "KeyError"},
    }
    assert all(span.failed for span in found.values())
    assert b"quoted cell" not in b"".join(collector.bodies)


def test_what_is_over_is_recorded_with_its_times(collector: Collector) -> None:
    began = datetime(2026, 3, 1, tzinfo=UTC)
    with tracing.exporting("test", "test-1"):
        tracing.record("run pending", began, began + timedelta(seconds=2), parent=PARENT)
        tracing.record("without a run", began, began, parent=None)
    [span] = collector.spans()
    assert (span.name, span.trace_id, span.parent, span.nanoseconds) == (
        "run pending", TRACE_ID, SPAN_ID, 2_000_000_000
    )  # fmt: skip


def test_values_are_bounded_and_what_is_not_sampled_is_not_sent(collector: Collector) -> None:
    with tracing.exporting("test", "test-1"):
        with tracing.span("long", attributes={"text": "x" * 10_000}):
            pass
        with tracing.span("unsampled", parent=UNSAMPLED):
            assert tracing.exemplar() is None
            assert tracing.parsed(tracing.current_traceparent()) is not None
    assert {span.name: len(str(span.attributes["text"])) for span in collector.spans()} == {"long": MAX_VALUE_CHARS}


def test_a_collector_that_is_not_there_keeps_no_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    with tracing.exporting("test", "test-1"), tracing.span("lost"):
        pass
