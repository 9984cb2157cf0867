"""``Idempotency-Key``: a repeated request gets the first answer, and has no second effect.

A route that creates something says in its ``opt`` what it reads (``IDEMPOTENT``), and creates what it creates under
``Attempt.effect_id``, or finds it there. The answer is stored before it is sent: what is not stored, nobody has seen.
How an attempt whose process died is taken over, ``docs/adr/0060-repeated-requests.md`` says.
"""

import asyncio
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast

from litestar import Request, Response
from litestar.datastructures import Headers
from litestar.enums import MediaType
from litestar.openapi.spec import OpenAPIHeader, OpenAPIType, Parameter, Schema
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from libs.process.loops import repeating
from libs.storage.documents import IdempotencyRecord, RecordedAnswer
from libs.storage.sealing import SecretKeys
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.envelope import ApiError
from services.gateway.stores.idempotency import LEASE_SECONDS, Claim, Claimed, IdempotencyStore

IDEMPOTENT: Final = "idempotent"
"""Set in the ``opt`` of routes that create something, to what they read."""
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
MAX_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Most of an answer, compressed, that is kept."""
RETRY_AFTER_SECONDS: Final = "1"
IN_FLIGHT: Final = "IDEMPOTENCY_KEY_IN_USE"
REUSED: Final = "IDEMPOTENCY_KEY_REUSED"
_SMALL_BYTES: Final = 64 * 1024
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ATTEMPT: Final = "rowdock_attempt"
_KEPT_HEADERS: Final = frozenset({"content-type", "location", "etag"})
_PLACE: Final = f"header.{IDEMPOTENCY_HEADER}"

IDEMPOTENCY_PARAMETER = Parameter(
    name=IDEMPOTENCY_HEADER,
    param_in="header",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=255),
    description="Makes the request safe to repeat: the same request with the same key is answered as the first was, "
    "with `Idempotent-Replayed: true`, and has no second effect. Another request with it is refused (422 "
    "`IDEMPOTENCY_KEY_REUSED`); while the first is at work, 409 `IDEMPOTENCY_KEY_IN_USE` with `Retry-After`.",
)
REPLAYED = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.STRING, enum=["true"]),
    description="There where this is the answer to an earlier request with the same `Idempotency-Key`.",
)


class Reads(Enum):
    """What a route reads of a request beside its path and query."""

    NOTHING = auto()
    CONTENT = auto()
    """Its handler says by ``Attempt.has_sent`` what has arrived, before anything is created."""
    UPLOAD = auto()
    """… and judges by itself whether two are the same: the key of a refused file may be used for another."""


class Replayed(Exception):  # noqa: N818 - no error: it ends a handler that need not go on
    """The first answer is there."""

    def __init__(self, answer: RecordedAnswer, body: bytes) -> None:
        super().__init__()
        self.answer = answer
        self.body = body


def present_replayed(request: Request[Any, Any, Any], replayed: Replayed) -> Response[bytes]:
    """The first answer, once more."""
    del request
    headers = {**dict(replayed.answer.headers), REPLAYED_HEADER: "true"}
    return Response(replayed.body, status_code=replayed.answer.status, headers=headers, media_type=MediaType.JSON)


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The key of a request that may be repeated.

    Raises:
        InvalidInputError: it is none.
    """
    key = headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 printable ASCII characters without spaces, such as a UUID"
        raise invalid_input(Problem(_PLACE, "INVALID", message))
    return key


@dataclass(slots=True)
class Attempt:
    """One attempt to do what a request with a key asks for.

    Attributes:
        tag: what its answer is about, see ``IdempotencyRecord``.
    """

    _store: IdempotencyStore
    _cipher: SecretKeys
    _claimed: Claimed
    tag: str | None = None
    _held: list[Message] = field(default_factory=list[Message])

    @property
    def effect_id(self) -> str:
        """The id for what is created, the same in every attempt."""
        return self._claimed.record.effect_id

    @property
    def record(self) -> IdempotencyRecord:
        return self._claimed.record

    @property
    def again(self) -> bool:
        """Whether an earlier attempt may have come some way: look first whether the thing is there."""
        return self._claimed.again

    @property
    def answered(self) -> bool:
        """Whether the first answer is there."""
        return self.record.answer is not None

    @property
    def at_work(self) -> bool:
        """Whether it is the attempt that may have an effect."""
        return self._claimed.claim is Claim.MINE

    async def has_sent(self, content: bytes) -> None:
        """What of the request tells it from others has arrived.

        Raises:
            Replayed: the same came earlier, and this was answered.
            ApiError: 422, something else came earlier.
        """
        digest = hashlib.sha256
        hashed = digest(content) if len(content) <= _SMALL_BYTES else await asyncio.to_thread(digest, content)
        told = hashed.hexdigest()
        if self.answered:
            if self.record.content != told:
                raise _reused("what was sent")
            await self.replay()
        if not await self._store.note_content(self.record, told):
            raise _reused("what was sent")

    async def replay(self) -> None:
        """Answer as the first time.

        Raises:
            Replayed: so.
            ApiError: 409, the answer was too large to be kept.
        """
        answer = self.record.answer
        assert answer is not None
        raise await self._replayed(answer)

    async def _replayed(self, answer: RecordedAnswer) -> Replayed:
        if answer.body is None:
            where = dict(answer.headers).get("location", "where it was created")
            raise ApiError(
                HTTPStatus.CONFLICT,
                "IDEMPOTENT_ANSWER_NOT_KEPT",
                f"the request was done, and its answer was too large to be kept; see {where}",
            )
        body = answer.body
        return Replayed(answer, await asyncio.to_thread(lambda: zlib.decompress(self._cipher.decrypt(body))))

    # --- around the handler ----------------------------------------------------------------------

    async def hold(self, message: Message) -> None:
        """Keep a message of the answer back until it is stored."""
        self._held.append(message)

    async def renew(self) -> None:
        """Tell others that it is still at work."""
        if self.at_work:
            await self._store.renew(self.record)

    async def free(self) -> None:
        """Let the next attempt go on from here."""
        if self.at_work:
            await self._store.free(self.record)

    async def settle(self, send: Send) -> None:
        """Store the answer, then send it.

        Raises:
            Replayed: another attempt took over and was faster; its answer is the first.
            ApiError: 409, another attempt took over and is at work.
        """
        start = self._held[0]
        assert start["type"] == "http.response.start"
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"]]
        status = start["status"]
        if not self.at_work:
            pass
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR or (status >= HTTPStatus.BAD_REQUEST and self.again):
            await self._store.free(self.record)
        elif status >= HTTPStatus.BAD_REQUEST or (self.answered and (REPLAYED_HEADER.lower(), "true") in headers):
            await (self._store.free if self.answered else self._store.forget)(self.record)
        else:
            await self._store_answer(status, headers)
        for message in self._held:
            await send(message)

    async def _store_answer(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        body = b"".join(message["body"] for message in self._held if message["type"] == "http.response.body")
        kept = [(name, value) for name, value in headers if name in _KEPT_HEADERS]
        sealed = await asyncio.to_thread(lambda: self._cipher.encrypt(zlib.compress(body)))
        answer = RecordedAnswer(status=status, headers=kept, body=sealed if len(sealed) <= MAX_KEPT_BYTES else None)
        failpoint("gateway.effect_before_answer")
        if await self._store.record(self.record, answer, self.tag):
            failpoint("gateway.answer_before_it_is_sent")
            return
        first = await self._store.get(self.record.id)
        if first is None or first.answer is None:
            raise _in_flight()
        raise await self._replayed(first.answer)


def attempt_of(request: Request[Any, Any, Any]) -> Attempt | None:
    """The attempt that a request with a key is, at a route that creates something."""
    return request.scope["state"].get(_ATTEMPT)


async def replay_upload(request: Request[Any, Any, Any], run_id: str, *, made_before: bool) -> None:
    """Say which run an upload is answered with.

    Args:
        request: the upload.
        run_id: of the run.
        made_before: an earlier request with the same key made it, of the same upload.

    Raises:
        Replayed, ApiError: as ``Attempt.replay``, where the first answer about this run is there.
    """
    if (attempt := attempt_of(request)) is None:
        return
    if made_before and attempt.answered and attempt.record.tag == run_id:
        await attempt.replay()
    attempt.tag = run_id


class IdempotentRequests:
    """Has requests with a key done once. Stands behind the authentication."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, hold its answer, store it and send it; or send the first one."""
        reads: Reads | None = scope["route_handler"].opt.get(IDEMPOTENT) if scope["type"] == "http" else None
        key = None if reads is None else idempotency_key(Headers.from_scope(scope))
        if reads is None or key is None:
            await self._app(scope, receive, send)
            return
        attempt = await _begun(cast("HTTPScope", scope), key, reads)
        cast("dict[str, Any]", scope["state"])[_ATTEMPT] = attempt
        try:
            async with repeating(LEASE_SECONDS / 3, attempt.renew, "idempotency"):
                if reads is Reads.NOTHING:
                    await attempt.has_sent(b"")
                await self._app(scope, receive, attempt.hold)
        except BaseException:
            await asyncio.shield(attempt.free())
            raise
        await attempt.settle(send)


async def _begun(scope: HTTPScope, key: str, reads: Reads) -> Attempt:
    state = scope["litestar_app"].state
    store: IdempotencyStore = state.idempotency_keys
    principal = cast("Principal", scope["auth"])
    identity = _digest(principal.home, principal.subject, key)
    request = _digest(scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
    claimed = await store.claim(identity, principal.home, request, exclusive=reads is Reads.UPLOAD)
    match claimed.claim:
        case Claim.REUSED:
            raise _reused("method, path or query")
        case Claim.OF_ANOTHER:
            raise _in_flight()
        case Claim.MINE | Claim.ANSWERED:
            return Attempt(store, state.idempotency_cipher, claimed)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _reused(what: str) -> ApiError:
    detail = f"the key was used before for another request: {what} differs. Use a new key for a new request"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, REUSED, detail, [Problem(_PLACE, REUSED, detail)])


def _in_flight() -> ApiError:
    return ApiError(
        HTTPStatus.CONFLICT,
        IN_FLIGHT,
        "a request with this key is at work; send the same one again in a moment to get its answer",
        [Problem(_PLACE, IN_FLIGHT, "is in use")],
        headers={"Retry-After": RETRY_AFTER_SECONDS},
    )
