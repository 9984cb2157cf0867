"""Uploaded files in GridFS: bounded memory, SHA-256 while streaming, nothing left behind on abort.

Files are written chunk by chunk in the layout of the GridFS specification, the ``files`` document
last; the driver's own upload stream collects up to 48 MB of every upload in memory first.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bson import ObjectId
from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import NoFile

from libs.contracts.errors import PermanentError
from libs.storage.client import Mongo
from libs.storage.documents import StoredFile
from libs.telemetry.metrics import Metrics

CHUNK_BYTES = 1024 * 1024
BUCKET = "files"
END_BYTES = 64 * 1024
CHUNKS_UNDER_WAY = 4
"""Chunks of one upload that may be on their way to MongoDB while the next ones arrive."""
CHUNKS_AT_ONCE = 4
"""Chunks that the server sends at a time to whoever reads a file."""


class FileTooLargeError(PermanentError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            "FILE_TOO_LARGE", f"the file is larger than {limit:,} bytes, the most that is accepted; split it"
        )


@dataclass(frozen=True, slots=True)
class FileStore:
    """Files of one installation.

    Attributes:
        mongo: where they are.
        metrics: where it is counted what is stored, if anywhere.
    """

    mongo: Mongo
    metrics: Metrics | None = None

    def _bucket(self) -> AsyncGridFSBucket:
        return AsyncGridFSBucket(self.mongo.state, bucket_name=BUCKET, chunk_size_bytes=CHUNK_BYTES)

    async def store(self, name: str, content: AsyncIterable[bytes], *, tenant_id: str, max_bytes: int) -> StoredFile:
        """Store ``content``; a failure of any kind removes what was stored of it.

        Raises:
            FileTooLargeError: more than ``max_bytes`` arrived.
        """
        file_id = ObjectId()
        digest = hashlib.sha256()
        size = 0
        ascii_only = True
        chunks = self.mongo.state[f"{BUCKET}.chunks"]
        under_way: deque[asyncio.Task[object]] = deque()
        try:
            number = 0
            async for chunk in _in_chunks(_limited(content, max_bytes)):
                digest.update(chunk)
                size += len(chunk)
                ascii_only = ascii_only and chunk.isascii()
                document = {"files_id": file_id, "n": number, "data": chunk}
                under_way.append(asyncio.create_task(chunks.insert_one(document)))
                number += 1
                if len(under_way) == CHUNKS_UNDER_WAY:
                    await under_way.popleft()
            await asyncio.gather(*under_way)
            await self.mongo.state[f"{BUCKET}.files"].insert_one(
                {
                    "_id": file_id,
                    "filename": name,
                    "length": size,
                    "chunkSize": CHUNK_BYTES,
                    "uploadDate": datetime.now(UTC),
                    "metadata": {"tenant_id": tenant_id},
                }
            )
        except BaseException:
            await asyncio.gather(*under_way, return_exceptions=True)
            self._count("broken_off", size)
            await chunks.delete_many({"files_id": file_id})
            raise
        self._count("stored", size)
        return StoredFile(id=str(file_id), name=name, size=size, sha256=digest.hexdigest(), ascii_only=ascii_only)

    def _count(self, outcome: str, size: int) -> None:
        if self.metrics is not None:
            self.metrics.uploads.labels(outcome).inc()
            self.metrics.upload_bytes.inc(size)

    async def chunks(self, file: StoredFile) -> AsyncGenerator[bytes]:
        """The file's bytes, 1 MiB at a time, the last ones once they prove to be what was uploaded.

        Raises:
            PermanentError: ``STORED_FILE_DAMAGED``; missing, truncated, or not what was uploaded.
        """
        digest, number, size = hashlib.sha256(), 0, 0
        # The run knows what a ``files`` document would say, and the digest proves that it is all there.
        stored = self.mongo.state[f"{BUCKET}.chunks"].find({"files_id": ObjectId(file.id)}, {"n": 1, "data": 1})
        # As they come the server would send 16 at once, which nobody wants who looks at the start of a file.
        async with stored.sort("n").batch_size(CHUNKS_AT_ONCE) as found:
            async for document in found:
                chunk: bytes = document["data"]
                digest.update(chunk)
                size += len(chunk)
                if document["n"] != number or size > file.size:
                    raise _damaged("it has other chunks than were uploaded")
                if size == file.size and digest.hexdigest() != file.sha256:
                    raise _damaged("it differs from the one uploaded")
                number += 1
                yield chunk
        if size != file.size or digest.hexdigest() != file.sha256:
            raise _damaged(f"{size:,} of {file.size:,} bytes are there")

    async def give(self, file: StoredFile, tenant_id: str) -> None:
        """Let a stored file belong to another tenant."""
        change = {"$set": {"metadata.tenant_id": tenant_id}}
        await self.mongo.state[f"{BUCKET}.files"].update_one({"_id": ObjectId(file.id)}, change)

    async def end(self, file: StoredFile) -> bytes:
        """The last bytes of the file, up to 64 KiB; none of an empty one.

        Raises:
            PermanentError: ``STORED_FILE_DAMAGED``; they are missing.
        """
        if not file.size:
            return b""
        last = {"files_id": ObjectId(file.id), "n": (file.size - 1) // CHUNK_BYTES}
        found = await self.mongo.state[f"{BUCKET}.chunks"].find_one(last, {"data": 1})
        if found is None:
            raise _damaged("its last bytes are missing")
        return bytes(found["data"][-END_BYTES:])

    async def delete(self, file_id: str) -> None:
        """Remove a file that no run refers to; one that is gone already is no error."""
        try:
            await self._bucket().delete(ObjectId(file_id))
        except NoFile:
            return


def _damaged(why: str) -> PermanentError:
    return PermanentError("STORED_FILE_DAMAGED", f"the stored file cannot be read: {why}")


async def _in_chunks(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in portions of ``CHUNK_BYTES``; the last one may be shorter."""
    waiting = bytearray()
    async for portion in content:
        waiting += portion
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


async def _limited(content: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in content:
        size += len(chunk)
        if size > max_bytes:
            raise FileTooLargeError(max_bytes)
        yield chunk
