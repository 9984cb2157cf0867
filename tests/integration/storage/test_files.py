"""Files in GridFS: whole or not at all, and never silently different."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from libs.contracts.errors import PermanentError
from libs.storage.client import Mongo
from libs.storage.documents import StoredFile
from libs.storage.files import BUCKET, CHUNK_BYTES, FileStore, FileTooLargeError

pytestmark = pytest.mark.servers
CONTENT = bytes(range(256)) * (CHUNK_BYTES * 5 // 2 // 256)
LIMIT = 2 * len(CONTENT)


@pytest.fixture
def files(mongo: Mongo) -> FileStore:
    return FileStore(mongo)


async def in_pieces(content: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def store(files: FileStore, content: bytes = CONTENT) -> StoredFile:
    return await files.store("rows.csv", in_pieces(content), tenant_id="tenant", max_bytes=LIMIT)


async def read(files: FileStore, file: StoredFile) -> bytes:
    return b"".join([chunk async for chunk in files.chunks(file)])


async def left_in(mongo: Mongo) -> tuple[int, int]:
    """Files and chunks."""
    files, chunks = (mongo.state[f"{BUCKET}.{part}"] for part in ("files", "chunks"))
    return await files.count_documents({}), await chunks.count_documents({})


@pytest.mark.parametrize("content", [CONTENT, CONTENT[:CHUNK_BYTES], b"x", b""], ids=["2.5", "1", "byte", "empty"])
async def test_a_file_comes_back_as_it_was(mongo: Mongo, files: FileStore, content: bytes) -> None:
    stored = await store(files, content)
    assert (stored.name, stored.size) == ("rows.csv", len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    chunks = [chunk async for chunk in files.chunks(stored)]
    assert b"".join(chunks) == content
    assert all(len(chunk) <= CHUNK_BYTES for chunk in chunks)
    entry = await mongo.state[f"{BUCKET}.files"].find_one({"_id": ObjectId(stored.id)})
    assert entry is not None
    assert entry["metadata"] == {"tenant_id": "tenant"}


async def test_a_file_that_is_too_large_leaves_nothing(mongo: Mongo, files: FileStore) -> None:
    with pytest.raises(FileTooLargeError) as refused:
        await files.store("rows.csv", in_pieces(CONTENT), tenant_id="tenant", max_bytes=len(CONTENT) - 1)
    assert (refused.value.code, f"{len(CONTENT) - 1:,}" in refused.value.detail) == ("FILE_TOO_LARGE", True)
    assert await left_in(mongo) == (0, 0)


async def test_the_limit_itself_is_allowed(files: FileStore) -> None:
    stored = await files.store("rows.csv", in_pieces(CONTENT), tenant_id="tenant", max_bytes=len(CONTENT))
    assert stored.size == len(CONTENT)


async def test_an_upload_that_breaks_off_leaves_nothing(mongo: Mongo, files: FileStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await files.store("rows.csv", broken(), tenant_id="tenant", max_bytes=LIMIT)
    assert await left_in(mongo) == (0, 0)


async def test_a_cancelled_upload_leaves_nothing(mongo: Mongo, files: FileStore) -> None:
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield CONTENT
        sent.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(files.store("rows.csv", endless(), tenant_id="tenant", max_bytes=LIMIT))
    await sent.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await left_in(mongo) == (0, 0)


async def test_an_upload_that_fails_at_its_end_leaves_nothing(mongo: Mongo, files: FileStore) -> None:
    # The last write of an upload is the file's own entry; refuse the second of a name.
    await mongo.state[f"{BUCKET}.files"].create_index("filename", unique=True)
    await store(files)
    with pytest.raises(DuplicateKeyError):
        await store(files)
    assert await left_in(mongo) == (1, 3)


async def test_a_deleted_file_is_gone(mongo: Mongo, files: FileStore) -> None:
    stored, other = await store(files), await store(files, b"other")
    await files.delete(stored.id)
    await files.delete(stored.id)
    assert await left_in(mongo) == (1, 1)
    assert await read(files, other) == b"other"
    with pytest.raises(PermanentError, match="STORED_FILE_DAMAGED"):
        await read(files, stored)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_missing_chunk_is_told(mongo: Mongo, files: FileStore, number: int) -> None:
    stored = await store(files)
    await mongo.state[f"{BUCKET}.chunks"].delete_one({"files_id": ObjectId(stored.id), "n": number})
    with pytest.raises(PermanentError) as refused:
        await read(files, stored)
    assert refused.value.code == "STORED_FILE_DAMAGED"


@pytest.mark.parametrize("change", [b"\0", b""], ids=["a byte is another", "a byte is missing"])
async def test_a_damaged_chunk_is_told(mongo: Mongo, files: FileStore, change: bytes) -> None:
    stored = await store(files)
    chunk = {"files_id": ObjectId(stored.id), "n": 1}
    await mongo.state[f"{BUCKET}.chunks"].update_one(chunk, {"$set": {"data": CONTENT[: CHUNK_BYTES - 1] + change}})
    with pytest.raises(PermanentError) as refused:
        await read(files, stored)
    assert refused.value.code == "STORED_FILE_DAMAGED"
