"""The sender and TLS: receivers that do not agree on it, certificates good and bad."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpcore
import pytest
import trustme

from services.webhooks.domain.delivery import AttemptOutcome
from services.webhooks.domain.schedule import AttemptResult
from services.webhooks.http_sender import (
    HttpSender,
)
from tests.integration.webhooks.posting import LOCAL, post, resolving_to
from tests.integration.webhooks.receivers import Script, answer, receiving, reset


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
