"""Dates: from text to an instant, and from an instant to text.

An instant is an Int64 with the milliseconds since 1970-01-01T00:00:00Z, as BSON has it. Text without
an offset is taken as UTC. Only the years 1 to 9999 exist: what Python's datetime and every driver can hold.

All patterns run in Rust's ``regex`` crate, in time linear in the text. None is a user's own: a
``date_format`` is put together from tokens.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from libs.contracts.date_formats import DEFAULT_PIVOT, SINCE_1970, Part, date_format_parts
from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import DateOrder, TemplateField
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let
from services.validator.domain.date_names import DAY, LONG_MONTH, SHORT_MONTH
from services.validator.domain.date_parts import TwoDigitYears
from services.validator.domain.date_ways import Way, Ways, by_directives, by_groups, by_pattern
from services.validator.domain.free_dates import Spelling, free_dates, iso_day, iso_ways
from services.validator.domain.reading import Reading

_FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_EPOCH, _DAY_MS = date(1970, 1, 1), 86_400_000
_ANY_CENTURY = TwoDigitYears()
_ENGLISH: Mapping[str, str] = MappingProxyType({})
_SAMPLE_MS = 1_711_893_900_000  # Sunday 2024-03-31T14:05:00Z

# ASCII only (-u): ignoring the case in all of Unicode takes a long s for an s. No two branches begin alike, which
# lets the engine take the groups of such a pattern in one pass, four times as fast.
_LONG_MONTH = "(?i-u:A(?:pril|ugust)|December|February|J(?:anuary|u(?:ly|ne))|Ma(?:rch|y)|November|October|September)"
_SHORT_MONTH = "(?i-u:A(?:pr|ug)|Dec|Feb|J(?:an|u[ln])|Ma[ry]|Nov|Oct|Sep)"
_LONG_DAY = "(?i-u:(?:Mon|T(?:ues|hurs)|Wednes|Fri|S(?:atur|un))day)"
_SHORT_DAY = "(?i-u:Mon|T(?:ue|hu)|Wed|Fri|S(?:at|un))"


class _Token(NamedTuple):
    """What a token of a date format looks like in a text.

    Attributes:
        group: the part of a date that it gives, as ``composed`` takes it.
        pattern: of its text.
        directive: that prints it, https://docs.rs/chrono/latest/chrono/format/strftime/
    """

    group: str
    pattern: str
    directive: str


_TOKENS = {
    "YYYY": _Token("year", "[0-9]{4}", "%Y"),
    "YY": _Token("short_year", "[0-9]{2}", "%y"),
    "MMMM": _Token("month_name", _LONG_MONTH, "%B"),
    "MMM": _Token("month_name", _SHORT_MONTH, "%b"),
    "MM": _Token("month", "[0-9]{2}", "%m"),
    "M": _Token("month", "[0-9]{1,2}", "%-m"),
    "DD": _Token("day", "[0-9]{2}", "%d"),
    "D": _Token("day", "[0-9]{1,2}", "%-d"),
    "dddd": _Token("weekday", _LONG_DAY, "%A"),
    "ddd": _Token("weekday", _SHORT_DAY, "%a"),
    "HH": _Token("hour", "[0-9]{2}", "%H"),
    "H": _Token("hour", "[0-9]{1,2}", "%-H"),
    "hh": _Token("hour", "[0-9]{2}", "%I"),
    "h": _Token("hour", "[0-9]{1,2}", "%-I"),
    "mm": _Token("minute", "[0-5][0-9]", "%M"),
    "m": _Token("minute", "[0-5]?[0-9]", "%-M"),
    "ss": _Token("second", "[0-5][0-9]", "%S"),
    "s": _Token("second", "[0-5]?[0-9]", "%-S"),
    "SSS": _Token("millisecond", "[0-9]{3}", "%3f"),
    "A": _Token("half", "(?i-u:[AP]M)", "%p"),
    "a": _Token("half", "(?i-u:[AP]M)", "%P"),
    "Z": _Token("offset", "Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?", "Z"),
    "X": _Token("seconds", r"-?[0-9]{1,12}(?:\.[0-9]+)?", "%s"),
    "x": _Token("milliseconds", "-?[0-9]{1,15}", "%s%3f"),
}

_OF_ALL_LANGUAGES = {"MMMM": LONG_MONTH, "MMM": SHORT_MONTH + r"\.?", "dddd": DAY + r"\.?", "ddd": DAY + r"\.?"}
"""Patterns of names that are no English ones as the token has them."""

_PARSED_AT_ONCE = (
    {"YYYY", "MM", "DD"},
    {"YYYY", "MM", "DD", "HH", "mm"},
    {"YYYY", "MM", "DD", "HH", "mm", "ss"},
)
"""Tokens of formats that Polars reads by itself, once a pattern has held the text to them."""

_ORDER_SAMPLES = {
    DateOrder.DMY: ("day, month, year", "31/03/2024"),
    DateOrder.MDY: ("month, day, year", "03/31/2024"),
    DateOrder.YMD: ("year, month, day", "2024/03/31"),
}

_ZERO_DATE = (
    r"^(?:0000[-/.]?00[-/.]?00|00?[-/.]00?[-/.](?:0000|00))(?:[T ]?00(?::?00){1,2}(?:\.0+)?)?"
    "(?: ?(?:Z|[+-]00(?::?00)?))?$"
)
"""Of MySQL, SAP and others: no date at all."""


def conversion(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    """The conversion of a ``date`` field; see ``instant`` for what is read."""
    order = reading.date_order(field)
    years = reading.two_digit_years(field)
    value = let(
        instant(
            text,
            field.date_format,
            order,
            let,
            years=years,
            typed_cells=reading.typed_cells,
            date_1904=reading.date_1904,
            counted_days=field.name not in reading.uncounted_days,
        )
    )
    checks = [Check(RowErrorCode.INVALID_DATE, _message(field, order, years), text.is_not_null() & value.is_null())]
    if years.past and years.today is not None:
        # A day more: where today is already tomorrow, it is past there too.
        until = (years.today - _EPOCH).days * _DAY_MS + 2 * _DAY_MS
        checks.append(Check(RowErrorCode.INVALID_DATE, _IN_THE_FUTURE, value >= until))
    return Conversion(
        {field.name: value.cast(pl.Datetime("ms", "UTC"))},
        tuple(checks),
        key=value.cast(pl.String),
        comparable=value,
    )


def without_zero_dates(text: pl.Expr) -> pl.Expr:
    """The texts but for those that are dates of zeros, such as ``0000-00-00``."""
    return pl.when(~text.str.contains(_ZERO_DATE)).then(text)


_IN_THE_FUTURE = "This date is after the day of the import, and the template says that it is past. Correct the year."


def _message(field: TemplateField, order: DateOrder, years: TwoDigitYears) -> str:
    if field.date_format is not None:
        return (
            f"This is not a date in the form {field.date_format}. Write it as in {date_sample(field.date_format)}, and "
            "check that the day exists."
        )
    words, sample = _ORDER_SAMPLES[order]
    if years.position is None:
        short = (
            "A year of two digits in a date of numbers was not found to be the first or the last part in this column: "
            "say date_order or date_format in the template, or write four digits. "
        )
    elif years.horizon is not None and years.pivot is None and not years.past:
        short = (
            f"A year of two digits is one from 19{DEFAULT_PIVOT} to {years.horizon}: for others write four digits, or "
            "say two_digit_year_pivot in the template. "
        )
    else:
        short = ""
    return (
        f"This is not a date. Write it as 2024-03-31, 2024-03-31T14:05:00Z or 31 March 2024; a date in numbers is read "
        f"as {words} in the whole column, as in {sample}. {short}Check that the day exists."
    )


def date_sample(date_format: str) -> str:
    """31 March 2024, 14:05:00 in a ``date_format``."""
    sample: str = pl.select(formatted(pl.lit(_SAMPLE_MS), date_format)).item()
    return sample


def instant(
    text: pl.Expr,
    date_format: str | None,
    order: DateOrder,
    let: Let,
    *,
    years: TwoDigitYears = _ANY_CENTURY,
    typed_cells: bool = False,
    date_1904: bool = False,
    counted_days: bool = True,
) -> pl.Expr:
    """The instant that a text says, null where it says none.

    Without a format it may be what ``free_dates`` reads; an order that does not fit is an error, never another order.
    With a format it is exactly that form, its names in any language of ``date_names``; whether the name of a day agrees
    with the date is not asked.

    Args:
        text: text without blanks around it, null where the field is empty.
        date_format: a format without problems, see ``libs.contracts.date_formats``.
        order: of day, month and year in numbers; not used with a format.
        let: takes the intermediate results.
        years: what years of two digits mean.
        typed_cells: a cell that is a date to the file itself is ISO 8601, whatever the format.
        date_1904: serial numbers count from 1904-01-01 instead of 1899-12-31.
        counted_days: whether numbers may be serial numbers.

    Returns:
        Int64, milliseconds since 1970 UTC.
    """
    if date_format is None:
        found = iso_day(text)
        others = free_dates(Spelling(order, years, typed_cells, date_1904, counted_days))
    else:
        # The template has said what it wants.
        years = replace(years, horizon=None)
        found = _in_format(text, date_format, years, let)
        others = Ways(iso_ways() if typed_cells else [], _other_spellings(date_format, years))
    found = let(found)
    rest = pl.when(found.is_null()).then(text)
    found = let(pl.coalesce(found, rest.map_batches(others, return_dtype=pl.Int64)))
    # An offset may lead out of the years, and a format may hold the year 0000.
    return let(pl.when(found.is_between(_FIRST_MS, _LAST_MS)).then(found))


def formatted(instant: pl.Expr, date_format: str) -> pl.Expr:
    """Instants as text in a ``date_format``, in UTC."""
    return instant.cast(pl.Datetime("ms")).dt.strftime(_directives(date_format))


def _in_format(text: pl.Expr, date_format: str, years: TwoDigitYears, let: Let) -> pl.Expr:
    parts = date_format_parts(date_format)
    tokens = {part.text for part in parts if part.is_token}
    pattern = f"^{''.join(map(_part_pattern, parts))}$"
    if tokens <= SINCE_1970:
        number = pl.when(text.str.contains(pattern)).then(text)
        return (
            number.cast(pl.Int64) if "x" in tokens else (number.cast(pl.Decimal(25, 9)) * 1000).floor().cast(pl.Int64)
        )
    if tokens not in _PARSED_AT_ONCE:
        return by_groups(pattern, years, text, let)
    return by_directives(_directives(date_format), pl.when(text.str.contains(pattern)).then(text))


def _other_spellings(date_format: str, years: TwoDigitYears) -> list[Way]:
    """The same form with digits, blanks and dashes of other kinds, and names of other languages."""
    parts = date_format_parts(date_format)
    if {part.text for part in parts if part.is_token} <= SINCE_1970:
        return []
    return [by_pattern(f"^{''.join(_part_pattern(part, _OF_ALL_LANGUAGES) for part in parts)}$", years)]


def _directives(date_format: str) -> str:
    return "".join(
        _TOKENS[part.text].directive if part.is_token else part.text.replace("%", "%%")
        for part in date_format_parts(date_format)
    )


def _part_pattern(part: Part, names: Mapping[str, str] = _ENGLISH) -> str:
    if part.is_token:
        token = _TOKENS[part.text]
        return f"(?P<{token.group}>{names.get(part.text, token.pattern)})"
    return "".join(rf"\x{{{ord(sign):x}}}" for sign in part.text)
