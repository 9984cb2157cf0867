"""Receivers that answer so that it costs: each attempt at them ends early, and the loop is free meanwhile."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from libs.messaging.cancellation import end_tasks
from services.webhooks.domain.schedule import AttemptResult
from services.webhooks.http_sender import HttpSender
from services.webhooks.metered_network import Lookups
from tests.integration.webhooks.posting import LOCAL, post, post_to
from tests.integration.webhooks.receivers import Script, answer, receiving

MAX_BLOCKED_SECONDS = 0.1


@asynccontextmanager
async def loop_kept_free() -> AsyncIterator[list[float]]:
    """How long the event loop was held up at a time, in seconds, for the length of a block."""
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            pauses.append(time.perf_counter() - began - 0.002)

    ticking = asyncio.create_task(tick())
    try:
        yield pauses
    finally:
        await end_tasks([ticking])


def flood(portion: bytes, first: bytes = b"", times: int = 100_000) -> Script:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for _ in range(times):
            writer.write(portion)
            await writer.drain()

    return script


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FLOODS = {
    "100 Continue": flood(CONTINUE * 2_000),
    "103 Early Hints": flood(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 1_000),
    "headers without end": flood(b"a:\r\n" * 10_000, b"HTTP/1.1 200 OK\r\n"),
    "one header without end": flood(b"x" * 65_536, b"HTTP/1.1 200 OK\r\nx: "),
    "many headers": flood(b"", b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 100_000 + b"content-length: 0\r\n\r\n", 0),
}


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_before_the_answer_is_a_short_failure(script: Script) -> None:
    cpu = time.process_time()
    async with loop_kept_free() as pauses:
        outcome = await post_to(script, HttpSender(LOCAL, total_seconds=10))
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
    assert outcome.error is not None
    assert "far more than an answer" in outcome.error
    assert outcome.duration_ms < 9_000
    assert time.process_time() - cpu < 2, "processor of receiver and sender together"
    assert sorted([0.0, 0.0, *pauses])[-2] < MAX_BLOCKED_SECONDS, "one may be the machine's"


async def test_an_answer_in_single_bytes_is_given_up() -> None:
    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    outcome = await post_to(trickle, HttpSender(LOCAL, total_seconds=20))
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
    assert outcome.error is not None
    assert "too many pieces" in outcome.error or "far more" in outcome.error


async def test_a_few_informational_answers_and_long_headers_are_fine() -> None:
    final = b"HTTP/1.1 200 OK\r\nset-cookie: " + b"c" * 15_000 + b"\r\ncontent-length: 2\r\n\r\nok"
    outcome = await post_to(flood(final, CONTINUE * 20, 1))
    assert (outcome.result, outcome.status_code, outcome.response_excerpt) == (AttemptResult.DELIVERED, 200, "ok")


async def test_a_flood_does_not_hold_up_another() -> None:
    sender = HttpSender(LOCAL, total_seconds=10)
    async with receiving(FLOODS["100 Continue"]) as hostile, receiving(answer("200 OK")) as honest:
        floods = [asyncio.create_task(post(f"http://127.0.0.1:{hostile.port}/", sender)) for _ in range(16)]
        assert (await post(f"http://127.0.0.1:{honest.port}/", sender)).result is AttemptResult.DELIVERED
        assert {outcome.result for outcome in await asyncio.gather(*floods)} == {AttemptResult.FAILED}


async def test_a_handshake_that_floods_is_given_up() -> None:
    """Records of TLS that say nothing, without end."""
    records = b"\x16\x03\x03\x00\x01\x00" * 10_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(10)
            for _ in range(10_000):
                writer.write(records)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with loop_kept_free() as pauses:
        outcome = await post(f"https://127.0.0.1:{port}/", HttpSender(LOCAL, total_seconds=10))
    server.close()
    assert outcome.result is AttemptResult.FAILED
    assert outcome.duration_ms < 9_000
    assert sorted([0.0, 0.0, *pauses])[-2] < MAX_BLOCKED_SECONDS


async def test_names_that_hang_hold_up_their_own_organization_only(monkeypatch: pytest.MonkeyPatch) -> None:

    over = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> Iterable[object]:
        if host.startswith("hang"):
            over.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    lookups = Lookups(at_once=8)
    hanging = [asyncio.create_task(lookups.of("greedy")(f"hang{number}", 80)) for number in range(20)]
    try:
        assert await lookups.of("other")("example.com", 80) == ["127.0.0.1"]
        refused = [task for task in hanging if task.done()]
        assert len(refused) == 16, "four of eight are at work"
        assert all("being looked up" in str(task.exception()) for task in refused)
        for task in hanging:  # whoever gives up waiting frees nothing: the thread is still there
            task.cancel()
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="being looked up"):
            await lookups.of("greedy")("hang", 80)
    finally:
        over.set()
        await asyncio.gather(*hanging, return_exceptions=True)

    async def free_again() -> bool:
        with suppress(OSError):
            return await lookups.of("greedy")("example.com", 80) == ["127.0.0.1"]
        return False

    async with asyncio.timeout(60):
        while not await free_again():  # noqa: ASYNC110 - threads end when they do
            await asyncio.sleep(0.01)
