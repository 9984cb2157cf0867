"""Answers that may be large: made and encoded in a thread, so that the event loop only sends bytes."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from cachetools import TTLCache
from litestar import MediaType, Response
from pydantic import BaseModel

View = TypeVar("View", bound=BaseModel)


async def answer(
    view: Callable[[], View], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response[View]:
    """The answer with what ``view`` makes."""
    return encoded_answer(await asyncio.to_thread(lambda: encoded(view())), status, headers)


class RememberedAnswers:
    """Answers that are still right, encoded: of those who ask at the same moment one has it made.

    Args:
        max_bytes: of all together.
        seconds: how long one is remembered; so long a thing that disappears by the clock alone may still be shown.
    """

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._known = TTLCache[Hashable, bytes, float](max_bytes, seconds, getsizeof=len)
        self._most = max_bytes // 8
        self._making: dict[Hashable, asyncio.Task[bytes]] = {}

    async def content(self, key: Hashable, make: Callable[[], Coroutine[None, None, bytes]]) -> bytes:
        """The answer of that key.

        Args:
            key: everything that the answer depends on, the organization among it.
            make: makes it.

        Raises:
            Exception: what ``make`` raises.
        """
        if (known := self._known.get(key)) is not None:
            return known
        if (making := self._making.get(key)) is None:
            making = self._making[key] = asyncio.create_task(make())
            making.add_done_callback(lambda made: self._note(key, made))
        return await asyncio.shield(making)

    def _note(self, key: Hashable, made: "asyncio.Task[bytes]") -> None:
        del self._making[key]
        if not made.cancelled() and made.exception() is None and len(made.result()) <= self._most:
            self._known[key] = made.result()


def encoded(view: BaseModel) -> bytes:
    """``view`` as JSON."""
    return view.model_dump_json().encode()


def encoded_answer(
    content: bytes, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """The answer with JSON that is encoded already."""
    return Response(content, status_code=status, headers=dict(headers or {}), media_type=MediaType.JSON)
