"""Reads and writes records of a target collection, and the before-images of those that a run changes.

Every write belongs to the transaction that also moves the batch's entry of the ledger, so
nothing here is retried or undone: the transaction is.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from libs.storage.client import Collection, Session
from services.writer.domain.record_encoding import EncodedRecords

_COMMAND_BYTES = 16 * 1024 * 1024
"""PyMongo refuses a command beyond the server's limit for one document and 16 KiB for the rest."""
_COMMAND_DOCUMENTS = 100_000
"""The server's ``maxWriteBatchSize``."""


class _Documents(RawBSONDocument):
    """Several BSON documents where PyMongo expects one.

    PyMongo copies the ``raw`` of a ``RawBSONDocument`` unread into the document sequence of the
    message, and a document sequence is nothing but documents one after another
    (https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md). So one
    object stands for all of them, and no document costs any Python. As a mapping, which only
    a debug log looks at, it shows the first.
    """

    __slots__ = ("_documents",)

    def __init__(self, documents: memoryview, first_bytes: int) -> None:
        super().__init__(documents[:first_bytes])
        self._documents = documents

    @property
    def raw(self) -> memoryview:
        return self._documents


async def insert_encoded(collection: Collection, encoded: EncodedRecords, session: Session) -> int:
    """Insert all documents and return how many they are.

    Args:
        session: in a transaction; outside one PyMongo would repeat the command after a lost
            connection without the server knowing it for a repetition.

    Raises:
        BulkWriteError: the server refused a document; ``details["writeErrors"][0]["index"]`` is
            its index in ``encoded``. The transaction is lost.
        DocumentTooLarge: a document is greater than 16 MiB.
        ValueError: no transaction is open.
    """
    if not session.in_transaction:
        raise ValueError("insert_encoded needs an open transaction")
    for first, last in _commands(encoded.offsets):
        start, second, end = map(int, encoded.offsets[[first, first + 1, last]])
        answer = await collection.database.command(
            "insert",
            collection.name,
            documents=[_Documents(encoded.blob[start:end], second - start)],
            ordered=True,
            session=session,
        )
        if errors := answer.get("writeErrors"):
            raise BulkWriteError(
                {
                    "writeErrors": [{**error, "index": first + error["index"]} for error in errors],
                    "writeConcernErrors": [],
                    "nInserted": first + answer["n"],
                    "errorLabels": answer.get("errorLabels", []),
                }
            )
    return encoded.count


def _commands(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and one past the last document of each command, as large as the limits allow."""
    first, count = 0, len(offsets) - 1
    while first < count:
        fitting = int(np.searchsorted(offsets, offsets[first] + _COMMAND_BYTES, side="right")) - 1
        last = min(max(fitting, first + 1), first + _COMMAND_DOCUMENTS, count)
        yield first, last
        first = last
