"""Progress as server-sent events (the HTML standard, "Server-sent events").

Events are ``snapshot``, ``status``, ``progress``, ``end`` and ``fault``; ``docs/progress.md`` describes them. A stream
is never compressed or held back: each event goes out by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import structlog
from litestar import Litestar, Request, Response
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Parameter, Schema
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from pydantic import BaseModel

from libs.contracts.states import TERMINAL_RUN_STATUSES
from libs.messaging.cancellation import end_tasks
from libs.process.http_edge import ENDLESS_MARK
from libs.storage.documents import RunDocument
from services.gateway.access.principal import Principal
from services.gateway.http.methods import is_head
from services.gateway.http.openapi import ApiOperation
from services.gateway.runs.progress import Progress, end_id, reached_id, version_in
from services.gateway.runs.watching import (
    Beat,
    Ended,
    Fault,
    Listener,
    Moved,
    Over,
    Reached,
    RunWatches,
    Snapshot,
    Told,
)
from services.gateway.stores.progress import WatchedChange

EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT_ID: Final = "Last-Event-ID"
ENDLESS: Final = "endless"
"""Set in the ``opt`` of routes whose answers last: these have limits of their own instead of a share of requests."""
RETRY_MS: Final = 3_000

logger = structlog.get_logger()


class FaultView(BaseModel):
    """What keeps the state from being told. With ``reconnect`` it is worth listening again where the stream ends."""

    code: str
    message: str
    reconnect: bool


@dataclass(frozen=True, slots=True)
class ProgressWords:
    """How a vocabulary shows progress.

    Attributes:
        state: the whole state.
        reached: a status that the run has come to.
    """

    state: Callable[[Progress], BaseModel]
    reached: Callable[[Progress, WatchedChange], BaseModel]
    _encoded: WeakKeyDictionary[Progress, bytes] = field(default_factory=WeakKeyDictionary[Progress, bytes])

    def event(self, told: Told) -> bytes:
        """What is told, as it is sent. A state is encoded once for all who listen."""
        match told:
            case Snapshot(progress):
                return _event("snapshot", self._state(progress), progress.event_id)
            case Moved(progress):
                return _event("progress", self._state(progress), progress.event_id)
            case Ended(progress):
                return _event("end", self._state(progress), progress.event_id)
            case Reached(progress, change):
                return _event("status", _encoded(self.reached(progress, change)), reached_id(change))
            case Fault(code, message, last, reconnect):
                return _event("fault", _encoded(FaultView(code=code, message=message, reconnect=not last or reconnect)))
            case Beat():
                return b": still here\n\n"
            case Over():
                return b": listen again\n\n"

    def _state(self, progress: Progress) -> bytes:
        if (known := self._encoded.get(progress)) is None:
            known = self._encoded[progress] = _encoded(self.state(progress))
        return known


def _encoded(view: BaseModel) -> bytes:
    return view.model_dump_json(by_alias=True).encode()


def _event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    identified = b"" if event_id is None else b"id: %s\n" % event_id.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (identified, name.encode(), data)


def progress_answer(
    request: Request[Any, Any, Any],
    principal: Principal,
    run: RunDocument,
    watches: RunWatches,
    words: ProgressWords,
    send_seconds: float,
) -> "EventStream | Response[None]":
    """The answer to whoever follows a run that the principal may see: its events, or 204 where the client has heard
    the end of it, so that it does not come again."""
    heard = request.headers.get(LAST_EVENT_ID, "")
    if run.status in TERMINAL_RUN_STATUSES and heard == end_id(run.version):
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    return EventStream(watches.listening(principal, run.id), words, version_in(heard), send_seconds)


class EventStream(Response[None]):
    """An answer that lasts for as long as there is something to tell.

    Args:
        listening: what is listened to; what it raises is answered like any other error.
        words: how it is told.
        version: of the run, as the client has heard of it last.
        send_seconds: a client that does not take an event for so long is left.
    """

    def __init__(
        self,
        listening: AbstractAsyncContextManager[Listener],
        words: ProgressWords,
        version: int | None,
        send_seconds: float,
    ) -> None:
        # Nginx holds answers back unless it is told otherwise.
        super().__init__(None, media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
        self._listening = listening
        self._words = words
        self._version = version
        self._send_seconds = send_seconds

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **given: Any) -> ASGIResponse:  # noqa: ANN401 - those of Litestar
        """The answer as Litestar sends it."""
        del app, request
        return _Streaming(self, {**(given.get("headers") or {}), **self.headers})

    async def listen(self, send: Callable[[bytes], Awaitable[None]], start: Callable[[], Awaitable[None]]) -> None:
        """Send what is told, until there is no more, or the client takes nothing."""
        async with self._listening as listener:
            await start()
            try:
                async with aclosing(listener.told(self._version)) as told:
                    await self._take(send, b"retry: %d\n\n" % RETRY_MS)
                    async for each in told:
                        await self._take(send, self._words.event(each))
            except TimeoutError:
                logger.info("events.slow_reader", tenant_id=listener.principal.tenant_id)
                raise

    async def _take(self, send: Callable[[bytes], Awaitable[None]], chunk: bytes) -> None:
        async with asyncio.timeout(self._send_seconds):
            await send(chunk)


class _Streaming(ASGIResponse):
    def __init__(self, stream: EventStream, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, media_type=EVENT_STREAM, content_length=0)
        self._stream = stream

    _should_set_content_length = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client has left."""
        cast("dict[str, Any]", scope)[ENDLESS_MARK] = True
        if is_head(scope):
            await self.start_response(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def send_chunk(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        listening = asyncio.create_task(self._stream.listen(send_chunk, lambda: self.start_response(send)))
        gone = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({listening, gone}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                # A reader that takes nothing is left without an end: nothing more would reach it.
                with suppress(TimeoutError):
                    await listening
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await end_tasks([listening, gone])


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class EventStreamOperation(ApiOperation):
    """Follows an import."""

    def __post_init__(self) -> None:
        super().__post_init__()
        describe_events(self)


def describe_events(operation: ApiOperation) -> None:
    """Describe an operation that follows an import."""
    text = Schema(type=OpenAPIType.STRING)
    # OpenAPI before 3.2 has no words for a stream: some take what stands there for all of it, some for one event.
    event = Schema(
        type=OpenAPIType.OBJECT,
        properties={
            "id": text,
            "event": Schema(type=OpenAPIType.STRING, enum=["snapshot", "status", "progress", "end", "fault"]),
            "data": Schema(type=OpenAPIType.STRING, content_media_type="application/json"),
        },
    )
    operation.parameters = [
        *(operation.parameters or []),
        Parameter(
            name=LAST_EVENT_ID,
            param_in="header",
            schema=Schema(type=OpenAPIType.STRING, max_length=100),
            description="Id of the event that was heard last: the changes of status since are told first.",
        ),
    ]
    operation.responses = {
        **(operation.responses or {}),
        str(HTTPStatus.OK.value): OpenAPIResponse(
            description="Server-sent events: `snapshot` first, then `status` and `progress`, `end` at the end, and "
            "`fault` where the state cannot be told at the moment; see docs/progress.md. `data` is JSON.",
            content={EVENT_STREAM: OpenAPIMediaType(schema=Schema(any_of=[text, event]))},
        ),
        str(HTTPStatus.NO_CONTENT.value): OpenAPIResponse(description="The client has heard the end already."),
    }
