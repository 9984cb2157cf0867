"""Answers that may be large: made and encoded in a thread, so that the event loop only sends bytes."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from litestar import MediaType, Response
from pydantic import BaseModel

View = TypeVar("View", bound=BaseModel)


async def answer(
    view: Callable[[], View], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response[View]:
    """The answer with what ``view`` makes."""
    return encoded_answer(await asyncio.to_thread(lambda: encoded(view())), status, headers)


def encoded(view: BaseModel) -> bytes:
    """``view`` as JSON."""
    return view.model_dump_json().encode()


def encoded_answer(
    content: bytes, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """The answer with JSON that is encoded already."""
    return Response(content, status_code=status, headers=dict(headers or {}), media_type=MediaType.JSON)
