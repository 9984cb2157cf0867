"""Streams of server-sent events, read from a real server as they come."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

SECONDS = 60


@dataclass(frozen=True)
class Event:
    """One event, or a comment."""

    name: str
    id: str | None
    data: Any


class Stream:
    """An answer that is read event by event."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self._reader = reader
        self._text = ""
        self.status = status
        self.headers = headers

    async def event(self) -> Event | None:
        """The next one; ``None`` once the answer has ended."""
        while True:
            block = await self._block()
            if block is None:
                return None
            fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
            if "event" in fields:
                return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))

    async def until(self, name: str) -> list[Event]:
        """All events up to the first of this name."""
        found: list[Event] = []
        while not found or found[-1].name != name:
            event = await self.event()
            assert event is not None, f"the stream has ended without {name}: {found}"
            found.append(event)
        return found

    async def rest(self) -> list[Event]:
        """All events until the answer ends."""
        found: list[Event] = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found

    async def _block(self) -> str | None:
        async with asyncio.timeout(SECONDS):
            while "\n\n" not in self._text:
                size = (await self._reader.readline()).strip()
                if not size or (count := int(size, 16)) == 0:
                    return None
                self._text += (await self._reader.readexactly(count)).decode()
                await self._reader.readexactly(2)
        block, self._text = self._text.split("\n\n", 1)
        return block


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to this machine, which is closed, not only closing, when the block ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):  # the other side may have closed it before
            await writer.wait_closed()


@asynccontextmanager
async def following(port: int, path: str, key: str, **headers: str) -> AsyncIterator[Stream]:
    """The answer to a GET request, as far as its headers."""
    async with connection(port) as (reader, writer):
        lines = [f"GET {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *fields = head.strip().split("\r\n")
        read = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        yield Stream(reader, int(status.split()[1]), read)
