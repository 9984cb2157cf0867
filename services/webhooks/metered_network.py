"""The network below an attempt, metered: a receiver may send so much and in so many pieces, and no more.

The meter stands below TLS, so that a handshake is bounded like an answer. Each piece is small, and other tasks have
their turn after it: what is parsed of one receiver's flood in one go takes milliseconds.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.abc
import httpcore
from anyio.streams.tls import TLSStream

from libs.process.shares import Shares

MAX_BYTES_BEFORE_ANSWER = 32 * 1024
"""Handshake, informational answers and the headers of the final one."""
MAX_PIECES = 1_000
"""An honest answer comes in a handful; each costs the loop up to 0.1 ms."""
PIECE_BYTES = 4 * 1024
LOOKUPS_AT_ONCE = 64

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses; raises ``OSError`` where there are none."""


class Lookups:
    """Names are looked up by threads of their own.

    A look-up cannot be given up: a thread may hang for a minute where the name server does not answer. In the pool of
    the process a handful of those would hold up everybody, the database included. Here they hold up the organization
    that they are made for.
    """

    def __init__(self, at_once: int = LOOKUPS_AT_ONCE) -> None:
        self._shares = Shares(at_once)

    def of(self, tenant_id: str) -> Resolver:
        """The resolver for the receivers of an organization."""
        return partial(self._resolve, tenant_id)

    async def _resolve(self, tenant_id: str, host: str, port: int) -> list[str]:
        """The addresses that the operating system knows for a host, best first."""
        if not self._shares.may_take(tenant_id):
            raise OSError("too many names of this organization's receivers are being looked up without an answer")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def over(addresses: list[str], error: Exception | None) -> None:
            self._shares.give_back(tenant_id)
            if found.done():  # nobody waits any more
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        def look_up() -> None:
            addresses: list[str] = []
            error: Exception | None = None
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                addresses = [str(address[0]) for *_, address in answers]
            except (OSError, UnicodeError) as failed:
                error = failed
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(over, addresses, error)

        self._shares.take(tenant_id)
        # No pool: its threads would be waited for at the end of the process.
        threading.Thread(target=look_up, name="lookup", daemon=True).start()
        return await found


class Meter:
    """How much a receiver may still send."""

    def __init__(self) -> None:
        self._bytes = MAX_BYTES_BEFORE_ANSWER
        self._pieces = MAX_PIECES

    def answered(self, more_bytes: int) -> None:
        """The final answer is there; so much of its text is of interest."""
        self._bytes += more_bytes

    def count(self, size: int) -> None:
        """A piece has come in.

        Raises:
            httpcore.RemoteProtocolError: it is one too many.
        """
        self._bytes -= size
        self._pieces -= 1
        if self._bytes < 0:
            raise httpcore.RemoteProtocolError("the receiver sends far more than an answer")
        if self._pieces < 0:
            raise httpcore.RemoteProtocolError("the receiver sends its answer in too many pieces")


class _MeteredBytes(anyio.abc.ByteStream):
    def __init__(self, stream: anyio.abc.ByteStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    async def receive(self, max_bytes: int = PIECE_BYTES) -> bytes:
        piece = await self._stream.receive(min(max_bytes, PIECE_BYTES))
        self._meter.count(len(piece))
        await asyncio.sleep(0)
        return piece

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class MeteredStream(httpcore.AsyncNetworkStream):
    """A connection as httpcore uses it."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        try:
            with anyio.fail_after(timeout):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not buffer:
            return
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.WriteError from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout):
                stream = await TLSStream.wrap(
                    self._stream, server_side=False, hostname=server_hostname, ssl_context=ssl_context,
                    standard_compatible=False,
                )  # fmt: skip
        except BaseException as error:
            await self.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from error
            if isinstance(error, anyio.BrokenResourceError | anyio.EndOfStream | ssl.SSLError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        return MeteredStream(stream)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        del info  # of TLS httpcore asks only whether HTTP/2 was agreed on, which is never offered
        return None


async def connect(address: str, port: int, meter: Meter, seconds: float | None) -> MeteredStream:
    """Connect to an IP address within ``seconds``.

    Raises:
        httpcore.ConnectError: it does not answer.
        httpcore.ConnectTimeout: the time is over.
    """
    try:
        with anyio.fail_after(seconds):
            stream = await anyio.connect_tcp(address, port)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout from error
    except (OSError, anyio.BrokenResourceError) as error:
        raise httpcore.ConnectError(str(error)) from error
    return MeteredStream(_MeteredBytes(stream, meter))
