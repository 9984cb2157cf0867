"""OpenTelemetry's SDK as ``libs.telemetry.tracing`` uses it; imported only where tracing is on."""

import os
import threading
from collections.abc import Sequence
from contextvars import Token
from datetime import datetime
from types import TracebackType
from typing import Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from libs.telemetry.release import RELEASE
from libs.telemetry.tracing import Attributes, Context, Kind

FLUSH_SECONDS = 3.0
"""How long the end of a process waits for what is recorded to be sent."""
MAX_VALUE_CHARS = 200
_NS = 1_000_000_000


def start(service: str, instance: str) -> "SdkRecorder":
    """Record from now on, and send as the environment says."""
    return SdkRecorder(service, instance)


class SdkRecorder:
    """Records spans of one process."""

    def __init__(self, service: str, instance: str) -> None:
        resource = Resource.create(
            {
                "service.namespace": "rowdock",
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or f"rowdock-{service}",
                "service.instance.id": instance,
                "service.version": RELEASE,
            }
        )
        # What is sampled is said by OTEL_TRACES_SAMPLER, how it is queued by OTEL_BSP_…
        self._provider = TracerProvider(
            resource=resource, shutdown_on_exit=False, span_limits=SpanLimits(max_attribute_length=MAX_VALUE_CHARS)
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rowdock", RELEASE)

    def span(
        self, name: str, kind: Kind, parent: Context | None, links: Sequence[Context], attributes: Attributes
    ) -> "_SdkSpan":
        """A span that begins now."""
        return _SdkSpan(
            self._tracer.start_span(
                name,
                context=_below(parent),
                kind=SpanKind[kind.value],
                attributes=attributes,
                links=[Link(_remote(each)) for each in links],
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def record(
        self, name: str, began: datetime, ended: datetime, parent: Context | None, attributes: Attributes
    ) -> None:
        """A span that is over, linked with the present one where that is of another trace."""
        now = self.current()
        others = [] if now is None or (parent is not None and now.trace_id == parent.trace_id) else [now]
        done = self._tracer.start_span(
            name,
            context=_below(parent),
            attributes=attributes,
            links=[Link(_remote(each)) for each in others],
            start_time=int(began.timestamp() * _NS),
        )
        done.end(int(ended.timestamp() * _NS))

    def current_span(self) -> "_SdkSpan":
        """The present span, perhaps one that records nothing."""
        return _SdkSpan(trace.get_current_span())

    def current(self) -> Context | None:
        """The present span as others know it."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return Context(f"{found.trace_id:032x}", f"{found.span_id:016x}", f"{found.trace_flags & 1:02x}")

    def close(self) -> None:
        """Send what is left, within ``FLUSH_SECONDS``: a collector that does not answer keeps no process alive."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


class _SdkSpan:
    """One of the SDK's spans."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[contexts.Context] | None = None

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        if error is not None:
            code = getattr(error, "code", None)
            self.failed(code if isinstance(code, str) else type(error).__name__)
        self._span.end()

    def set(self, attributes: Attributes) -> None:
        """See ``libs.telemetry.tracing.Span``."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """See ``libs.telemetry.tracing.Span``."""
        self._span.update_name(name)

    def failed(self, reason: str) -> None:
        """See ``libs.telemetry.tracing.Span``."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))


def _below(parent: Context | None) -> contexts.Context:
    """Where a span begins; without a parent a trace of its own."""
    empty = contexts.Context()
    return empty if parent is None else trace.set_span_in_context(NonRecordingSpan(_remote(parent)), empty)


def _remote(context: Context) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)
