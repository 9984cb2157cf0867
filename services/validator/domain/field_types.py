"""The types of fields: what their text must look like, and the value that comes out of it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import polars as pl

from libs.contracts.templates import FieldType, TemplateField
from services.validator.domain.checks import (
    INVALID_BOOLEAN,
    INVALID_DATE,
    INVALID_EMAIL,
    NOT_A_NUMBER,
    NOT_AN_INTEGER,
    NUMBER_OUT_OF_RANGE,
    Check,
)
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps

_PLAIN = Reading()

TRUE_WORDS = ("true", "1", "yes", "on", "ja", "sant")
"""Seeds 002, "Field transforms"."""
FALSE_WORDS = ("false", "0", "no", "off", "nej", "falskt")

# "A valid e-mail address", WHATWG HTML, https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
EMAIL_PATTERN = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
# RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of them are its angle brackets.
MAX_EMAIL_CHARS = 254

NUMBER_PATTERN = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
# Up to 15 significant digits survive the way into a double and back (IEEE 754, DBL_DIG).
_SURELY_EXACT_CHARS = 15
_MOST_DIGITS_OF_A_DOUBLE = 767
_FRACTION_OR_EXPONENT = re.compile("[.eE]")
_SMALLEST_NORMAL = 2.2250738585072014e-308

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
ISO_DATE_PATTERN = (
    rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}(?::[0-5][0-9](?:\.[0-9]{{1,9}})?)?(?:Z|[+-]{_CLOCK})?)?$"
)
# Token of a date_format: digits in the text, strptime directive, sample for messages.
_DATE_TOKENS = {
    "YYYY": ("[0-9]{4}", "%Y", "2024"),
    "MM": ("[0-9]{2}", "%m", "03"),
    "DD": ("[0-9]{2}", "%d", "31"),
    "HH": ("[0-9]{2}", "%H", "14"),
    "mm": ("[0-9]{2}", "%M", "05"),
    "ss": ("[0-5][0-9]", "%S", "00"),  # strptime would take a leap second, which no clock of ours has
}
_DATE_TOKEN = re.compile("|".join(_DATE_TOKENS))
_TIME_TOKENS = ("HH", "mm", "ss")
_FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


_Let = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the text of a field becomes its value.

    Attributes:
        columns: output columns; their order is that of the checked batch.
        checks: what can be wrong with the text; null text breaks none of them.
        key: the value as text, equal exactly where the values are equal; null without a value.
        numbers: the columns of a number, for its bounds.
        keeps_text: whether the value of an invalid cell is its text all the same.
        comparable: ordered and equal like the values, across all fields of a type; null without a value.
    """

    columns: dict[str, pl.Expr]
    checks: tuple[Check, ...]
    key: pl.Expr
    numbers: tuple[pl.Expr, ...] = ()
    keeps_text: bool = False
    comparable: pl.Expr | None = None


def conversion(field: TemplateField, text: pl.Expr, steps: Steps, reading: Reading = _PLAIN) -> Conversion:
    """The conversion of a field.

    Args:
        field: the field.
        text: what ``transforms.checked_text`` gives: no ``""``, null where the field is empty.
        steps: takes the intermediate results.
        reading: what the file's texts mean, where the field itself does not say.
    """
    let = steps.let
    match field.type:
        case FieldType.TEXT:
            return Conversion({field.name: text}, (), text, keeps_text=True)
        case FieldType.EMAIL:
            return _email(field.name, text)
        case FieldType.NUMBER if field.integer:
            return _integer(field.name, text, let)
        case FieldType.NUMBER:
            return _number(field.name, text, let)
        case FieldType.DATE:
            return _date(field, text, let)
        case FieldType.BOOLEAN:
            return _boolean(field.name, text, let)


def _email(name: str, text: pl.Expr) -> Conversion:
    # The pattern admits ASCII only, so bytes are characters wherever the length matters.
    valid = text.str.contains(EMAIL_PATTERN) & (text.str.len_bytes() <= MAX_EMAIL_CHARS)
    message = (
        f"This is not an e-mail address. Write one address such as name@example.com, at most {MAX_EMAIL_CHARS} "
        "characters long."
    )
    return Conversion({name: text}, (Check(INVALID_EMAIL, message, ~valid),), text, keeps_text=True)


_NOT_A_NUMBER = (
    "This is not a number. Write digits with a point before the decimals and nothing between the thousands, "
    "such as 1234.5."
)
_OUT_OF_RANGE = (
    "This number cannot be stored without losing digits: whole numbers go from -9223372036854775808 to "
    "9223372036854775807, decimals have about 15 significant digits and an exponent from -307 to 308. Round it, "
    "or import the field as text."
)
_NOT_AN_INTEGER = "This is not a whole number. Write digits only, such as 12 and not 12.0."


def _integer(name: str, text: pl.Expr, let: _Let) -> Conversion:
    whole, rest, grammatical = _whole_number(text, let)
    fraction = let(rest.str.contains("[.eE]"))
    checks = (
        Check(NOT_A_NUMBER, _NOT_A_NUMBER, ~grammatical),
        Check(NOT_AN_INTEGER, _NOT_AN_INTEGER, grammatical & fraction),
        Check(NUMBER_OUT_OF_RANGE, _OUT_OF_RANGE, grammatical & ~fraction),
    )
    return Conversion({name: whole}, checks, whole.cast(pl.String), (whole,))


def _number(name: str, text: pl.Expr, let: _Let) -> Conversion:
    """An integer within int64 stays one; any other number becomes a double that holds all its digits.

    A double holds them if it prints as the same number, in its shortest form or with as many significant
    digits: so what other programs print of a double (``48.053808600000004``) passes, and 20 digits of pi do
    not. That is certain up to 15 digits, so only longer texts are compared, and numbers so small that a
    double has fewer digits left.
    """
    whole, rest, grammatical = _whole_number(text, let)
    double = let(pl.when(grammatical).then(rest.cast(pl.Float64, strict=False)))
    doubtful = let((rest.str.len_bytes() > _SURELY_EXACT_CHARS) | (double.abs() < _SMALLEST_NORMAL))
    lossy = pl.when(grammatical & doubtful).then(rest).map_batches(_loses_digits, return_dtype=pl.Boolean)
    out_of_range = let(grammatical & (double.is_infinite() | lossy.fill_null(value=False)))
    decimal = let(pl.when(~out_of_range).then(double))
    checks = (
        Check(NOT_A_NUMBER, _NOT_A_NUMBER, ~grammatical),
        Check(NUMBER_OUT_OF_RANGE, _OUT_OF_RANGE, out_of_range),
    )
    # 12 and 12.0 are one number: to Python, and to an index of MongoDB.
    round_decimal = pl.when(decimal == decimal.floor()).then(decimal.cast(pl.Int64, strict=False))
    key = pl.coalesce(pl.coalesce(whole, round_decimal).cast(pl.String), decimal.cast(pl.String))
    return Conversion({name: decimal, integer_column(name): whole}, checks, key, (whole, decimal))


def integer_column(name: str) -> str:
    """The column that holds the integers of a number field."""
    return f"_int_{name}"


def _whole_number(text: pl.Expr, let: _Let) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The int64 values, the text of all others, and whether that text is a number (null for int64 values).

    The cast to int64 takes a sign and ASCII digits and nothing else, so it needs no pattern.
    """
    whole = let(text.cast(pl.Int64, strict=False))
    rest = let(pl.when(whole.is_null()).then(text))
    return whole, rest, let(rest.str.contains(NUMBER_PATTERN))


def _loses_digits(texts: pl.Series) -> pl.Series:
    """Whether a double cannot hold all digits of a number's text; false for null."""
    lossy = [text for text in texts.drop_nulls().unique().to_list() if _is_lossy(text)]
    return texts.is_in(lossy).fill_null(value=False)


def _is_lossy(text: str) -> bool:
    double = float(text)
    if not (math.isfinite(double) and _FRACTION_OR_EXPONENT.search(text)):
        return True  # Too great, or an integer beyond int64: as a double it would no longer be one.
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return True  # An exponent beyond all reason.
    digits = len("".join(map(str, exact.as_tuple().digits)).rstrip("0"))
    if digits > _MOST_DIGITS_OF_A_DOUBLE:
        return True
    # The shortest text may be a rounding up where that with so many digits rounds to even.
    return exact not in (Decimal(repr(double)), Decimal(f"{double:.{max(digits, 1) - 1}e}"))


def _date(field: TemplateField, text: pl.Expr, let: _Let) -> Conversion:
    if field.date_format is None:
        instant = _iso_instant(text, let)
        shape, sample = "ISO 8601", "2024-03-31 or 2024-03-31T14:05:00Z"
    else:
        instant = _formatted_instant(text, field.date_format, let)
        shape, sample = field.date_format, date_sample(field.date_format)
    # Years 1 to 9999: what Python's datetime and every driver can hold; an offset may lead out of them.
    instant = let(pl.when(instant.is_between(_FIRST_MS, _LAST_MS)).then(instant))
    message = f"This is not a date in the form {shape}. Write it as in {sample}, and check that the day exists."
    invalid = text.is_not_null() & instant.is_null()
    return Conversion(
        {field.name: instant.cast(pl.Datetime("ms", "UTC"))},
        (Check(INVALID_DATE, message, invalid),),
        instant.cast(pl.String),
    )


def _iso_instant(text: pl.Expr, let: _Let) -> pl.Expr:
    """Milliseconds since 1970 UTC of ISO 8601 text; null where it is none.

    Without an offset the text is taken as UTC. Digits beyond milliseconds are cut off: a
    date of BSON has no more.
    """
    valid = let(pl.when(text.str.contains(ISO_DATE_PATTERN)).then(text))
    plain = let(_strptime(valid, "%Y-%m-%d"))
    # Null for plain dates, which makes all that follows cheap for them.
    timed = let(pl.when(valid.str.len_bytes() > len("YYYY-MM-DD")).then(valid))
    midnight = _strptime(timed.str.slice(0, 10), "%Y-%m-%d")
    minutes = timed.str.slice(11, 2).cast(pl.Int64) * 60 + timed.str.slice(14, 2).cast(pl.Int64)
    seconds = timed.str.extract(r"^.{16}:([0-9]{2})").cast(pl.Int64).fill_null(0)
    fraction = timed.str.extract(r"\.([0-9]{1,3})").str.pad_end(3, "0").cast(pl.Int64).fill_null(0)
    offset = let(timed.str.extract(rf"^.{{16,}}([+-]{_CLOCK})$"))
    offset_minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(4, 2).cast(pl.Int64)
    west = pl.when(offset.str.starts_with("-")).then(offset_minutes).otherwise(-offset_minutes).fill_null(0)
    clock = ((minutes + west) * 60 + seconds) * 1000 + fraction
    return let(pl.coalesce(plain, midnight + clock))


def _formatted_instant(text: pl.Expr, date_format: str, let: _Let) -> pl.Expr:
    """Milliseconds since 1970 UTC of text in a ``date_format``; null where it is not in it.

    The pattern holds the text to the exact number of digits, which strptime would not. A clock
    without all of its parts is completed, because strptime refuses hours without minutes.
    """
    pattern = _DATE_TOKEN.sub(lambda token: _DATE_TOKENS[token[0]][0], date_format.replace(".", "[.]"))
    directives = _DATE_TOKEN.sub(lambda token: _DATE_TOKENS[token[0]][1], date_format)
    valid = pl.when(text.str.contains(f"^{pattern}$")).then(text)
    missing = [token for token in _TIME_TOKENS if token not in date_format]
    if 0 < len(missing) < len(_TIME_TOKENS):
        directives += "".join(f"|{_DATE_TOKENS[token][1]}" for token in missing)
        valid = pl.concat_str(valid, pl.lit("|00" * len(missing)))
    return let(_strptime(valid, directives))


def _strptime(text: pl.Expr, directives: str) -> pl.Expr:
    # Without the cache: it costs more than it saves on batches of distinct dates.
    parsed = text.str.to_datetime(directives, time_unit="ms", strict=False, cache=False)
    return parsed.cast(pl.Int64)


def date_sample(date_format: str) -> str:
    """31 March 2024, 14:05:00 in a ``date_format``."""
    return _DATE_TOKEN.sub(lambda token: _DATE_TOKENS[token[0]][2], date_format)


def _boolean(name: str, text: pl.Expr, let: _Let) -> Conversion:
    word = let(text.str.to_lowercase())
    true, false = pl.lit(value=True), pl.lit(value=False)
    value = let(pl.when(word.is_in(TRUE_WORDS)).then(true).when(word.is_in(FALSE_WORDS)).then(false))
    message = f"This is neither yes nor no. Write one of {', '.join(TRUE_WORDS)} or {', '.join(FALSE_WORDS)}."
    invalid = text.is_not_null() & value.is_null()
    return Conversion({name: value}, (Check(INVALID_BOOLEAN, message, invalid),), value.cast(pl.String))
