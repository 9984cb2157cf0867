"""Dates: from text to an instant, and from an instant to text.

An instant is an Int64 with the milliseconds since 1970-01-01T00:00:00Z, as BSON has it. Text without
an offset is taken as UTC. Only the years 1 to 9999 exist: what Python's datetime and every driver can hold.

All patterns run in Rust's ``regex`` crate, in time linear in the text. None is a user's own: a
``date_format`` is put together from tokens.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import polars as pl

from libs.contracts.date_formats import Part, date_format_parts
from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import DateOrder, TemplateField
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let, spread
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps, evaluate

_FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_DAYS_TO_1970 = 719_469  # from 0000-02-29
_SAMPLE_MS = 1_711_893_900_000  # Sunday 2024-03-31T14:05:00Z
_FEBRUARY = 2
_LAST_HOUR = 23
_PIVOT = 69
"""The first two-digit year of the 20th century (POSIX, ``strptime``, ``%y``)."""

_MONTH_NUMBERS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_SHORT = 3
# ASCII only (-u): ignoring the case in all of Unicode takes a long s for an s. No two branches begin alike, which
# lets the engine take the groups of such a pattern in one pass, four times as fast.
_LONG_MONTH = "(?i-u:A(?:pril|ugust)|December|February|J(?:anuary|u(?:ly|ne))|Ma(?:rch|y)|November|October|September)"
_SHORT_MONTH = "(?i-u:A(?:pr|ug)|Dec|Feb|J(?:an|u[ln])|Ma[ry]|Nov|Oct|Sep)"
_ANY_MONTH = (
    "(?i-u:A(?:pr(?:il)?|ug(?:ust)?)|Dec(?:ember)?|Feb(?:ruary)?|J(?:an(?:uary)?|u(?:ly?|ne?))|Ma(?:r(?:ch)?|y)"
    "|Nov(?:ember)?|Oct(?:ober)?|Sep(?:t(?:ember)?)?)"
)
_LONG_DAY = "(?i-u:(?:Mon|T(?:ues|hurs)|Wednes|Fri|S(?:atur|un))day)"
_SHORT_DAY = "(?i-u:Mon|T(?:ue|hu)|Wed|Fri|S(?:at|un))"


class _Token(NamedTuple):
    """What a token of a date format looks like in a text.

    Attributes:
        group: the part of a date that it gives, as ``_composed`` takes it.
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
    "Z": _Token("offset", "Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]", "Z"),
}

_PARSED_AT_ONCE = (
    {"YYYY", "MM", "DD"},
    {"YYYY", "MM", "DD", "HH", "mm"},
    {"YYYY", "MM", "DD", "HH", "mm", "ss"},
)
"""Tokens of formats that Polars reads by itself, once a pattern has held the text to them."""

_YEAR, _MONTH, _DAY = "(?P<year>[0-9]{4})", "(?P<month>[0-9]{1,2})", "(?P<day>[0-9]{1,2})"
_MONTH_NAME = f"(?P<month_name>{_ANY_MONTH})"
_CLOCK = (
    r"(?:(?:,? |T)(?P<hour>[0-9]{1,2}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?"
    "(?:[ \u00a0\u202f]?(?P<half>(?i-u:[AP]M)))?)?"
)
_ISO_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_ISO_SECONDS = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9]$"
_ISO_TIME = (
    r"^(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[T ](?P<hour>[0-9]{2}):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<offset>Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?$"
)
_ONE, _TWO = "(?P<one>[-/.])", "(?P<two>[-/.])"
_DAY_ONLY = "^[0-9]{{1,2}}{0}[0-9]{{1,2}}{0}[0-9]{{4}}$"
_YEAR_FIRST = f"^{_YEAR}{_ONE}{_MONTH}{_TWO}{_DAY}{_CLOCK}$"
_YEAR_LAST = {
    DateOrder.DMY: f"^{_DAY}{_ONE}{_MONTH}{_TWO}{_YEAR}{_CLOCK}$",
    DateOrder.MDY: f"^{_MONTH}{_ONE}{_DAY}{_TWO}{_YEAR}{_CLOCK}$",
}
_NAMED = (
    rf"^{_DAY}\.?[ /-]{_MONTH_NAME}\.?,?[ /-]{_YEAR}{_CLOCK}$",
    rf"^{_MONTH_NAME}\.?[ /-]{_DAY},?[ /-]{_YEAR}{_CLOCK}$",
)
_GROUP_NAME = re.compile(r"\(\?P<([a-z_]+)>")
_ORDER_SAMPLES = {
    DateOrder.DMY: ("day, month, year", "31/03/2024"),
    DateOrder.MDY: ("month, day, year", "03/31/2024"),
    DateOrder.YMD: ("year, month, day", "2024/03/31"),
}

_SERIAL = r"^[0-9]{1,7}(?:\.[0-9]+)?$"
_LAST_SERIAL = 2_958_465  # 9999-12-31
_FIRST_SURE_SERIAL, _LAST_SURE_SERIAL = 10_000, 99_999
# Lotus 1-2-3, and Excel after it, take 1900 for a leap year: serial 60 is the day that never was.
_LEAP_BUG = 60
# Days from 1970-01-01 to serial 0.
_EPOCH_1904, _EPOCH_BEFORE_BUG, _EPOCH_1900 = -24_107, -25_568, -25_569
_DAY_SECONDS = 86_400


class _Way(NamedTuple):
    """A way to write a date.

    Attributes:
        pattern: of texts that are worth reading.
        read: from texts to instants, null where there is none.
    """

    pattern: str
    read: Callable[[pl.Expr, Let], pl.Expr]


def conversion(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    """The conversion of a ``date`` field; see ``instant`` for what is read."""
    order = reading.date_order(field)
    value = let(
        instant(
            text,
            field.date_format,
            order,
            let,
            typed_cells=reading.typed_cells,
            date_1904=reading.date_1904,
        )
    )
    return Conversion(
        {field.name: value.cast(pl.Datetime("ms", "UTC"))},
        (Check(RowErrorCode.INVALID_DATE, _message(field.date_format, order), text.is_not_null() & value.is_null()),),
        key=value.cast(pl.String),
        comparable=value,
    )


def _message(date_format: str | None, order: DateOrder) -> str:
    if date_format is not None:
        return (
            f"This is not a date in the form {date_format}. Write it as in {date_sample(date_format)}, and check that "
            "the day exists."
        )
    words, sample = _ORDER_SAMPLES[order]
    return (
        f"This is not a date. Write it as 2024-03-31, 2024-03-31T14:05:00Z or 31 March 2024; a date in numbers is read "
        f"as {words} in the whole column, as in {sample}. Check that the day exists."
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
    typed_cells: bool = False,
    date_1904: bool = False,
) -> pl.Expr:
    """The instant that a text says, null where it says none.

    Without a format it may be

    - ISO 8601: a date, or date and time of day, with or without seconds, fraction (cut off after the
      milliseconds) and offset;
    - year, month, day in numbers with ``/``, ``.`` or ``-`` between them, or day, month and year in the order of
      the column; an order that does not fit is an error, never another order;
    - with an English month name: ``31 March 2024``, ``31-Mar-2024``, ``March 31, 2024``;
    - the last two with a time of day behind them: ``14:05``, ``2:05:00 PM``;
    - a serial number of a spreadsheet, with the time of day as its fraction, to the nearest second: five digits,
      so that no year is taken for one, or from 1 to 2958465 where the cells are typed.

    With a format it is exactly that form; whether the name of a day agrees with the date is not asked.

    Args:
        text: text without blanks around it, null where the field is empty.
        date_format: a format without problems, see ``libs.contracts.date_formats``.
        order: of day, month and year in numbers; not used with a format.
        let: takes the intermediate results.
        typed_cells: a cell that is a date to the file itself is ISO 8601, whatever the format.
        date_1904: serial numbers count from 1904-01-01 instead of 1899-12-31.

    Returns:
        Int64, milliseconds since 1970 UTC.
    """
    if date_format is None:
        found = _by_directives("%Y-%m-%d", pl.when(text.str.contains(_ISO_DAY)).then(text))
        serial = _Way(_SERIAL, partial(_serial, typed_cells=typed_cells, date_1904=date_1904))
        others = [*_iso_times(), *_numeric_ways(order), *map(_general, _NAMED), serial]
    else:
        found = _in_format(text, date_format, let)
        others = [_quick(_ISO_DAY, "%Y-%m-%d"), *_iso_times()] if typed_cells else []
    found = let(found)
    if others:
        rest = pl.when(found.is_null()).then(text)
        found = let(pl.coalesce(found, rest.map_batches(_Ways(others), return_dtype=pl.Int64)))
    # An offset may lead out of the years, and a format may hold the year 0000.
    return let(pl.when(found.is_between(_FIRST_MS, _LAST_MS)).then(found))


def formatted(instant: pl.Expr, date_format: str) -> pl.Expr:
    """Instants as text in a ``date_format``, in UTC."""
    return instant.cast(pl.Datetime("ms")).dt.strftime(_directives(date_format))


def _in_format(text: pl.Expr, date_format: str, let: Let) -> pl.Expr:
    parts = date_format_parts(date_format)
    pattern = f"^{''.join(map(_part_pattern, parts))}$"
    if {part.text for part in parts if part.is_token} not in _PARSED_AT_ONCE:
        return _by_groups(pattern, text, let)
    return _by_directives(_directives(date_format), pl.when(text.str.contains(pattern)).then(text))


def _directives(date_format: str) -> str:
    return "".join(
        _TOKENS[part.text].directive if part.is_token else part.text.replace("%", "%%")
        for part in date_format_parts(date_format)
    )


def _part_pattern(part: Part) -> str:
    if part.is_token:
        token = _TOKENS[part.text]
        return f"(?P<{token.group}>{token.pattern})"
    return "".join(rf"\x{{{ord(sign):x}}}" for sign in part.text)


def _by_directives(directives: str, text: pl.Expr, _: Let | None = None) -> pl.Expr:
    """The instant of texts of which a pattern says that they have exactly this form."""
    # Without the cache: it costs more than it saves on batches of distinct dates.
    return text.str.to_datetime(directives, time_unit="ms", strict=False, cache=False).cast(pl.Int64)


def _quick(pattern: str, directives: str) -> _Way:
    return _Way(pattern, partial(_by_directives, directives))


def _general(pattern: str) -> _Way:
    return _Way(pattern, partial(_by_groups, pattern))


def _iso_times() -> list[_Way]:
    directives = "%Y-%m-%dT%H:%M:%S"
    forms = ((_ISO_SECONDS, directives), (f"{_ISO_SECONDS[:-1]}Z$", f"{directives}Z"))
    spaced = [(pattern.replace("T", " "), directives.replace("T", " ")) for pattern, directives in forms]
    return [*(_quick(*form) for form in (*forms, *spaced)), _general(_ISO_TIME)]


def _numeric_ways(order: DateOrder) -> list[_Way]:
    """Quick ways to read dates alone, then all that may stand before a time of day."""
    if order not in _YEAR_LAST:
        return [_general(_YEAR_FIRST)]
    directives = {DateOrder.DMY: "%d{0}%m{0}%Y", DateOrder.MDY: "%m{0}%d{0}%Y"}[order]
    quick = [_quick(_DAY_ONLY.format(sign), directives.format(sign)) for sign in "/-"]
    quick.append(_quick(_DAY_ONLY.format("[.]"), directives.format(".")))
    return [*quick, _general(_YEAR_LAST[order]), _general(_YEAR_FIRST)]


class _Ways:
    """Reads texts written in different ways, of which none is another's.

    A way that no text is written in costs no more than a look.
    """

    def __init__(self, ways: Sequence[_Way]) -> None:
        self._ways: list[tuple[str, tuple[tuple[pl.Expr, ...], ...], pl.Expr]] = []
        for way in ways:
            steps = Steps()
            instant = way.read(pl.col("text"), steps.let).alias("instant")
            self._ways.append((way.pattern, steps.stages, instant))

    def __call__(self, texts: pl.Series) -> pl.Series:
        left = texts.drop_nulls().alias("text")
        found = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(left))
        for pattern, stages, instant in self._ways:
            if left.null_count() == len(left):
                break
            matches = left.str.contains(pattern)
            if matches.any():
                read = evaluate(left.set(~matches, None).to_frame(), stages, [instant])["instant"]
                found = read.zip_with(read.is_not_null(), found)
                left = left.set(matches, None)
        return spread(found, texts)


def _by_groups(pattern: str, text: pl.Expr, let: Let) -> pl.Expr:
    """The instant of texts that match, by the named groups of the pattern."""
    groups = let(text.str.extract_groups(pattern))
    parts = {name: groups.struct.field(name) for name in _GROUP_NAME.findall(pattern)}
    return _composed(parts, let)


def _composed(parts: Mapping[str, pl.Expr], let: Let) -> pl.Expr:
    """The instant of the parts of a date, given as texts; null where there is none."""

    def number(name: str) -> pl.Expr:
        return parts[name].cast(pl.Int64).fill_null(0) if name in parts else pl.lit(0, dtype=pl.Int64)

    if "short_year" in parts:
        of_century = let(number("short_year"))
        year = let(of_century + pl.when(of_century >= _PIVOT).then(1900).otherwise(2000))
    else:
        year = let(parts["year"].cast(pl.Int64))
    if "month_name" in parts:
        short = parts["month_name"].str.slice(0, _SHORT).str.to_lowercase()
        month = let(short.replace_strict(_MONTH_NUMBERS, default=None, return_dtype=pl.Int64))
    else:
        month = let(number("month"))
    day, hour = let(number("day")), let(number("hour"))
    valid = _exists(year, month, day)
    if "half" in parts:
        half = parts["half"]
        valid &= pl.when(half.is_null()).then(hour <= _LAST_HOUR).otherwise(hour.is_between(1, 12))
        after_noon = half.str.slice(0, 1).is_in(("P", "p")).cast(pl.Int64)
        hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * after_noon)
    else:
        valid &= hour <= _LAST_HOUR
    if "one" in parts:
        valid &= parts["one"] == parts["two"]
    milliseconds = number("millisecond")
    if "fraction" in parts:
        milliseconds = parts["fraction"].str.slice(0, 3).str.pad_end(3, "0").cast(pl.Int64).fill_null(0)
    minutes = _days(year, month, day) * 1440 + hour * 60 + number("minute")
    if "offset" in parts:
        minutes -= _minutes_east(parts["offset"])
    return pl.when(valid).then(minutes * 60_000 + number("second") * 1000 + milliseconds)


def _minutes_east(offset: pl.Expr) -> pl.Expr:
    """Minutes of an offset from UTC: ``+02:00``, ``-0230``; 0 for ``Z`` and null."""
    minutes = offset.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + offset.str.slice(-2).cast(
        pl.Int64, strict=False
    )
    return pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)


def _exists(year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    # 31 and 30 days alternate, with one more step between July and August.
    length = pl.when(month == _FEBRUARY).then(28 + leap.cast(pl.Int64)).otherwise(30 + (month + month // 8) % 2)
    return month.is_between(1, 12) & (day >= 1) & (day <= length)


def _days(year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Days since 1970-01-01, counting years from March so that a leap day is the last of its year."""
    from_march = (month + 9) % 12
    years = year - (month <= _FEBRUARY).cast(pl.Int64)
    leap_days = years // 4 - years // 100 + years // 400
    return 365 * years + leap_days + (153 * from_march + 2) // 5 + day - _DAYS_TO_1970


def _serial(text: pl.Expr, _: Let, *, typed_cells: bool, date_1904: bool) -> pl.Expr:
    serial = pl.when(text.str.contains(_SERIAL)).then(text).cast(pl.Float64)
    first, last = (1, _LAST_SERIAL) if typed_cells else (_FIRST_SURE_SERIAL, _LAST_SURE_SERIAL)
    valid = (serial >= first) & (serial < last + 1)
    epoch = pl.lit(_EPOCH_1904, pl.Int64)
    if not date_1904:
        valid &= ~serial.is_between(_LEAP_BUG, _LEAP_BUG + 1, closed="left")
        before, after = pl.lit(_EPOCH_BEFORE_BUG, pl.Int64), pl.lit(_EPOCH_1900, pl.Int64)
        epoch = pl.when(serial < _LEAP_BUG).then(before).otherwise(after)
    seconds = (serial * _DAY_SECONDS).round().cast(pl.Int64)
    return pl.when(valid).then((epoch * _DAY_SECONDS + seconds) * 1000)
