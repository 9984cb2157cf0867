"""Dates without a format of the template: the ways in which people and programs write them.

The ordinary ways come first and are held to cheap patterns. What none of them reads is looked at again, with its
blanks, digits and dashes made plain (``libs.values.folding``): dumps of databases, mail, JavaScript, month names of
other languages, East Asian dates. No two ways read one text differently.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from libs.contracts.templates import DateOrder
from libs.values.serial_days import SERIAL_DAY
from services.validator.domain.date_names import DAY, EAST_ASIAN_DAY, MONTH
from services.validator.domain.date_parts import TwoDigitYears
from services.validator.domain.date_ways import Way, Ways, by_directives, by_expression, by_pattern, quick

# No two branches begin alike, which lets the engine take the groups of such a pattern in one pass, four times as fast.
# ASCII only (-u): ignoring the case in all of Unicode takes a long s for an s.
_ENGLISH_MONTH = (
    "(?i-u:A(?:pr(?:il)?|ug(?:ust)?)|Dec(?:ember)?|Feb(?:ruary)?|J(?:an(?:uary)?|u(?:ly?|ne?))|Ma(?:r(?:ch)?|y)"
    "|Nov(?:ember)?|Oct(?:ober)?|Sep(?:t(?:ember)?)?)"
)
_YEAR, _MONTH, _DAY = "(?P<year>[0-9]{4})", "(?P<month>[0-9]{1,2})", "(?P<day>[0-9]{1,2})"
_MONTH_NAME = f"(?P<month_name>{_ENGLISH_MONTH})"
_CLOCK = (
    r"(?:(?:,? |T)(?P<hour>[0-9]{1,2}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?"
    "(?:[ \u00a0\u202f]?(?P<half>(?i-u:[AP]M)))?)?"
)
_ISO_DAY: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_ISO_SECONDS = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
_ISO_TIME = (
    r"^(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[T ](?P<hour>[0-9]{2}):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r" ?(?P<offset>Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?$"
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

# Of folded texts, whose blanks are single.
_SHORT = "(?P<short_year>[0-9]{2})"
_ANY_YEAR = f"(?:{_YEAR}|'?{_SHORT})"
_ANY_MONTH = rf"(?P<month_name>{MONTH})\.?"
_ANY_DAY = r"(?P<day>[0-9]{1,2})(?:\.|st|nd|rd|th|er|e|º|ª|°)?"
_OFFSET = "[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-5][0-9])?)?"
_UTC = "(?:Z|z|UTC|GMT|UT)"
_ZONE = rf"(?: ?(?P<zone>{_UTC}(?:[+-][0-9]{{1,2}}|{_OFFSET})?|{_OFFSET}(?: (?:{_UTC}|{_OFFSET}))?)(?: ?\([^()]*\))?)?"
_MAIL_ZONE = rf"(?: ?(?P<zone>{_UTC}|{_OFFSET}|[ECMP][SD]T)(?: ?\([^()]*\))?)?"
_HALF = r"(?: ?(?P<half>(?i:[ap]\.? ?m\.?)))?"
_HALF_BEFORE = "(?:(?P<half_before>午前|午後|上午|下午|오전|오후) ?)?"
_TIME = (
    f"{_HALF_BEFORE}(?P<hour>[0-9]{{1,2}})[:.h](?P<minute>[0-5][0-9])"
    f"(?:[:.](?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]{{1,9}}))?)?{_HALF}(?: ?(?i:uhr|uur|h|hrs)\\.?)?"
)
_AT = r"(?:,? (?:(?i:at|um|om|kl\.?|klo|à|a|alle|ore|ora|às|as|a las|alas|- ?) ?)?|T|-)"
_ANY_CLOCK = f"(?:{_AT}{_TIME}{_ZONE})?"
_WEEKDAY = rf"(?:(?:{DAY})\.?,? )?"
_OF = r"(?: ?[/-]| (?i:of|de|del|di)|)"
_COMPACT = "(?P<year>(?:1[6-9]|2[01])[0-9]{2}|9999)(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_COMPACT_TIME = "(?P<hour>[0-9]{2})(?P<minute>[0-5][0-9])(?:(?P<second>[0-5][0-9])[.,]?(?P<fraction>[0-9]{1,9})?)?"
_EAST_ASIAN_TIME = (
    f"(?: ?{_HALF_BEFORE}(?P<hour>[0-9]{{1,2}})(?:[:时時点點]|시) ?(?P<minute>[0-5]?[0-9])[分분]?"
    f"(?:[: ]?(?P<second>[0-5]?[0-9])[秒초]?(?:\\.(?P<fraction>[0-9]{{1,9}}))?)?{_ZONE})?"
)
_EAST_ASIAN_DATE = f"(?:年|년) ?{_MONTH} ?(?:月|월) ?{_DAY}(?:[日号號]|일)(?: ?{EAST_ASIAN_DAY})?{_EAST_ASIAN_TIME}$"
_MICROSOFT_JSON = r"^\\?/Date\((?P<milliseconds>-?[0-9]{1,15})(?:[+-][0-9]{4})?\)\\?/$"
_DAY_WITH_OFFSET = f"^{_YEAR}-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})$"
"""XML Schema's dates, whose offset does not change the day: no time behind a dash, as Db2 has it."""
_RARE = (
    # ISO 8601 and databases, with every offset.
    f"^{_YEAR}(?P<one>[-/.]) ?{_MONTH}(?P<two>[-/.]) ?{_DAY}\\.?{_ANY_CLOCK}$",
    f"^{_COMPACT}(?:[T ]?{_COMPACT_TIME}{_ZONE})?$",
    f"^{_COMPACT}{_ANY_CLOCK}$",
    # Mail and HTTP; then day, month, year in general.
    f"^{_WEEKDAY}{_DAY} {_ANY_MONTH} {_YEAR} {_TIME}{_MAIL_ZONE}$",
    f"^{_WEEKDAY}{_ANY_DAY}{_OF} ?{_ANY_MONTH},?{_OF} ?{_ANY_YEAR}{_ANY_CLOCK}$",
    # Access logs, SAS.
    f"^{_DAY}/?{_ANY_MONTH}/?{_YEAR}:{_TIME}{_ZONE}$",
    # JavaScript; then month, day, year in general; then what C's asctime and ``date`` print.
    f"^{_WEEKDAY}{_ANY_MONTH}[ /-]?{_ANY_DAY}(?:,|[ /-]) ?{_ANY_YEAR}{_ANY_CLOCK}$",
    f"^{_WEEKDAY}{_ANY_MONTH} {_DAY} {_TIME}{_ZONE} {_YEAR}$",
    f"^{_YEAR}[ /-]{_ANY_MONTH}[ /-]{_DAY}{_ANY_CLOCK}$",
    f"^{_YEAR}{_EAST_ASIAN_DATE}",
    f"^(?P<era>令和|平成|昭和|大正|明治|民國|民国) ?(?P<era_year>元|[0-9]{{1,3}}){_EAST_ASIAN_DATE}",
)

_SERIAL = r"^[0-9]{1,7}(?:\.[0-9]+)?$"
_LAST_SERIAL = 2_958_465  # 9999-12-31
# Lotus 1-2-3, and Excel after it, take 1900 for a leap year: serial 60 is the day that never was.
_LEAP_BUG = 60
# Days from 1970-01-01 to serial 0.
_EPOCH_1904, _EPOCH_BEFORE_BUG, _EPOCH_1900 = -24_107, -25_568, -25_569
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Spelling:
    """What is to know of a column to read its dates.

    Attributes:
        order: of day, month and year in numbers.
        years: what years of two digits mean.
        typed_cells: any number is a serial number.
        date_1904: serial numbers count from 1904-01-01 instead of 1899-12-31.
        counted_days: whether numbers may be serial numbers.
    """

    order: DateOrder
    years: TwoDigitYears
    typed_cells: bool = False
    date_1904: bool = False
    counted_days: bool = True


def iso_day(text: pl.Expr) -> pl.Expr:
    """The instants of the plainest texts, ``2024-03-31``; null for all others."""
    return by_directives("%Y-%m-%d", pl.when(text.str.contains(_ISO_DAY)).then(text))


def iso_ways() -> list[Way]:
    """ISO 8601 as spreadsheets' cells have it."""
    return [quick(_ISO_DAY, "%Y-%m-%d"), *_iso_times()]


def free_dates(spelling: Spelling) -> Ways:
    """Reads what ``iso_day`` leaves."""
    number = _SERIAL if spelling.typed_cells else SERIAL_DAY
    serial = [by_expression(number, partial(_serial, number, date_1904=spelling.date_1904))]
    named = [by_pattern(pattern, spelling.years) for pattern in _NAMED]
    rare = [by_pattern(pattern, spelling.years) for pattern in (*_RARE, *_rare_numeric(spelling))]
    rare.append(by_expression(_MICROSOFT_JSON, _microsoft_json))
    day_with_offset = by_pattern(_DAY_WITH_OFFSET, spelling.years, first=True)
    return Ways(
        [*_iso_times(), *_numeric_ways(spelling), *named, *(serial if spelling.counted_days else ())],
        [day_with_offset, *rare],
    )


def _iso_times() -> list[Way]:
    directives = "%Y-%m-%dT%H:%M:%S"
    forms = ((_ISO_SECONDS, directives), (f"{_ISO_SECONDS[:-1]}Z$", f"{directives}Z"))
    spaced = [(pattern.replace("T", " "), form.replace("T", " ")) for pattern, form in forms]
    return [*(quick(*form) for form in (*forms, *spaced)), by_pattern(_ISO_TIME, TwoDigitYears())]


def _numeric_ways(spelling: Spelling) -> list[Way]:
    """Quick ways to read days alone, then all that may stand before a time of day."""
    order, years = spelling.order, spelling.years
    if order not in _YEAR_LAST:
        return [by_pattern(_YEAR_FIRST, years)]
    directives = {DateOrder.DMY: "%d{0}%m{0}%Y", DateOrder.MDY: "%m{0}%d{0}%Y"}[order]
    days = [quick(_DAY_ONLY.format(sign), directives.format(sign)) for sign in "/-"]
    days.append(quick(_DAY_ONLY.format("[.]"), directives.format(".")))
    return [*days, by_pattern(_YEAR_LAST[order], years), by_pattern(_YEAR_FIRST, years)]


def _rare_numeric(spelling: Spelling) -> list[str]:
    """Dates in numbers with any time of day behind them, or with a year of two digits."""
    one, two = "(?P<one>[-/.]) ?", "(?P<two>[-/.]) ?"
    day_and_month = {DateOrder.DMY: (_DAY, _MONTH), DateOrder.MDY: (_MONTH, _DAY)}.get(spelling.order)
    found: list[str] = []
    if day_and_month is not None:
        first, second = day_and_month
        found.append(f"^{_WEEKDAY}{first}{one}{second}{two}{_YEAR}{_ANY_CLOCK}$")
        if spelling.years.position == "last":
            found.append(f"^{_WEEKDAY}{first}{one}{second}{two}'?{_SHORT}{_ANY_CLOCK}$")
    if spelling.years.position == "first":
        found.append(f"^{_SHORT}{one}{_MONTH}{two}{_DAY}{_ANY_CLOCK}$")
    return found


def _microsoft_json(text: pl.Expr) -> pl.Expr:
    return text.str.extract(_MICROSOFT_JSON).cast(pl.Int64)


def _serial(number: str, text: pl.Expr, *, date_1904: bool) -> pl.Expr:
    serial = pl.when(text.str.contains(number)).then(text).cast(pl.Float64)
    valid = (serial >= 1) & (serial < _LAST_SERIAL + 1)
    epoch = pl.lit(_EPOCH_1904, pl.Int64)
    if not date_1904:
        valid &= ~serial.is_between(_LEAP_BUG, _LEAP_BUG + 1, closed="left")
        before, after = pl.lit(_EPOCH_BEFORE_BUG, pl.Int64), pl.lit(_EPOCH_1900, pl.Int64)
        epoch = pl.when(serial < _LEAP_BUG).then(before).otherwise(after)
    seconds = (serial * _DAY_SECONDS).round().cast(pl.Int64)
    return pl.when(valid).then((epoch * _DAY_SECONDS + seconds) * 1000)
