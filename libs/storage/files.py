"""Uploaded files in GridFS: bounded memory, SHA-256 while streaming, nothing left behind on abort."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from bson import ObjectId
from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import CorruptGridFile, NoFile

from libs.contracts.errors import PermanentError
from libs.storage.client import Mongo
from libs.storage.documents import StoredFile

CHUNK_BYTES = 1024 * 1024
BUCKET = "files"


class FileTooLargeError(PermanentError):
    def __init__(self, limit: int) -> None:
        super().__init__("FILE_TOO_LARGE", f"the file is larger than {limit} bytes, the most that is accepted")


@dataclass(frozen=True, slots=True)
class FileStore:
    """Files of one installation."""

    mongo: Mongo

    def _bucket(self) -> AsyncGridFSBucket:
        return AsyncGridFSBucket(self.mongo.state, bucket_name=BUCKET, chunk_size_bytes=CHUNK_BYTES)

    async def store(self, name: str, content: AsyncIterable[bytes], *, tenant_id: str, max_bytes: int) -> StoredFile:
        """Store ``content``; a failure of any kind removes what was stored of it.

        Raises:
            FileTooLargeError: more than ``max_bytes`` arrived.
        """
        file_id = ObjectId()
        digest = hashlib.sha256()
        stream = self._bucket().open_upload_stream_with_id(file_id, name, metadata={"tenant_id": tenant_id})
        try:
            async for chunk in _limited(content, max_bytes):
                digest.update(chunk)
                await stream.write(chunk)
        except BaseException:
            await stream.abort()
            raise
        await stream.close()
        return StoredFile(id=str(file_id), name=name, size=int(stream.length), sha256=digest.hexdigest())

    async def chunks(self, file: StoredFile) -> AsyncIterator[bytes]:
        """The file's bytes, 1 MiB at a time.

        Raises:
            PermanentError: ``STORED_FILE_DAMAGED``; missing, truncated, or not what was uploaded.
        """
        digest = hashlib.sha256()
        try:
            stream = await self._bucket().open_download_stream(ObjectId(file.id))
            while chunk := await stream.readchunk():
                digest.update(chunk)
                yield chunk
        except (NoFile, CorruptGridFile) as error:
            raise PermanentError("STORED_FILE_DAMAGED", f"the stored file cannot be read: {error}") from error
        if digest.hexdigest() != file.sha256:
            raise PermanentError("STORED_FILE_DAMAGED", "the stored file differs from the one uploaded")

    async def delete(self, file_id: str) -> None:
        """Remove a file that no run refers to; one that is gone already is no error."""
        try:
            await self._bucket().delete(ObjectId(file_id))
        except NoFile:
            return


async def _limited(content: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in content:
        size += len(chunk)
        if size > max_bytes:
            raise FileTooLargeError(max_bytes)
        yield chunk
