"""One check: an expression that tells whether a row breaks something, and what its owner reads then."""

from dataclasses import dataclass

import polars as pl

from libs.contracts.reasons import RowErrorCode


@dataclass(frozen=True, slots=True)
class Check:
    """Something that may be wrong with one field of a row.

    Attributes:
        code: stable identifier of the error.
        message: what is wrong and how to fix it; the same for every row.
        broken: boolean expression, true where the row breaks it; false or null elsewhere. Or a named step with the
            number of what is wrong, 0 or null where nothing is, shared by checks of which a row breaks one at most.
        number: the one that stands for this check, in such a step.
    """

    code: RowErrorCode
    message: str
    broken: pl.Expr
    number: int | None = None
