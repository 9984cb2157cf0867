"""Numbers: in the style of their column, and never with a digit lost.

How they are written: ``libs.values.numbers``.

The value of a plain number is in one of three columns: an int64 where it is one; a double where that prints with
the same digits; else the exact decimal, which must fit BSON's Decimal128 (34 significant digits).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from enum import IntEnum

import polars as pl
from bson.decimal128 import create_decimal128_context

from libs.batches.columns import decimal_column, integer_column
from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import DecimalStyle, TemplateField
from libs.values.numbers import FOREIGN, PERCENT, PLAIN, UNCLEAR, NumberReader
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let, spread
from services.validator.domain.number_order import ordered
from services.validator.domain.reading import Reading

_TEXT = pl.col("text")
_STYLE_WORDS = {
    DecimalStyle.POINT: "a decimal point, as in 1234.5 or 1,234.5",
    DecimalStyle.COMMA: "a decimal comma, as in 1234,5 or 1.234,5",
}
_PERCENT_UNSAID = (
    "This number has a percent sign, and 12 % may be 0.12 or 12. Say which in the template, by 'percent' of the field "
    "('fraction' or 'as_is'), or write the number without the sign."
)
_UNCLEAR = (
    "This is one number with a decimal comma and a thousandth of it as the file writes its own numbers, and the column "
    "has both. Write it without a separator, or have the column hold numbers only."
)
_CUT_BY_EXCEL = r"^[+-]?[0-9](?:\.[0-9]{1,5})?E\+(?:1[1-9]|[2-9][0-9])$"
"""How Excel writes a whole number of more than eleven digits into a text file, so that most of its digits are lost."""
_DIGITS_CUT = (
    "A spreadsheet has cut this number short when it wrote it as a text: most of its digits are lost. Format the "
    "column as a number without decimals, or as text, and save the file again."
)

# Up to 15 significant digits survive the way into a double and back (IEEE 754, DBL_DIG).
_SURELY_EXACT_CHARS = 15
# So few that a double holds them without a second look.
_FEW_DIGITS = r"^[+-]?[0-9]{1,8}\.[0-9]{1,7}$"
_MOST_DIGITS_OF_A_DOUBLE = 767
_LARGEST_EXACT = 2.0**53
_SMALLEST_NORMAL, _LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308
_FRACTION_OR_EXPONENT = re.compile("[.eE]")

_MOST_DIGITS = 34
"""Significant digits of a Decimal128, https://en.wikipedia.org/wiki/Decimal128_floating-point_format"""
_MOST_ARROW_DIGITS = 38

_INTEGERS = {"whole": pl.Int64()}
_NUMBERS = {"whole": pl.Int64(), "double": pl.Float64(), "decimal": pl.String()}
_INT64_RANGE = 2.0**63
_NOT_WRITTEN_OUT = 10**_MOST_DIGITS


def conversion(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    """The conversion of a ``number`` field."""
    style = reading.decimal_style(field)
    point_too = reading.typed_cells or reading.typed_numbers
    reader = NumberReader(
        style,
        percent=field.percent,
        currencies=reading.currency_names(field),
        point_too=point_too,
        mixed=field.name in reading.mixed_numbers,
    )
    mixed = field.name in reading.mixed_numbers and style is DecimalStyle.COMMA
    point = style is DecimalStyle.POINT or (point_too and not mixed)
    if field.decimals is not None:
        return _exact(field, field.decimals, text, let, reader, reading, point=point)
    # The cast to int64 takes a sign and ASCII digits and nothing else, so it needs no pattern.
    whole = let(text.cast(pl.Int64, strict=False))
    rest = pl.when(whole.is_null()).then(text)
    if field.integer:
        # A number cell of a spreadsheet is written with all its digits.
        integers = _Integers(written_out=point_too)
        others = let(_Others(reader, _INTEGERS, integers).read(rest))
        return _integer(field.name, whole, others, let, _checks(others, let, field, reading, _NO_INTEGER))
    if point:
        rest = let(rest)
        double = let(pl.when(rest.str.contains(_FEW_DIGITS)).then(rest).cast(pl.Float64, strict=False))
        rest = pl.when(double.is_null()).then(rest)
    else:
        double = pl.lit(None, pl.Float64)
    others = let(_Others(reader, _NUMBERS, _numbers).read(rest))
    return _number(field.name, whole, double, others, let, _checks(others, let, field, reading, _TOO_MANY_DIGITS))


class _Fault(IntEnum):
    """What keeps a text from having a value."""

    NONE = 0
    NO_NUMBER = 1
    PERCENT = 2
    CURRENCY = 3
    FRACTION = 4
    CUT = 5
    TOO_LARGE = 6
    UNCLEAR = 7


_NO_INTEGER = {
    _Fault.FRACTION: (
        RowErrorCode.NOT_AN_INTEGER,
        "This is not a whole number. Write it without a fraction, such as 12.",
    ),
    _Fault.CUT: (RowErrorCode.NOT_AN_INTEGER, _DIGITS_CUT),
    _Fault.TOO_LARGE: (
        RowErrorCode.NUMBER_OUT_OF_RANGE,
        (
            "This number cannot be stored without losing digits: whole numbers go from -9223372036854775808 to "
            "9223372036854775807. Correct it, or have the template read this field as text."
        ),
    ),
}
_TOO_MANY_DIGITS = {
    _Fault.TOO_LARGE: (
        RowErrorCode.NUMBER_OUT_OF_RANGE,
        (
            f"This number cannot be stored without losing digits: a number has at most {_MOST_DIGITS} of them. Round "
            "it, or have the template read this field as text."
        ),
    )
}


class _Others:
    """Reads the numbers that are not written in the simplest way.

    They are read apart from the others so that a column without them pays nothing for them: looking for a pattern in
    nulls takes nearly as long as in texts.

    Gives a struct: ``fault``, a ``_Fault``, null for null; and the values.

    Args:
        reader: from texts to plain numbers.
        values: the columns of the values.
        read: from plain numbers to the values, of which one is not null unless a number is too large, and perhaps a
            ``fault``.
    """

    def __init__(
        self, reader: NumberReader, values: Mapping[str, pl.DataType], read: Callable[[pl.Series], Iterable[pl.Series]]
    ) -> None:
        self._reader = reader
        self._read = read
        self._values = list(values)
        self._dtype = pl.Struct({**values, "fault": pl.UInt8()})
        self._nothing = pl.Series([None], dtype=self._dtype)
        self._refused = pl.Series([{"fault": _Fault.NO_NUMBER}], dtype=self._dtype)

    def read(self, text: pl.Expr) -> pl.Expr:
        return text.map_batches(self, return_dtype=self._dtype)

    def __call__(self, texts: pl.Series) -> pl.Series:
        if texts.null_count() == len(texts):
            return self._nothing.new_from_index(0, len(texts))
        found = self._reader.read(texts.drop_nulls())
        unsaid = found[PERCENT].any() or found[FOREIGN].any() or found[UNCLEAR].any()
        if found[PLAIN].null_count() == found.height and not unsaid:
            return spread(self._refused.new_from_index(0, found.height), texts)
        values = pl.DataFrame(list(self._read(found[PLAIN].alias("text")))).with_columns(found.get_columns())
        nowhere = pl.all_horizontal(pl.col(name).is_null() for name in self._values)
        fault = pl.when(nowhere).then(pl.lit(_Fault.TOO_LARGE))
        if "fault" in values.columns:
            fault = pl.coalesce("fault", fault)
        fault = (
            pl.when(pl.col(PLAIN).is_not_null())
            .then(fault.fill_null(_Fault.NONE))
            .when(FOREIGN)
            .then(pl.lit(_Fault.CURRENCY))
            .when(PERCENT)
            .then(pl.lit(_Fault.PERCENT))
            .when(UNCLEAR)
            .then(pl.lit(_Fault.UNCLEAR))
            .otherwise(pl.lit(_Fault.NO_NUMBER))
        )
        struct = pl.struct(*self._values, fault.cast(pl.UInt8).alias("fault"))
        return spread(values.select(struct).to_series(), texts)


def _checks(
    others: pl.Expr,
    let: Let,
    field: TemplateField,
    reading: Reading,
    more: Mapping[_Fault, tuple[RowErrorCode, str]],
) -> tuple[Check, ...]:
    """What keeps a text from having a value; a text breaks one of these at most."""
    fault = let(others.struct.field("fault"))
    currency = reading.currency(field)
    amounts = (
        "The column shows no single currency" if currency is None else f"The column is read as amounts in {currency}"
    )
    messages = {
        _Fault.NO_NUMBER: (
            f"This is not a number. The column is read with {_STYLE_WORDS[reading.decimal_style(field)]}. Write the "
            "number alone, without a unit or other text."
        ),
        _Fault.PERCENT: _PERCENT_UNSAID,
        **({_Fault.UNCLEAR: _UNCLEAR} if field.name in reading.mixed_numbers else {}),
        _Fault.CURRENCY: (
            f"This amount names a currency that the column does not have. {amounts}. Name the one that all amounts of "
            "the column are in, by 'currency' of the template's field, or give the currencies a column of their own."
        ),
    }
    found = {each: (RowErrorCode.NOT_A_NUMBER, message) for each, message in messages.items()}
    return tuple(Check(code, message, fault, each) for each, (code, message) in {**found, **more}.items())


class _Integers:
    """Whole numbers, also those written ``5.0`` or ``1E+5``.

    Args:
        written_out: an exponent is no sign of digits that a spreadsheet has left out on its way into a text file.
    """

    def __init__(self, *, written_out: bool) -> None:
        self._written_out = written_out

    def __call__(self, plain: pl.Series) -> Iterable[pl.Series]:
        text = pl.col("text")
        digits = text.str.replace(r"^([+-]?[0-9]+)\.0+$", "${1}")
        frame = plain.to_frame("text").select("text", digits.cast(pl.Int64, strict=False).alias("whole"), digits=digits)
        if plain.str.contains("[eE]").any():
            frame = frame.with_columns(_scaled_digits(frame))
        digits = pl.col("digits")
        fault = pl.when(digits.str.contains(".", literal=True) | digits.is_null()).then(pl.lit(_Fault.FRACTION))
        if not self._written_out:
            fault = pl.when(text.str.contains(_CUT_BY_EXCEL)).then(pl.lit(_Fault.CUT)).otherwise(fault)
        frame = frame.with_columns(digits.cast(pl.Int64, strict=False).alias("whole"), fault.alias("fault"))
        value = pl.when(pl.col("fault").is_null()).then("whole").alias("whole")
        return frame.select(value, "fault").get_columns()


def _scaled_digits(frame: pl.DataFrame) -> pl.Series:
    """``digits`` with those of numbers with an exponent written out, as ``_whole_text`` does."""
    text, double = pl.col("text"), pl.col("double")
    # Of so few characters a double is whole if and only if the number is, and is that number; but for 1e-999.
    sure = (text.str.len_bytes() <= _SURELY_EXACT_CHARS) & (double != 0) & (double.abs() <= _LARGEST_EXACT)
    found = (
        frame.select(text, "digits", scaled=text.str.contains("[eE]"))
        .with_columns(double=pl.when("scaled").then(text).cast(pl.Float64, strict=False))
        .with_columns(sure=sure.fill_null(value=False))
        .with_columns(whole=pl.when("sure", double == double.floor()).then(double).cast(pl.Int64).cast(pl.String))
    )
    written = pl.when("scaled").then("whole").otherwise("digits").alias("digits")
    left: list[str] = found.filter("scaled", ~pl.col("sure"))["text"].unique().to_list()
    if not left:
        return found.select(written).to_series()
    known = dict(zip(left, map(_whole_text, left), strict=True))
    digits = (
        pl.when(pl.col("scaled") & ~pl.col("sure")).then(text.replace_strict(known, default=None)).otherwise(written)
    )
    return found.select(digits.alias("digits")).to_series()


def _whole_text(scaled: str) -> str | None:
    """The digits of a number with an exponent where it is whole; ``""`` where it has too many of them."""
    try:
        exact = Decimal(scaled)
    except InvalidOperation:
        return ""  # An exponent beyond all reason.
    if exact.adjusted() > _MOST_DIGITS:
        return ""
    return f"{exact:f}".partition(".")[0] if exact == exact.to_integral_value() else None


def _integer(name: str, whole: pl.Expr, others: pl.Expr, let: Let, checks: tuple[Check, ...]) -> Conversion:
    value = let(pl.coalesce(whole, others.struct.field("whole")))
    key = value.cast(pl.String)
    return Conversion({name: value}, checks, key, (value,), comparable=ordered(key))


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


def _number(
    name: str, whole: pl.Expr, double: pl.Expr, others: pl.Expr, let: Let, checks: tuple[Check, ...]
) -> Conversion:
    """An integer within int64 stays one; any other number becomes a double if that holds all its digits.

    A double holds them if it prints as the same number, in its shortest form or with as many significant
    digits: so what other programs print of a double (``48.053808600000004``) stays a double, and 20 digits of pi
    do not. That is certain up to 15 digits, so only longer texts are compared, and numbers that are too great
    for a double or so small that it has fewer digits left.
    """
    whole = let(pl.coalesce(whole, others.struct.field("whole")))
    double = let(pl.coalesce(double, others.struct.field("double")))
    decimal = let(others.struct.field("decimal"))
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
        comparable=ordered(key),
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


def _exact(
    field: TemplateField, decimals: int, text: pl.Expr, let: Let, reader: NumberReader, reading: Reading, *, point: bool
) -> Conversion:
    """A decimal number, rounded half up (ties away from zero).

    The digits that count are those before the point and ``decimals`` behind it: Decimal128 has room for 34.
    """
    dtype = pl.Decimal(_MOST_ARROW_DIGITS, decimals)
    most_digits = _MOST_DIGITS - decimals
    fraction = rf"(?:\.[0-9]{{1,{decimals}}})?" if decimals and point else ""
    simple = let(pl.when(text.str.contains(rf"^[+-]?[0-9]{{1,{most_digits}}}{fraction}$")).then(text))
    rest = pl.when(simple.is_null()).then(text)
    others = let(_Others(reader, {"value": dtype}, _Rounded(decimals)).read(rest))
    value = let(pl.coalesce(simple.cast(dtype, strict=False), others.struct.field("value")))
    too_large = (
        f"This number is too large: a field with {decimals} decimals has room for {most_digits} digits before them. "
        "Correct it, or have the template read this field with fewer decimals, or as text."
    )
    out_of_range = {_Fault.TOO_LARGE: (RowErrorCode.NUMBER_OUT_OF_RANGE, too_large)}
    checks = _checks(others, let, field, reading, out_of_range)
    key = value.cast(pl.String)
    return Conversion({field.name: value}, checks, key, (value,), comparable=ordered(key))


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
