"""What a client may take of the server itself, without any key: time, connections, memory. Real sockets."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from litestar import Litestar

from libs.process.http_edge import MAX_HEAD_BYTES
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.streams import connection
from tests.integration.gateway.test_server import answer_to, served

HEADER_SECONDS = 0.4
OPENAPI = b"GET /schema/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def connected(port: int, *sent: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with connection(port) as (reader, writer):
        for portion in sent:
            writer.write(portion)
        yield reader, writer


async def eventually(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


async def read_to_the_end(reader: asyncio.StreamReader, seconds: float = 60) -> bytes:
    """What comes until the server ends the connection."""
    received = b""
    async with asyncio.timeout(seconds):
        try:
            while portion := await reader.read(65_536):
                received += portion
        except ConnectionResetError:
            pass
    return received


async def test_a_header_without_end_is_answered_in_time(app: Litestar) -> None:
    async with served(app, header_seconds=HEADER_SECONDS) as port:
        status, headers, body = await answer_to(port, b"GET /imports/runs HTTP/1.1\r\nHost: a\r\nX: ")
    error = json.loads(body)
    assert (status, error["status_code"], error["code"]) == (408, 408, "REQUEST_TIMEOUT")
    assert "0.4 seconds" in error["detail"]
    assert headers["connection"] == "close"


@pytest.mark.parametrize("first", [b"", OPENAPI], ids=["at once", "after an answer"])
async def test_a_header_that_trickles_is_given_up_however_busy_it_looks(app: Litestar, first: bytes) -> None:
    async with (
        served(app, header_seconds=HEADER_SECONDS, keep_alive_seconds=HEADER_SECONDS) as port,
        connected(port, first) as (reader, writer),
    ):
        if first:
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")

        async def trickle() -> None:
            while not writer.is_closing():
                writer.write(b"X")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        await read_to_the_end(reader)  # or it would trickle for ever
        trickling.cancel()


async def test_a_connection_that_says_nothing_is_ended(app: Litestar) -> None:
    async with served(app, header_seconds=HEADER_SECONDS) as port, connected(port) as (reader, _):
        await read_to_the_end(reader, 10 * HEADER_SECONDS)


async def test_an_idle_connection_may_be_used_again(app: Litestar) -> None:
    async with (
        served(app, header_seconds=HEADER_SECONDS, keep_alive_seconds=3 * HEADER_SECONDS) as port,
        connected(port, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n") as (reader, writer),
    ):
        for _ in range(2):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
            await asyncio.sleep(2 * HEADER_SECONDS)
            writer.write(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")


async def test_one_that_does_not_read_is_let_go(app: Litestar) -> None:
    """Requests are sent as long as the server takes them; nothing of the answers is read."""
    async with served(app, send_seconds=HEADER_SECONDS) as port:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))

        async def ask_without_reading() -> None:
            while True:
                await loop.sock_sendall(client, OPENAPI)
                await asyncio.sleep(0.001)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask_without_reading(), 30)
        client.close()


async def test_connections_of_one_address_are_bounded_and_given_back(app: Litestar) -> None:
    async with served(app, max_connections_per_address=2) as port:
        async with connected(port), connected(port):
            status, headers, body = await answer_to(port, OPENAPI)
            assert (status, json.loads(body)["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert "from this address" in json.loads(body)["detail"]
            assert headers["retry-after"] == "10"

        async def there_is_room() -> bool:
            return (await answer_to(port, OPENAPI.replace(b"Host: a", b"Host: a\r\nConnection: close")))[0] == 200

        await eventually(there_is_room, "there is room again")


async def test_connections_in_all_are_bounded(app: Litestar) -> None:
    async with served(app, max_connections=1, max_connections_per_address=0) as port, connected(port):
        status, _, body = await answer_to(port, OPENAPI)
        assert (status, json.loads(body)["code"]) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("line", [b"a:\r\n", b"X-Long-Name: value\r\n"])
async def test_headers_that_come_whole_are_limited_as_those_that_do_not(app: Litestar, line: bytes) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + line * (8 * MAX_HEAD_BYTES // len(line)) + b"\r\n"
    async with served(app) as port:
        status, _, body = await answer_to(port, request)
    assert (status, json.loads(body)["code"]) == (431, "REQUEST_HEADER_FIELDS_TOO_LARGE")


async def test_only_so_much_is_sent_ahead_of_an_answer(app: Litestar) -> None:
    ahead = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * MAX_HEAD_BYTES + b"\r\n"
    async with served(app) as port, connected(port, OPENAPI + ahead) as (reader, _):
        answers = await read_to_the_end(reader)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 200")


async def test_a_body_of_json_that_trickles_is_given_up(app: Litestar, acme: Organization) -> None:
    request = (
        b"POST /imports/templates HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        b"Authorization: Bearer " + acme.key.encode() + b"\r\n\r\n{"
    )
    async with served(app) as port:
        status, headers, body = await answer_to(port, request)
    assert (status, json.loads(body)["code"]) == (408, "BODY_STALLED")
    assert headers["connection"] == "close"
