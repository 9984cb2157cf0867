"""A stored file from its first byte to its batches, however often it takes."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from libs.storage.documents import StoredFile
from libs.storage.files import FileStore
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format


class FileReading:
    """A stored file, read as often as it takes; one of a single chunk is fetched once."""

    def __init__(self, files: FileStore, stored: StoredFile, limits: ReaderLimits) -> None:
        self._files = files
        self._stored = stored
        self._limits = limits
        self._whole: bytes | None = None

    async def chunks(self) -> AsyncGenerator[bytes]:
        if self._whole is not None:
            yield self._whole
            return
        async with aclosing(self._files.chunks(self._stored)) as chunks:
            async for chunk in chunks:
                if len(chunk) == self._stored.size:
                    self._whole = chunk
                yield chunk

    async def head(self) -> bytes:
        """Its first bytes, up to a chunk; none of an empty file."""
        async with aclosing(self.chunks()) as chunks:
            return await anext(chunks, b"")

    async def layout(self, template: Template, file_type: str) -> Layout:
        """What a format finds out about it.

        Raises:
            FileRefusedError: it cannot be read in this format.
        """
        facts = FileFacts(self._stored.size, self._stored.ascii_only)
        sampler = await asyncio.to_thread(file_format(file_type).sampler, template, facts, self._limits)
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                if await asyncio.to_thread(sampler.feed, chunk):
                    break
        return await asyncio.to_thread(sampler.layout)

    async def batches(self, plan: ParsePlan) -> AsyncGenerator[list[ParsedBatch]]:
        """Its batches in small portions, at most one of them before it is wanted.

        Raises:
            FileRefusedError: it cannot be read as the plan says.
        """
        reader = await asyncio.to_thread(file_format(plan.file_type).reader, plan, self._limits)

        def feed(data: bytes) -> list[ParsedBatch]:
            return list(reader.feed(data))

        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                if batches := await asyncio.to_thread(feed, chunk):
                    yield batches
        async with aclosing(_one_by_one(await asyncio.to_thread(reader.close))) as remaining:
            async for batch in remaining:
                yield [batch]


async def _one_by_one(batches: Iterable[ParsedBatch]) -> AsyncGenerator[ParsedBatch]:
    """Batches that are made while they are asked for, each in a thread."""
    iterator = iter(batches)
    step: asyncio.Future[ParsedBatch | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, None))
            # A thread cannot be cancelled, and a generator cannot be closed while it runs.
            if (batch := await asyncio.shield(step)) is None:
                return
            yield batch
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
        if isinstance(iterator, Generator):
            await asyncio.to_thread(iterator.close)  # what it started, such as a child process, ends here
