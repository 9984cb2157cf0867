"""The sender against real receivers: good, broken, slow, hostile."""

import asyncio
import base64
import gzip
import json
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import anyio
import httpcore
import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from services.webhooks.domain.delivery import AttemptOutcome
from services.webhooks.domain.schedule import AttemptResult
from services.webhooks.http_sender import (
    MAX_RESPONSE_BYTES,
    TRANSPORT_ERRORS,
    EgressRefusedError,
    GuardedBackend,
    HttpSender,
    Progress,
    Resolver,
    failure_text,
    resolve,
)
from tests.integration.webhooks.receivers import Script, answer, receiving

LOCAL = (ip_network("127.0.0.0/8"),)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
BODY = '{"type":"import.completed","data":{"name":"Zoë"}}'.encode()


async def post(url: str, sender: HttpSender | None = None, secrets: Sequence[str] = (SECRET,)) -> AttemptOutcome:
    return await (sender or HttpSender(LOCAL)).send(url, secrets, "delivery1", BODY)


async def post_to(script: Script, sender: HttpSender | None = None) -> AttemptOutcome:
    async with receiving(script) as receiver:
        return await post(f"http://127.0.0.1:{receiver.port}/hook", sender)


def resolving_to(*answers: Sequence[str]) -> tuple[Resolver, list[str]]:
    """A resolver that gives these answers in turn, and the list of hosts it was asked for."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        del port
        asked.append(host)
        return answers[len(asked) - 1]

    return resolver, asked


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
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)


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


async def test_a_receiver_that_never_answers() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    started = time.monotonic()
    outcome = await post_to(silent, HttpSender(LOCAL, total_seconds=0.3))
    assert time.monotonic() - started < 2
    assert (outcome.result, outcome.status_code) == (AttemptResult.THROTTLED, None)
    assert outcome.duration_ms >= 290
    assert outcome.error == "no answer in time: gave up after 0.3 s of waiting for the answer"


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

    started = time.monotonic()
    outcome = await post_to(drip, HttpSender(LOCAL, total_seconds=0.4))
    assert time.monotonic() - started < 2
    assert outcome.result is AttemptResult.DELIVERED
    assert 1 <= len(outcome.response_excerpt) <= 5


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


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


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

    sender = HttpSender(LOCAL, total_seconds=1)
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
        async with asyncio.timeout(5):
            await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",), ("whsec_c2hvcnQ=",), (SECRET, f"{SECRET}!")])
async def test_a_secret_that_cannot_sign_is_our_own_fault(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"secret|base64|data"):
        await post("http://127.0.0.1:1/", secrets=secrets)


# Where requests may go ---------------------------------------------------------------------------


async def test_http_to_the_internet_and_inside_addresses_are_refused() -> None:
    async with receiving(answer("200 OK")) as receiver:
        for sender in (HttpSender(), HttpSender((ip_network("10.0.0.0/8"),))):
            for scheme in ("http", "https"):
                outcome = await post(f"{scheme}://127.0.0.1:{receiver.port}/", sender)
                assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
                assert outcome.error
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_other_ways_to_write_loopback(host: str) -> None:
    async with receiving(answer("200 OK")) as receiver:
        sender = HttpSender(https_ports=[receiver.port])
        outcome = await post(f"https://{host}:{receiver.port}/", sender)
        assert outcome.result is AttemptResult.FAILED
        assert outcome.error
        # The second line of defence, for what the look at the text let through.
        backend = GuardedBackend((), resolve, encrypted=True)
        with pytest.raises(EgressRefusedError):
            await backend.connect_tcp(host.strip("[]"), receiver.port, timeout=5)
    assert receiver.connections == 0


@pytest.mark.parametrize("inside", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])
async def test_one_refused_address_refuses_the_host(inside: str) -> None:
    resolver, asked = resolving_to(["8.8.8.8", inside])
    async with receiving(answer("200 OK")) as receiver:
        sender = HttpSender(https_ports=[receiver.port], resolver=resolver)
        outcome = await post(f"https://hooks.example:{receiver.port}/", sender)
    assert "not allowed" in (outcome.error or "")
    assert outcome.result is AttemptResult.FAILED
    assert asked == ["hooks.example"]
    assert receiver.connections == 0


async def test_rebinding_between_attempts_is_refused() -> None:
    open_host = (ip_network("127.0.0.2/32"),)
    resolver, asked = resolving_to(["127.0.0.2"], ["127.0.0.1"])
    sender = HttpSender(open_host, resolver=resolver)
    async with receiving(answer("200 OK"), host="0.0.0.0") as receiver:  # noqa: S104 - both addresses answer
        first = await post(f"http://hooks.example:{receiver.port}/", sender)
        second = await post(f"http://hooks.example:{receiver.port}/", sender)
    assert first.result is AttemptResult.DELIVERED
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert second.result is AttemptResult.FAILED
    assert "not allowed" in (second.error or "")
    # One question per attempt: what was checked is what was connected to.
    assert (receiver.connections, len(asked)) == (1, 2)


async def test_plain_http_goes_to_open_networks_only() -> None:
    resolver, _ = resolving_to(["8.8.8.8"])
    outcome = await post("http://hooks.example/", HttpSender(LOCAL, resolver=resolver))
    assert "plain http" in (outcome.error or "")


async def test_the_next_address_is_tried() -> None:
    resolver, _ = resolving_to(["127.0.0.3", "127.0.0.1"])
    async with receiving(answer("200 OK")) as receiver:
        outcome = await post(f"http://hooks.example:{receiver.port}/", HttpSender(LOCAL, resolver=resolver))
    assert outcome.result is AttemptResult.DELIVERED


async def test_a_name_without_addresses() -> None:
    resolver, _ = resolving_to([])
    outcome = await post("https://hooks.example/", HttpSender(resolver=resolver))
    assert "no address" in (outcome.error or "")
    unknown = await post("https://hooks.invalid/")
    assert unknown.result in {AttemptResult.FAILED, AttemptResult.THROTTLED}


async def test_a_resolver_that_hangs() -> None:
    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    started = time.monotonic()
    outcome = await post("https://hooks.example/", HttpSender(connect_seconds=0.2, resolver=hang))
    assert time.monotonic() - started < 2
    assert outcome.result is AttemptResult.THROTTLED
    waited = "no answer in time: gave up after 0.2 s of connecting"
    assert outcome.error == f"{waited}; the name hooks.example was not resolved"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("no servers"), "no servers"),
        (OSError(), "OSError"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
async def test_a_resolver_that_fails(error: Exception, said: str) -> None:
    async def failing(_host: str, _port: int) -> Sequence[str]:
        raise error

    outcome = await post("https://hooks.example/", HttpSender(resolver=failing))
    assert outcome.result is AttemptResult.FAILED
    assert outcome.error == f"no answer: the name hooks.example cannot be resolved: {said}, while connecting"


async def test_the_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer("200 OK")) as proxy, receiving(answer("200 OK")) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome = await post(f"http://127.0.0.1:{receiver.port}/")
    assert outcome.result is AttemptResult.DELIVERED
    assert proxy.connections == 0


# TLS ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(script: Script) -> AsyncIterator[int]:
    """A port where connections are answered without waiting for a request."""
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_tls_that_is_never_agreed_on() -> None:
    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(read_only) as port:
        outcome = await post(f"https://127.0.0.1:{port}/", HttpSender(LOCAL, connect_seconds=0.3))
    assert outcome.result is AttemptResult.THROTTLED
    assert outcome.error == "no answer in time: gave up after 0.3 s of agreeing on TLS"


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("script", "said"), [(hang_up, "broke the connection off"), (reset, "broke the connection off"), (no_tls, "SSL")]
)
async def test_tls_that_fails(script: Script, said: str) -> None:
    async with listening(script) as port:
        outcome = await post(f"https://127.0.0.1:{port}/")
    assert outcome.result is AttemptResult.FAILED
    assert said in (outcome.error or "")
    assert (outcome.error or "").endswith(", while agreeing on TLS")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def post_with_tls(
    authority: trustme.CA, certificate: trustme.LeafCert, *, trusted: bool = True
) -> tuple[AttemptOutcome, list[str | None]]:
    """Posts to ``https://hooks.example``, which is here; also the names that the receiver saw as SNI."""
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    server.sni_callback = lambda _connection, name, _context: names.append(name)
    client = httpcore.default_ssl_context()
    if trusted:
        authority.configure_trust(client)
    resolver, _ = resolving_to(["127.0.0.1"])
    async with receiving(answer("200 OK"), tls=server) as receiver:
        sender = HttpSender(LOCAL, [receiver.port], resolver=resolver, ssl_context=client)
        outcome = await post(f"https://hooks.example:{receiver.port}/", sender)
    if outcome.status_code is not None:
        assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    return outcome, names


async def test_the_certificate_is_the_hosts_though_the_connection_is_to_an_address(authority: trustme.CA) -> None:
    outcome, names = await post_with_tls(authority, authority.issue_cert("hooks.example"))
    assert outcome.result is AttemptResult.DELIVERED
    assert names == ["hooks.example"]


async def test_a_bad_certificate_is_a_failure(authority: trustme.CA) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    bad = [
        (authority.issue_cert("other.example"), True),
        (authority.issue_cert("127.0.0.1"), True),
        (authority.issue_cert("hooks.example", not_before=yesterday - timedelta(days=1), not_after=yesterday), True),
        (authority.issue_cert("hooks.example"), False),
    ]
    for certificate, trusted in bad:
        outcome, _ = await post_with_tls(authority, certificate, trusted=trusted)
        assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
        assert "CERTIFICATE_VERIFY_FAILED" in (outcome.error or "")
