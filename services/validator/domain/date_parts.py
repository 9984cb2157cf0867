"""From the parts of a date, as texts, to the instant that they stand for.

An instant is an Int64 with the milliseconds since 1970-01-01T00:00:00Z. Everything is an expression.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import polars as pl

from libs.contracts.date_formats import DEFAULT_PIVOT
from services.validator.domain.conversions import Let
from services.validator.domain.date_names import MONTH_NUMBERS

_DAYS_TO_1970 = 719_469  # from 0000-02-29
_FEBRUARY = 2
_LAST_HOUR = 23
_AFTERNOON: Final = ("P", "p", "午後", "下午", "오후")
_ERAS: Final = {"令和": 2018, "平成": 1988, "昭和": 1925, "大正": 1911, "明治": 1867, "民國": 1911, "民国": 1911}
"""The year before the first one of an era."""
_ZONES: Final = {"EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420}
"""Minutes east of Greenwich, as RFC 5322, 4.3 has them."""
_SIGNED: Final = re.compile(r"([+-])([0-9:]+)")


@dataclass(frozen=True, slots=True)
class TwoDigitYears:
    """What years of two digits mean in a column.

    Attributes:
        position: where the year stands in a date of three numbers; ``None`` where that was not found out: such dates
            are not read then.
        pivot: the first one of the 20th century, those below are of the 21st; ``None`` where the template does
            not say.
        today: the day of the plan.
        past: no date is after that day: a year that would be is one of the century before.
        horizon: the last year that is believed without a word of the template; ``None`` where all are.
    """

    position: Literal["first", "last"] | None = None
    pivot: int | None = None
    today: date | None = None
    past: bool = False
    horizon: int | None = None


def composed(parts: Mapping[str, pl.Expr], let: Let, years: TwoDigitYears) -> pl.Expr:
    """The instant of the parts of a date, given as texts; null where there is none.

    Args:
        parts: ``year`` or ``short_year`` or ``era`` and ``era_year`` (of two alternatives the one that is not null);
            ``month`` or ``month_name``; ``day``; and perhaps ``hour``, ``minute``, ``second``, ``fraction`` or
            ``millisecond``, ``half`` of the day, ``offset`` from UTC or ``zone``; ``one`` and ``two``, separators that
            must be the same.
        let: takes the intermediate results.
        years: what years of two digits mean.
    """

    def number(name: str) -> pl.Expr:
        return parts[name].cast(pl.Int64).fill_null(0) if name in parts else pl.lit(0, dtype=pl.Int64)

    if "month_name" in parts:
        name = parts["month_name"].str.to_lowercase()
        month = let(name.replace_strict(MONTH_NUMBERS, default=None, return_dtype=pl.Int64))
    else:
        month = let(number("month"))
    day, hour = let(number("day")), let(number("hour"))
    year = let(_year(parts, month, day, let, years))
    valid = _exists(year, month, day)
    clock = hour <= _LAST_HOUR
    if "minute" in parts:
        # The end of a day (ISO 8601-1, 5.3.2).
        clock |= (hour == _LAST_HOUR + 1) & (number("minute") == 0) & (number("second") == 0) & _no_fraction(parts)
    halves = [parts[name] for name in ("half", "half_before") if name in parts]
    if halves:
        half = pl.coalesce(*halves)
        valid &= pl.when(half.is_null()).then(clock).otherwise(hour.is_between(1, 12))
        after_noon = pl.any_horizontal(half.str.starts_with(word) for word in _AFTERNOON).cast(pl.Int64)
        hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * after_noon)
    else:
        valid &= clock
    if "one" in parts:
        valid &= parts["one"] == parts["two"]
    milliseconds = number("millisecond")
    if "fraction" in parts:
        milliseconds = parts["fraction"].str.slice(0, 3).str.pad_end(3, "0").cast(pl.Int64).fill_null(0)
    minutes = _days(year, month, day) * 1440 + hour * 60 + number("minute")
    seconds = number("second")
    for name in ("offset", "zone"):
        if name in parts:
            seconds -= _seconds_east(parts[name])
    return pl.when(valid).then(minutes * 60_000 + seconds * 1000 + milliseconds)


def _no_fraction(parts: Mapping[str, pl.Expr]) -> pl.Expr:
    given = [
        parts[name].str.contains("[1-9]").fill_null(value=False)
        for name in ("fraction", "millisecond")
        if name in parts
    ]
    return ~pl.any_horizontal(given) if given else pl.lit(value=True)


def _year(parts: Mapping[str, pl.Expr], month: pl.Expr, day: pl.Expr, let: Let, years: TwoDigitYears) -> pl.Expr:
    if "era" in parts:
        first = parts["era"].replace_strict(_ERAS, default=None, return_dtype=pl.Int64)
        return first + parts["era_year"].str.replace("元", "1").cast(pl.Int64)
    if "short_year" not in parts:
        return parts["year"].cast(pl.Int64)
    of_century = let(parts["short_year"].cast(pl.Int64))
    pivot = DEFAULT_PIVOT if years.pivot is None else years.pivot
    if years.past and years.today is not None and years.pivot is None:
        pivot = 100
    year = let(of_century + pl.when(of_century >= pivot).then(1900).otherwise(2000))
    if years.past and years.today is not None:
        later = _after((year, month, day), years.today)
        year = year - 100 * later.cast(pl.Int64)
    elif years.pivot is None and years.horizon is not None:
        year = pl.when(year <= years.horizon).then(year)
    return year if "year" not in parts else pl.coalesce(parts["year"].cast(pl.Int64), year)


def _after(one: tuple[pl.Expr, pl.Expr, pl.Expr], other: date) -> pl.Expr:
    year, month, day = one
    later_in_year = (month > other.month) | ((month == other.month) & (day > other.day))
    return (year > other.year) | ((year == other.year) & later_in_year)


def _seconds_east(zone: pl.Expr) -> pl.Expr:
    """Seconds of zones east of Greenwich: ``+02:00``, ``-0230``, ``UTC``, ``GMT+2``, ``+01:34:52``, ``EST``; 0 for
    null."""
    return zone.map_batches(_seconds_of, return_dtype=pl.Int64)


def _seconds_of(zones: pl.Series) -> pl.Series:
    # A column has few of them.
    distinct: list[str] = zones.drop_nulls().unique().to_list()
    seconds = list(map(_zone_seconds, distinct))
    return zones.replace_strict(distinct, seconds, default=None, return_dtype=pl.Int64).fill_null(0)


def _zone_seconds(zone: str) -> int:
    if (minutes := _ZONES.get(zone)) is not None:
        return minutes * 60
    signed = _SIGNED.search(zone)
    if signed is None:
        return 0
    digits = re.sub(r"[^0-9]", "", signed[2])
    if len(digits) % 2:
        digits = f"0{digits}"
    hours, minutes, seconds = (int(digits[start : start + 2] or 0) for start in (0, 2, 4))
    east = hours * 3600 + minutes * 60 + seconds
    return -east if signed[1] == "-" else east


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
