"""The sender against real receivers: good, broken, slow, hostile."""

import asyncio
import gzip
import json
import re
import socket
import ssl

import anyio
import httpcore
import pytest
import svix.webhooks
from standardwebhooks import Webhook, WebhookVerificationError

from services.webhooks.domain.schedule import AttemptResult
from services.webhooks.http_sender import (
    MAX_RESPONSE_BYTES,
    TRANSPORT_ERRORS,
    HttpSender,
    Progress,
    failure_text,
)
from tests.integration.webhooks.posting import BODY, LOCAL, OLD_SECRET, SECRET, post, post_to
from tests.integration.webhooks.receivers import answer, receiving, reset


async def test_a_receiver_can_verify_what_it_got() -> None:
    async with receiving(answer("200 OK", b"thanks")) as receiver:
        outcome = await post(f"http://127.0.0.1:{receiver.port}/hook;v=1?a=b", secrets=(SECRET, OLD_SECRET))
    assert (outcome.result, outcome.status_code) == (AttemptResult.DELIVERED, 200)
    assert (outcome.error, outcome.response_excerpt) == (None, "thanks")

    request = receiver.requests[0]
    assert request.line == "POST /hook;v=1?a=b HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "Rowdock-Webhooks/1"
    assert request.headers["webhook-id"] == "delivery1"
    assert request.headers["webhook-timestamp"] == str(int(outcome.at.timestamp()))
    assert request.body == BODY
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(request.body, request.headers) == json.loads(BODY)
        svix.webhooks.Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(SECRET).verify(request.body + b" ", request.headers)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("204 No Content", AttemptResult.DELIVERED),
        ("400 Bad Request", AttemptResult.FAILED),
        ("410 Gone", AttemptResult.GONE),
        ("500 Internal Server Error", AttemptResult.FAILED),
        ("502 Bad Gateway", AttemptResult.THROTTLED),
    ],
)
async def test_the_status_decides(status: str, result: AttemptResult) -> None:
    outcome = await post_to(answer(status))
    assert (outcome.result, outcome.status_code) == (result, int(status[:3]))


async def test_retry_after_is_passed_on() -> None:
    outcome = await post_to(answer("429 Too Many Requests", retry_after="17"))
    assert (outcome.result, outcome.retry_after) == (AttemptResult.THROTTLED, 17)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with receiving(answer("200 OK")) as inside:
        outcome = await post_to(answer(status, location=f"http://127.0.0.1:{inside.port}/"))
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, int(status[:3]))
    assert inside.connections == 0


async def test_a_redirect_to_itself_is_asked_once() -> None:
    async with receiving(answer("302 Found", location="/hook")) as loop:
        outcome = await post(f"http://127.0.0.1:{loop.port}/hook")
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, 302)
    assert loop.connections == 1


async def test_a_receiver_that_never_answers() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with asyncio.timeout(60):
        outcome = await post_to(silent, HttpSender(LOCAL, total_seconds=1))
    assert (outcome.result, outcome.status_code) == (AttemptResult.THROTTLED, None)
    assert outcome.duration_ms >= 990
    assert outcome.error == "no answer in time: gave up after 1.0 s of waiting for the answer"


async def test_a_head_that_drips() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    outcome = await post_to(drip, HttpSender(LOCAL, total_seconds=0.4))
    assert (outcome.result, outcome.status_code) == (AttemptResult.THROTTLED, None)


async def test_a_body_that_drips_does_not_undo_the_status() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with asyncio.timeout(60):
        outcome = await post_to(drip, HttpSender(LOCAL, total_seconds=1))
    assert outcome.result is AttemptResult.DELIVERED
    assert 1 <= len(outcome.response_excerpt) <= 20


async def test_an_endless_body_is_left_early() -> None:
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 Broken\r\ncontent-length: 10000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    outcome = await post_to(flood)
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, 500)
    assert outcome.response_excerpt == "x" * 1024
    assert outcome.duration_ms < 5_000
    # What the buffers of two sockets hold comes on top of what was read.
    assert sent < MAX_RESPONSE_BYTES + 32 * 1024 * 1024


async def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    outcome = await post_to(answer("200 OK", bomb, content_encoding="gzip"))
    assert (outcome.result, outcome.response_excerpt) == (AttemptResult.DELIVERED, "")


async def test_the_excerpt_is_text() -> None:
    outcome = await post_to(answer("400 Bad", b"a\x00b\x1b[31m\xff\n" + "é".encode() * 1000))
    assert outcome.response_excerpt.startswith("a b [31m\né")
    assert len(outcome.response_excerpt.encode()) <= 1024


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-pad: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "cut off", "not HTTP", "endless header"],
)
async def test_a_receiver_that_closes_early_or_speaks_something_else(start: bytes) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()

    outcome = await post_to(script)
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
    assert (outcome.error or "").startswith("no answer: ")


async def test_a_connection_that_is_reset() -> None:
    outcome = await post_to(reset)
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
    assert outcome.error == "no answer: the receiver broke the connection off, while waiting for the answer"


HTTPCORE_ERRORS = [
    error
    for name in httpcore.__all__
    if isinstance(error := getattr(httpcore, name), type) and issubclass(error, TRANSPORT_ERRORS)
]


@pytest.mark.parametrize(
    "error",
    [
        *(kind(*args) for kind in HTTPCORE_ERRORS for args in ((), ("",), (".",), (anyio.BrokenResourceError(),))),
        *(kind() for kind in (OSError, TimeoutError, ConnectionResetError, BrokenPipeError, ssl.SSLError)),
    ],
    ids=repr,
)
def test_an_error_that_says_nothing_has_a_text_all_the_same(error: Exception) -> None:
    assert re.fullmatch(
        r"no answer: (the receiver broke the connection off|what the receiver sent is not HTTP), while connecting"
        r"|no answer in time: gave up after 0\.0 s of connecting",
        failure_text(error, Progress()),
    )


def test_every_transport_error_of_the_library_is_looked_at() -> None:
    names = {error.__name__ for error in HTTPCORE_ERRORS}
    assert {"ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "WriteError", "WriteTimeout"} <= names
    assert {"LocalProtocolError", "RemoteProtocolError"} <= names


async def test_the_phase_is_told() -> None:
    progress = Progress()
    for event, phase in [
        ("connection.connect_tcp.started", "connecting"),
        ("connection.connect_tcp.complete", "connecting"),
        ("connection.start_tls.started", "agreeing on TLS"),
        ("http11.send_request_headers.started", "sending the request"),
        ("http11.send_request_body.started", "sending the request"),
        ("http11.receive_response_headers.started", "waiting for the answer"),
        ("http11.receive_response_body.started", "reading the answer"),
        ("http11.response_closed.started", "reading the answer"),
    ]:
        await progress.trace(event, {})
        assert failure_text(httpcore.ReadError("it broke."), progress) == f"no answer: it broke, while {phase}"
        assert failure_text(TimeoutError(), progress).endswith(f" s of {phase}")


async def test_a_body_cut_off_does_not_undo_the_status() -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npartial")
        await writer.drain()

    outcome = await post_to(script)
    assert (outcome.result, outcome.response_excerpt) == (AttemptResult.DELIVERED, "partial")


async def test_nobody_listens() -> None:
    async with receiving(answer("200 OK")) as receiver:
        port = receiver.port
    outcome = await post(f"http://127.0.0.1:{port}/")
    assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
    assert outcome.error == "no answer: All connection attempts failed, while connecting"


async def test_a_host_that_takes_no_connection() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            sender = HttpSender(LOCAL, connect_seconds=0.3)
            outcome = await post(f"http://127.0.0.1:{full.getsockname()[1]}/", sender)
        finally:
            for each in waiting:
                each.close()
    assert outcome.result is AttemptResult.THROTTLED
    assert outcome.error == "no answer in time: gave up after 0.3 s of connecting"


async def test_a_slow_receiver_does_not_hold_up_another() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    sender = HttpSender(LOCAL, total_seconds=3)
    async with receiving(silent) as slow, receiving(answer("200 OK")) as quick:
        waiting = [asyncio.create_task(post(f"http://127.0.0.1:{slow.port}/", sender)) for _ in range(20)]
        outcome = await post(f"http://127.0.0.1:{quick.port}/", sender)
        assert outcome.result is AttemptResult.DELIVERED
        assert not any(task.done() for task in waiting)
        assert {task.result for task in await asyncio.gather(*waiting)} == {AttemptResult.THROTTLED}


async def test_cancelling_is_not_an_outcome() -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    async with receiving(silent) as receiver:
        task = asyncio.create_task(post(f"http://127.0.0.1:{receiver.port}/"))
        async with asyncio.timeout(60):
            await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",), ("whsec_c2hvcnQ=",), (SECRET, f"{SECRET}!")])
async def test_a_secret_that_cannot_sign_is_our_own_fault(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"secret|base64|data"):
        await post("http://127.0.0.1:1/", secrets=secrets)
