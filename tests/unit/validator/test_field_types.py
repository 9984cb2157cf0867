"""What each type accepts, and the value that comes out."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import FieldType, TemplateField
from services.validator.domain.field_types import date_sample
from tests.unit.validator.batches import check, outcome

NUMBER = TemplateField(name="f", type=FieldType.NUMBER)
INTEGER = TemplateField(name="f", type=FieldType.NUMBER, integer=True)
EMAIL = TemplateField(name="f", type=FieldType.EMAIL)
DATE = TemplateField(name="f", type=FieldType.DATE)
BOOLEAN = TemplateField(name="f", type=FieldType.BOOLEAN)
BAD_NUMBER, OUT_OF_RANGE, NO_INTEGER = ["NOT_A_NUMBER"], ["NUMBER_OUT_OF_RANGE"], ["NOT_AN_INTEGER"]
BAD_EMAIL, BAD_DATE, BAD_BOOLEAN = ["INVALID_EMAIL"], ["INVALID_DATE"], ["INVALID_BOOLEAN"]


@pytest.mark.parametrize(
    "cell", ["a", " a ", " ", "a\nb", "\t", "00123", "ÅÄÖ", "日本語", "\U0001f600", "=1+1", "NULL", "\x01", "x" * 5000]
)
def test_text_is_taken_as_it_is(cell: str) -> None:
    assert outcome(TemplateField(name="f"), cell) == cell


@pytest.mark.parametrize("field", [TemplateField(name="f"), NUMBER, INTEGER, EMAIL, DATE, BOOLEAN])
def test_empty_and_missing_cells_are_null(field: TemplateField) -> None:
    assert outcome(field, "") is None
    assert outcome(field, None) is None


@pytest.mark.parametrize("field", [NUMBER, INTEGER, EMAIL, DATE, BOOLEAN])
@pytest.mark.parametrize("cell", [" ", "\t", "\n", "\u00a0", " \r\n "])
def test_blanks_are_empty_where_the_type_is_not_text(field: TemplateField, cell: str) -> None:
    assert outcome(field, cell) is None


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("007", 7),
        (" 12 ", 12),
        ("9007199254740993", 9007199254740993),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", OUT_OF_RANGE),
        ("-9223372036854775809", OUT_OF_RANGE),
        ("100000000000000000000", OUT_OF_RANGE),
        ("00000000000000000000000000001", 1),
        ("1.5", 1.5),
        ("-1.5", -1.5),
        ("+1.50", 1.5),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("25e-1", 2.5),
        ("1e308", 1e308),
        ("1e999", OUT_OF_RANGE),
        ("-1e999", OUT_OF_RANGE),
        ("1e-400", OUT_OF_RANGE),
        ("0e-400", 0.0),
        ("0.000", 0.0),
        ("5e-324", 5e-324),
        ("1.23456789e-320", OUT_OF_RANGE),
        ("0.30000000000000004", 0.30000000000000004),
        ("48.053808600000004", 48.053808600000004),
        ("0.10000000000000000555", 0.1),
        ("3.14159265358979", 3.14159265358979),
        ("3.14159265358979323846", OUT_OF_RANGE),
        ("12345678901234567.8", OUT_OF_RANGE),
        ("9007199254740993.0", OUT_OF_RANGE),
        ("9007199254740993e0", OUT_OF_RANGE),
        ("9007199254740994.0", 9007199254740994.0),
        ("123456789012345000000000.0", 1.23456789012345e23),
        ("0.00000000000000000012", 1.2e-19),
        ("1.10000000000000000000000", 1.1),
        ("", None),
        ("abc", BAD_NUMBER),
        ("1_000", BAD_NUMBER),
        ("1,5", BAD_NUMBER),
        ("1 000", BAD_NUMBER),
        ("1\u00a0000", BAD_NUMBER),
        ("\uff11\uff12", BAD_NUMBER),
        ("٣", BAD_NUMBER),
        ("NaN", BAD_NUMBER),
        ("nan", BAD_NUMBER),
        ("inf", BAD_NUMBER),
        ("-Infinity", BAD_NUMBER),
        ("0x10", BAD_NUMBER),
        (".5", BAD_NUMBER),
        ("5.", BAD_NUMBER),
        ("1e", BAD_NUMBER),
        ("e1", BAD_NUMBER),
        ("--1", BAD_NUMBER),
        ("+-1", BAD_NUMBER),
        ("+", BAD_NUMBER),
        ("1.2.3", BAD_NUMBER),
        ("$5", BAD_NUMBER),
        ("5%", BAD_NUMBER),
        ("1\n2", BAD_NUMBER),
        ("true", BAD_NUMBER),
    ],
)
def test_numbers(cell: str, value: object) -> None:
    found = outcome(NUMBER, cell)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("-12", -12),
        (" 12", 12),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", OUT_OF_RANGE),
        ("12.0", NO_INTEGER),
        ("12.5", NO_INTEGER),
        ("1e3", NO_INTEGER),
        ("1e999", NO_INTEGER),
        ("x", BAD_NUMBER),
        ("1_0", BAD_NUMBER),
        ("", None),
    ],
)
def test_integers(cell: str, value: object) -> None:
    assert outcome(INTEGER, cell) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_int64_survives(number: int) -> None:
    assert outcome(NUMBER, str(number)) == number
    assert outcome(INTEGER, str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives_in_its_shortest_text(number: float) -> None:
    found = outcome(NUMBER, repr(number))
    assert isinstance(found, float)
    assert found == number
    assert math.copysign(1, found) == math.copysign(1, number)


@given(st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?\Z"))
def test_a_number_is_stored_with_all_its_digits_or_refused(text: str) -> None:
    found = outcome(NUMBER, text)
    if isinstance(found, list):
        assert found == OUT_OF_RANGE
    else:
        digits = len(significant_digits(text))
        assert Decimal(text) in (Decimal(repr(found)), Decimal(f"{found:.{max(digits, 1) - 1}e}"))


def significant_digits(text: str) -> str:
    mantissa = text.lower().split("e")[0]
    return "".join(each for each in mantissa if each.isdigit()).strip("0")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_only_texts_of_the_grammar_are_numbers(text: str) -> None:
    found = outcome(NUMBER, text)
    if isinstance(found, int | float):
        assert set(text.strip()) <= set("0123456789+-.eE")
        assert float(text) == found


@pytest.mark.parametrize(
    ("cell", "valid"),
    [
        ("a@b.c", True),
        ("a@b", True),
        ("first.last+tag@sub.example.co.uk", True),
        ("!#$%&'*+/=?^_`{|}~-@x.y", True),
        ("a..b@c.d", True),
        (".a@b.c", True),
        ("A@B.C", True),
        ("a@1.2", True),
        ("a@x-y.z", True),
        (f"a@{'b' * 63}.c", True),
        (f"a@{'b' * 64}.c", False),
        (f"{'a' * 250}@b.c", True),
        (f"{'a' * 251}@b.c", False),
        ("a", False),
        ("@b.c", False),
        ("a@", False),
        ("a@b..c", False),
        ("a@-b.c", False),
        ("a@b-.c", False),
        ("a@b.c.", False),
        ("a b@c.d", False),
        ("a@b c.d", False),
        ("a@b@c.d", False),
        ("å@b.c", False),
        ("a@bücher.de", False),
        ('"a"@b.c', False),
        ("a@[127.0.0.1]", False),
        ("a@b_c.d", False),
        ("Anna <a@b.c>", False),
        ("a@b.c,d@e.f", False),
        ("a@b.c\nx", False),
    ],
)
def test_emails(cell: str, valid: bool) -> None:
    assert outcome(EMAIL, cell) == (cell if valid else BAD_EMAIL)


def test_blanks_around_an_email_are_no_part_of_it() -> None:
    assert outcome(EMAIL, " a@b.c\n") == "a@b.c"


def utc(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("2024-02-29", utc(2024, 2, 29)),
        ("2023-02-29", BAD_DATE),
        ("2023-02-30", BAD_DATE),
        ("2023-13-01", BAD_DATE),
        ("2023-00-10", BAD_DATE),
        ("2023-01-00", BAD_DATE),
        ("1900-02-29", BAD_DATE),
        ("2000-02-29", utc(2000, 2, 29)),
        ("0001-01-01", utc(1, 1, 1)),
        ("9999-12-31", utc(9999, 12, 31)),
        ("0000-01-01", BAD_DATE),
        ("10000-01-01", BAD_DATE),
        (" 2024-01-02 ", utc(2024, 1, 2)),
        ("2024-1-2", BAD_DATE),
        ("2024/01/02", BAD_DATE),
        ("20240102", BAD_DATE),
        ("24-01-02", BAD_DATE),
        ("+2024-01-02", BAD_DATE),
        ("-024-01-02", BAD_DATE),
        ("\uff12\uff10\uff12\uff14-01-02", BAD_DATE),
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
        ("0001-01-01T00:00+00:01", BAD_DATE),
        ("9999-12-31T23:59-00:01", BAD_DATE),
        ("2023-02-29T10:00", BAD_DATE),
        ("2023-02-29T10:00:00.5+01:00", BAD_DATE),
        ("2024-01-02T24:00", BAD_DATE),
        ("2024-01-02T23:60", BAD_DATE),
        ("2024-01-02T23:59:60", BAD_DATE),
        ("2024-01-02T3:04", BAD_DATE),
        ("2024-01-02T03", BAD_DATE),
        ("2024-01-02t03:04", BAD_DATE),
        ("2024-01-02  03:04", BAD_DATE),
        ("2024-01-02T03:04:05.", BAD_DATE),
        ("2024-01-02T03:04+1:00", BAD_DATE),
        ("2024-01-02T03:04+24:00", BAD_DATE),
        ("2024-01-02Z", BAD_DATE),
        ("2024-01-02\n", utc(2024, 1, 2)),
        ("yesterday", BAD_DATE),
        ("", None),
    ],
)
def test_iso_dates(cell: str, value: object) -> None:
    assert outcome(DATE, cell) == value


@pytest.mark.parametrize(
    ("date_format", "cell", "value"),
    [
        ("DD.MM.YYYY", "29.02.2024", utc(2024, 2, 29)),
        ("DD.MM.YYYY", "29.02.2023", BAD_DATE),
        ("DD.MM.YYYY", "29x02x2024", BAD_DATE),
        ("DD.MM.YYYY", "1.2.2024", BAD_DATE),
        ("DD.MM.YYYY", "2024-02-29", BAD_DATE),
        ("MM/DD/YYYY", "03/04/2025", utc(2025, 3, 4)),
        ("DD/MM/YYYY", "03/04/2025", utc(2025, 4, 3)),
        ("YYYYMMDD", "20240229", utc(2024, 2, 29)),
        ("YYYYMMDD", "20240230", BAD_DATE),
        ("YYYYMMDD", "2024022", BAD_DATE),
        ("YYYYMMDDHHmmss", "20240229010203", utc(2024, 2, 29, 1, 2, 3)),
        ("YYYYDDMMmm", "2024290259", utc(2024, 2, 29, 0, 59)),
        ("DD.MM.YYYY HH:mm", "29.02.2024 23:59", utc(2024, 2, 29, 23, 59)),
        ("DD.MM.YYYY HH:mm", "29.02.2024 24:00", BAD_DATE),
        ("DD.MM.YYYY HH:mm", "29.02.2024  3:59", BAD_DATE),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:03", utc(2024, 2, 29, 1, 2, 3)),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:60", BAD_DATE),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:03Z", BAD_DATE),
        ("YYYY-MM-DD HH", "2024-02-29 13", utc(2024, 2, 29, 13)),
        ("HH YYYY-MM-DD", "13 2024-02-29", utc(2024, 2, 29, 13)),
        ("YYYY-MM-DD ss", "2024-02-29 07", utc(2024, 2, 29, 0, 0, 7)),
        ("YYYY-MM-DD", "0000-01-01", BAD_DATE),
        ("YYYY-MM-DD", "9999-12-31", utc(9999, 12, 31)),
        ("YYYY-MM-DD", " 2024-02-29 ", utc(2024, 2, 29)),
        ("YYYY-MM-DD", "", None),
    ],
)
def test_dates_in_a_given_format(date_format: str, cell: str, value: object) -> None:
    assert outcome(TemplateField(name="f", type=FieldType.DATE, date_format=date_format), cell) == value


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
    assert outcome(DATE, text) == exact - timedelta(minutes=offset)


def test_the_message_about_a_date_shows_how_it_is_written() -> None:
    field = TemplateField(name="f", type=FieldType.DATE, date_format="DD.MM.YYYY HH:mm:ss")
    assert date_sample("DD.MM.YYYY HH:mm:ss") == "31.03.2024 14:05:00"
    assert "31.03.2024 14:05:00" in check(field, "x").rejected[0].errors[0].message
    assert outcome(field, date_sample("DD.MM.YYYY HH:mm:ss")) == utc(2024, 3, 31, 14, 5)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE", "1", "yes", "YES", "on", "ja", "Ja", "sant", " sant ")),
        *((word, False) for word in ("false", "FALSE", "0", "no", "No", "off", "nej", "NEJ", "falskt", "\tno")),
        *(
            (word, BAD_BOOLEAN)
            for word in ("2", "t", "y", "n", "truee", "tr ue", "-1", "01", "x", "\uff11", "none", "1.0")
        ),
        ("", None),
    ],
)
def test_booleans(cell: str, value: object) -> None:
    assert outcome(BOOLEAN, cell) == value
