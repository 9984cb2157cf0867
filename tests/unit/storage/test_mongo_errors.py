"""Which errors of MongoDB may pass."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

from libs.contracts.errors import PermanentError, TransientError
from libs.storage.mongo_errors import DUPLICATE_KEY, is_transient, is_unwritable, refuses_document

DUPLICATE = {"index": 0, "code": DUPLICATE_KEY, "errmsg": "E11000 duplicate key"}
CONCERN = {"code": 64, "errmsg": "waiting for replication timed out"}


def labelled(error: PyMongoError, label: str) -> PyMongoError:
    error._add_error_label(label)
    return error


PASSING = [
    TransientError("later"),
    AutoReconnect("reset"),
    NetworkTimeout("slow"),
    ServerSelectionTimeoutError("nobody there"),
    NotPrimaryError("election"),
    ExecutionTimeout("maxTimeMS", 50),
    WTimeoutError("majority", 64),
    WriteConcernError("shutdown", 91),
    *(OperationFailure("state that passes", code) for code in (6, 89, 91, 112, 189, 251, 10107, 11600, 11602, 13435)),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [CONCERN]}),
    BulkWriteError({"writeErrors": [{"index": 0, "code": 112, "errmsg": "conflict"}], "writeConcernErrors": []}),
    labelled(OperationFailure("conflict", 1), "TransientTransactionError"),
    labelled(OperationFailure("commit", 1), "UnknownTransactionCommitResult"),
    labelled(PyMongoError("again"), "RetryableWriteError"),
    labelled(BulkWriteError({"writeErrors": [DUPLICATE], "writeConcernErrors": []}), "TransientTransactionError"),
]
LASTING = [
    PermanentError("CODE", "detail"),
    ValueError("bug"),
    KeyError("bug"),
    DuplicateKeyError("E11000", DUPLICATE_KEY),
    WriteError("document failed validation", 121),
    OperationFailure("not authorized", 13),
    OperationFailure("bad query", 2),
    OperationFailure("no code"),
    DocumentTooLarge("16 MB"),
    ConfigurationError("bad URI"),
    InvalidOperation("closed"),
    BulkWriteError({"writeErrors": [DUPLICATE], "writeConcernErrors": []}),
    labelled(OperationFailure("other", 1), "SomethingElse"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_may_pass(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_will_not_pass(error: BaseException) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("code", [2, 15, 28, 52, 66, 121, 10334, 11000, 16755, 17262, 17280, 99_999])
def test_errors_about_one_document(code: int) -> None:
    assert refuses_document(code)
    assert not is_unwritable(code)


@pytest.mark.parametrize("code", [13, 20, 73, 166, 263])
def test_errors_about_the_collection(code: int) -> None:
    assert is_unwritable(code)
    assert not refuses_document(code)


@pytest.mark.parametrize("code", [1, 6, 50, 91, 112, 189, 246, 251, 257, 263, 290, 10107, 11600, 11601, 13388, 14031])
def test_errors_about_the_server_or_the_transaction(code: int) -> None:
    assert not refuses_document(code)
