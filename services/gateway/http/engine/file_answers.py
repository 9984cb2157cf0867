"""Answers with files: each in its organization's turn, and refused, where it is, before it begins."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Response
from litestar.response import Stream

from services.gateway.access.principal import Principal
from services.gateway.http.dependencies import AnyRequest
from services.gateway.http.methods import is_head
from services.gateway.records.rows import Turn


async def file_answer(
    request: AnyRequest, principal: Principal, turn: Turn, content: AsyncGenerator[bytes], name: str, media_type: str
) -> Response[Any]:
    """The answer with a file; to ``HEAD`` what it would be, without the file.

    Args:
        request: that asks for it.
        principal: whose turn it has to be.
        turn: waits for that.
        content: of the file. What its first piece raises is refused like any other request.
        name: of the file.
        media_type: of the file.
    """
    waiting = _in_turn(principal, turn, content)
    await anext(waiting)
    if is_head(request.scope):
        await waiting.aclose()
        return Response(b"", headers=attachment(name), media_type=media_type)
    return Stream(waiting, headers=attachment(name), media_type=media_type)


def attachment(name: str) -> dict[str, str]:
    """The header of a file of this name."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def _in_turn(principal: Principal, turn: Turn, content: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """``content``, behind an empty piece: it is there once it is the organization's turn and nothing is refused."""
    async with turn(principal, download=True), aclosing(content):
        first = await anext(content, b"")
        yield b""
        if first:
            yield first
        async for data in content:
            if data:
                yield data
