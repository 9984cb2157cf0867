"""Inserts ready-made documents, and sends ready-made statements of updates, without any Python per document."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, OperationFailure

from libs.contracts.errors import TransientError
from libs.storage.client import Collection, Session
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.refusals import TOO_LARGE

_COMMAND_BYTES = 16 * 1024 * 1024
"""PyMongo refuses a command beyond the server's limit for one document and 16 KiB for the rest."""
_DOCUMENT_BYTES = 16 * 1024 * 1024
"""The server's ``maxBsonObjectSize``."""
_COMMAND_DOCUMENTS = 100_000
"""The server's ``maxWriteBatchSize``."""


class IncompleteInsertError(TransientError):
    """The server took fewer documents than it was sent, and refused none of the others."""


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


async def insert_encoded(collection: Collection, encoded: EncodedRecords, session: Session) -> None:
    """Insert all documents.

    Args:
        session: in a transaction; outside one PyMongo would repeat the command after a lost
            connection without the server knowing it for a repetition.

    Raises:
        BulkWriteError: the server refuses a document; ``details["writeErrors"][0]["index"]`` is
            its index in ``encoded``. With code ``TOO_LARGE`` where it is greater than 16 MiB. The
            transaction is lost.
        IncompleteInsertError: the server acknowledges fewer documents; the transaction must be aborted.
        ValueError: no transaction is open.
    """
    _check_sizes(encoded, session)
    for first, last in _commands(encoded.offsets):
        check_answer(await _sent(collection, "insert", "documents", encoded.part(first, last), session), first, last)


async def update_encoded(collection: Collection, statements: EncodedRecords, session: Session) -> int:
    """Make the updates of all statements ``{q: …, u: …}``, in their order; how many documents these have matched.

    Args:
        session: as for ``insert_encoded``.

    Raises:
        BulkWriteError: the server refuses an update, as for ``insert_encoded``; ``TOO_LARGE`` where the statement is
            greater than 16 MiB.
        ValueError: no transaction is open.
    """
    _check_sizes(statements, session)
    matched = 0
    try:
        for first, last in _commands(statements.offsets):
            answer = await _sent(collection, "update", "updates", statements.part(first, last), session)
            _check_errors(answer, first)
            matched += answer["n"]
    except OperationFailure as error:
        if isinstance(error, BulkWriteError) or error.code != TOO_LARGE:
            raise
        lengths = np.diff(statements.offsets)
        raise too_large(lengths.argmax().item(), lengths.max().item()) from error
    return matched


def _check_sizes(encoded: EncodedRecords, session: Session) -> None:
    if not session.in_transaction:
        raise ValueError("ready-made documents need an open transaction")
    lengths = np.diff(encoded.offsets)
    if (lengths > _DOCUMENT_BYTES).any():
        raise too_large(lengths.argmax().item(), lengths.max().item())


async def _sent(
    collection: Collection, command: str, member: str, encoded: EncodedRecords, session: Session
) -> dict[str, Any]:
    """The answer to a command with all documents."""
    start, second, end = (encoded.offsets.item(index) for index in (0, 1, -1))
    documents = [_Documents(encoded.blob[start:end], second - start)]
    return await collection.database.command(
        {command: collection.name, "ordered": True, member: documents}, session=session
    )


def check_answer(answer: Mapping[str, Any], first: int, last: int) -> None:
    """Judge the server's answer to the insert of the documents from ``first`` up to ``last``.

    Raises:
        BulkWriteError: a document was refused; its index counts from the first document of all.
        IncompleteInsertError: none was refused, and yet not all are acknowledged.
    """
    _check_errors(answer, first)
    if answer["n"] != last - first:
        raise IncompleteInsertError(f"MongoDB acknowledges {answer['n']} of {last - first} inserted documents")


def _check_errors(answer: Mapping[str, Any], first: int) -> None:
    if errors := answer.get("writeErrors"):
        raise BulkWriteError(
            {
                "writeErrors": [{**error, "index": first + error["index"]} for error in errors],
                "writeConcernErrors": [],
                "nInserted": first + answer["n"],
                "errorLabels": answer.get("errorLabels", []),
            }
        )


def too_large(index: int, size: int) -> BulkWriteError:
    """The error that the server would answer, if PyMongo sent it such a document."""
    message = f"the document has {size:,} bytes"
    return BulkWriteError({"writeErrors": [{"index": index, "code": TOO_LARGE, "errmsg": message}], "nInserted": 0})


def _commands(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and one past the last document of each command, as large as the limits allow."""
    first, count = 0, len(offsets) - 1
    while first < count:
        fitting = offsets.searchsorted(offsets.item(first) + _COMMAND_BYTES, side="right").item() - 1
        last = min(max(fitting, first + 1), first + _COMMAND_DOCUMENTS, count)
        yield first, last
        first = last
