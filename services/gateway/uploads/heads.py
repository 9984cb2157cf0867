"""The first bytes of a file while it arrives."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable

from libs.formats.content import HEAD_BYTES, recognise
from libs.formats.file_types import CSV, EXCEL
from services.gateway.errors import Problem, UnsupportedFileError


async def with_head(content: AsyncIterable[bytes], judge: Callable[[bytes], None]) -> AsyncGenerator[bytes]:
    """``content``, whose head is judged as soon as it is there, or at its end; the network may bring it byte by byte.

    Whatever ``judge`` raises is raised.
    """
    head: bytearray | None = bytearray()
    async for chunk in content:
        if head is not None:
            head += chunk[: HEAD_BYTES - len(head)]
            if len(head) == HEAD_BYTES:
                judge(bytes(head))
                head = None
        yield chunk
    if head is not None:
        judge(bytes(head))


def refuse_other_files(head: bytes) -> None:
    """Nothing, where a file may be one of corrections.

    Raises:
        UnsupportedFileError: at ``file``; it is neither a workbook nor CSV.
    """
    content = recognise(head)
    if content.kind == "empty" or content.kind in EXCEL.reads | CSV.reads:
        return
    reason = (
        f"the file is {content.description}, but corrections are sent as {EXCEL.expected} or {CSV.expected}; correct "
        "the file that is downloaded for the run, and save it as one of these"
    )
    raise UnsupportedFileError("UNSUPPORTED_FILE", reason, [Problem("file", "UNSUPPORTED_FILE", reason)])
