"""JSON is sent compressed to whoever takes that.

Only an answer that is whole is compressed, in a thread: a file that is streamed, or events, are sent as they come. What
an attacker may place beside a secret, and then guess by the sizes of many answers (BREACH), is not there: who asks is
told by ``Authorization`` and never by a cookie, so no foreign page can have anything asked in another's name; and no
answer holds a secret but the one to whoever has just made it (an API key, the secret of a webhook).

A strong tag stands for the very bytes (RFC 9110, section 8.8.3.3): what is sent compressed has one of its own.
"""

import asyncio
import gzip
from typing import Any, Final, cast

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

MIN_BYTES: Final = 1_024
"""A smaller answer fits into one packet as it is."""
_IN_THREAD_BYTES: Final = 16 * 1_024
"""Up to here it takes less time than to find a thread."""
_LEVEL: Final = 5
_JSON: Final = "application/json"


class CompressedJson:
    """Stands between the router and the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        accepted = Headers.from_scope(scope).get("accept-encoding", "")
        waiting: HTTPResponseStartEvent | None = None

        async def answer(message: Message) -> None:
            nonlocal waiting
            if message["type"] == "http.response.start" and _is_json(message):
                waiting = message
                return
            if waiting is not None:
                start, waiting = waiting, None
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    headers = MutableScopeHeaders.from_message(start)
                    headers.extend_header_value("Vary", "Accept-Encoding")
                    if is_compressed(accepted, len(message["body"])):
                        message["body"] = await _compressed(message["body"])
                        headers["Content-Encoding"] = "gzip"
                        headers["Content-Length"] = str(len(message["body"]))
                        if "ETag" in headers:
                            headers["ETag"] = compressed_tag(headers["ETag"])
                await send(start)
            await send(message)

        await self._app(scope, receive, answer)


def is_compressed(accepted: str, size: int) -> bool:
    """Whether JSON of so many bytes is sent compressed to who says ``Accept-Encoding: {accepted}``."""
    return size >= MIN_BYTES and takes_gzip(accepted)


def compressed_tag(tag: str) -> str:
    """The tag of the compressed form of what has ``tag``."""
    return f'{tag[:-1]}.gzip"'


def takes_gzip(accepted: str) -> bool:
    """Whether a header ``Accept-Encoding`` (RFC 9110, section 12.5.3) names gzip, or everything, and not with weight
    0."""
    weights: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        weights[coding] = weight.strip("0.") != ""
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _is_json(start: HTTPResponseStartEvent) -> bool:
    headers = MutableScopeHeaders.from_message(cast("Any", start))
    if "Content-Type" not in headers or "Content-Encoding" in headers:
        return False
    kind = headers["Content-Type"].partition(";")[0].strip().lower()
    return kind == _JSON or kind.endswith("+json")


async def _compressed(body: bytes) -> bytes:
    if len(body) < _IN_THREAD_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
