"""Backups of both databases: ``python -m deploy.backup save DIRECTORY``, and ``… restore DIRECTORY``.

Everything is read as it was at one moment of the cluster, while services go on. What Kafka holds is no part of it: all
that counts is in MongoDB, and services find their work there. Reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and
``ROWDOCK_TARGET_DATABASE``.

The files are those of ``mongodump --gzip``, so that ``mongorestore --gzip`` reads them too; ``manifest.json`` has their
digests. ``ROWDOCK_SECRET_KEY`` is not in it: without it nobody can read the secrets of webhooks that are.
"""

import argparse
import asyncio
import gzip
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from libs.storage.client import Document, Mongo, connect
from libs.storage.documents import ProcessDocument
from libs.storage.settings import MongoSettings
from libs.telemetry.release import RELEASE

MANIFEST = "manifest.json"
LEFT_OUT = frozenset({ProcessDocument.Settings.name})
"""Of what runs nothing is known after a restoration."""
INSERTED_AT_ONCE = 1_000
SNAPSHOT_TOO_OLD, SNAPSHOT_UNAVAILABLE = 239, 246


class BackupError(Exception):
    """A backup cannot be made or used; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """A collection in a backup.

    Attributes:
        role: ``state`` or ``target``: which of the two databases it is in.
        sha256: of its documents, in hexadecimal.
    """

    role: str
    collection: str
    documents: int
    bytes: int
    sha256: str


async def save(mongo: Mongo, directory: Path) -> list[Part]:
    """Write both databases as they are at this moment.

    Raises:
        BackupError: the directory is not empty, or it took longer than MongoDB keeps what was.
    """
    _take(directory)
    parts: list[Part] = []
    async with mongo.client.start_session(snapshot=True) as session:
        # The first read decides of which moment all others are; what is created later is no part of it.
        await mongo.state["organizations"].find_one({}, {"_id": 1}, session=session)
        try:
            for role, database in _databases(mongo).items():
                names = [each for each in sorted(await database.list_collection_names()) if _is_saved(each)]
                parts += [await _save_part(database, role, each, directory, session) for each in names]
        except OperationFailure as error:
            raise (_refused(error) or error) from error
    manifest = {"release": RELEASE, "parts": [asdict(part) for part in parts]}
    # Last: a directory without it is no backup.
    await asyncio.to_thread((directory / MANIFEST).write_text, json.dumps(manifest, indent=1) + "\n", "utf-8")
    return parts


async def restore(mongo: Mongo, directory: Path) -> list[Part]:
    """Put back what a backup holds, with its indexes, into two databases that are empty.

    Raises:
        BackupError: it is incomplete or damaged, or there is something in the databases already; nothing is changed.
    """
    parts = _parts_of(directory)
    databases = _databases(mongo)
    for database in databases.values():
        if names := await database.list_collection_names():
            raise BackupError(
                f"the database {database.name} has collections ({names[0]}, …); restore into an empty one"
            )
    for part in parts:
        if await asyncio.to_thread(_digest, _path(directory, part.role, part.collection)) != part.sha256:
            raise BackupError(f"{part.role}/{part.collection} is not what was saved; take another backup")
    for part in parts:
        await _restore_part(databases[part.role], part, directory)
    return parts


def _databases(mongo: Mongo) -> dict[str, AsyncDatabase[Document]]:
    return {"state": mongo.state, "target": mongo.target}


def _refused(error: OperationFailure) -> BackupError | None:
    """What a moment that MongoDB does not show any more, or not yet, means for who makes a backup."""
    if error.code == SNAPSHOT_TOO_OLD:
        return BackupError(
            "MongoDB did not keep the moment of the backup for as long as it took; raise its parameter "
            "minSnapshotHistoryWindowInSeconds, or copy the files of a stopped member, see docs/operations.md"
        )
    if error.code == SNAPSHOT_UNAVAILABLE:
        return BackupError("a collection or an index was made while the backup was; run it again, in a new directory")
    return None


def _is_saved(collection: str) -> bool:
    return not collection.startswith("system.") and collection not in LEFT_OUT


def _take(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise BackupError(f"{directory} is not empty; name a new directory")


def _parts_of(directory: Path) -> list[Part]:
    file = directory / MANIFEST
    if not file.exists():
        raise BackupError(f"{directory} has no {MANIFEST}: it is no backup, or was not finished")
    return [Part(**part) for part in json.loads(file.read_text(encoding="utf-8"))["parts"]]


def _path(directory: Path, role: str, collection: str) -> Path:
    return directory / role / f"{collection}.bson.gz"


def _metadata(directory: Path, role: str, collection: str) -> Path:
    return directory / role / f"{collection}.metadata.json.gz"


async def _save_part(
    database: AsyncDatabase[Document], role: str, collection: str, directory: Path, session: AsyncClientSession
) -> Part:
    file = _path(directory, role, collection)
    file.parent.mkdir(exist_ok=True)
    indexes = [dict(each) async for each in await database[collection].list_indexes()]
    described = {"options": {}, "indexes": indexes, "collectionName": collection, "type": "collection"}
    with gzip.open(_metadata(directory, role, collection), "wt", encoding="utf-8") as out:
        out.write(json_util.dumps(described))
    digest, documents, size = hashlib.sha256(), 0, 0
    with gzip.open(file, "wb", compresslevel=1) as out:
        async for batch in _raw_batches(database, collection, session):
            digest.update(batch)
            size += len(batch)
            documents += await asyncio.to_thread(_write, out, batch)
    return Part(role, collection, documents, size, digest.hexdigest())


async def _raw_batches(
    database: AsyncDatabase[Document], collection: str, session: AsyncClientSession
) -> AsyncIterator[bytes]:
    # A session of one moment says itself how it reads.
    plain = database.client.get_database(database.name)
    batches: Any = plain[collection].find_raw_batches({}, session=session)
    async for batch in batches:
        yield batch


def _write(out: gzip.GzipFile, batch: bytes) -> int:
    """How many documents were written."""
    out.write(batch)
    count, position = 0, 0
    while position < len(batch):
        position += int.from_bytes(batch[position : position + 4], "little")
        count += 1
    return count


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with gzip.open(file, "rb") as content:
            while block := content.read(1024 * 1024):
                digest.update(block)
    except (OSError, EOFError):
        return ""
    return digest.hexdigest()


async def _restore_part(database: AsyncDatabase[Document], part: Part, directory: Path) -> None:
    await database.create_collection(part.collection)
    raw: Any = database[part.collection].with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    documents = _documents(_path(directory, part.role, part.collection))
    while some := await asyncio.to_thread(_next, documents):
        await raw.insert_many(some, ordered=False)
    with gzip.open(_metadata(directory, part.role, part.collection), "rt", encoding="utf-8") as content:
        described: Mapping[str, Any] = json_util.loads(content.read())
    indexes = [_index(each) for each in described["indexes"] if each["name"] != "_id_"]
    if indexes:
        await database.command("createIndexes", part.collection, indexes=indexes)


def _index(described: Mapping[str, Any]) -> Document:
    return {name: value for name, value in described.items() if name not in {"v", "ns"}}


def _documents(file: Path) -> Iterator[RawBSONDocument]:
    with gzip.open(file, "rb") as content:
        readable: Any = content
        yield from bson.decode_file_iter(readable, CodecOptions(document_class=RawBSONDocument))


def _next(documents: Iterator[RawBSONDocument]) -> list[RawBSONDocument]:
    return list(islice(documents, INSERTED_AT_ONCE))


async def work(command: str, directory: Path) -> list[Part]:
    """Do one of the two."""
    mongo = await connect(MongoSettings.model_validate({}))
    try:
        return await (save if command == "save" else restore)(mongo, directory)
    finally:
        await mongo.client.close()


def main() -> int:
    """Read the command line and do it; the exit code is 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m deploy.backup", description=__doc__)
    parser.add_argument("command", choices=["save", "restore"])
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    arguments = parser.parse_args()
    try:
        parts = asyncio.run(work(arguments.command, arguments.directory))
    except BackupError as error:
        print(f"python -m deploy.backup: {error}", file=sys.stderr)
        return 1
    documents, size = sum(part.documents for part in parts), sum(part.bytes for part in parts)
    print(f"{arguments.command}d {len(parts)} collections, {documents:,} documents, {size / 1024**2:,.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
