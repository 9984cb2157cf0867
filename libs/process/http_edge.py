"""HTTP/1.1 as uvicorn speaks it, for clients that one does not trust: nobody can hold a connection for ever, or many.

What uvicorn leaves open is bounded here: the time until a request has come in whole headers, what may be sent ahead of
an answer, how slowly an answer may be taken, what still arrives when the answer is out, and how many connections there
are. The body of a request is read by the application, which knows how long that may take.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES = 16 * 1024
"""Most of a request line with its headers, and of further requests that are sent ahead of an answer. Twice as much
passes at times, never more: reading it costs the event loop some 4 ms for each 4 kB of tiny headers."""
LINGER_SECONDS = 30.0
"""How long a body may go on arriving after it was answered: many clients read only when all of it is sent."""
REFUSED_SECONDS = 2.0
"""How long what a client goes on sending is thrown away after a refusal, so that it can read that."""
ENDLESS_MARK = "rowdock.endless"
"""Set in the scope of a request by an application whose answer lasts for as long as its client wants it."""
_ANSWERABLE = frozenset({h11.IDLE, h11.SEND_RESPONSE})


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What a client may take.

    Attributes:
        header_seconds: from the beginning of a connection, or of the next request on it, to the end of its headers.
        keep_alive_seconds: how long a connection may be idle between two requests.
        send_seconds: how long an answer may wait for a client that does not read …
        send_bytes_per_second: … or that reads less than this meanwhile.
        connections: most at once; 0 for any number.
        connections_per_address: most at once from one IPv4 address or IPv6 network of 64 bits; 0 for any number.
    """

    header_seconds: float = 10
    keep_alive_seconds: float = 5
    send_seconds: float = 30
    send_bytes_per_second: int = 1024
    connections: int = 0
    connections_per_address: int = 0


@dataclass(slots=True)
class Edge:
    """The connections of one server, within its limits."""

    limits: EdgeLimits
    total: int = 0
    by_source: Counter[str] = field(default_factory=Counter[str])

    def full(self, source: str) -> str | None:
        """Why there is no room for another connection from ``source``, or ``None``."""
        if 0 < self.limits.connections <= self.total:
            return "there are too many connections to this service at the moment"
        if 0 < self.limits.connections_per_address <= self.by_source[source]:
            return f"there are {self.by_source[source]:,} connections from this address, as many as are allowed"
        return None

    def opened(self, source: str) -> None:
        """A connection has begun."""
        self.total += 1
        self.by_source[source] += 1

    def closed(self, source: str) -> None:
        """It has ended."""
        self.total -= 1
        self.by_source[source] -= 1
        if not self.by_source[source]:
            del self.by_source[source]


class EdgeProtocol(H11Protocol):
    """One connection."""

    def __init__(self, edge: Edge, **uvicorns: Any) -> None:  # noqa: ANN401 - what uvicorn gives every protocol
        super().__init__(**uvicorns)
        self._edge = edge
        self._source = ""
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._request_by: float | None = None
        """When the headers of a request must be there; ``None`` while one is at work."""
        self._unsent: tuple[float, int] | None = None
        """Since when so many bytes of the answer wait for the client."""

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer what is no request that the application could answer; then the connection ends."""
        self.answer(status, f"{reason}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})

    def answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        """Send a whole answer, unless one is under way, and end the connection."""
        if self.conn.our_state in _ANSWERABLE and not self.transport.is_closing():
            fields = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
            if status is HTTPStatus.SERVICE_UNAVAILABLE:
                fields["Retry-After"] = "10"
            for event in (
                h11.Response(status_code=status.value, reason=status.phrase, headers=list(fields.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if self.transport.can_write_eof() and status is not HTTPStatus.SERVICE_UNAVAILABLE:
                # Closed at once, with bytes of the client unread, it would be reset and the answer lost.
                self._refused = True
                self._request_by = self.loop.time() + REFUSED_SECONDS
                self.transport.write_eof()
                self.flow.resume_reading()
                return
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._source = "" if self.client is None else counted_source(self.client[0])
        obstacle = self._edge.full(self._source)
        self._edge.opened(self._source)
        self._request_by = self.loop.time() + self._edge.limits.header_seconds
        self._look()
        if obstacle is not None:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{obstacle}; close some, or try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.closed(self._source)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        at_work = self.cycle
        # h11 limits headers only while they are incomplete: in portions they cannot come whole past the limit.
        while data and self._request_by is not None and not self._over:
            portion, data = data[:MAX_HEAD_BYTES], data[MAX_HEAD_BYTES:]
            self._take(portion, at_work)
        if data and not self._over:
            self._take(data, at_work)

    def shutdown(self) -> None:
        """The server stops: requests at work are waited for, but not those whose answers have no end of their own."""
        super().shutdown()
        if self.conn.our_state is h11.SEND_BODY and self.cycle.scope.get(ENDLESS_MARK):
            self.transport.close()

    @property
    def _over(self) -> bool:
        return self._refused or self.transport.is_closing()

    def _take(self, data: bytes, before: object) -> None:
        super().data_received(data)
        if self.cycle is not before and not self.cycle.response_complete:
            self._request_by = None
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) > MAX_HEAD_BYTES:
            self.cycle.keep_alive = False  # too much was sent ahead: it is never looked at

    def on_response_complete(self) -> None:
        answered = self.cycle
        limits = self._edge.limits
        unread = self.conn.their_state is h11.SEND_BODY
        left = LINGER_SECONDS if unread else limits.keep_alive_seconds + limits.header_seconds
        self._request_by = self.loop.time() + left
        super().on_response_complete()
        if self.cycle is not answered:  # the next request was here already
            self._request_by = None

    def _look(self) -> None:
        """Look at the connection, again and again until it is lost."""
        now, limits = self.loop.time(), self._edge.limits
        if self._waits_in_vain(now):
            self.transport.abort()
            return
        if self._refused and self._request_by is not None and now > self._request_by:
            self.transport.close()
        elif self._request_by is not None and now > self._request_by and not self._over:
            self.refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the headers of a request did not arrive within {limits.header_seconds:g} seconds; send it again",
            )
        pause = min(1.0, limits.header_seconds / 4, limits.send_seconds / 4)
        self._timer = self.loop.call_later(pause, self._look)

    def _waits_in_vain(self, now: float) -> bool:
        """Whether the client takes nothing, or too little, of what is to be sent.

        Only judged while nothing is added to it.
        """
        size = self.transport.get_write_buffer_size()
        answering = self._request_by is None
        if not size or (answering and not self.flow.write_paused and not self.transport.is_closing()):
            self._unsent = None
        elif self._unsent is None or size > self._unsent[1]:
            self._unsent = now, size
        elif now - self._unsent[0] >= self._edge.limits.send_seconds:
            taken = self._unsent[1] - size
            self._unsent = now, size
            return taken < self._edge.limits.send_bytes_per_second * self._edge.limits.send_seconds
        return False


def edge_config(
    app: Any,  # noqa: ANN401 - an ASGI application; frameworks type theirs differently
    host: str,
    port: int,
    limits: EdgeLimits,
    protocol: type[EdgeProtocol] = EdgeProtocol,
    **options: Any,  # noqa: ANN401 - those of uvicorn
) -> uvicorn.Config:
    """How an application is served within ``limits``."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(protocol, Edge(limits)),  # pyright: ignore[reportArgumentType] - called like a class
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=limits.keep_alive_seconds,  # pyright: ignore[reportArgumentType] - given to call_later
        ws="none",
        # Who is believed about other addresses is for the application to say.
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        **options,
    )


def counted_source(host: str) -> str:
    """What connections from an address are counted by; a single holder of IPv6 has 2**64 addresses."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
