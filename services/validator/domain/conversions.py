"""What every type of field makes of a text."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from services.validator.domain.checks import Check

Let = Callable[[pl.Expr], pl.Expr]
"""Names an intermediate result, see ``steps.Steps.let``."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the text of a field becomes its value.

    Attributes:
        columns: output columns; their order is that of the checked batch.
        checks: what can be wrong with the text; null text breaks none of them.
        key: the value as text, equal exactly where the values are equal; null without a value.
        numbers: the value of a number, for its bounds; of several, the one that is not null.
        keeps_text: whether the value of an invalid cell is its text all the same.
        comparable: ordered and equal as the values are, and of one data type in all fields of a type, so
            that two fields can be compared; null without a value.
    """

    columns: dict[str, pl.Expr]
    checks: tuple[Check, ...]
    key: pl.Expr
    numbers: tuple[pl.Expr, ...] = ()
    keeps_text: bool = False
    comparable: pl.Expr = field(kw_only=True)


def spread(found: pl.Series, texts: pl.Series) -> pl.Series:
    """What was found for those texts that are not null, in their places; null in all others.

    Args:
        found: one value per text that is not null, in their order.
        texts: a column of a batch.
    """
    present = texts.is_not_null()
    places = present.cast(pl.UInt32).cum_sum() - 1
    return found.gather(places.set(~present, None))
