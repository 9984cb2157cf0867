"""Dates as databases, mail, JavaScript and people of ten languages write them."""

from datetime import date as day_of
from datetime import datetime, timedelta, timezone
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import TemplateField
from services.validator.domain.date_names import MONTH_NUMBERS
from services.validator.domain.reading import Reading
from tests.unit.validator.batches import check, outcome
from tests.unit.validator.batches import errors as errors_of
from tests.unit.validator.conversions import TYPED_CELLS, converted, result
from tests.unit.validator.instants import BAD, DATE, EPOCH, MDY, YMD, date, utc

HALF_PAST_TWO = utc(2024, 3, 31, 14, 5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("2024-03-31T14:05:00Z", HALF_PAST_TWO, id="Z"),
        pytest.param("2024-03-31T14:05:00z", HALF_PAST_TWO, id="small z"),
        pytest.param("2024-03-31T16:05:00+02", HALF_PAST_TWO, id="hours"),
        pytest.param("2024-03-31T16:05:00+0200", HALF_PAST_TWO, id="hours and minutes"),
        pytest.param("2024-03-31T16:05:00+02:00", HALF_PAST_TWO, id="colon"),
        pytest.param("2024-03-31T14:05:00+00", HALF_PAST_TWO, id="+00"),
        pytest.param("2024-03-31T14:05:00-0000", HALF_PAST_TWO, id="-0000"),
        pytest.param("2024-03-31T10:35:00-03:30", HALF_PAST_TWO, id="half an hour"),
        pytest.param("2024-03-31 14:05:00 UTC", HALF_PAST_TWO, id="UTC"),
        pytest.param("2024-03-31 14:05:00 GMT", HALF_PAST_TWO, id="GMT"),
        pytest.param("2024-03-31 16:05 UTC+2", HALF_PAST_TWO, id="UTC+2"),
        pytest.param("2024-03-31T14:05:00,123Z", utc(2024, 3, 31, 14, 5, 0, 123_000), id="comma"),
        pytest.param("2024-03-31T14:05:00.123456789Z", utc(2024, 3, 31, 14, 5, 0, 123_000), id="nanoseconds"),
        pytest.param("20240331", utc(2024, 3, 31), id="basic, SAP"),
        pytest.param("20240331T140500Z", HALF_PAST_TWO, id="basic with time"),
        pytest.param("20240331T160500+0200", HALF_PAST_TWO, id="basic with offset"),
        pytest.param("20240331140500", HALF_PAST_TWO, id="fourteen digits"),
        pytest.param("202403311405", HALF_PAST_TWO, id="twelve digits"),
        pytest.param("20240331 14:05:00", HALF_PAST_TWO, id="basic date, extended time"),
        pytest.param("99991231", utc(9999, 12, 31), id="SAP, for ever"),
        pytest.param("2024-03-31T24:00", utc(2024, 4, 1), id="end of the day"),
        pytest.param("2024-12-31T24:00:00.000Z", utc(2025, 1, 1), id="end of the year"),
        pytest.param("2024-03-31+02:00", utc(2024, 3, 31), id="XML Schema"),
        pytest.param("2024-03-31 16:05:00+02", HALF_PAST_TWO, id="PostgreSQL"),
        pytest.param("2024-03-31 15:05:00.5+01", utc(2024, 3, 31, 14, 5, 0, 500_000), id="PostgreSQL, fraction"),
        pytest.param("1890-01-01 00:53:28+00:53:28", utc(1890, 1, 1), id="PostgreSQL, seconds of the offset"),
        pytest.param("2024-03-31 14:05:00.000000", HALF_PAST_TWO, id="MySQL"),
        pytest.param("31-MAR-24", utc(2024, 3, 31), id="Oracle"),
        pytest.param("31-MAR-2024 14:05:00", HALF_PAST_TWO, id="Oracle, four digits"),
        pytest.param("31-MAR-24 02.05.00.000000 PM", HALF_PAST_TWO, id="Oracle timestamp"),
        pytest.param("31-MAR-24 04.05.00.000000000 PM +02:00", HALF_PAST_TWO, id="Oracle timestamp with zone"),
        pytest.param("17-NOV-81", utc(1981, 11, 17), id="Oracle, last century"),
        pytest.param("Mar 31 2024  2:05PM", HALF_PAST_TWO, id="SQL Server"),
        pytest.param("2024-03-31 16:05:00.0000000 +02:00", HALF_PAST_TWO, id="SQL Server datetimeoffset"),
        pytest.param("2024-03-31-14.05.00.000000", HALF_PAST_TWO, id="Db2"),
        pytest.param("31MAR2024", utc(2024, 3, 31), id="SAS"),
        pytest.param("31MAR2024:14:05:00", HALF_PAST_TWO, id="SAS datetime"),
        pytest.param("2024-03-31T14:05:00.000+0000", HALF_PAST_TWO, id="Salesforce"),
        pytest.param("/Date(1711893900000)/", HALF_PAST_TWO, id=".NET"),
        pytest.param("/Date(1711893900000+0200)/", HALF_PAST_TWO, id=".NET with an offset"),
        pytest.param(
            "Sun Mar 31 2024 16:05:00 GMT+0200 (Central European Summer Time)", HALF_PAST_TWO, id="JavaScript"
        ),
        pytest.param("Sun, 31 Mar 2024 14:05:00 GMT", HALF_PAST_TWO, id="HTTP"),
        pytest.param("Sunday, 31-Mar-24 14:05:00 GMT", HALF_PAST_TWO, id="HTTP, old"),
        pytest.param("Sun, 31 Mar 2024 16:05:00 +0200", HALF_PAST_TWO, id="mail"),
        pytest.param("31 Mar 2024 10:05 EDT", HALF_PAST_TWO, id="mail, US zone"),
        pytest.param("Sun, 31 Mar 2024 16:05:00 +0200 (CEST)", HALF_PAST_TWO, id="mail, comment"),
        pytest.param("Sun Mar 31 14:05:00 2024", HALF_PAST_TWO, id="asctime"),
        pytest.param("Mon Apr  1 14:05:00 UTC 2024", utc(2024, 4, 1, 14, 5), id="date"),
        pytest.param("2024-03-31 16:05:00 +0200", HALF_PAST_TWO, id="Ruby, git"),
        pytest.param("2024-03-31 14:05:00 +0000 UTC", HALF_PAST_TWO, id="Go"),
        pytest.param("31/Mar/2024:16:05:00 +0200", HALF_PAST_TWO, id="access log"),
        pytest.param("2024-03-31 14:05:00 CEST", BAD, id="zone that nobody can be sure of"),
        pytest.param("2024-03-31 14:05:00 Europe/Berlin", BAD, id="zone by place"),
        pytest.param("2024-03-31T24:00:01", BAD, id="after the end of the day"),
        pytest.param("2024-03-31T25:00", BAD, id="hour 25"),
        pytest.param("2024-03-31T14:05:00+25:00", BAD, id="offset of 25 hours"),
        pytest.param("20241331", BAD, id="month 13"),
        pytest.param("31032024", BAD, id="eight digits, day first"),
        pytest.param("1711893900", BAD, id="seconds since 1970"),
        pytest.param("1711893900000", BAD, id="milliseconds since 1970"),
        pytest.param("March 2024", BAD, id="no day"),
        pytest.param("Mar 1999", BAD, id="no day, no mistake for the 19th"),
        pytest.param("2024-W13-7", BAD, id="week"),
        pytest.param("infinity", BAD, id="infinity"),
        pytest.param("yesterday", BAD, id="word"),
        pytest.param("before 31 March 2024", BAD, id="word before a date"),
        pytest.param("31 March 2024 or later", BAD, id="word behind a date"),
        pytest.param("0000-00-00", BAD, id="zeros"),
    ],
)
def test_dumps_and_protocols(text: str, value: object) -> None:
    assert result(DATE, text) == value


@pytest.mark.parametrize(
    "text",
    [
        "31 March 2024", "31st March 2024", "31st of March, 2024", "March 31st, 2024", "Sunday, March 31, 2024",
        "Mar. 31, 2024", "31. März 2024", "31.März 2024", "31. mär. 2024", "31. Mrz 2024", "Sonntag, 31. März 2024",
        "So., 31. März 2024", "31 mars 2024", "dimanche 31 mars 2024", "31 de marzo de 2024",
        "domingo, 31 de marzo de 2024", "31 marzo 2024", "31 de março de 2024", "31/mar/2024", "31-mar-2024",
        "31 maart 2024", "zondag 31 maart 2024", "31 mrt. 2024", "2024-Mar-31", "31. 3. 2024",
        "2024年3月31日", "2024年03月31日", "2024年3月31日(日)", "2024年3月31日 星期日",
        "\uff12\uff10\uff12\uff14年\uff13月\uff13\uff11日", "2024년 3월 31일", "2024년 3월 31일 일요일", "2024. 3. 31.",
        "令和6年3月31日", "平成36年3月31日", "民國113年3月31日", "31\u201103\u20112024",
        "\u0663\u0661/\u0660\u0663/\u0662\u0660\u0662\u0664",
    ],
)  # fmt: skip
def test_one_day_in_many_languages(text: str) -> None:
    assert result(DATE, text) == utc(2024, 3, 31)


@pytest.mark.parametrize(
    "text",
    [
        "31.03.2024 14:05", "31.03.2024, 14:05:00", "31.03.2024 14.05", "31.03.2024 14:05 Uhr", "31.03.2024 um 14:05",
        "31/03/2024 14h05", "31/03/2024 à 14:05", "31/03/2024 2:05 p. m.", "31/03/2024 2:05 p.m.",
        "31/03/2024 02:05 PM", "31/03/2024 2:05:00\u202fpm", "31 March 2024 at 2:05 PM", "31.3.2024 klo 14.05",
        "2024/03/31 14:05:00.000", "2024年3月31日 14:05", "2024年3月31日14時05分", "2024年3月31日 14时05分00秒",
        "2024年3月31日 下午2:05", "2024年3月31日 午後2時05分", "2024. 3. 31. 오후 2:05:00",
        "2024년 3월 31일 오후 2시 5분",
        "2024/3/31 14:05", "2024-03-31 下午 2:05:00",
    ],
)  # fmt: skip
def test_one_minute_in_many_ways(text: str) -> None:
    assert result(DATE, text) == HALF_PAST_TWO


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("gennaio", 1), ("janv.", 1), ("ene", 1), ("février", 2), ("FÉVR.", 2), ("fevereiro", 2), ("Jänner", 1),
        ("avril", 4), ("mai", 5), ("mei", 5), ("maggio", 5), ("maio", 5), ("giu", 6), ("juin", 6), ("juil.", 7),
        ("lug", 7), ("août", 8), ("ago", 8), ("setembro", 9), ("set", 9), ("sept.", 9), ("ott", 10), ("out", 10),
        ("Okt.", 10), ("noviembre", 11), ("déc.", 12), ("dez", 12), ("dic", 12),
    ],
)  # fmt: skip
def test_month_names(name: str, month: int) -> None:
    assert result(DATE, f"3 {name} 2024") == utc(2024, month, 3)


def test_a_name_means_one_month() -> None:
    assert set(MONTH_NUMBERS.values()) == set(range(1, 13))
    assert all(name == name.lower() for name in MONTH_NUMBERS)


@pytest.mark.parametrize(
    ("position", "field", "text", "value"),
    [
        ("last", DATE, "31.03.24", utc(2024, 3, 31)),
        ("last", DATE, "03/04/24", utc(2024, 4, 3)),
        ("last", DATE, "3-4-24 14:05", utc(2024, 4, 3, 14, 5)),
        ("last", date(date_order="mdy"), "03/04/24", utc(2024, 3, 4)),
        ("last", DATE, "31.03.99", utc(1999, 3, 31)),
        ("last", DATE, "31.03.69", utc(1969, 3, 31)),
        ("last", DATE, "31.03.46", utc(2046, 3, 31)),
        ("last", DATE, "31.03.47", BAD),
        ("last", DATE, "31.03.68", BAD),
        ("last", DATE, "24.03.31", utc(2031, 3, 24)),
        ("first", DATE, "24.03.31", utc(2024, 3, 31)),
        ("first", DATE, "31.03.24", utc(2031, 3, 24)),
        (None, DATE, "31.03.24", BAD),
        (None, MDY, "3/31/24", utc(2024, 3, 31)),
        (None, YMD, "24/3/31", utc(2024, 3, 31)),
        (None, DATE, "31-MAR-45", utc(2045, 3, 31)),
        (None, DATE, "31-MAR-60", BAD),
        (None, date(date_format="DD.MM.YY"), "31.03.60", utc(2060, 3, 31)),
    ],
)
def test_years_of_two_digits(
    position: Literal["first", "last"] | None, field: TemplateField, text: str, value: object
) -> None:
    reading = Reading(short_years={} if position is None else {"f": position}, today=day_of(2026, 6, 15))
    assert result(field, text, reading) == value


def test_a_year_that_is_too_far_ahead_says_which_years_are_meant() -> None:
    known = Reading(short_years={"f": "last"}, today=day_of(2026, 6, 15))
    [message] = converted(DATE, "31.12.68", reading=known)[0].messages
    assert "one from 1969 to 2046" in message
    assert "two_digit_year_pivot" in message
    moved = Reading(short_years={"f": "last"}, two_digit_year_pivot=30, today=day_of(2026, 6, 15))
    assert "1969" not in converted(DATE, "x", reading=moved)[0].messages[0]


@pytest.mark.parametrize(
    ("pivot", "text", "year"),
    [(0, "05", 1905), (30, "29", 2029), (30, "30", 1930), (50, "49", 2049), (100, "99", 2099)],
)
def test_the_template_may_move_the_pivot(pivot: int, text: str, year: int) -> None:
    reading = Reading(short_years={"f": "last"}, two_digit_year_pivot=pivot, today=day_of(2026, 6, 15))
    assert result(DATE, f"31.03.{text}", reading) == utc(year, 3, 31)
    assert result(date(date_format="DD.MM.YY"), f"31.03.{text}", reading) == utc(year, 3, 31)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31.03.45", utc(1945, 3, 31)),
        ("15.06.26", utc(2026, 6, 15)),
        ("16.06.26", utc(1926, 6, 16)),
        ("31.12.25", utc(2025, 12, 31)),
        ("01.01.27", utc(1927, 1, 1)),
        ("29.02.00", utc(2000, 2, 29)),
        ("31.03.2024", utc(2024, 3, 31)),
        ("17.06.2026", BAD),
        ("2031-01-01", BAD),
    ],
)
def test_birthdays_are_past(text: str, value: object) -> None:
    reading = Reading(short_years={"f": "last"}, today=day_of(2026, 6, 15))
    assert result(date(past=True), text, reading) == value
    if text[-3:] != "-01":
        form = "DD.MM.YYYY" if len(text) > 8 else "DD.MM.YY"
        assert result(date(past=True, date_format=form), text, reading) == value


def test_a_date_in_the_future_says_so() -> None:
    reading = Reading(today=day_of(2026, 6, 15))
    assert "after the day of the import" in converted(date(past=True), "2031-01-01", reading=reading)[0].messages[0]


@pytest.mark.parametrize(
    ("date_format", "text", "value"),
    [
        ("X", "1711893900", HALF_PAST_TWO),
        ("X", "1711893900.5", utc(2024, 3, 31, 14, 5, 0, 500_000)),
        ("X", "-86400", utc(1969, 12, 31)),
        ("X", "0", utc(1970, 1, 1)),
        ("X", "2024-03-31", BAD),
        ("X", "1.7e9", BAD),
        ("x", "1711893900000", HALF_PAST_TWO),
        ("x", "-1", utc(1969, 12, 31, 23, 59, 59, 999_000)),
        ("x", "1711893900000.5", BAD),
        ("x", "999999999999999", BAD),
        ("D. MMMM YYYY", "31. März 2024", utc(2024, 3, 31)),
        ("D. MMMM YYYY", "31. Mär 2024", BAD),
        ("DD MMM YYYY", "31 mrt 2024", utc(2024, 3, 31)),
        ("dddd, D MMMM YYYY", "dimanche, 31 mars 2024", utc(2024, 3, 31)),
        ("YYYY-MM-DD HH:mm:ssZ", "2024-03-31 16:05:00+02", HALF_PAST_TWO),
        ("DD.MM.YYYY", "\uff13\uff11.\uff10\uff13.\uff12\uff10\uff12\uff14", utc(2024, 3, 31)),
    ],
)
def test_formats(date_format: str, text: str, value: object) -> None:
    assert result(date(date_format=date_format), text) == value


_OFFSETS = st.integers(min_value=-14 * 60, max_value=14 * 60)


def _offset(form: str, minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return form.format(sign=sign, hours=hours, minutes=rest)


@given(
    st.integers(min_value=-2_208_000_000, max_value=4_102_000_000).map(
        lambda seconds: EPOCH + timedelta(seconds=seconds)
    ),
    _OFFSETS,
    st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%a, %d %b %Y %H:%M:%S ", "%d %B %Y %H:%M:%S "]
    ),
    st.sampled_from(["{sign}{hours:02}{minutes:02}", "{sign}{hours:02}:{minutes:02}"]),
)
def test_an_instant_written_with_an_offset_is_read_back(
    moment: datetime, minutes: int, directives: str, form: str
) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert result(DATE, moment.strftime(directives) + _offset(form, minutes)) == there


def test_cells_of_spreadsheets_are_read_likewise() -> None:
    assert result(DATE, "31-MAR-24", TYPED_CELLS) == utc(2024, 3, 31)
    assert result(date(date_format="DD.MM.YYYY"), "2024-03-31T14:05:00", TYPED_CELLS) == HALF_PAST_TWO


_ZEROS = ["0000-00-00", "0000-00-00 00:00:00", "00.00.0000", "00/00/0000", "00/00/00", "00000000", "0000/00/00"]


@pytest.mark.parametrize("text", _ZEROS)
def test_dates_of_zeros_are_errors_or_empty_as_the_template_says(text: str) -> None:
    assert outcome(DATE, text) == BAD
    assert [each.code for each in errors_of(check(DATE, text, zero_dates="empty"))] == []
    required = date(rules=[{"type": "required"}])
    assert [each.code for each in errors_of(check(required, text, zero_dates="empty"))] == ["REQUIRED"]
    formatted = date(date_format="YYYY-MM-DD")
    assert [each.code for each in errors_of(check(formatted, text, zero_dates="empty"))] == []


def test_other_texts_are_no_dates_of_zeros() -> None:
    texts = ["0", "00", "2000-00-00", "00.01.2000", "0000-00-01"]
    assert [each.code for each in errors_of(check(DATE, *texts, zero_dates="empty"))] == BAD * len(texts)
