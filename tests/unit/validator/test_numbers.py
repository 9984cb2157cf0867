"""Which texts are numbers, in which style, and where all their digits stay."""

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import product

import polars as pl
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import DecimalStyle, TemplateField
from services.validator.domain.field_types import conversion
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps
from tests.unit.validator.conversions import TYPED_CELLS, converted, result


def number(**more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": "number", **more})


POINT, COMMA = number(), number(decimal_style="comma")
INTEGER, COMMA_INTEGER = number(integer=True), number(integer=True, decimal_style="comma")
MONEY, COMMA_MONEY = number(decimals=2), number(decimals=2, decimal_style="comma")
BAD, OUT_OF_RANGE = ["NOT_A_NUMBER"], ["NUMBER_OUT_OF_RANGE"]
NO_STYLE_HAS = [
    "abc", "1_000", "\uff112", "NaN", "nan", "inf", "-Infinity", "0x10", "1e", "e1", "--1", "+-1", "+",
    "1.2.3,4.5", "$5", "5 €", "5%", "1\n2", "true", "1,,000", "1  000", "1 00", "0 123", "5.-",
    "1 000,000.5", "1'000 000", "1000 000", "1 0000", "1/2", "1e5.5", "1e1 000",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("\u22125", -5),
        ("007", 7),
        ("9007199254740993", 9007199254740993),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("00000000000000000000000000001", 1),
        ("1,234", 1234),
        ("1 234 567", 1234567),
        ("1'234", 1234),
        ("1\u2019234", 1234),
        ("1\u00a0234", 1234),
        ("1\u202f234", 1234),
        ("\u22121,234", -1234),
        ("9,223,372,036,854,775,807", 2**63 - 1),
        ("1.5", 1.5),
        ("-1.5", -1.5),
        ("+1.50", 1.5),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("25e-1", 2.5),
        ("25e\u22121", 2.5),
        ("1e308", 1e308),
        ("1e20", 1e20),
        ("0e-400", 0.0),
        ("0.000", 0.0),
        ("5e-324", 5e-324),
        ("0.30000000000000004", 0.30000000000000004),
        ("48.053808600000004", 48.053808600000004),
        ("0.10000000000000000555", 0.1),
        ("3.14159265358979", 3.14159265358979),
        ("9007199254740994.0", 9007199254740994.0),
        ("123456789012345000000000.0", 1.23456789012345e23),
        ("0.00000000000000000012", 1.2e-19),
        ("1.10000000000000000000000", 1.1),
        ("1,234.5", 1234.5),
        ("12 345.25", 12345.25),
        ("1'234'567.5e1", 12345675.0),
        ("", None),
        (None, None),
        ("1,5", BAD),
        ("1,23", BAD),
        ("1.234.567", BAD),
        ("1.234,5", BAD),
        ("1234,567", BAD),
        (",123", BAD),
        ("0,123", BAD),
        (".5", 0.5),
        ("5.", 5),
        *((text, BAD) for text in NO_STYLE_HAS),
    ],
)
def test_with_a_decimal_point(text: str | None, value: object) -> None:
    found = result(POINT, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234", 1234),
        ("1234,5", 1234.5),
        ("1.234,5", 1234.5),
        ("1 234,5", 1234.5),
        ("1\u00a0234,5", 1234.5),
        ("1\u202f234,5", 1234.5),
        ("1'234,5", 1234.5),
        ("1.234", 1234),
        ("1.234.567", 1234567),
        ("-1.234,50", -1234.5),
        ("\u22121,5e3", -1500.0),
        ("0,1", 0.1),
        ("1,0", 1.0),
        ("3,14159265358979323846", "3.14159265358979323846"),
        ("1.5", BAD),
        ("1.23", BAD),
        ("1234.567", BAD),
        ("1,234.5", BAD),
        ("1,234,567", BAD),
        ("0.123", BAD),
        (",5", 0.5),
        ("5,", 5),
        *((text, BAD) for text in NO_STYLE_HAS),
    ],
)
def test_with_a_decimal_comma(text: str, value: object) -> None:
    found = result(COMMA, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("12345678901234567890", "12345678901234567890"),
        ("12,345,678,901,234,567,890", "12345678901234567890"),
        ("100000000000000000000", "100000000000000000000"),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("3.141592653589793238460", "3.14159265358979323846"),
        ("12345678901234567.8", "12345678901234567.8"),
        ("9007199254740993.0", "9007199254740993"),
        ("9007199254740993e0", "9007199254740993"),
        ("1.23456789e-320", "1.23456789E-320"),
        ("1e-400", "1E-400"),
        ("1e999", "1E+999"),
        ("-1e999", "-1E+999"),
        ("1e6144", "1.000000000000000000000000000000000E+6144"),
        ("1e-6176", "1E-6176"),
        ("1234567890123456789012345678901234", "1234567890123456789012345678901234"),
        ("0.1234567890123456789012345678901234", "0.1234567890123456789012345678901234"),
        ("12345678901234567890123456789012340000", "1.234567890123456789012345678901234E+37"),
        ("12345678901234567890123456789012345", OUT_OF_RANGE),
        ("1.2345678901234567890123456789012345", OUT_OF_RANGE),
        ("1e6145", OUT_OF_RANGE),
        ("1e-6177", OUT_OF_RANGE),
        ("1e99999999999999999999", OUT_OF_RANGE),
        ("1" * 400, OUT_OF_RANGE),
        ("0." + "1" * 1000, OUT_OF_RANGE),
    ],
)
def test_what_no_double_holds_is_an_exact_decimal(text: str, value: object) -> None:
    found = converted(POINT, text)[0]
    assert (found.codes or found.value) == value
    if isinstance(value, str):
        assert found.column == "_dec_f"
        assert Decimal128(value).to_decimal() == Context(prec=400).create_decimal(text.replace(",", ""))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1.00"),
        ("1.5", "1.50"),
        ("-1.5", "-1.50"),
        ("+1.5", "1.50"),
        ("1.005", "1.01"),
        ("1.015", "1.02"),
        ("1.0049999999", "1.00"),
        ("-1.005", "-1.01"),
        ("-0.004", "0.00"),
        ("0.005", "0.01"),
        ("2.675", "2.68"),
        ("999.995", "1000.00"),
        ("1,234.567", "1234.57"),
        ("1.005e0", "1.01"),
        ("1e3", "1000.00"),
        ("1e-3", "0.00"),
        ("5e-3", "0.01"),
        ("1e-999999999", "0.00"),
        ("1.00500000000000000000000000000000000000000000", "1.01"),
        ("1.00499999999999999999999999999999999999999999", "1.00"),
        ("99999999999999999999999999999999.99", "99999999999999999999999999999999.99"),
        ("99999999999999999999999999999999.994", "99999999999999999999999999999999.99"),
        ("99999999999999999999999999999999.995", OUT_OF_RANGE),
        ("100000000000000000000000000000000", OUT_OF_RANGE),
        ("1e32", OUT_OF_RANGE),
        ("1e999999999999999999999", OUT_OF_RANGE),
        ("0000000000000000000000000000000000000000001.5", "1.50"),
        ("x", BAD),
        ("NaN", BAD),
        ("1,5", BAD),
        ("", None),
    ],
)
def test_decimals(text: str, value: object) -> None:
    found = result(MONEY, text)
    assert (str(found) if isinstance(found, Decimal) else found) == value


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (COMMA_MONEY, "1.234,567", "1234.57"),
        (COMMA_MONEY, "1234,565", "1234.57"),
        (COMMA_MONEY, "-0,005", "-0.01"),
        (number(decimals=0), "2.5", "3"),
        (number(decimals=0), "-2.5", "-3"),
        (number(decimals=0), "9" * 34, "9" * 34),
        (number(decimals=30), "1.5", "1.5" + "0" * 29),
        (number(decimals=30), "9999." + "9" * 30, "9999." + "9" * 30),
    ],
)
def test_decimals_of_other_kinds(field: TemplateField, text: str, value: str) -> None:
    assert str(result(field, text)) == value


def test_decimals_have_34_digits_at_most() -> None:
    assert result(number(decimals=0), "9" * 35) == OUT_OF_RANGE
    assert result(number(decimals=30), "10000") == OUT_OF_RANGE
    assert "room for 32 digits" in converted(MONEY, "1e32")[0].messages[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), ("1.234", 1.234), ("1234", 1234), ("1.234,5", 1234.5), ("1,5", 1.5), ("1.234.567", 1234567)],
)
def test_typed_cells_have_a_point_in_any_style(text: str, value: object) -> None:
    assert result(COMMA, text, TYPED_CELLS) == value


def test_the_style_is_the_fields_else_the_columns_else_the_templates() -> None:
    reading = Reading(decimal_styles={"f": DecimalStyle.COMMA})
    assert result(number(), "1,5", reading) == 1.5
    assert result(number(decimal_style="point"), "1,5", reading) == BAD
    assert result(number(), "1,5", Reading(default_decimal_style=DecimalStyle.COMMA)) == 1.5


def test_messages_say_the_style() -> None:
    for field, words in product((POINT, INTEGER, MONEY), ("a decimal point, as in 1234.5 or 1,234.5",)):
        assert words in converted(field, "1,23")[0].messages[0]
    for field, words in product((COMMA, COMMA_INTEGER, COMMA_MONEY), ("a decimal comma, as in 1234,5 or 1.234,5",)):
        assert words in converted(field, "1.23")[0].messages[0]


def test_every_row_of_a_batch_on_its_own() -> None:
    texts = ["1", "x", "1,234.5", "", "12345678901234567890", "1.5", "1e9999", None, "1 000"]
    found = converted(POINT, *texts)
    assert [each.codes or each.value for each in found] == [
        1, BAD, 1234.5, None, "12345678901234567890", 1.5, OUT_OF_RANGE, None, 1000,
    ]  # fmt: skip
    assert [each.column for each in found] == ["_int_f", None, "f", None, "_dec_f", "f", None, None, "_int_f"]


@pytest.mark.parametrize(
    "texts",
    [
        ("1", "1.0", "1.00", "1e0", "10e-1", "+1", "001"),
        ("1.5", "1.50", "15e-1", "+1.5"),
        ("0", "-0", "0.0", "-0.0", "0e5"),
        ("9223372036854775807", "9223372036854775807.0"),
        ("12345678901234500000", "12345678901234500000.0", "1.23456789012345e19", "12,345,678,901,234,500,000"),
        ("100000000000000000000", "1e20", "1e+20"),
        ("1e34", "1" + "0" * 34, "1" + "0" * 34 + ".0"),
        ("1e999", "10e998", "0.1e1000"),
        ("3.14159265358979323846", "3.141592653589793238460", "314159265358979323846e-20"),
    ],
)
def test_equal_numbers_have_one_key(texts: tuple[str, ...]) -> None:
    found = converted(POINT, *texts)
    assert len({each.key for each in found}) == 1
    assert len({each.comparable for each in found}) == 1


def test_keys_of_integers_and_decimals() -> None:
    assert [each.key for each in converted(INTEGER, "7", "007", "x")] == ["7", "7", None]
    assert [each.key for each in converted(MONEY, "7", "7.001", "x")] == ["7.00", "7.00", None]


SIZES = [
    "-1e999", "-12345678901234567890", "-9223372036854775808", "-10", "-9.5", "-9", "-0.5", "-1e-400", "0", "1e-400",
    "0.05", "0.5", "0.50000000000000000001", "1", "1.5", "9", "10", "99", "100.5", "9007199254740992",
    "9007199254740993", "9223372036854775807", "12345678901234567890", "12345678901234567891", "1e20", "1e300", "1e999",
]  # fmt: skip


def test_comparables_of_plain_numbers_are_ordered_like_them() -> None:
    found = [each.comparable for each in converted(POINT, *SIZES)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


exact_numbers = st.decimals(-(10**6), 10**6, places=2)


@given(st.lists(exact_numbers | st.integers(-(2**63), 2**63 - 1).map(Decimal), min_size=2, max_size=10))
def test_comparables_are_ordered_across_the_kinds_of_numbers(values: list[Decimal]) -> None:
    texts = [str(value) for value in values]
    as_plain, as_money = converted(POINT, *texts), converted(MONEY, *texts)
    ranks = [*as_plain, *as_money]
    assert [each.comparable for each in as_plain] == [each.comparable for each in as_money]
    in_order = sorted(range(len(ranks)), key=lambda at: ranks[at].comparable)
    sizes = [[*values, *values][at] for at in in_order]
    assert sizes == sorted(sizes)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_int64_survives(value: int) -> None:
    assert result(POINT, str(value)) == value
    assert result(INTEGER, f"{value:,}") == value
    assert result(COMMA, f"{value:,}".replace(",", ".")) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives_in_its_shortest_text(value: float) -> None:
    found = result(POINT, repr(value))
    assert isinstance(found, float)
    assert found == value
    assert math.copysign(1, found) == math.copysign(1, value)


@given(st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?\Z"))
def test_a_number_is_stored_with_all_its_digits_or_refused(text: str) -> None:
    found = converted(POINT, text)[0]
    digits = significant_digits(text)
    if found.codes:
        assert found.codes == OUT_OF_RANGE
        assert len(digits) > 34
    elif found.column == "f":
        assert Decimal(text) in (Decimal(repr(found.value)), Decimal(f"{found.value:.{max(len(digits), 1) - 1}e}"))
    else:
        assert Decimal(text) == Decimal(found.value)


def significant_digits(text: str) -> str:
    mantissa = text.lower().split("e")[0]
    return "".join(each for each in mantissa if each.isdigit()).strip("0")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15))
def test_both_styles_say_the_same_number(value: Decimal) -> None:
    point = f"{value:,.3f}"
    swapped = point.translate(str.maketrans(",.", ".,"))
    blank = swapped.replace(".", "\u00a0")
    exact, comma_exact = number(decimals=3), number(decimals=3, decimal_style="comma")
    assert result(exact, point) == value
    assert result(comma_exact, swapped) == value
    assert result(comma_exact, blank) == value
    keys = {converted(POINT, point)[0].key, converted(COMMA, swapped)[0].key, converted(COMMA, blank)[0].key}
    assert keys == {converted(POINT, str(value))[0].key}


@given(
    st.from_regex(r"\A-?[0-9]{1,20}(\.[0-9]{1,25})?(e-?[0-9]{1,2})?\Z"),
    st.integers(0, 12),
)
def test_decimals_are_rounded_as_python_rounds_half_up(text: str, decimals: int) -> None:
    rounded = Decimal(text).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, Context(prec=200))
    expected = rounded if abs(rounded) < Decimal(10) ** (34 - decimals) else OUT_OF_RANGE
    assert result(number(decimals=decimals), text) == expected


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_only_texts_of_the_grammar_are_numbers(text: str) -> None:
    found = result(POINT, text)
    if isinstance(found, int | float):
        assert set(text.strip()) <= set("0123456789+-.eE,'\u2019 \u00a0\u202f\u2212")


@given(st.text("0123456789., '+-eE", max_size=14))
def test_no_text_is_read_differently_by_the_two_styles_unless_it_groups(text: str) -> None:
    one, other = converted(POINT, text)[0], converted(COMMA, text)[0]
    if one.key is not None and other.key is not None and one.key != other.key:
        assert ("." in text) != ("," in text)


def test_the_data_types() -> None:
    def types(field: TemplateField) -> dict[str, pl.DataType]:
        steps = Steps()
        made = conversion(field, steps.let(pl.col("text")), steps)
        frame = pl.LazyFrame(schema={"text": pl.String})
        for stage in steps.stages:
            frame = frame.with_columns(stage)
        return dict(frame.select(expr.alias(name) for name, expr in made.columns.items()).collect().schema)

    assert types(POINT) == {"f": pl.Float64(), "_int_f": pl.Int64(), "_dec_f": pl.String()}
    assert types(INTEGER) == {"f": pl.Int64()}
    assert types(MONEY) == {"f": pl.Decimal(38, 2)}


def test_bounds_see_every_number() -> None:
    steps = Steps()
    made = conversion(POINT, steps.let(pl.col("text")), steps)
    frame = pl.LazyFrame({"text": ["5", "5.5", "12345678901234567890", "1e999", "x"]})
    for stage in steps.stages:
        frame = frame.with_columns(stage)
    above = frame.select(pl.any_horizontal(each > 5 for each in made.numbers)).collect().to_series()
    assert above.fill_null(value=False).to_list() == [False, True, True, True, False]
