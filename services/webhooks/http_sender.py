"""Sends one webhook: signed, to a checked address only, within a time and a size.

Straight on httpcore, the layer below httpx: it connects where it is told, follows no redirect,
reads no proxy from the environment, keeps no cookie and decompresses nothing, and its network
backend is a public parameter. One connection per attempt, so that every attempt is checked anew.
"""

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

import httpcore
from standardwebhooks import Webhook

from libs.egress.rules import HTTPS_PORTS, IPNetwork, address_refusal, url_problem
from services.webhooks.domain.delivery import MAX_ERROR_CHARS, MAX_EXCERPT_BYTES, AttemptOutcome
from services.webhooks.domain.schedule import AttemptResult, result_of, retry_after_seconds

MAX_RESPONSE_BYTES = 64 * 1024
MAX_ADDRESSES_TRIED = 3
MIN_SECRET_BYTES = 24  # Standard Webhooks 1.0.0, "Signature scheme"
USER_AGENT = "Rowdock-Webhooks/1"

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses; raises ``OSError`` where there are none."""


class EgressRefusedError(Exception):
    """The request would have gone where webhooks may not go; no connection was made."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that the operating system knows for a host, best first."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in answers]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, refuses if any answer is refused, and connects to an address it has checked.

    httpcore takes the name for SNI, certificate and Host from the URL, so those stay the host's.
    """

    def __init__(self, allowed_networks: Collection[IPNetwork], resolver: Resolver, *, encrypted: bool) -> None:
        self._allowed_networks = allowed_networks
        self._resolver = resolver
        self._encrypted = encrypted
        # httpcore declares a second class of this name, for where anyio is missing, outside the protocol.
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects within ``timeout`` seconds, name resolution included.

        Raises:
            EgressRefusedError: an address of the host may not be reached.
            httpcore.ConnectError: the host has no address or none of them answers.
            httpcore.ConnectTimeout: the time is over.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = list(dict.fromkeys(await self._resolver(host, port)))
                for address in addresses:
                    if refusal := address_refusal(address, self._allowed_networks, encrypted=self._encrypted):
                        raise EgressRefusedError(f"{host} leads to an address not allowed: {refusal}")
                return await self._connect_to_first(
                    addresses[:MAX_ADDRESSES_TRIED], port, timeout, local_address, socket_options
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection to {host} in time") from error
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error.strerror}") from error

    async def _connect_to_first(
        self,
        addresses: Sequence[str],
        port: int,
        seconds: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        # Each gets its share of the time: a dead IPv6 route must not hide a live IPv4 address.
        share = seconds / len(addresses) if seconds and addresses else seconds
        error: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error


class HttpSender:
    """Makes one attempt at a time; safe to use from many tasks at once.

    Args:
        allowed_networks: networks that the operator opened, e.g. ``127.0.0.0/8`` for a local stack.
        https_ports: ports that receivers outside those networks may listen on.
        total_seconds: for the whole attempt, from name resolution to the end of the answer.
        connect_seconds: for name resolution and connection, and again for the TLS handshake.
        resolver: finds the addresses of a host.
        ssl_context: whom to trust; the system's and certifi's authorities where absent.
    """

    def __init__(
        self,
        allowed_networks: Collection[IPNetwork] = (),
        https_ports: Collection[int] = HTTPS_PORTS,
        total_seconds: float = 15,
        connect_seconds: float = 5,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_networks = allowed_networks
        self._https_ports = https_ports
        self._total_seconds = total_seconds
        self._timeouts = {"connect": connect_seconds, "read": total_seconds, "write": total_seconds}
        self._resolver = resolver
        self._ssl_context = ssl_context or httpcore.default_ssl_context()

    async def send(self, url: str, secrets: Sequence[str], delivery_id: str, body: bytes) -> AttemptOutcome:
        """Posts ``body`` (UTF-8) as it is and says what came of it, whatever the receiver does.

        The final status decides, also where the text after it is late, cut off or endless.

        Args:
            url: of the receiver.
            secrets: ``whsec_…``, newest first; one signature for each, so that they can be rotated.
            delivery_id: the same for every attempt; holds no dot.
            body: what is signed and sent.

        Raises:
            ValueError: there is no secret, or one is not the base64 of 24 bytes or more.
        """
        at, started = datetime.now(UTC), time.monotonic()
        result = AttemptResult.FAILED
        if problem := url_problem(url, self._allowed_networks, self._https_ports):
            return AttemptOutcome(result=result, at=at, duration_ms=0, error=problem[:MAX_ERROR_CHARS])
        target, headers = _target(url), _signed_headers(url, secrets, delivery_id, at, body)
        answer, error, text = None, "", bytearray()
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                self._connection(target) as connection,
                connection.stream(
                    "POST", target, headers=headers, content=body, extensions={"timeout": self._timeouts}
                ) as answer,
            ):
                async for chunk in answer.aiter_stream():
                    text += chunk
                    if len(text) >= MAX_RESPONSE_BYTES:
                        break
        except EgressRefusedError as refused:
            error = str(refused)
        except (TimeoutError, httpcore.TimeoutException) as late:
            result = AttemptResult.THROTTLED
            error = f"no answer in time: {late or f'{self._total_seconds:g} s are over'}"
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as broken:
            error = f"no answer: {broken or type(broken).__name__}"
        duration_ms = round((time.monotonic() - started) * 1000)
        if answer is None:
            return AttemptOutcome(result=result, at=at, duration_ms=duration_ms, error=error[:MAX_ERROR_CHARS])
        return AttemptOutcome(
            result=result_of(answer.status),
            at=at,
            duration_ms=duration_ms,
            status_code=answer.status,
            retry_after=_retry_after(answer),
            response_excerpt=_excerpt(answer, bytes(text)),
        )

    def _connection(self, target: httpcore.URL) -> httpcore.AsyncHTTPConnection:
        backend = GuardedBackend(self._allowed_networks, self._resolver, encrypted=target.scheme == b"https")
        return httpcore.AsyncHTTPConnection(target.origin, ssl_context=self._ssl_context, network_backend=backend)


def _target(url: str) -> httpcore.URL:
    # Split here, because httpcore's own parser loses ";parameters" of the path.
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=path)


def _signed_headers(
    url: str, secrets: Sequence[str], delivery_id: str, at: datetime, body: bytes
) -> dict[str | bytes, str | bytes]:
    """Standard Webhooks 1.0.0; the library hashes the text it is given, which is ``body`` again."""
    if not secrets:
        raise ValueError("a webhook needs a secret to be signed with")
    text = body.decode()
    signers = [_signer(secret) for secret in secrets]
    return {
        "host": urlsplit(url).netloc,
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signer.sign(delivery_id, at, text) for signer in signers),
    }


def _signer(secret: str) -> Webhook:
    # The library drops what is not base64 and takes a key of any length.
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"a webhook secret needs {MIN_SECRET_BYTES} bytes or more; this one has {len(key)}")
    return Webhook(key)


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in answer.headers if key.lower() == name), "")


def _retry_after(answer: httpcore.Response) -> float | None:
    return retry_after_seconds(_header(answer, b"retry-after"), datetime.now(UTC))


def _excerpt(answer: httpcore.Response, body: bytes) -> str:
    """The start of the text, for the owner's log: no control characters, nothing compressed."""
    if _header(answer, b"content-encoding").lower() not in {"", "identity"}:
        return ""
    text = body[:MAX_EXCERPT_BYTES].decode("utf-8", "ignore")
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
