"""Traces by OpenTelemetry: one for what becomes of an upload, through every service to its webhooks.

On where OpenTelemetry's own environment variables name a collector; else nothing of OpenTelemetry is imported, and
what stands here returns at once. Only ids, names of Rowdock's own and numbers become attributes: no rows, no names of
files or columns, no addresses, no texts of errors.

A *context* is the W3C ``traceparent`` of a span, by which others are put below it or linked with it. It travels in the
run, in the outbox, in headers of Kafka and in deliveries of webhooks; ``tracestate`` is not passed on.
"""

import importlib
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Protocol, Self

HEADER = "traceparent"
BATCHES_IN_TRACE = 4
"""So many batches of a run stand in its trace, checked and written; each further one has a trace of its own that is
linked with it, so that no trace grows with its file."""

Attributes = Mapping[str, str | int | bool]


class Kind(StrEnum):
    """What a span is to others, as OpenTelemetry names it."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


class Context(NamedTuple):
    """What a ``traceparent`` says, in hexadecimal as it stands there."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def sampled(self) -> bool:
        """Whether the span was recorded."""
        return bool(int(self.flags, 16) & 1)


class Span(Protocol):
    """What is told of a piece of work; a context manager that ends it. An error that leaves the block marks it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def rename(self, name: str) -> None:
        """Give it a name that was not known when it began."""
        ...

    def failed(self, reason: str) -> None:
        """Mark it as failed, by a code or the name of a class."""
        ...


class _NoSpan:
    """A span that nobody records."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def set(self, attributes: Attributes) -> None:
        del attributes

    def rename(self, name: str) -> None:
        del name

    def failed(self, reason: str) -> None:
        del reason


NO_SPAN: Span = _NoSpan()


class Recorder(Protocol):
    """What ``libs.telemetry.recorder`` makes of OpenTelemetry's SDK."""

    def span(
        self, name: str, kind: Kind, parent: Context | None, links: Sequence[Context], attributes: Attributes
    ) -> Span: ...

    def record(
        self, name: str, began: datetime, ended: datetime, parent: Context | None, attributes: Attributes
    ) -> None: ...

    def current_span(self) -> Span: ...

    def current(self) -> Context | None: ...

    def close(self) -> None: ...


class _Process:
    """What this process records with; ``None``: tracing is off."""

    recorder: Recorder | None = None


_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def wanted() -> bool:
    """Whether the environment asks for traces."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(os.environ.get(name) for name in _ENDPOINTS)


@contextmanager
def exporting(service: str, instance: str) -> Generator[None]:
    """Record the spans of this process for the length of a block, if the environment asks for it.

    Blocks for a few seconds at the end, to send what is recorded.

    Raises:
        ImportError: it does, and the extra ``tracing`` is not installed.
    """
    if not wanted():
        yield
        return
    recorder: Recorder = importlib.import_module("libs.telemetry.recorder").start(service, instance)
    _Process.recorder = recorder
    try:
        yield
    finally:
        _Process.recorder = None
        recorder.close()


def on() -> bool:
    """Whether spans are recorded."""
    return _Process.recorder is not None


def parsed(traceparent: str | None) -> Context | None:
    """What a ``traceparent`` says, or ``None`` where it is none; whoever sent it."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    return None if found is None else Context(*found.groups())


def span(
    name: str,
    *,
    kind: Kind = Kind.INTERNAL,
    parent: str | None = None,
    apart: bool = False,
    links: Sequence[str | None] = (),
    attributes: Attributes | None = None,
) -> Span:
    """A span to be entered.

    Args:
        name: one of few.
        kind: what it is to others.
        parent: context of the span that it is below; without one it is below the present one, if there is any. The
            present one is linked with it where that is of another trace.
        apart: it begins a trace of its own.
        links: contexts of others that it has to do with.
        attributes: as ``Span.set`` takes them.
    """
    if _Process.recorder is None:
        return NO_SPAN
    linked = [context for each in links if (context := parsed(each)) is not None]
    above, now = parsed(parent), _Process.recorder.current()
    if above is None and not apart:
        above = now
    elif now is not None and (above is None or now.trace_id != above.trace_id):
        linked.append(now)
    return _Process.recorder.span(name, kind, above, linked, attributes or {})


def record(
    name: str, began: datetime, ended: datetime, *, parent: str | None, attributes: Attributes | None = None
) -> None:
    """Record a span of something that is over, below ``parent``; nothing where there is no such context."""
    if _Process.recorder is not None and (above := parsed(parent)) is not None:
        _Process.recorder.record(name, began, ended, above, attributes or {})


def current_span() -> Span:
    """The present span."""
    return NO_SPAN if _Process.recorder is None else _Process.recorder.current_span()


def current() -> Context | None:
    """What the present span is known by to others, or ``None``."""
    return None if _Process.recorder is None else _Process.recorder.current()


def current_traceparent() -> str | None:
    """The same as text."""
    return None if (now := current()) is None else f"00-{now.trace_id}-{now.span_id}-{now.flags}"


def exemplar() -> dict[str, str] | None:
    """What leads from a measured value to the present trace, where that is recorded."""
    return None if (now := current()) is None or not now.sampled else {"trace_id": now.trace_id}
