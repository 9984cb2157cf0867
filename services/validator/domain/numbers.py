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
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

import polars as pl
from bson.decimal128 import create_decimal128_context

from libs.batches.columns import decimal_column, integer_column
from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import DecimalStyle, TemplateField
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let, spread
from services.validator.domain.reading import Reading

_PLAIN = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_TEXT = pl.col("text")
_MINUS = "\u2212"
_SEPARATORS = {DecimalStyle.POINT: ", '\u00a0\u202f\u2019", DecimalStyle.COMMA: ". '\u00a0\u202f\u2019"}
_DECIMAL_MARKS = {DecimalStyle.POINT: ".", DecimalStyle.COMMA: ","}
_STYLE_WORDS = {
    DecimalStyle.POINT: ("a decimal point, as in 1234.5 or 1,234.5", "12.0"),
    DecimalStyle.COMMA: ("a decimal comma, as in 1234,5 or 1.234,5", "12,0"),
}

# Up to 15 significant digits survive the way into a double and back (IEEE 754, DBL_DIG).
_SURELY_EXACT_CHARS = 15
# So few that a double holds them without a second look.
_FEW_DIGITS = r"^[+-]?[0-9]{1,8}\.[0-9]{1,7}$"
_MOST_DIGITS_OF_A_DOUBLE = 767
_SMALLEST_NORMAL, _LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308
_FRACTION_OR_EXPONENT = re.compile("[.eE]")

_MOST_DIGITS = 34
"""Significant digits of a Decimal128, https://en.wikipedia.org/wiki/Decimal128_floating-point_format"""
_MOST_ARROW_DIGITS = 38
_POWER_OFFSET = 50_000
"""Makes every power of ten that a number may have a positive number of five digits."""
_DIGITS = list("0123456789")

_INTEGERS = {"whole": pl.Int64(), "fraction": pl.Boolean()}
_NUMBERS = {"whole": pl.Int64(), "double": pl.Float64(), "decimal": pl.String()}
_INT64_RANGE = 2.0**63
_NOT_WRITTEN_OUT = 10**_MOST_DIGITS


def conversion(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    """The conversion of a ``number`` field."""
    style = reading.decimal_style(field)
    if field.decimals is not None:
        return _exact(field.name, field.decimals, text, let, style, typed_cells=reading.typed_cells)
    # The cast to int64 takes a sign and ASCII digits and nothing else, so it needs no pattern.
    whole = let(text.cast(pl.Int64, strict=False))
    rest = pl.when(whole.is_null()).then(text)
    if field.integer:
        others = let(_Others(style, _INTEGERS, _integers, typed_cells=reading.typed_cells).read(rest))
        return _integer(field.name, whole, others, let, style)
    if style is DecimalStyle.POINT or reading.typed_cells:
        rest = let(rest)
        double = let(pl.when(rest.str.contains(_FEW_DIGITS)).then(rest).cast(pl.Float64, strict=False))
        rest = pl.when(double.is_null()).then(rest)
    else:
        double = pl.lit(None, pl.Float64)
    others = let(_Others(style, _NUMBERS, _numbers, typed_cells=reading.typed_cells).read(rest))
    return _number(field.name, whole, double, others, let, style)


class _Others:
    """Reads the numbers that are not written in the simplest way.

    They are read apart from the others so that a column without them pays nothing for them: looking for a pattern in
    nulls takes nearly as long as in texts.

    Gives a struct: ``number``, whether a text is a number at all, null for null; and the values.
    """

    def __init__(
        self,
        style: DecimalStyle,
        values: Mapping[str, pl.DataType],
        read: Callable[[pl.Series], Iterable[pl.Series]],
        *,
        typed_cells: bool,
    ) -> None:
        sign, mark = rf"[+\-{_MINUS}]?", re.escape(_DECIMAL_MARKS[style])
        groups = "|".join(f"(?:[{separator}][0-9]{{3}})+" for separator in _SEPARATORS[style])
        whole = f"(?:[0-9]+|[0-9]{{1,3}}(?:{groups}))"
        self._pattern = f"^{sign}{whole}(?:{mark}[0-9]+)?(?:[eE]{sign}[0-9]+)?$"
        self._replaced = {**dict.fromkeys(_SEPARATORS[style], ""), _DECIMAL_MARKS[style]: ".", _MINUS: "-"}
        # What has a point in a typed cell is no group of thousands, whatever the style.
        self._point_too = typed_cells and style is DecimalStyle.COMMA
        self._read = read
        self._dtype = pl.Struct({"number": pl.Boolean(), **values})
        self._nothing = pl.Series([None], dtype=self._dtype)
        self._refused = pl.Series([{"number": False}], dtype=self._dtype)

    def read(self, text: pl.Expr) -> pl.Expr:
        return text.map_batches(self, return_dtype=self._dtype)

    def __call__(self, texts: pl.Series) -> pl.Series:
        if texts.null_count() == len(texts):
            return self._nothing.new_from_index(0, len(texts))
        plain = self._plain_text(texts.drop_nulls().alias("text"))
        if plain.null_count() == len(plain):
            return spread(self._refused.new_from_index(0, len(plain)), texts)
        number = plain.is_not_null().alias("number")
        return spread(pl.DataFrame([number, *self._read(plain)]).to_struct(), texts)

    def _plain_text(self, texts: pl.Series) -> pl.Series:
        """Numbers with nothing between the thousands and a point before the decimals; null where there is none."""
        in_style = self._in_style(texts)
        if not self._point_too:
            return in_style
        plain = texts.str.contains(_PLAIN)
        return texts.zip_with(plain, in_style)

    def _in_style(self, texts: pl.Series) -> pl.Series:
        plain = pl.when(_TEXT.str.contains(self._pattern)).then(_TEXT)
        replaced = plain.str.replace_many(list(self._replaced), list(self._replaced.values()))
        return texts.to_frame().select(replaced).to_series()


def _not_a_number(others: pl.Expr, style: DecimalStyle) -> Check:
    message = (
        f"This is not a number. The column is read with {_STYLE_WORDS[style][0]}. Write the number alone, "
        "without a unit or other text."
    )
    return Check(RowErrorCode.NOT_A_NUMBER, message, ~others.struct.field("number"))


def _integers(plain: pl.Series) -> Iterable[pl.Series]:
    return plain.cast(pl.Int64, strict=False).alias("whole"), plain.str.contains("[.eE]").alias("fraction")


def _integer(name: str, whole: pl.Expr, others: pl.Expr, let: Let, style: DecimalStyle) -> Conversion:
    value = let(pl.coalesce(whole, others.struct.field("whole")))
    fraction = others.struct.field("fraction")
    not_whole = f"This is not a whole number. Write digits only, such as 12 and not {_STYLE_WORDS[style][1]}."
    out_of_range = (
        "This number cannot be stored without losing digits: whole numbers go from -9223372036854775808 to "
        "9223372036854775807. Correct it, or have the template read this field as text."
    )
    checks = (
        _not_a_number(others, style),
        Check(RowErrorCode.NOT_AN_INTEGER, not_whole, fraction),
        Check(RowErrorCode.NUMBER_OUT_OF_RANGE, out_of_range, ~fraction & value.is_null()),
    )
    key = value.cast(pl.String)
    return Conversion({name: value}, checks, key, (value,), comparable=_ordered(key))


def _numbers(plain: pl.Series) -> Iterable[pl.Series]:
    """The value of a plain number, in one of three columns; in none where even a decimal loses digits."""
    text, double = pl.col("text"), pl.col("double")
    frame = plain.to_frame("text").with_columns(
        text.cast(pl.Int64, strict=False).alias("whole"), text.cast(pl.Float64, strict=False).alias("double")
    )
    sure = (text.str.len_bytes() <= _SURELY_EXACT_CHARS) & double.abs().is_between(_SMALLEST_NORMAL, _LARGEST)
    doubtful = frame.select(pl.when(pl.col("whole").is_null() & ~sure).then(text)).to_series()
    beyond = _beyond_doubles(doubtful)
    return frame.select(
        "whole",
        pl.when(pl.col("whole").is_null() & beyond.is_null()).then(double).alias("double"),
        pl.when(beyond != "").then(beyond).alias("decimal"),
    ).get_columns()


def _number(name: str, whole: pl.Expr, double: pl.Expr, others: pl.Expr, let: Let, style: DecimalStyle) -> Conversion:
    """An integer within int64 stays one; any other number becomes a double if that holds all its digits.

    A double holds them if it prints as the same number, in its shortest form or with as many significant
    digits: so what other programs print of a double (``48.053808600000004``) stays a double, and 20 digits of pi
    do not. That is certain up to 15 digits, so only longer texts are compared, and numbers that are too great
    for a double or so small that it has fewer digits left.
    """
    whole = let(pl.coalesce(whole, others.struct.field("whole")))
    double = let(pl.coalesce(double, others.struct.field("double")))
    decimal = let(others.struct.field("decimal"))
    out_of_range = (
        f"This number cannot be stored without losing digits: a number has at most {_MOST_DIGITS} of them. Round it, "
        "or have the template read this field as text."
    )
    nowhere = whole.is_null() & double.is_null() & decimal.is_null()
    checks = (
        _not_a_number(others, style),
        Check(RowErrorCode.NUMBER_OUT_OF_RANGE, out_of_range, others.struct.field("number") & nowhere),
    )
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
    dtype = pl.Decimal(_MOST_ARROW_DIGITS, decimals)
    most_digits = _MOST_DIGITS - decimals
    fraction = rf"(?:\.[0-9]{{1,{decimals}}})?" if decimals and (style is DecimalStyle.POINT or typed_cells) else ""
    simple = let(pl.when(text.str.contains(rf"^[+-]?[0-9]{{1,{most_digits}}}{fraction}$")).then(text))
    rest = pl.when(simple.is_null()).then(text)
    others = let(_Others(style, {"value": dtype}, _Rounded(decimals), typed_cells=typed_cells).read(rest))
    value = let(pl.coalesce(simple.cast(dtype, strict=False), others.struct.field("value")))
    out_of_range = (
        f"This number is too large: a field with {decimals} decimals has room for {most_digits} digits before them. "
        "Correct it, or have the template read this field with fewer decimals, or as text."
    )
    checks = (
        _not_a_number(others, style),
        Check(RowErrorCode.NUMBER_OUT_OF_RANGE, out_of_range, others.struct.field("number") & value.is_null()),
    )
    key = value.cast(pl.String)
    return Conversion({name: value}, checks, key, (value,), comparable=_ordered(key))


class _Rounded:
    """Rounds plain numbers half up to a number of decimals; null where 34 digits are too few."""

    def __init__(self, decimals: int) -> None:
        self._dtype = pl.Decimal(_MOST_ARROW_DIGITS, decimals)
        self._unit = Decimal(1).scaleb(-decimals)
        value = pl.col("value")
        self._fits = pl.when(value.abs() < Decimal(10) ** (_MOST_DIGITS - decimals)).then(value)
        short = (_TEXT.str.len_bytes() <= _MOST_DIGITS) & ~_TEXT.str.contains("[eE]")
        # The cast rounds ties to even; a digit behind a tie makes it more than a tie, and changes nothing else.
        cut = pl.when(_TEXT.str.contains(rf"\.[0-9]{{{decimals}}}[0-9]")).then(_TEXT + "1").otherwise(_TEXT)
        self._short = pl.when(short).then(cut).alias("short")
        self._long = pl.when(~short).then(_TEXT).alias("long")

    def __call__(self, plain: pl.Series) -> Iterable[pl.Series]:
        texts = plain.to_frame("text").select(self._short, self._long)
        value = texts["short"].cast(self._dtype, strict=False)
        long: list[str] = texts["long"].drop_nulls().unique().to_list()
        if long:
            rounded = texts["long"].replace_strict(
                long, [self._rounded(text) for text in long], default=None, return_dtype=pl.String
            )
            value = value.zip_with(texts["short"].is_not_null(), rounded.cast(self._dtype, strict=False))
        return [value.alias("value").to_frame().select(self._fits).to_series()]

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
