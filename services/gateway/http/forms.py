"""Reads ``multipart/form-data`` as it arrives, part by part, within limits.

The parts come in the order that the client chose.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from services.gateway.errors import Problem, invalid_input
from services.gateway.http.envelope import ApiError
from services.gateway.http.places import path_text
from services.gateway.http.wording import explain_form
from services.gateway.shown import shown

FILE = "file"
"""Name of the part that holds the file."""
MAX_PARTS = 8
MAX_LENGTH_DIGITS = 20
"""More digits than any length has; Python reads no more than some thousands."""
FORM_OVERHEAD_BYTES = 64 * 1024
"""Everything of a form but the bytes of its parts."""

FormRequest = Request[Any, Any, Any]
_Events = AsyncIterator[MultipartSegment | bytes | None]


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What a form may hold.

    Attributes:
        texts: its text parts, each with the most bytes that it may have.
        max_file_bytes: the most bytes of its file.
        idle_seconds: how long nothing may arrive, or how far it may fall behind ``bytes_per_second``, before it is
            given up.
        bytes_per_second: how fast it must arrive; 0 for as slowly as it likes.
    """

    texts: Mapping[str, int]
    max_file_bytes: int
    idle_seconds: float
    bytes_per_second: int

    @property
    def max_form_bytes(self) -> int:
        return self.max_file_bytes + sum(self.texts.values()) + FORM_OVERHEAD_BYTES

    @property
    def parts(self) -> str:
        return ", ".join(map(repr, self.texts)) + f" and {FILE!r}"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text part, read whole."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file; ``content`` has to be read to its end before the next part is asked for."""

    filename: str
    content: AsyncGenerator[bytes]


class Form:
    """The form in the body of a request.

    Raises:
        ApiError: its headers tell already that it cannot be read.
    """

    def __init__(self, request: FormRequest, limits: FormLimits) -> None:
        self._request = request
        self._limits = limits
        self._parser = PushMultipartParser(_boundary(request, limits), max_segment_count=MAX_PARTS)

    @property
    def announced_bytes(self) -> int:
        """How long the form is to be; 0 where nobody knows."""
        return int(self._request.headers.get("content-length", "0"))

    async def parts(self) -> AsyncGenerator[TextPart | FilePart]:
        """The parts in their order.

        Raises:
            ApiError: the form is malformed, or the client stalls or leaves.
            InvalidInputError: a part is unknown, too long, there twice or of the wrong kind.
        """
        seen: set[str] = set()
        async with aclosing(self._events()) as events:
            async for event in events:
                if not isinstance(event, MultipartSegment):
                    continue
                name = event.name or ""
                place = f"body{path_text((name,))}"
                if name != FILE and name not in self._limits.texts:
                    raise invalid_input(Problem(place, "UNKNOWN_FIELD", _unknown(name, self._limits)))
                if name in seen:
                    raise invalid_input(Problem(place, "CONFLICT", "is there more than once; send one of them"))
                seen.add(name)
                if name != FILE:
                    yield TextPart(name, await _text(events, place, self._limits.texts[name]))
                elif event.filename is None:
                    message = "send a file, with its filename (curl: -F file=@…)"
                    raise invalid_input(Problem(place, "NOT_A_FILE", message))
                else:
                    yield FilePart(event.filename, _bytes(events))

    async def _events(self) -> AsyncGenerator[MultipartSegment | bytes | None]:
        try:
            async for chunk in self._body():
                for event in self._parser.parse(chunk):
                    yield event
            self._parser.close()
        except MultipartError as error:
            raise _malformed(f"the form cannot be read: {explain_form(str(error))}") from error

    async def _body(self) -> AsyncGenerator[bytes]:
        """The bytes of the request as they arrive; the next are asked for when these are stored."""
        more, most = True, self._limits.idle_seconds
        patience = most
        while more:
            asked = time.monotonic()
            try:
                async with asyncio.timeout(patience):
                    message = await self._request.receive()
            except TimeoutError:
                raise self._stalled() from None
            # Only the client's time counts, not ours; and nobody saves up patience by being fast for a while.
            if rate := self._limits.bytes_per_second:
                patience -= time.monotonic() - asked
                patience = min(most, patience + len(message.get("body", b"")) / rate)
            if message["type"] != "http.request":
                raise ApiError(HTTPStatus.BAD_REQUEST, "CLIENT_DISCONNECTED", "the client left before the end")
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)

    def _stalled(self) -> ApiError:
        slow = f", or less than {rate:,} bytes a second" if (rate := self._limits.bytes_per_second) else ""
        return ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            "UPLOAD_STALLED",
            f"nothing arrived for {self._limits.idle_seconds:g} seconds{slow}; send the upload again",
            headers={"Connection": "close"},
        )


def _unknown(name: str, limits: FormLimits) -> str:
    what = f"{shown(name)} is no part of this form" if name else "a part of the form has no name"
    return f"{what}; its parts are {limits.parts}"


def _boundary(request: FormRequest, limits: FormLimits) -> str:
    """Refuse what the headers alone tell; the boundary of the form."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "NOT_A_FORM",
            f"send multipart/form-data with the parts {limits.parts}"
            + (f"; this is {media_type[:100]!r}" if media_type else ""),
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_ENCODING",
            "send the form as it is, without Content-Encoding",
        )
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > MAX_LENGTH_DIGITS:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "BAD_REQUEST",
            "the header Content-Length is no number of bytes; leave it to your HTTP library",
        )
    if int(announced) > limits.max_form_bytes:
        detail = f"the file is larger than {limits.max_file_bytes:,} bytes, the most that is accepted; split it"
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "FILE_TOO_LARGE",
            detail,
            [Problem(f"body.{FILE}", "FILE_TOO_LARGE", detail)],
        )
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 200:
        raise _malformed("the Content-Type names no usable boundary")
    return boundary


def _malformed(detail: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_FORM", detail)


async def _text(events: _Events, place: str, max_bytes: int) -> str:
    content = bytearray()
    async for chunk in _bytes(events):
        content += chunk
        if len(content) > max_bytes:
            raise invalid_input(Problem(place, "INVALID", f"is longer than {max_bytes:,} bytes; shorten it"))
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise invalid_input(Problem(place, "INVALID", "is not UTF-8; send the text in UTF-8")) from None


async def _bytes(events: _Events) -> AsyncGenerator[bytes]:
    """The bytes of the part that has just begun."""
    async for event in events:
        if not isinstance(event, bytes):
            break
        yield event
