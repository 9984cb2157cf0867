"""One check: the question whether a row breaks something, and what to tell its owner if so."""

from dataclasses import dataclass
from typing import Final

import polars as pl

REQUIRED: Final = "REQUIRED"
NOT_A_NUMBER: Final = "NOT_A_NUMBER"
NUMBER_OUT_OF_RANGE: Final = "NUMBER_OUT_OF_RANGE"
NOT_AN_INTEGER: Final = "NOT_AN_INTEGER"
INVALID_EMAIL: Final = "INVALID_EMAIL"
INVALID_DATE: Final = "INVALID_DATE"
INVALID_BOOLEAN: Final = "INVALID_BOOLEAN"
INVALID_PHONE: Final = "INVALID_PHONE"
INVALID_URL: Final = "INVALID_URL"
INVALID_OPTION: Final = "INVALID_OPTION"
TOO_SHORT: Final = "TOO_SHORT"
TOO_LONG: Final = "TOO_LONG"
BELOW_MINIMUM: Final = "BELOW_MINIMUM"
ABOVE_MAXIMUM: Final = "ABOVE_MAXIMUM"
PATTERN_MISMATCH: Final = "PATTERN_MISMATCH"
NOT_ALLOWED: Final = "NOT_ALLOWED"
COMPARISON_FAILED: Final = "COMPARISON_FAILED"
TEXT_TOO_LARGE: Final = "TEXT_TOO_LARGE"
ROW_TOO_LARGE: Final = "ROW_TOO_LARGE"
MORE_ERRORS: Final = "MORE_ERRORS"
DUPLICATE_VALUE: Final = "DUPLICATE_VALUE"
EXISTS_IN_TARGET: Final = "EXISTS_IN_TARGET"
DUPLICATE_UPSERT_KEY: Final = "DUPLICATE_UPSERT_KEY"


@dataclass(frozen=True, slots=True)
class Check:
    """A question about one field of a row.

    Attributes:
        code: stable identifier of the error.
        message: what is wrong and how to fix it; the same for every row.
        broken: boolean expression, true where the row breaks it; false or null elsewhere.
    """

    code: str
    message: str
    broken: pl.Expr
