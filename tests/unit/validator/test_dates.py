"""Which texts are dates, in which order, and the instant that comes out."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import DateOrder, TemplateField
from services.validator.domain.dates import date_sample
from services.validator.domain.reading import Reading
from tests.unit.validator.conversions import TYPED_CELLS, converted, result
from tests.unit.validator.instants import BAD, DATE, EPOCH, MDY, YMD, date, instants, utc, written

MAC = Reading(typed_cells=True, date_1904=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-29", utc(2024, 2, 29)),
        ("2023-02-29", BAD),
        ("2023-02-30", BAD),
        ("2023-13-01", BAD),
        ("2023-00-10", BAD),
        ("2023-01-00", BAD),
        ("1900-02-29", BAD),
        ("2000-02-29", utc(2000, 2, 29)),
        ("0001-01-01", utc(1, 1, 1)),
        ("9999-12-31", utc(9999, 12, 31)),
        ("0000-01-01", BAD),
        ("10000-01-01", BAD),
        (" 2024-01-02 ", utc(2024, 1, 2)),
        ("20240102", utc(2024, 1, 2)),
        ("24-01-02", BAD),
        ("+2024-01-02", BAD),
        ("-024-01-02", BAD),
        ("\uff12\uff10\uff12\uff14-01-02", BAD),
        ("2024-01-02T03:04", utc(2024, 1, 2, 3, 4)),
        ("2024-01-02 03:04", utc(2024, 1, 2, 3, 4)),
        ("2024-01-02T03:04:05", utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05Z", utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04Z", utc(2024, 1, 2, 3, 4)),
        ("2024-01-02T03:04:05.6", utc(2024, 1, 2, 3, 4, 5, 600_000)),
        ("2024-01-02T03:04:05.06Z", utc(2024, 1, 2, 3, 4, 5, 60_000)),
        ("2024-01-02T03:04:05.678901234", utc(2024, 1, 2, 3, 4, 5, 678_000)),
        ("2024-01-02T03:04:05+01:30", utc(2024, 1, 2, 1, 34, 5)),
        ("2024-01-02T03:04-05:30", utc(2024, 1, 2, 8, 34)),
        ("2024-01-01T00:30+01:00", utc(2023, 12, 31, 23, 30)),
        ("2024-01-02T03:04:05.5-00:00", utc(2024, 1, 2, 3, 4, 5, 500_000)),
        ("0001-01-01T00:00+00:01", BAD),
        ("9999-12-31T23:59-00:01", BAD),
        ("2023-02-29T10:00", BAD),
        ("2023-02-29T10:00:00.5+01:00", BAD),
        ("2024-01-02T24:00", utc(2024, 1, 3)),
        ("2024-01-02T23:60", BAD),
        ("2024-01-02T23:59:60", BAD),
        ("2024-01-02T3:04", utc(2024, 1, 2, 3, 4)),
        ("2024-01-02T03", BAD),
        ("2024-01-02t03:04", BAD),
        ("2024-01-02  03:04", utc(2024, 1, 2, 3, 4)),
        ("2024-01-02T03:04:05.", BAD),
        ("2024-01-02T03:04+1:00", BAD),
        ("2024-01-02T03:04+24:00", BAD),
        ("2024-01-02Z", utc(2024, 1, 2)),
        ("2024-01-02\n", utc(2024, 1, 2)),
        ("yesterday", BAD),
        ("", None),
    ],
)
def test_iso_8601(text: str, value: object) -> None:
    assert result(DATE, text) == value


@given(
    # An offset must not lead out of the years 1 to 9999.
    st.datetimes(timezones=st.just(UTC)).filter(lambda each: 1 < each.year < 9999),
    st.integers(-1439, 1439),
)
def test_every_instant_survives_to_the_millisecond(local: datetime, offset: int) -> None:
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    clock = local.replace(tzinfo=None).isoformat(timespec="microseconds")
    text = f"{clock}{sign}{hours:02}:{minutes:02}"
    exact = local.replace(microsecond=local.microsecond // 1000 * 1000)
    assert result(DATE, text) == exact - timedelta(minutes=offset)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (DATE, "31/03/2024", utc(2024, 3, 31)),
        (DATE, "31.03.2024", utc(2024, 3, 31)),
        (DATE, "31-03-2024", utc(2024, 3, 31)),
        (DATE, "1.2.2024", utc(2024, 2, 1)),
        (DATE, "03/04/2025", utc(2025, 4, 3)),
        (DATE, "29/02/2024", utc(2024, 2, 29)),
        (DATE, "29/02/2023", BAD),
        (DATE, "31/04/2024", BAD),
        (DATE, "03/31/2024", BAD),
        (DATE, "0/1/2024", BAD),
        (DATE, "1/0/2024", BAD),
        (DATE, "31/03-2024", BAD),
        (DATE, "31/03/24", BAD),
        (DATE, "031/03/2024", BAD),
        (DATE, "31 03 2024", BAD),
        (DATE, "31/03/0000", BAD),
        (DATE, "31//03/2024", BAD),
        (DATE, "31/03/2024 14:05", utc(2024, 3, 31, 14, 5)),
        (DATE, "31/03/2024 14:05:06", utc(2024, 3, 31, 14, 5, 6)),
        (DATE, "31.03.2024, 9:05", utc(2024, 3, 31, 9, 5)),
        (DATE, "31/03/2024T14:05", utc(2024, 3, 31, 14, 5)),
        (DATE, "31/03/2024 2:05 PM", utc(2024, 3, 31, 14, 5)),
        (DATE, "31/03/2024 02:05:07pm", utc(2024, 3, 31, 14, 5, 7)),
        (DATE, "31/03/2024 12:00 AM", utc(2024, 3, 31)),
        (DATE, "31/03/2024 12:00 PM", utc(2024, 3, 31, 12)),
        (DATE, "31/03/2024 2:05\u202fPM", utc(2024, 3, 31, 14, 5)),
        (DATE, "31/03/2024 14:05 PM", BAD),
        (DATE, "31/03/2024 0:05 AM", BAD),
        (DATE, "31/03/2024 24:00", utc(2024, 4, 1)),
        (DATE, "31/03/2024 14:60", BAD),
        (DATE, "31/03/2024 14", BAD),
        (DATE, "31/03/2024 PM", BAD),
        (MDY, "03/31/2024", utc(2024, 3, 31)),
        (MDY, "03/04/2025", utc(2025, 3, 4)),
        (MDY, "3-4-2025", utc(2025, 3, 4)),
        (MDY, "3/31/2024, 2:05:00 PM", utc(2024, 3, 31, 14, 5)),
        (MDY, "31/03/2024", BAD),
        (MDY, "13/01/2024", BAD),
        (YMD, "2024/03/31", utc(2024, 3, 31)),
        (YMD, "2024.3.1", utc(2024, 3, 1)),
        (YMD, "31/03/2024", BAD),
        (YMD, "03/31/2024", BAD),
        (DATE, "2024/03/31", utc(2024, 3, 31)),
        (MDY, "2024/03/31", utc(2024, 3, 31)),
        (MDY, "2024-3-1 7:05", utc(2024, 3, 1, 7, 5)),
        (DATE, "2024/31/03", BAD),
        (DATE, "2024/03-31", BAD),
    ],
)
def test_numeric_dates_in_the_order_of_the_column(field: TemplateField, text: str, value: object) -> None:
    assert result(field, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31 March 2024", utc(2024, 3, 31)),
        ("31 Mar 2024", utc(2024, 3, 31)),
        ("31-Mar-2024", utc(2024, 3, 31)),
        ("31/Mar/2024", utc(2024, 3, 31)),
        ("31-MAR-2024", utc(2024, 3, 31)),
        ("1. march 2024", utc(2024, 3, 1)),
        ("31 Mar. 2024", utc(2024, 3, 31)),
        ("March 31, 2024", utc(2024, 3, 31)),
        ("Mar 31 2024", utc(2024, 3, 31)),
        ("mar 1, 2024 2:05 PM", utc(2024, 3, 1, 14, 5)),
        ("Sept 5, 2024", utc(2024, 9, 5)),
        *(
            (f"7 {month} 2021", utc(2021, number, 7))
            for number, month in enumerate(
                [
                    "January",
                    "February",
                    "March",
                    "April",
                    "May",
                    "June",
                    "July",
                    "August",
                    "September",
                    "October",
                    "November",
                    "December",
                ],
                1,
            )
        ),
        *(
            (f"{month} 7, 2021", utc(2021, number, 7))
            for number, month in enumerate(
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
            )
        ),
        ("31 February 2024", BAD),
        ("30 Feb 2024", BAD),
        ("31 Mars 2024", utc(2024, 3, 31)),
        ("31 Marc 2024", BAD),
        ("5 \u017fep 2024", BAD),
        ("31st March 2024", utc(2024, 3, 31)),
        ("March 2024", BAD),
        ("31 March 24", utc(2024, 3, 31)),
        ("31 March", BAD),
        ("2024 March 31", utc(2024, 3, 31)),
    ],
)
def test_month_names(text: str, value: object) -> None:
    for field in (DATE, MDY, YMD):
        assert result(field, text) == value


@pytest.mark.parametrize(
    ("text", "typed", "untyped"),
    [
        ("1", utc(1900, 1, 1), BAD),
        ("59", utc(1900, 2, 28), BAD),
        ("60", BAD, BAD),
        ("60.5", BAD, BAD),
        ("61", utc(1900, 3, 1), BAD),
        ("2024", utc(1905, 7, 16), BAD),
        ("9999", utc(1927, 5, 17), BAD),
        ("10000", utc(1927, 5, 18), utc(1927, 5, 18)),
        ("45382", utc(2024, 3, 31), utc(2024, 3, 31)),
        ("45382.5", utc(2024, 3, 31, 12), utc(2024, 3, 31, 12)),
        ("45382.586805555555", utc(2024, 3, 31, 14, 5), utc(2024, 3, 31, 14, 5)),
        ("45382.58681", utc(2024, 3, 31, 14, 5), utc(2024, 3, 31, 14, 5)),
        ("45382.999999", utc(2024, 4, 1), utc(2024, 4, 1)),
        ("99999", utc(2173, 10, 13), utc(2173, 10, 13)),
        ("100000", utc(2173, 10, 14), BAD),
        ("010124", utc(1927, 9, 19), BAD),
        ("045382", utc(2024, 3, 31), BAD),
        ("2958465", utc(9999, 12, 31), BAD),
        ("2958466", BAD, BAD),
        ("2958465.999999", BAD, BAD),
        ("0", BAD, BAD),
        ("0.5", BAD, BAD),
        ("-45382", BAD, BAD),
        ("45382.", BAD, BAD),
        ("45,382", BAD, BAD),
        ("20240331", utc(2024, 3, 31), utc(2024, 3, 31)),
    ],
)
def test_serial_numbers(text: str, typed: object, untyped: object) -> None:
    assert result(DATE, text, TYPED_CELLS) == typed
    assert result(DATE, text) == untyped


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", utc(1904, 1, 2)),
        ("59", utc(1904, 2, 29)),
        ("60", utc(1904, 3, 1)),
        ("43920", utc(2024, 3, 31)),
        ("43920.25", utc(2024, 3, 31, 6)),
        ("2957003", utc(9999, 12, 31)),
        ("2957004", BAD),
    ],
)
def test_serial_numbers_of_1904(text: str, value: object) -> None:
    assert result(DATE, text, MAC) == value


@given(st.integers(61, 2_958_465))
def test_every_serial_number_counts_days(serial: int) -> None:
    assert result(DATE, str(serial), TYPED_CELLS) == utc(1899, 12, 30) + timedelta(days=serial)


def test_the_order_is_the_fields_else_the_columns_else_the_templates() -> None:
    reading = Reading(date_orders={"f": DateOrder.MDY})
    assert result(DATE, "03/04/2025", reading) == utc(2025, 3, 4)
    assert result(date(date_order="dmy"), "03/04/2025", reading) == utc(2025, 4, 3)
    assert result(DATE, "03/04/2025", Reading(default_date_order=DateOrder.MDY)) == utc(2025, 3, 4)


def test_every_row_of_a_batch_on_its_own() -> None:
    texts = ["2024-03-31", "x", "31/03/2024", "", "31 Mar 2024", "2024-03-31T01:00+01:00", "45382", "03/31/2024", None]
    found = converted(DATE, *texts)
    day = utc(2024, 3, 31)
    assert [each.codes or each.value for each in found] == [day, BAD, day, None, day, day, day, BAD, None]
    assert len({each.key for each in found if each.value}) == 1
    assert {each.comparable for each in found if each.value} == {round(day.timestamp() * 1000)}


def test_the_message_says_order_and_form() -> None:
    def message(field: TemplateField) -> str:
        return converted(field, "x")[0].messages[0]

    assert "day, month, year" in message(DATE)
    assert "31/03/2024" in message(DATE)
    assert "month, day, year" in message(MDY)
    assert "2024/03/31" in message(YMD)
    assert date_sample("DD.MM.YYYY HH:mm:ss") == "31.03.2024 14:05:00"
    assert "31.03.2024 14:05:00" in message(date(date_format="DD.MM.YYYY HH:mm:ss"))
    assert date_sample("dddd, MMMM D, YY [at] h:mm a Z") == "Sunday, March 31, 24 at 2:05 pm Z"


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(DateOrder))
def test_a_numeric_date_is_read_in_the_order_that_it_is_written(moment: datetime, order: DateOrder) -> None:
    form = {DateOrder.DMY: "D/M/YYYY", DateOrder.MDY: "M/D/YYYY", DateOrder.YMD: "YYYY/M/D"}[order]
    midnight = (moment - EPOCH).days * 86_400_000
    (text,) = written([midnight], form)
    assert instants([text], None, order) == [midnight]


def test_the_calendar_is_pythons() -> None:
    years = (1, 4, 100, 400, 1582, 1899, 1900, 1999, 2000, 2023, 2024, 9999)
    texts = [f"{day}/{month}/{year}" for year, month, day in product(years, range(14), range(33))]
    assert instants(list(texts), None) == [_midnight(text) for text in texts]


def _midnight(text: str) -> int | None:
    day, month, year = map(int, text.split("/"))
    try:
        moment = utc(year, month, day)
    except ValueError:
        return None
    found = (moment - EPOCH).days * 86_400_000
    return found if year > 999 else None


@pytest.mark.parametrize("text", ["1" * 100_000, "31/" * 30_000, "March " * 20_000, "-" * 100_000, "[" * 50_000])
def test_long_texts_are_refused_at_once(text: str) -> None:
    assert result(DATE, text) == BAD
    assert result(date(date_format="D-M-YYYY H:m:s"), text) == BAD
