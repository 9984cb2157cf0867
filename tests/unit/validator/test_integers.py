"""Whole numbers, however they are written, and numbers of which a spreadsheet has left only the first digits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import TemplateField
from services.validator.domain.reading import Reading
from tests.unit.validator.conversions import TYPED_CELLS, converted, result

INTEGER = TemplateField.model_validate({"name": "f", "type": "number", "integer": True})
COMMA_INTEGER = TemplateField.model_validate({"name": "f", "type": "number", "integer": True, "decimal_style": "comma"})
BAD, OUT_OF_RANGE, NO_INTEGER = ["NOT_A_NUMBER"], ["NUMBER_OUT_OF_RANGE"], ["NOT_AN_INTEGER"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-12", -12),
        (" 12", 12),
        ("\u221212", -12),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", OUT_OF_RANGE),
        ("9,223,372,036,854,775,808", OUT_OF_RANGE),
        ("1,234", 1234),
        ("1 234 567", 1234567),
        ("12.0", 12),
        ("-12.000", -12),
        ("12.5", NO_INTEGER),
        ("12.0000000000000000000000001", NO_INTEGER),
        ("1,234.0", 1234),
        ("1e3", 1000),
        ("1.5E+3", 1500),
        ("1.5e0", NO_INTEGER),
        ("25e-1", NO_INTEGER),
        ("250e-1", 25),
        ("9.223372036854775807e18", 2**63 - 1),
        ("9223372036854775808.0", OUT_OF_RANGE),
        ("1e999", OUT_OF_RANGE),
        ("1e-999", NO_INTEGER),
        ("0e-999", 0),
        ("-0E+5", 0),
        ("12.e1", 120),
        ("9007199254740993e0", 2**53 + 1),
        ("123456789e10", 1234567890000000000),
        ("1e99999999999999999999", OUT_OF_RANGE),
        ("1e18", 10**18),
        ("1.23457E+10", 12345700000),
        ("1,23", BAD),
        ("x", BAD),
        ("1_0", BAD),
        ("", None),
    ],
)
def test_integers(text: str, value: object) -> None:
    assert result(INTEGER, text) == value


@given(st.lists(st.tuples(st.decimals("-1e20", "1e20"), st.integers(-40, 40)), min_size=1, max_size=20))
def test_integers_with_an_exponent(numbers: list[tuple[Decimal, int]]) -> None:
    texts = [f"{mantissa:f}e{exponent}" for mantissa, exponent in numbers]
    for text, found in zip(texts, converted(INTEGER, *texts), strict=True):
        exact = Decimal(text)
        whole, fits = exact == exact.to_integral_value(), -(2**63) <= exact < 2**63
        if whole and fits:
            assert found.value == exact
        else:
            # Of what is both, either is told.
            assert (not whole and found.codes == NO_INTEGER) or (not fits and found.codes == OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234", 1234),
        ("12", 12),
        ("12,0", 12),
        ("12,5", NO_INTEGER),
        ("1.234,5", NO_INTEGER),
        ("1,234.5", BAD),
        ("1.23", BAD),
    ],
)
def test_integers_with_a_decimal_comma(text: str, value: object) -> None:
    assert result(COMMA_INTEGER, text) == value


@pytest.mark.parametrize("text", ["1.23457E+11", "1.2E+17", "-4E+12", "1E+15"])
def test_what_excel_has_cut_short_is_no_whole_number(text: str) -> None:
    found = converted(INTEGER, text)[0]
    assert found.codes == NO_INTEGER
    assert "A spreadsheet has cut this number short" in found.messages[0]


@pytest.mark.parametrize("reading", [TYPED_CELLS, Reading(typed_numbers=True)])
def test_a_number_that_the_format_itself_writes_has_all_its_digits(reading: Reading) -> None:
    assert result(INTEGER, "1E+15", reading) == 10**15
    assert result(COMMA_INTEGER, "5.0", reading) == 5
    assert result(COMMA_INTEGER, "5.5", reading) == NO_INTEGER
