"""Dates in a format that the template gives: what it reads, and that it reads what it writes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.date_formats import MEANINGS, date_format_problem
from services.validator.domain.dates import date_sample
from tests.unit.validator.conversions import TYPED_CELLS, result
from tests.unit.validator.instants import BAD, EPOCH, date, instants, utc, written


@pytest.mark.parametrize(
    ("date_format", "text", "value"),
    [
        ("DD.MM.YYYY", "29.02.2024", utc(2024, 2, 29)),
        ("DD.MM.YYYY", "29.02.2023", BAD),
        ("DD.MM.YYYY", "29x02x2024", BAD),
        ("DD.MM.YYYY", "1.2.2024", BAD),
        ("DD.MM.YYYY", "2024-02-29", BAD),
        ("MM/DD/YYYY", "03/04/2025", utc(2025, 3, 4)),
        ("DD/MM/YYYY", "03/04/2025", utc(2025, 4, 3)),
        ("YYYYMMDD", "20240229", utc(2024, 2, 29)),
        ("YYYYMMDD", "20240230", BAD),
        ("YYYYMMDD", "2024022", BAD),
        ("YYYYMMDDHHmmss", "20240229010203", utc(2024, 2, 29, 1, 2, 3)),
        ("YYYYDDMMmm", "2024290259", utc(2024, 2, 29, 0, 59)),
        ("DD.MM.YYYY HH:mm", "29.02.2024 23:59", utc(2024, 2, 29, 23, 59)),
        ("DD.MM.YYYY HH:mm", "29.02.2024 24:00", utc(2024, 3, 1)),
        ("DD.MM.YYYY HH:mm", "29.02.2024  3:59", BAD),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:03", utc(2024, 2, 29, 1, 2, 3)),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:60", BAD),
        ("YYYY-MM-DDTHH:mm:ss", "2024-02-29T01:02:03Z", BAD),
        ("YYYY-MM-DD HH", "2024-02-29 13", utc(2024, 2, 29, 13)),
        ("HH YYYY-MM-DD", "13 2024-02-29", utc(2024, 2, 29, 13)),
        ("YYYY-MM-DD ss", "2024-02-29 07", utc(2024, 2, 29, 0, 0, 7)),
        ("YYYY-MM-DD", "0000-01-01", BAD),
        ("YYYY-MM-DD", "9999-12-31", utc(9999, 12, 31)),
        ("YYYY-MM-DD", " 2024-02-29 ", utc(2024, 2, 29)),
        (" YYYY-MM-DD", "2024-02-29", utc(2024, 2, 29)),
        ("  YYYYMMDD[ ] ", " 20240229 ", utc(2024, 2, 29)),
        ("[at ]YYYY-MM-DD[ o'clock ]", "at 2024-02-29 o'clock", utc(2024, 2, 29)),
        ("YYYY-MM-DD", "", None),
        ("D.M.YYYY", "1.2.2024", utc(2024, 2, 1)),
        ("D.M.YYYY", "31.12.2024", utc(2024, 12, 31)),
        ("D.M.YYYY", "01.02.2024", utc(2024, 2, 1)),
        ("DD.MM.YY", "01.02.68", utc(2068, 2, 1)),
        ("DD.MM.YY", "01.02.69", utc(1969, 2, 1)),
        ("DD.MM.YY", "01.02.99", utc(1999, 2, 1)),
        ("DD.MM.YY", "01.02.00", utc(2000, 2, 1)),
        ("DD.MM.YY", "29.02.23", BAD),
        ("DD MMMM YYYY", "31 march 2024", utc(2024, 3, 31)),
        ("DD MMMM YYYY", "31 Mar 2024", BAD),
        ("DD-MMM-YYYY", "31-MAR-2024", utc(2024, 3, 31)),
        ("DD-MMM-YYYY", "31-March-2024", BAD),
        ("DDMMMYYYY", "31Mar2024", utc(2024, 3, 31)),
        ("MMM D, YYYY", "Mar 1, 2024", utc(2024, 3, 1)),
        ("dddd D MMMM YYYY", "Sunday 31 March 2024", utc(2024, 3, 31)),
        ("dddd D MMMM YYYY", "Monday 31 March 2024", utc(2024, 3, 31)),
        ("dddd D MMMM YYYY", "Someday 31 March 2024", BAD),
        ("ddd, DD MMM YYYY", "sun, 31 Mar 2024", utc(2024, 3, 31)),
        ("M/D/YYYY h:mm A", "3/31/2024 2:05 PM", utc(2024, 3, 31, 14, 5)),
        ("M/D/YYYY h:mm A", "3/31/2024 12:05 am", utc(2024, 3, 31, 0, 5)),
        ("M/D/YYYY h:mm A", "3/31/2024 13:05 PM", BAD),
        ("M/D/YYYY h:mm A", "3/31/2024 0:05 AM", BAD),
        ("M/D/YYYY hh:mma", "3/31/2024 02:05pm", utc(2024, 3, 31, 14, 5)),
        ("M/D/YYYY hh:mma", "3/31/2024 2:05pm", BAD),
        ("YYYY-MM-DD H:m:s", "2024-03-31 4:5:6", utc(2024, 3, 31, 4, 5, 6)),
        ("YYYY-MM-DD HH:mm:ss.SSS", "2024-03-31 04:05:06.789", utc(2024, 3, 31, 4, 5, 6, 789_000)),
        ("YYYY-MM-DD HH:mm:ss.SSS", "2024-03-31 04:05:06.78", BAD),
        ("YYYY-MM-DDTHH:mm:ssZ", "2024-03-31T04:05:06Z", utc(2024, 3, 31, 4, 5, 6)),
        ("YYYY-MM-DDTHH:mm:ssZ", "2024-03-31T04:05:06+02:00", utc(2024, 3, 31, 2, 5, 6)),
        ("YYYY-MM-DDTHH:mm:ssZ", "2024-03-31T04:05:06-0230", utc(2024, 3, 31, 6, 35, 6)),
        ("YYYY-MM-DDTHH:mm:ssZ", "2024-03-31T04:05:06", BAD),
        ("YYYY-MM-DDTHH:mm:ssZ", "2024-03-31T04:05:06+24:00", BAD),
        ("YYYY-MM-DDZ", "0001-01-01+00:01", BAD),
        ("D MMMM YYYY [at] HH[h]mm", "31 March 2024 at 14h05", utc(2024, 3, 31, 14, 5)),
        ("D MMMM YYYY [at] HH[h]mm", "31 March 2024 AT 14h05", BAD),
        ("[.*]YYYY[^$\\d]MM[|]DD", ".*2024^$\\d03|31", utc(2024, 3, 31)),
        ("[.*]YYYY[^$\\d]MM[|]DD", "xx2024^$\\d03|31", BAD),
        ("[é]YYYY[%Y]MM DD", "é2024%Y03 31", utc(2024, 3, 31)),
    ],
)
def test_dates_in_a_given_format(date_format: str, text: str, value: object) -> None:
    assert date_format_problem(date_format) is None
    assert result(date(date_format=date_format), text) == value


@pytest.mark.parametrize(
    ("text", "typed", "untyped"),
    [
        ("31.03.2024", utc(2024, 3, 31), utc(2024, 3, 31)),
        ("2024-03-31", utc(2024, 3, 31), BAD),
        ("2024-03-31T14:05:00", utc(2024, 3, 31, 14, 5), BAD),
        ("2024-02-30", BAD, BAD),
        ("31/03/2024", BAD, BAD),
        ("45382", BAD, BAD),
    ],
)
def test_a_real_date_cell_needs_no_format(text: str, typed: object, untyped: object) -> None:
    field = date(date_format="DD.MM.YYYY")
    assert result(field, text, TYPED_CELLS) == typed
    assert result(field, text) == untyped


_TOKENS = {
    meaning: [token for token in MEANINGS if MEANINGS[token] == meaning] for meaning in dict.fromkeys(MEANINGS.values())
}


@st.composite
def date_formats(draw: st.DrawFn) -> str:
    """A format that says the whole instant to the millisecond."""
    tokens = [draw(st.sampled_from(_TOKENS[meaning])) for meaning in ("month", "day", "minute", "second")]
    hour = draw(st.sampled_from(_TOKENS["hour"]))
    tokens += ["YYYY", hour, "SSS"]
    if hour in {"h", "hh"}:
        tokens.append(draw(st.sampled_from(_TOKENS["half"])))
    tokens += draw(st.lists(st.sampled_from(["Z", "dddd"]), unique=True))
    literals = st.sampled_from([*"-/.:, T", "[at]", "[%d]", "[\\]"])
    ordered = draw(st.permutations(tokens))
    return "".join(f"{token}{draw(literals)}" for token in ordered)


@given(date_formats(), st.datetimes(timezones=st.just(UTC)))
def test_what_a_format_writes_it_reads(date_format: str, moment: datetime) -> None:
    assert date_format_problem(date_format) is None
    exact = (moment - EPOCH) // timedelta(milliseconds=1)
    texts = written([exact], date_format)
    assert instants(texts, date_format) == [exact]
    assert written([exact], date_format) == texts


@given(
    st.sampled_from([*"YMDHhmsAaZdT:/ .-[]", "YYYY", "MM", "DD", "mm"]).flatmap(
        lambda first: st.lists(
            st.sampled_from([first, "YYYY", "YY", "M", "MM", "MMM", "D", "DD", "-", "/", "[x]", "[1]"]),
            min_size=3,
            max_size=8,
        ).map("".join)
    )
)
def test_every_format_without_problems_reads_its_own_sample(date_format: str) -> None:
    if date_format_problem(date_format) is None:
        assert result(date(date_format=date_format), date_sample(date_format)) == utc(2024, 3, 31)
