"""The public keys that sign session tokens: fetched from one configured address, kept, and renewed.

Nothing that a token says decides where keys come from, and nothing that anybody sends makes more than one request of a
gateway in ``REFRESH_SECONDS``: of tokens whose key is unknown the first has the keys fetched, the others are refused
until they may be fetched again.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpcore
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from libs.contracts.errors import TransientError
from libs.telemetry.error_text import error_text

REFRESH_SECONDS: Final = 10.0
"""Least time between two fetches; after failures it doubles, up to ``MAX_PAUSE_SECONDS``."""
MAX_PAUSE_SECONDS: Final = 300.0
RENEW_SECONDS: Final = 3_600.0
"""After so long the keys are fetched anew although they are known, while the old ones serve."""
KEPT_SECONDS: Final = 86_400.0
"""So long keys serve when they cannot be fetched any more."""
FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 256 * 1024
MIN_BITS: Final = 2_048

Fetch = Callable[[], Awaitable[bytes]]
FETCH_ERRORS = (
    TimeoutError, OSError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, TransientError,
    ValueError,
)  # fmt: skip

logger = structlog.get_logger()


class SigningKeys:
    """The keys by their ``kid``.

    Args:
        fetch: gets the key set (RFC 7517) as JSON; raises one of ``FETCH_ERRORS``.
        clock: seconds, never going back.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._next_at = clock()
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> RSAPublicKey | None:
        """The key of that name; ``None`` where there is none.

        Raises:
            TransientError: there are no keys at all at the moment.
        """
        self._forget_what_is_too_old()
        known = self._keys.get(kid)
        if known is None:
            await self._renewed()
            known = self._keys.get(kid)
        elif self._fetched_at is not None and self._clock() - self._fetched_at > RENEW_SECONDS:
            self._renewal()  # nobody waits for it
        if known is None and not self._keys:
            raise TransientError("there are no keys to check session tokens with; they cannot be fetched")
        return known

    async def _renewed(self) -> None:
        if (renewal := self._renewal()) is not None:
            # Whoever stops waiting does not stop the others.
            await asyncio.shield(renewal)

    def _renewal(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one if it may begin already."""
        if self._fetching is None and self._clock() >= self._next_at:
            self._fetching = asyncio.create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            found = key_set(await self._fetch())
        except FETCH_ERRORS as error:
            self._failures += 1
            logger.warning("signing_keys.unavailable", error=error_text(error), failures=self._failures)
        else:
            self._keys, self._fetched_at, self._failures = found, self._clock(), 0
        finally:
            pause = min(REFRESH_SECONDS * 2 ** min(self._failures, 10), MAX_PAUSE_SECONDS)
            # Without any keys nobody gets in: it is tried again as soon as that may be.
            self._next_at = self._clock() + (pause if self._keys else REFRESH_SECONDS / 10 * (1 + self._failures))
            self._fetching = None

    def _forget_what_is_too_old(self) -> None:
        if self._fetched_at is not None and self._clock() - self._fetched_at > KEPT_SECONDS:
            self._keys, self._fetched_at = {}, None


def key_set(content: bytes) -> Mapping[str, RSAPublicKey]:
    """The RSA keys for RS256 of a key set, by ``kid``; what else is in it is left out.

    Raises:
        ValueError: it is no key set, or has no such key.
    """
    try:
        decoded: object = json.loads(content)
    except RecursionError:
        raise ValueError("the set of keys is nested too deeply") from None
    entries = cast("dict[str, object]", decoded).get("keys") if isinstance(decoded, dict) else None
    found = dict[str, RSAPublicKey]()
    for entry in cast("list[object]", entries) if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        jwk = cast("dict[str, Any]", entry)
        kid = jwk.get("kid")
        if not isinstance(kid, str) or jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig":
            continue
        try:
            key: object = PyJWK(jwk, algorithm="RS256").key
        except PyJWTError:
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS:
            found[kid] = key
    if not found:
        raise ValueError(f"the set of keys has no RSA key of {MIN_BITS} bits or more")
    return found


def fetching(url: str) -> Fetch:
    """Gets what is at an address that the operator has configured; follows nothing that leads elsewhere.

    Raises:
        ValueError: it is neither https nor on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}):
        raise ValueError("the address of the keys must start with https://")
    tls = ssl.create_default_context()

    async def fetch() -> bytes:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpcore.AsyncConnectionPool(ssl_context=tls) as pool,
            pool.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise TransientError(f"the keys were answered with {answer.status}")
            content = bytearray()
            async for part in answer.aiter_stream():
                content += part
                if len(content) > MAX_BYTES:
                    raise ValueError(f"the keys take more than {MAX_BYTES:,} bytes")
            return bytes(content)

    return fetch
