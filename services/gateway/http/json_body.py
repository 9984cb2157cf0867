"""The JSON body of a request."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Request

from services.gateway.errors import Problem
from services.gateway.http.envelope import ApiError
from services.gateway.http.idempotency import attempt_of
from services.gateway.http.json_text import InvalidJsonError, decode_json


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A body as it was sent."""

    content: bytes

    def decoded(self) -> object:
        """The value; strict JSON only (no ``NaN``). Takes long where a body is large: not for an event loop.

        Raises:
            ApiError: 400, it is not JSON.
        """
        try:
            return decode_json(self.content)
        except InvalidJsonError as error:
            problem = Problem(f"body{error.place}", "INVALID_JSON", error.message)
            detail = f"the body cannot be read: {error}"
            raise ApiError(HTTPStatus.BAD_REQUEST, problem.code, detail, [problem]) from None


async def json_body(request: Request[Any, Any, Any]) -> JsonBody:
    """The body of a request. Where that has an ``Idempotency-Key``, it is known from here on what it was sent with.

    Raises:
        ApiError: 415, it is of another type; 408, it does not arrive in time; as ``Attempt.has_sent``.
        Replayed: as ``Attempt.has_sent``.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", f"send application/json; this is {media_type[:100]!r}"
        )
    seconds: float = request.app.state.body_seconds
    try:
        async with asyncio.timeout(seconds):
            body = await request.body()
    except TimeoutError:
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            "BODY_STALLED",
            f"the body did not arrive within {seconds:g} seconds; send it again",
            headers={"Connection": "close"},
        ) from None
    if (attempt := attempt_of(request)) is not None:
        await attempt.has_sent(body)
    return JsonBody(body)
