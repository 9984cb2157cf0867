"""What an error of MongoDB is about, and so what to do about it."""

from typing import cast

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from libs.contracts.errors import TransientError

DUPLICATE_KEY = 11000
DOCUMENT_VALIDATION = 121
"""The validator of the collection refuses the document."""

_TRANSIENT_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
# Server codes that name a state which passes: elections, shutdown, exceeded time, write conflict.
_TRANSIENT_CODES = frozenset(
    {6, 7, 24, 43, 50, 64, 89, 91, 112, 134, 189, 202, 244, 251, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)

_UNWRITABLE_CODES = frozenset({13, 20, 73, 166, 263})
"""``Unauthorized``, ``IllegalOperation``, ``InvalidNamespace``, ``CommandNotSupportedOnView`` and
``OperationNotSupportedInTransaction`` (time series, capped collections): nothing can be written there."""
_CODES_OF_NO_DOCUMENT = (
    _TRANSIENT_CODES
    | _UNWRITABLE_CODES
    | frozenset(
        {
            *(1, 8, 14031),  # faults of the server: InternalError, UnknownError, OutOfDiskSpace
            *(26, 48, 59, 67, 72, 115, 227),  # what was asked for: commands, options, collections that are missing
            *(46, 107, 117, 125, 146, 208, 215, 264, 365, 371, 402, 433, 449),  # locks, memory, load, blocked writes
            *(63, 118, 150, 249, 250, 272, 13388),  # shards: where the collection is
            *(225, 239, 246, 251, 256, 257, 267, 290, 363, 388),  # the transaction
            *(90, 237, 279, 281, 282, 355, 11601),  # interrupted
        }
    )
)
"""Server codes (``error_codes.yml`` of MongoDB) that say nothing about the document that was to be written."""


def refuses_document(code: int) -> bool:
    """Whether a write error is about the document that it names, so that others of the same command may be written.

    Any code that is not known to be about something else: a document breaks rules that only its collection knows,
    for instance of a geographic or a text index, and the same document breaks them again.
    """
    return code not in _CODES_OF_NO_DOCUMENT


def is_unwritable(code: int | None) -> bool:
    """Whether an error means that nothing at all can be written to a collection, now and later."""
    return code in _UNWRITABLE_CODES


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later.

    A write-concern error counts as transient: the write may or may not have happened, and
    every effect of Rowdock can be done again. A group is transient if all of its errors are.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_transient, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    if isinstance(error, TransientError | ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if isinstance(error, PyMongoError) and any(error.has_error_label(label) for label in _TRANSIENT_LABELS):
        return True
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        codes = [each["code"] for each in details.get("writeErrors", [])]
        return bool(details.get("writeConcernErrors")) or any(code in _TRANSIENT_CODES for code in codes)
    return isinstance(error, OperationFailure) and error.code in _TRANSIENT_CODES
