"""What to do about an error of MongoDB."""

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

_TRANSIENT_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
# Server codes that name a state which passes: elections, shutdown, exceeded time, write conflict.
_TRANSIENT_CODES = frozenset(
    {6, 7, 24, 43, 50, 64, 89, 91, 112, 134, 189, 202, 244, 251, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)


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
        return bool(error.details and error.details.get("writeConcernErrors"))
    return isinstance(error, OperationFailure) and error.code in _TRANSIENT_CODES
