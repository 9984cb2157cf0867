"""What Rowdock is compared with: the limit of its database, and the script people write instead.

Both work in processes of their own, started with everything imported and prepared before the clock starts.
"""

import json
import multiprocessing
import resource
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any, Self, cast

import bson
import openpyxl
import pandas as pd
from bson import ObjectId
from lxml import etree
from pymongo import ASCENDING, MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bench.careful_script import judge
from libs.storage.client import MAJORITY

LIMIT_PROCESSES = 2
LIMIT_BATCH = 1_000
"""Of 1,000, 2,000 and 5,000 documents a transaction the fastest."""
UPSERT_BATCH = 1_000
"""Of 1,000, 2,000 and 5,000 upserts a ``bulk_write`` none is clearly faster."""
BLOCK_ROWS = 500_000
"""Most documents that are held ready; and most rows of a file that the script takes at once."""
PREPARE_SECONDS = 300

Documents = list[dict[str, Any]]
_barrier: Barrier | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """What something cost.

    Attributes:
        seconds: from its start to its end.
        processor_seconds: user and system time of its client processes meanwhile.
    """

    seconds: float
    processor_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """A collection that exists and is empty."""

    uri: str
    database: str
    collection: str


@dataclass(frozen=True, slots=True)
class _Share:
    started: float
    ended: float
    processor_seconds: float


def measure_limit(target: Target, records: Path, rows: int) -> Effort:
    """Two processes at once insert records with nothing else to do, a transaction a batch.

    Args:
        target: where to.
        records: a file of BSON documents, as ``save_records`` makes it.
        rows: how many to insert; beyond those of the file they come again with new ids.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        LIMIT_PROCESSES, context, initializer=_remember, initargs=(context.Barrier(LIMIT_PROCESSES),)
    ) as pool:
        shares = [pool.submit(_insert_share, target, records, rows, index) for index in range(LIMIT_PROCESSES)]
        done = [share.result() for share in shares]
    seconds = max(share.ended for share in done) - min(share.started for share in done)
    return Effort(seconds, sum(share.processor_seconds for share in done))


def measure_script(target: Target, file: Path, *, careful: bool = False) -> Effort:
    """The script that people write instead: it validates nothing and inserts texts as they are with ``insert_many``.

    The careful one does to every row of contacts what the template asks for, and inserts those that are rejected with
    their errors into a collection beside (see ``careful_script``).

    It reads with what is usual for the file's extension: ``pandas.read_csv`` (in blocks where the file is
    large), ``openpyxl`` in its read-only mode, ``json.load``, ``lxml.etree.iterparse``.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_script, target, file, careful=careful).result()


class KeyScript:
    """The script that people write instead of an import by key: nothing is validated, texts and numbers are as pandas
    reads them, and the key ``id`` has a unique index, made before the clock starts. As a context manager it is a
    process, ready to run it.
    """

    def __enter__(self) -> Self:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def measure(self, target: Target, file: Path, mode: str) -> Effort:
        """Run it once.

        Args:
            target: the collection.
            file: a CSV file.
            mode: ``append`` is ``insert_many``; ``upsert`` and ``update`` are ``bulk_write`` of an ``UpdateOne`` for
                each row, the latter without ``upsert``; ``sync`` is ``upsert``, then ``delete_many`` of what the file
                does not hold.
        """
        return self._pool.submit(_key_script, target, file, mode).result()


def save_records(target: Target, records: Path) -> None:
    """Copy up to ``BLOCK_ROWS`` documents of a collection, as they are, into a file."""
    with MongoClient[dict[str, Any]](target.uri) as client, records.open("wb") as out:
        found = client[target.database][target.collection].find_raw_batches(limit=BLOCK_ROWS)
        out.writelines(cast("Iterable[bytes]", found))


def _remember(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - the only way to hand a barrier to the processes of a pool
    _barrier = barrier


def _insert_share(target: Target, records: Path, rows: int, index: int) -> _Share:
    assert _barrier is not None
    try:
        batches = _share_of_batches(records, index)
        with MongoClient[dict[str, Any]](target.uri) as client, client.start_session() as session:
            client.admin.command("ping")
            count = rows // LIMIT_PROCESSES + (index < rows % LIMIT_PROCESSES)
            _barrier.wait(PREPARE_SECONDS)
            started, processor = time.monotonic(), _processor_seconds()
            for batch in _endless(batches, count):
                _insert_batch(client, target, session, batch)
            return _Share(started, time.monotonic(), _processor_seconds() - processor)
    except BrokenBarrierError:
        raise
    except BaseException:
        _barrier.abort()
        raise


def _share_of_batches(records: Path, index: int) -> list[Documents]:
    with records.open("rb") as stored:
        documents: Iterator[dict[str, Any]] = bson.decode_file_iter(stored)
        batches: list[Documents] = []
        while batch := list(islice(documents, LIMIT_BATCH)):
            batches.append(batch)
    # A small file may have fewer batches than there are processes.
    half = len(batches[0]) // LIMIT_PROCESSES
    return batches[index::LIMIT_PROCESSES] if len(batches) > 1 else [batches[0][index * half : (index + 1) * half]]


def _endless(batches: list[Documents], count: int) -> Iterator[Documents]:
    """Batches of ``count`` documents in all: the given ones, then again and again with new ids."""
    for number, batch in enumerate(cycle(batches)):
        if number >= len(batches):
            for document in batch:
                document["_id"] = ObjectId()
        yield batch[:count]
        count -= len(batch)
        if count <= 0:
            return


def _insert_batch(
    client: MongoClient[dict[str, Any]], target: Target, session: ClientSession, batch: Documents
) -> None:
    collection = client[target.database][target.collection]
    session.with_transaction(
        lambda within: collection.insert_many(batch, session=within),
        read_concern=ReadConcern("snapshot"),
        write_concern=MAJORITY,
    )


def _script(target: Target, file: Path, *, careful: bool) -> Effort:
    read = {".csv": _read_csv, ".xlsx": _read_xlsx, ".json": _read_json, ".xml": _read_xml}[file.suffix]
    with MongoClient[dict[str, Any]](target.uri) as client:
        client.admin.command("ping")
        collection = client[target.database].get_collection(target.collection, write_concern=WriteConcern("majority"))
        rejected = collection.database.get_collection(
            f"{target.collection}_rejected", write_concern=WriteConcern("majority")
        )
        started, processor = time.monotonic(), _processor_seconds()
        for documents in read(file):
            good, bad = _judged(documents) if careful else (documents, [])
            collection.insert_many(good)
            if bad:
                rejected.insert_many(bad)
        return Effort(time.monotonic() - started, _processor_seconds() - processor)


def _key_script(target: Target, file: Path, mode: str) -> Effort:
    with MongoClient[dict[str, Any]](target.uri) as client:
        collection = client[target.database].get_collection(target.collection, write_concern=WriteConcern("majority"))
        collection.create_index([("id", ASCENDING)], unique=True)
        started, processor = time.monotonic(), _processor_seconds()
        held: list[str] = []
        for documents in _read_csv(file):
            if mode == "append":
                collection.insert_many(documents)
                continue
            _write_by_key(collection, documents, upsert=mode != "update")
            held += [document["id"] for document in documents]
        if mode == "sync":
            collection.delete_many({"id": {"$nin": held}})
        return Effort(time.monotonic() - started, _processor_seconds() - processor)


def _write_by_key(collection: Collection[dict[str, Any]], documents: Documents, *, upsert: bool) -> None:
    for first in range(0, len(documents), UPSERT_BATCH):
        some = documents[first : first + UPSERT_BATCH]
        collection.bulk_write(
            [UpdateOne({"id": document["id"]}, {"$set": document}, upsert=upsert) for document in some], ordered=False
        )


def _judged(rows: Documents) -> tuple[Documents, Documents]:
    """Records, and rejected rows with what is wrong with them."""
    good: Documents = []
    bad: Documents = []
    for number, row in enumerate(rows, 1):
        record, errors = judge(row)
        if errors:
            bad.append({"row": number, "data": row, "errors": errors})
        else:
            good.append(record)
    return good, bad


def _read_csv(file: Path) -> Iterator[Documents]:
    with pd.read_csv(file, chunksize=BLOCK_ROWS) as blocks:
        for block in blocks:
            yield block.to_dict("records")


def _read_xlsx(file: Path) -> Iterator[Documents]:
    rows = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
    header = [str(cell) for cell in next(rows)]
    yield [dict(zip(header, row, strict=True)) for row in rows]


def _read_json(file: Path) -> Iterator[Documents]:
    with file.open("rb") as content:
        yield json.load(content)


def _read_xml(file: Path) -> Iterator[Documents]:
    documents: Documents = []
    for _, element in etree.iterparse(file, tag="contact"):
        documents.append({cell.tag: cell.text for cell in element})
        element.clear()
    yield documents


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
