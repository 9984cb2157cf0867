"""Numbers as texts that are ordered as the numbers are."""

import polars as pl

_POWER_OFFSET = 50_000
"""Makes every power of ten that a number may have a positive number of five digits."""
_DIGITS = list("0123456789")


def ordered(number: pl.Expr) -> pl.Expr:
    """Texts that are ordered and equal as the numbers are, exactly, whatever columns they come from.

    A double counts as the number it prints as: 0.1 is a tenth, and equals the exact decimal 0.1.

    Args:
        number: numbers as text: ``12``, ``-1.50``, ``1e-7``.
    """
    return number.map_batches(_order_texts, return_dtype=pl.String)


def _order_texts(numbers: pl.Series) -> pl.Series:
    """A digit for the sign, five for the power of ten of the first digit, then the digits.

    Of negative numbers every digit is taken from 9, and a sign behind all digits ends them, so that the greater
    number is the smaller text.
    """
    number = pl.col("number")
    mantissa = number.str.extract("^[+-]?([0-9.]+)")
    exponent = number.str.extract("[eE]([+-]?[0-9]+)$").cast(pl.Int64).fill_null(0)
    point = pl.coalesce(mantissa.str.find(".", literal=True), mantissa.str.len_bytes()).cast(pl.Int64)
    digits = mantissa.str.replace(".", "", literal=True)
    significant = digits.str.strip_chars_start("0")
    power = point - (digits.str.len_bytes() - significant.str.len_bytes()).cast(pl.Int64) + exponent + _POWER_OFFSET
    magnitude = power.cast(pl.String) + significant.str.strip_chars_end("0")
    return (
        numbers.to_frame("number")
        .select(
            pl.when(significant == "")
            .then(pl.lit("1"))
            .when(number.str.starts_with("-"))
            .then("0" + magnitude.str.replace_many(_DIGITS, _DIGITS[::-1]) + "~")
            .otherwise("2" + magnitude)
        )
        .to_series()
    )
