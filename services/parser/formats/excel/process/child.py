"""The parent's side of the child process: start it, take its frames, and never wait for it too long."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

from libs.contracts.errors import FileRefusedError, TransientError
from services.parser.formats.excel import workbook
from services.parser.formats.excel.process import frames
from services.parser.formats.excel.process.frames import Request

_MODULE = "services.parser.formats.excel.process.sheet_process"
_ROOT = Path(__file__).parents[5]
_PIPE_BYTES = 1024 * 1024
_READ_BYTES = 1024 * 1024
_ENDED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""How the kernel ends a process where memory is short, and a supervisor or a terminal the children of a parser that it
stops: neither says anything about the file."""
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")


def child_frames(file: IO[bytes], request: Request, wait_seconds: float) -> Generator[tuple[bytes, bytes]]:
    """Kind and content of every frame before the end; whoever stops asking ends the child.

    Args:
        file: the workbook; its position does not matter.
        request: what is wanted of it.
        wait_seconds: most time spent waiting for the child.

    Raises:
        FileRefusedError: what the child says, or ``FILE_TOO_COMPLEX`` where it took more memory or computing time than
            it may: with another try it would again.
        TransientError: the machine let it not come to an end.
    """
    file.seek(0)
    lifeline, alive = os.pipe()
    try:
        # No shell, no part of the command line comes from outside but JSON.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-B", "-P", "-m", _MODULE, str(lifeline), request.json()],
            stdin=file,
            stdout=subprocess.PIPE,
            pass_fds=[lifeline],
            env=_environment(),
        )
    except BaseException:
        os.close(alive)
        raise
    finally:
        os.close(lifeline)
    try:
        assert process.stdout is not None
        yield from _Stream(process, process.stdout.fileno(), wait_seconds)
    finally:
        os.close(alive)
        process.kill()
        process.communicate()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # Every thread's own heap would take address space, which is limited.
    return {**kept, "PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


class _Stream:
    """Frames out of the child's standard output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, wait_seconds: float) -> None:
        self._process = process
        self._pipe = pipe
        self._patience = wait_seconds
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            kind, size = frames.HEAD.unpack(self._exactly(frames.HEAD.size))
            if size > frames.MAX_FRAME_BYTES:
                raise workbook.too_complex("the header of the sheet is too large")
            content = self._exactly(size)
            if kind == frames.END:
                return
            if kind == frames.REFUSED:
                code, detail = json.loads(content)
                raise FileRefusedError(code, detail)
            yield kind, content

    def _exactly(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            self._wait()
            piece = os.read(self._pipe, min(size, _READ_BYTES))
            if not piece:
                raise self._cut_off()
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        started = time.monotonic()
        ready = poll.poll(max(0, self._patience) * 1000)
        self._patience -= time.monotonic() - started
        if not ready:
            # How long it takes depends on what else the machine does; how much it computes is limited by itself.
            raise TransientError("the process that opens a workbook did not end in time; is the machine overloaded?")

    def _cut_off(self) -> Exception:
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return workbook.too_complex("reading the workbook takes too much computing time")
        if -status in _ENDED_FROM_OUTSIDE:
            return TransientError("the process that opens a workbook was killed; is the machine short of memory?")
        if status < 0:
            return workbook.too_complex("the workbook needs more memory than it may take")
        return RuntimeError(f"the process that opens workbooks ended with the status {status}")


def layout_of(content: bytes) -> dict[str, Any]:
    """Content of the layout frame."""
    return json.loads(content)
