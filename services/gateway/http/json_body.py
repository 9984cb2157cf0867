"""The JSON body of a request."""

import asyncio
from http import HTTPStatus
from typing import Any

from litestar import Request

from services.gateway.errors import Problem
from services.gateway.http.envelope import ApiError
from services.gateway.http.json_text import InvalidJsonError, decode_json


async def json_body(request: Request[Any, Any, Any]) -> object:
    """The decoded body of a request; strict JSON only (no ``NaN``).

    Raises:
        ApiError: 415, it is of another type; 408, it does not arrive in time; 400, it is not JSON.
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
    try:
        return decode_json(body)
    except InvalidJsonError as error:
        problem = Problem(f"body{error.place}", "INVALID_JSON", error.message)
        raise ApiError(HTTPStatus.BAD_REQUEST, problem.code, f"the body cannot be read: {error}", [problem]) from None
