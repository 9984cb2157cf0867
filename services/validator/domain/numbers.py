"""Numbers: in the style of their column, and never with a digit lost.

What is read, by the ``DecimalStyle`` of the whole column:

- point: ``1234.5``, ``1,234.5``, ``1 234.5``, ``1'234.5``
- comma: ``1234,5``, ``1.234,5``, ``1 234,5``, ``1'234,5``

A blank between thousands may be U+0020, U+00A0 or U+202F, an apostrophe U+0027 or U+2019; groups have three
digits and one separator throughout. A sign (also U+2212) and an exponent may be there; nothing else may.

The value of a plain number is in one of three columns: an int64 where it is one; a double where that prints with
the same digits; else the exact decimal, which must fit BSON's Decimal128 (34 significant digits).
"""

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

import polars as pl
from bson.decimal128 import create_decimal128_context

from libs.contracts.templates import DecimalStyle, TemplateField
from services.validator.domain.checks import NOT_A_NUMBER, NOT_AN_INTEGER, NUMBER_OUT_OF_RANGE, Check
from services.validator.domain.conversions import Conversion, Let
from services.validator.domain.reading import Reading

PLAIN_PATTERN = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_MINUS = "\u2212"
_SEPARATORS = {DecimalStyle.POINT: ", '\u00a0\u202f\u2019", DecimalStyle.COMMA: ". '\u00a0\u202f\u2019"}
_DECIMAL_MARKS = {DecimalStyle.POINT: ".", DecimalStyle.COMMA: ","}
_STYLE_WORDS = {
    DecimalStyle.POINT: ("a decimal point, as in 1234.5 or 1,234.5", "12.0"),
    DecimalStyle.COMMA: ("a decimal comma, as in 1234,5 or 1.234,5", "12,0"),
}

# Up to 15 significant digits survive the way into a double and back (IEEE 754, DBL_DIG).
_SURELY_EXACT_CHARS = 15
_MOST_DIGITS_OF_A_DOUBLE = 767
_SMALLEST_NORMAL, _LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308
_FRACTION_OR_EXPONENT = re.compile("[.eE]")

_MOST_DIGITS = 34
"""Significant digits of a Decimal128, https://en.wikipedia.org/wiki/Decimal128_floating-point_format"""
_MOST_ARROW_DIGITS = 38
_POWER_OFFSET = 50_000
"""Makes every power of ten that a number may have a positive number of five digits."""
_DIGITS = list("0123456789")
_INT64_RANGE = 2.0**63
_NOT_WRITTEN_OUT = 10**_MOST_DIGITS


def integer_column(name: str) -> str:
    """The column that holds the integers of a number field."""
    return f"_int_{name}"


def decimal_column(name: str) -> str:
    """The column that holds, as text, what neither an int64 nor a double holds."""
    return f"_dec_{name}"


def conversion(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    """The conversion of a ``number`` field."""
    style = reading.decimal_style(field)
    if field.decimals is not None:
        return _exact(field.name, field.decimals, text, let, style, typed_cells=reading.typed_cells)
    # The cast to int64 takes a sign and ASCII digits and nothing else, so it needs no pattern.
    whole = let(text.cast(pl.Int64, strict=False))
    rest = let(pl.when(whole.is_null()).then(text))
    plain = _plain_text(rest, let, style, typed_cells=reading.typed_cells)
    if field.integer:
        return _integer(field.name, rest, whole, plain, let, style)
    return _number(field.name, rest, whole, plain, let, style)


def _not_a_number(text: pl.Expr, plain: pl.Expr, style: DecimalStyle) -> Check:
    message = (
        f"This is not a number. The column is read with {_STYLE_WORDS[style][0]}; nothing but digits, a sign and an "
        "exponent may stand there."
    )
    return Check(NOT_A_NUMBER, message, text.is_not_null() & plain.is_null())


def _plain_text(text: pl.Expr, let: Let, style: DecimalStyle, *, typed_cells: bool) -> pl.Expr:
    """Numbers as ``PLAIN_PATTERN`` has them, whatever the style of the column; null where there is none."""
    if style is DecimalStyle.COMMA and not typed_cells:
        return let(text.map_batches(_InStyle(style), return_dtype=pl.String))
    plain = let(pl.when(text.str.contains(PLAIN_PATTERN)).then(text))
    other = pl.when(plain.is_null()).then(text)
    return let(pl.coalesce(plain, other.map_batches(_InStyle(style), return_dtype=pl.String)))


class _InStyle:
    """Texts of one style as plain numbers; null where they are none."""

    def __init__(self, style: DecimalStyle) -> None:
        sign, mark = rf"[+\-{_MINUS}]?", re.escape(_DECIMAL_MARKS[style])
        groups = "|".join(f"(?:[{separator}][0-9]{{3}})+" for separator in _SEPARATORS[style])
        whole = f"(?:[0-9]+|[0-9]{{1,3}}(?:{groups}))"
        self._pattern = f"^{sign}{whole}(?:{mark}[0-9]+)?(?:[eE]{sign}[0-9]+)?$"
        # In this order, so that a decimal comma becomes a point after the points between thousands are gone.
        self._replaced = {**dict.fromkeys(_SEPARATORS[style], ""), _DECIMAL_MARKS[style]: ".", _MINUS: "-"}

    def __call__(self, texts: pl.Series) -> pl.Series:
        if texts.null_count() == len(texts):
            return texts
        text = pl.col(texts.name)
        plain = pl.when(text.str.contains(self._pattern)).then(text)
        return (
            texts.to_frame()
            .select(plain.str.replace_many(list(self._replaced), list(self._replaced.values())))
            .to_series()
        )


def _integer(name: str, rest: pl.Expr, whole: pl.Expr, plain: pl.Expr, let: Let, style: DecimalStyle) -> Conversion:
    value = let(pl.coalesce(whole, plain.cast(pl.Int64, strict=False)))
    fraction = let(plain.str.contains("[.eE]"))
    not_whole = f"This is not a whole number. Write digits only, such as 12 and not {_STYLE_WORDS[style][1]}."
    out_of_range = (
        "This number cannot be stored without losing digits: whole numbers go from -9223372036854775808 to "
        "9223372036854775807. Import the field as a number without 'integer', or as text."
    )
    checks = (
        _not_a_number(rest, plain, style),
        Check(NOT_AN_INTEGER, not_whole, fraction),
        Check(NUMBER_OUT_OF_RANGE, out_of_range, plain.is_not_null() & ~fraction & value.is_null()),
    )
    key = value.cast(pl.String)
    return Conversion({name: value}, checks, key, (value,), comparable=_ordered(key))


def _number(name: str, rest: pl.Expr, whole: pl.Expr, plain: pl.Expr, let: Let, style: DecimalStyle) -> Conversion:
    """An integer within int64 stays one; any other number becomes a double if that holds all its digits.

    A double holds them if it prints as the same number, in its shortest form or with as many significant
    digits: so what other programs print of a double (``48.053808600000004``) stays a double, and 20 digits of pi
    do not. That is certain up to 15 digits, so only longer texts are compared, and numbers that are too great
    for a double or so small that it has fewer digits left.
    """
    whole = let(pl.coalesce(whole, plain.cast(pl.Int64, strict=False)))
    fractional = let(pl.when(whole.is_null()).then(plain))
    double = let(fractional.cast(pl.Float64, strict=False))
    sure = (fractional.str.len_bytes() <= _SURELY_EXACT_CHARS) & double.abs().is_between(_SMALLEST_NORMAL, _LARGEST)
    beyond = let(pl.when(~sure).then(fractional).map_batches(_beyond_doubles, return_dtype=pl.String))
    decimal = let(pl.when(beyond != "").then(beyond))
    double = let(pl.when(beyond.is_null()).then(double))
    out_of_range = (
        f"This number cannot be stored without losing digits: a number has at most {_MOST_DIGITS} significant digits "
        "and an exponent from -6143 to 6144. Round it, or import the field as text."
    )
    checks = (_not_a_number(rest, plain, style), Check(NUMBER_OUT_OF_RANGE, out_of_range, beyond == ""))
    # 12 and 12.0 are one number: to Python, and to an index of MongoDB.
    round_double = pl.when(double == double.floor()).then(double.cast(pl.Int64, strict=False))
    key = pl.coalesce(
        pl.coalesce(whole, round_double).cast(pl.String), _written_out(double), double.cast(pl.String), decimal
    )
    return Conversion(
        {name: double, integer_column(name): whole, decimal_column(name): decimal},
        checks,
        key,
        # A bound is a double, and so a decimal is compared with it as one: to 16 significant digits.
        (whole, double, decimal.cast(pl.Float64, strict=False)),
        comparable=_ordered(key),
    )


def _written_out(double: pl.Expr) -> pl.Expr:
    """The digits of a double beyond int64, as those of a decimal are written; null for others."""
    great = double.abs().is_between(_INT64_RANGE, float(_NOT_WRITTEN_OUT), closed="left")
    digits = pl.when(great).then(double).cast(pl.String).cast(pl.Decimal(_MOST_ARROW_DIGITS, 0), strict=False)
    return digits.cast(pl.String)


def _beyond_doubles(texts: pl.Series) -> pl.Series:
    """The decimals of plain numbers that no double holds; null where one does, ``""`` where nothing does."""
    if texts.null_count() == len(texts):
        return texts
    # What a double prints as itself needs no second look.
    left = texts.set(texts.cast(pl.Float64, strict=False).cast(pl.String) == texts, None)
    beyond = {text: _beyond_double(text) for text in left.drop_nulls().unique().to_list()}
    return left.replace_strict(list(beyond), list(beyond.values()), default=None, return_dtype=pl.String)


def _beyond_double(text: str) -> str | None:
    double = float(text)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return ""  # An exponent beyond all reason.
    digits = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
    # An integer stays one; but where even a decimal would not write it out, its text is no sign of one.
    integer = not _FRACTION_OR_EXPONENT.search(text) and abs(exact) < _NOT_WRITTEN_OUT
    if (
        math.isfinite(double)
        and not integer
        and digits <= _MOST_DIGITS_OF_A_DOUBLE
        # The shortest text may be a rounding up where that with so many digits rounds to even.
        and exact in (Decimal(repr(double)), Decimal(f"{double:.{max(digits, 1) - 1}e}"))
    ):
        return None
    return _decimal_text(exact)


def _decimal_context() -> Context:
    context = create_decimal128_context()
    for signal in (Inexact, Overflow, InvalidOperation):
        context.traps[signal] = True
    return context


_DECIMAL128 = _decimal_context()


def _decimal_text(exact: Decimal) -> str:
    """The one text of a value that a Decimal128 holds, ``""`` where it cannot: written out where the digits allow."""
    try:
        held = _DECIMAL128.create_decimal(exact).normalize(_DECIMAL128)
    except DecimalException:
        return ""
    return f"{held:f}" if abs(held.adjusted()) < _MOST_DIGITS else str(held)


def _exact(name: str, decimals: int, text: pl.Expr, let: Let, style: DecimalStyle, *, typed_cells: bool) -> Conversion:
    """A decimal number, rounded half up (ties away from zero).

    The digits that count are those before the point and ``decimals`` behind it: Decimal128 has room for 34.
    """
    plain = _plain_text(text, let, style, typed_cells=typed_cells)
    short = let((plain.str.len_bytes() <= _MOST_DIGITS) & ~plain.str.contains("[eE]"))
    # The cast rounds ties to even; one more digit behind the tie makes it greater than a tie and changes nothing else.
    tie_broken = pl.when(plain.str.contains(rf"\.[0-9]{{{decimals}}}[0-9]")).then(plain + "1").otherwise(plain)
    rounded = pl.when(~short).then(plain).map_batches(_Rounded(decimals), return_dtype=pl.String)
    value = let(
        pl.when(short).then(tie_broken).otherwise(rounded).cast(pl.Decimal(_MOST_ARROW_DIGITS, decimals), strict=False)
    )
    most = Decimal(10) ** (_MOST_DIGITS - decimals)
    value = let(pl.when(value.abs() < most).then(value))
    out_of_range = (
        f"This number is too large: a field with {decimals} decimals has room for {_MOST_DIGITS - decimals} digits "
        "before them. Import the field as text, or with fewer decimals."
    )
    checks = (
        _not_a_number(text, plain, style),
        Check(NUMBER_OUT_OF_RANGE, out_of_range, plain.is_not_null() & value.is_null()),
    )
    key = value.cast(pl.String)
    return Conversion({name: value}, checks, key, (value,), comparable=_ordered(key))


class _Rounded:
    """Plain numbers of any length, rounded half up to a number of decimals; null where 34 digits are too few."""

    def __init__(self, decimals: int) -> None:
        self._unit = Decimal(1).scaleb(-decimals)

    def __call__(self, texts: pl.Series) -> pl.Series:
        if texts.null_count() == len(texts):
            return texts
        rounded = {text: self._rounded(text) for text in texts.drop_nulls().unique().to_list()}
        return texts.replace_strict(list(rounded), list(rounded.values()), default=None, return_dtype=pl.String)

    def _rounded(self, text: str) -> str | None:
        try:
            return f"{Decimal(text).quantize(self._unit, ROUND_HALF_UP, Context(_MOST_DIGITS)):f}"
        except InvalidOperation:
            return None


def _ordered(number: pl.Expr) -> pl.Expr:
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
