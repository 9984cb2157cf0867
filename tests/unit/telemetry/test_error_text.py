"""What is written down of an error holds no value out of a file, and still says what happened."""

from collections.abc import Callable
from decimal import Decimal

import bson
import polars as pl
import pyarrow as pa
import pytest
from aiokafka.errors import KafkaConnectionError
from bson.errors import InvalidDocument
from polars.exceptions import InvalidOperationError
from pydantic import BaseModel, ValidationError
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, OperationFailure

from libs.contracts.errors import PermanentError, TransientError
from libs.telemetry.error_text import error_text, formatted

CELL = "CELL-4711"


class _Row(BaseModel):
    number: int


def raised(kind: type[Exception], make: Callable[[], object]) -> Exception:
    with pytest.raises(kind) as caught:
        make()
    return caught.value


def refused(code: int, code_name: str | None = None) -> OperationFailure:
    named = {} if code_name is None else {"codeName": code_name}
    return OperationFailure(f"not {CELL}", code, {"errmsg": CELL, "keyValue": {"email": CELL}, **named})


BULK = BulkWriteError(
    {
        "writeErrors": [{"index": 3, "code": 121, "errmsg": CELL, "op": {"email": CELL}, "errInfo": {"value": CELL}}],
        "writeConcernErrors": [{"code": 64, "errmsg": CELL}],
    }
)
QUOTING = [
    BULK,
    refused(2),
    DuplicateKeyError(CELL, 11000, {"keyValue": {"email": CELL}}),
    raised(ValueError, lambda: int(CELL)),
    raised(KeyError, lambda: {}[CELL]),
    raised(InvalidDocument, lambda: bson.encode({"price": {CELL: Decimal(1)}})),
    raised(ValidationError, lambda: _Row.model_validate({"number": CELL})),
    raised(InvalidOperationError, lambda: pl.DataFrame({"a": [CELL]}).select(pl.col("a").cast(pl.Int64))),
    raised(pa.ArrowInvalid, lambda: pa.array([CELL]).cast(pa.int64())),
    raised(UnicodeDecodeError, lambda: CELL.encode().decode("utf-16")),
]


@pytest.mark.parametrize("error", QUOTING, ids=lambda error: type(error).__name__)
def test_no_value_is_quoted(error: Exception) -> None:
    group = ExceptionGroup(CELL, [error, error])
    after = raised(TransientError, lambda: _fail_after(error))
    for text in (error_text(error), formatted(error), formatted(group), formatted(after)):
        assert CELL not in text
        assert type(error).__name__ in text or text == error_text(group)


def _fail_after(error: Exception) -> None:
    raise TransientError("again later") from error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermanentError("CODE", "what is wrong"), "PermanentError: CODE: what is wrong"),
        (AutoReconnect("mongo:27017: connection closed"), "AutoReconnect: mongo:27017: connection closed"),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (KafkaConnectionError("kafka:9092"), "KafkaConnectionError: KafkaConnectionError: kafka:9092"),
        (refused(112, "WriteConflict"), "OperationFailure: MongoDB answers 112 (WriteConflict)"),
        (refused(2), "OperationFailure: MongoDB answers 2"),
        (BULK, "BulkWriteError: MongoDB answers 64, 121"),
        (ValueError(CELL), "ValueError"),
    ],
)
def test_it_says_what_is_wrong_where_that_tells_no_value(error: Exception, text: str) -> None:
    assert error_text(error) == text


def test_it_says_where_an_unforeseen_error_was_raised() -> None:
    assert error_text(QUOTING[3]).startswith(f"ValueError in {__file__}, line ")


def test_the_whole_chain_is_shown_with_its_frames() -> None:
    lines = formatted(raised(TransientError, lambda: _fail_after(QUOTING[3]))).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        error_text(QUOTING[3]),
        "which led to:",
        "TransientError: again later",
    ]
    assert any("in _fail_after" in line for line in lines)
