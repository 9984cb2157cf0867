"""Asks for one address again and again over many connections: ``python -m bench.load``, a process of its own.

As little as possible is done for a request, so that two processors are left to whoever answers: its bytes are the same
each time, and of an answer only the status and the length are read.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from bench.traffic import percentile

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length: "


class LoadError(Exception):
    """Something was answered that was not to be answered."""


class Client(asyncio.Protocol):
    """One connection; it asks anew as soon as it is answered.

    Args:
        request: what it sends.
        until: when it stops, by ``time.perf_counter``.
        seconds: where it notes how long each answer took.
    """

    def __init__(self, request: bytes, until: float, seconds: list[float]) -> None:
        self._request = request
        self._until = until
        self._seconds = seconds
        self._read = bytearray()
        self._asked = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head = self._read.find(END_OF_HEAD)
        if head < 0:
            return
        if not self._read.startswith(b"HTTP/1.1 200 "):
            self._end(LoadError(bytes(self._read[:300]).decode(errors="replace")))
            return
        at = self._read.lower().find(LENGTH, 0, head)
        length = int(self._read[at + len(LENGTH) : self._read.find(b"\r\n", at)])
        if len(self._read) < head + len(END_OF_HEAD) + length:
            return
        self._seconds.append(time.perf_counter() - self._asked)
        self._read.clear()
        if time.perf_counter() < self._until:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or LoadError("the connection was closed"))

    def _ask(self) -> None:
        assert self._transport is not None
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def _end(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


async def ask(port: int, path: str, key: str, clients: int, seconds: float) -> dict[str, float]:
    """What so many clients are answered on this machine within so many seconds.

    Returns:
        ``answers``, and how many ``per_second``; ``median_ms`` and ``p99_ms``; ``own_share`` of a processor that
        asking took.

    Raises:
        LoadError: anything but a 200.
        OSError: nobody is there.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    took: list[float] = []
    began, own = time.perf_counter(), time.process_time()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Client(request, began + seconds, took), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    elapsed = time.perf_counter() - began
    ordered = sorted(took)
    return {
        "answers": len(took),
        "per_second": round(len(took) / elapsed, 1),
        "median_ms": round(1000 * percentile(ordered, 0.5), 2),
        "p99_ms": round(1000 * percentile(ordered, 0.99), 2),
        "own_share": round((time.process_time() - own) / elapsed, 3),
    }


def main() -> None:
    """Read the arguments of ``ask`` as JSON, print what it returns."""
    print(json.dumps(uvloop.run(ask(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
