"""Sends one webhook: signed, to a checked address only, within a time and a size.

Straight on httpcore, the layer below httpx: it connects where it is told, follows no redirect,
reads no proxy from the environment, keeps no cookie and decompresses nothing, and its network
backend is a public parameter. One connection per attempt, so that every attempt is checked anew.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpcore
from standardwebhooks import Webhook

from libs.egress.rules import HTTPS_PORTS, IPNetwork, address_refusal, url_problem
from services.webhooks.domain.delivery import MAX_ERROR_CHARS, MAX_EXCERPT_BYTES, AttemptOutcome
from services.webhooks.domain.schedule import AttemptResult, result_of, retry_after_seconds
from services.webhooks.metered_network import Lookups, Meter, Resolver, connect

MAX_RESPONSE_BYTES = 64 * 1024
MAX_ADDRESSES_TRIED = 3
MIN_SECRET_BYTES = 24  # Standard Webhooks 1.0.0, "Signature scheme"
USER_AGENT = "Rowdock-Webhooks/1"


class EgressRefusedError(Exception):
    """The request would have gone where webhooks may not go; no connection was made."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, refuses if any answer is refused, and connects to an address it has checked.

    httpcore takes the name for SNI, certificate and Host from the URL, so those stay the host's.
    """

    def __init__(
        self, allowed_networks: Collection[IPNetwork], resolver: Resolver, meter: Meter, *, encrypted: bool
    ) -> None:
        self._allowed_networks = allowed_networks
        self._resolver = resolver
        self._meter = meter
        self._encrypted = encrypted

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
        del local_address, socket_options  # the sender asks for none
        began = time.monotonic()
        addresses = await self._resolve(host, port, timeout)
        for address in addresses:
            if refusal := address_refusal(address, self._allowed_networks, encrypted=self._encrypted):
                raise EgressRefusedError(f"{host} leads to an address not allowed: {refusal}")
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        return await self._connect_to_first(addresses[:MAX_ADDRESSES_TRIED], port, left)

    async def _resolve(self, host: str, port: int, seconds: float | None) -> list[str]:
        """The addresses of a host, each once."""
        try:
            async with asyncio.timeout(seconds):
                addresses = list(dict.fromkeys(await self._resolver(host, port)))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"the name {host} was not resolved") from error
        # UnicodeError: Python's own refusal of a name that DNS cannot hold.
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {reason}") from error
        if not addresses:
            raise httpcore.ConnectError(f"the name {host} has no address")
        return addresses

    async def _connect_to_first(
        self,
        addresses: Sequence[str],
        port: int,
        seconds: float | None,
    ) -> httpcore.AsyncNetworkStream:
        # Each gets its share of the time: a dead IPv6 route must not hide a live IPv4 address.
        share = None if seconds is None else seconds / len(addresses)
        error: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            try:
                return await connect(address, port, self._meter, share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore.ConnectError("there is no address to connect to")


TRANSPORT_ERRORS = (TimeoutError, OSError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
"""What a receiver, or the way to it, can do to an attempt."""
_LATE = (TimeoutError, httpcore.TimeoutException)


class Progress:
    """How far an attempt is, as httpcore tells its ``trace``."""

    _PHASES: ClassVar = {
        "connect_tcp": "connecting",
        "start_tls": "agreeing on TLS",
        "send_request_headers": "sending the request",
        "receive_response_headers": "waiting for the answer",
        "receive_response_body": "reading the answer",
    }

    def __init__(self) -> None:
        self.phase = "connecting"
        self._began = self._phase_began = time.monotonic()

    @property
    def duration_ms(self) -> int:
        """Milliseconds since the attempt began."""
        return round((time.monotonic() - self._began) * 1000)

    @property
    def phase_seconds(self) -> float:
        """Seconds since the present phase began."""
        return time.monotonic() - self._phase_began

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event such as ``http11.receive_response_headers.started``."""
        del info
        _, step, state = event.split(".")
        if state == "started" and step in self._PHASES:
            self.phase = self._PHASES[step]
            self._phase_began = time.monotonic()


class HttpSender:
    """Makes one attempt at a time; safe to use from many tasks at once.

    Args:
        allowed_networks: networks that the operator opened, e.g. ``127.0.0.0/8`` for a local stack.
        https_ports: ports that receivers outside those networks may listen on.
        total_seconds: for the whole attempt, from name resolution to the end of the answer.
        connect_seconds: for name resolution and connection, and again for the TLS handshake.
        resolver: finds the addresses of a host, whoever's it is; by default the operating system, in ``Lookups``.
        ssl_context: whom to trust; the system's and certifi's authorities where absent.
    """

    def __init__(
        self,
        allowed_networks: Collection[IPNetwork] = (),
        https_ports: Collection[int] = HTTPS_PORTS,
        total_seconds: float = 15,
        connect_seconds: float = 5,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_networks = allowed_networks
        self._https_ports = https_ports
        self._total_seconds = total_seconds
        self._timeouts = {"connect": connect_seconds, "read": total_seconds, "write": total_seconds}
        self._resolver = resolver
        self._lookups = Lookups()
        self._ssl_context = ssl_context or httpcore.default_ssl_context()

    async def send(
        self, url: str, secrets: Sequence[str], delivery_id: str, body: bytes, tenant_id: str = ""
    ) -> AttemptOutcome:
        """Post ``body`` (UTF-8) as it is, once.

        The final status decides, also where the text after it is late, cut off or endless.

        Args:
            url: of the receiver.
            secrets: ``whsec_…``, newest first; one signature for each, so that they can be rotated.
            delivery_id: the same for every attempt; holds no dot.
            body: what is signed and sent.
            tenant_id: the organization that is told.

        Raises:
            ValueError: there is no secret, or one is not the base64 of 24 bytes or more.
        """
        at, progress = datetime.now(UTC), Progress()
        if problem := url_problem(url, self._allowed_networks, self._https_ports):
            return AttemptOutcome(
                result=AttemptResult.FAILED, at=at, duration_ms=0, error=problem[:MAX_ERROR_CHARS], url=url
            )
        target, headers = _target(url), _signed_headers(url, secrets, delivery_id, at, body)
        extensions = {"timeout": self._timeouts, "trace": progress.trace}
        result, answer, failure, text, meter = AttemptResult.FAILED, None, "", bytearray(), Meter()
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                self._connection(target, tenant_id, meter) as connection,
                connection.stream("POST", target, headers=headers, content=body, extensions=extensions) as answer,
            ):
                meter.answered(MAX_RESPONSE_BYTES)
                async for chunk in answer.aiter_stream():
                    text += chunk
                    if len(text) >= MAX_RESPONSE_BYTES:
                        break
        except EgressRefusedError as refused:
            failure = str(refused)
        except TRANSPORT_ERRORS as error:
            result = AttemptResult.THROTTLED if isinstance(error, _LATE) else AttemptResult.FAILED
            failure = failure_text(error, progress)
        duration_ms = progress.duration_ms
        if answer is None:
            return AttemptOutcome(
                result=result, at=at, duration_ms=duration_ms, error=failure[:MAX_ERROR_CHARS], url=url
            )
        return AttemptOutcome(
            result=result_of(answer.status),
            at=at,
            duration_ms=duration_ms,
            status_code=answer.status,
            retry_after=_retry_after(answer),
            response_excerpt=_excerpt(answer, bytes(text)),
            url=url,
        )

    def _connection(self, target: httpcore.URL, tenant_id: str, meter: Meter) -> httpcore.AsyncHTTPConnection:
        resolver = self._resolver or self._lookups.of(tenant_id)
        backend = GuardedBackend(self._allowed_networks, resolver, meter, encrypted=target.scheme == b"https")
        return httpcore.AsyncHTTPConnection(target.origin, ssl_context=self._ssl_context, network_backend=backend)


def failure_text(error: Exception, progress: Progress) -> str:
    """Why there was no answer, for the owner of the receiver; never empty, whatever ``error`` says of itself."""
    said = str(error).rstrip(".")
    if not any(map(str.isalnum, said)):  # "" or, of a bare ssl.SSLError, "()"
        said = ""
    if isinstance(error, _LATE):
        waited = f"no answer in time: gave up after {progress.phase_seconds:.1f} s of {progress.phase}"
        return f"{waited}; {said}" if said else waited
    return f"no answer: {said or _nameless(error)}, while {progress.phase}"


def _nameless(error: Exception) -> str:
    if isinstance(error, httpcore.ProtocolError):
        return "what the receiver sent is not HTTP"
    return "the receiver broke the connection off"


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
