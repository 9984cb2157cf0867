"""A collector of traces, as OTLP over HTTP speaks to one."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {number: name.removeprefix("SPAN_KIND_") for name, number in trace_pb2.Span.SpanKind.items()}


@dataclass(frozen=True)
class Recorded:
    """A span as it arrived.

    Attributes:
        parent: id of the span that it is below, or empty.
        links: trace and span of others.
    """

    service: str
    instance: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    links: frozenset[tuple[str, str]]
    attributes: dict[str, str | int | bool]
    failed: bool
    nanoseconds: int


class Collector:
    """Listens on a free port of this machine and keeps what arrives.

    Attributes:
        bodies: what was sent, as it was encoded.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self, wanted: Callable[[Recorded], bool] = lambda _: True) -> list[Recorded]:
        """Those that have arrived so far."""
        return [span for body in list(self.bodies) for span in _spans(body) if wanted(span)]


def _spans(body: bytes) -> list[Recorded]:
    request = ExportTraceServiceRequest.FromString(body)
    found: list[Recorded] = []
    for resource in request.resource_spans:
        of = {each.key: each.value.string_value for each in resource.resource.attributes}
        found += [
            Recorded(
                service=of["service.name"],
                instance=of["service.instance.id"],
                name=span.name,
                kind=KINDS[span.kind],
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                attributes={each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes},
                failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
            )
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return found
