"""Numbers as people and programs dress them: signs, brackets, currencies, percents, blanks, digits of other scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import DecimalStyle, TemplateField
from services.validator.domain.reading import Reading
from tests.unit.validator.conversions import converted, result

BAD = ["NOT_A_NUMBER"]


def number(**more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": "number", **more})


POINT, COMMA = number(decimal_style="point"), number(decimal_style="comma")
MONEY, COMMA_MONEY = number(decimals=2), number(decimals=2, decimal_style="comma")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("1,234.50-", -1234.5, id="minus behind"),
        pytest.param("0.50 -", -0.5, id="minus behind a blank"),
        pytest.param("100-", -100, id="minus behind a whole number"),
        pytest.param("1,150.50+", 1150.5, id="plus behind, two decimals"),
        pytest.param("- 1 234.5", -1234.5, id="minus apart"),
        pytest.param("+ 5", 5, id="plus apart"),
        pytest.param("(1,234.50)", -1234.5, id="brackets"),
        pytest.param("( 1,234.50 )", -1234.5, id="brackets and blanks"),
        pytest.param("(5)", -5, id="brackets around a whole number"),
        pytest.param("\u22125.5", -5.5, id="minus sign"),
        pytest.param("\u20135", -5, id="en dash"),
        pytest.param("5\u2212", -5, id="minus sign behind"),
        pytest.param("\uff0d5", -5, id="full-width minus"),
        pytest.param("-.5", -0.5, id="no digit before the point"),
        pytest.param(".5e-1", 0.05, id="no digit before the point, exponent"),
        pytest.param("1,234.", 1234, id="no digit behind the point"),
        pytest.param("12,34,567.89", 1234567.89, id="Indian"),
        pytest.param("1,00,000", 100000, id="one lakh"),
        pytest.param("1,23,45,678", 12345678, id="one crore and more"),
        pytest.param("-12,34,567", -1234567, id="Indian, negative"),
        pytest.param("1\u2009234.5", 1234.5, id="thin blank"),
        pytest.param("1\u2007234\u2007567", 1234567, id="figure blank"),
        pytest.param("1\u3000234", 1234, id="ideographic blank"),
        pytest.param("1\u00a0234\u202f567.5", 1234567.5, id="blanks of several widths"),
        pytest.param("1'234'567.5", 1234567.5, id="apostrophes"),
        pytest.param("1\u2019234\u2019567.5", 1234567.5, id="typographic apostrophes"),
        pytest.param("\uff11\uff0c\uff12\uff13\uff14\uff0e\uff15", 1234.5, id="full width"),
        pytest.param("\u0661\u066c\u0662\u0663\u0664\u066b\u0665", 1234.5, id="Arabic digits and signs"),
        pytest.param("\u06f1\u06f2", 12, id="Persian digits"),
        pytest.param("\u0967\u0968,\u0969\u096a,\u096b\u096c\u096d", 1234567, id="Devanagari digits"),
        pytest.param("\u0e51\u0e52.\u0e55", 12.5, id="Thai digits"),
        pytest.param("--5", BAD, id="two signs"),
        pytest.param("-5-", BAD, id="signs on both sides"),
        pytest.param("-(5)", BAD, id="sign and brackets"),
        pytest.param("(-5)", BAD, id="sign in brackets"),
        pytest.param("(5", BAD, id="bracket that is not closed"),
        pytest.param("5)", BAD, id="bracket that is not opened"),
        pytest.param("90+", BAD, id="90 or more"),
        pytest.param("4.5+", BAD, id="one decimal and a plus"),
        pytest.param("5.-", BAD, id="Swiss price or minus five"),
        pytest.param("1,234.50 CR", BAD, id="credit"),
        pytest.param("5 kg", BAD, id="unit"),
        pytest.param("5m", BAD, id="unit without a blank"),
        pytest.param("1.5k", BAD, id="thousands"),
        pytest.param("12 Mio", BAD, id="millions"),
        pytest.param("1\u4e07", BAD, id="ten thousands"),
        pytest.param("\u00bd", BAD, id="half"),
        pytest.param("5 / 2", BAD, id="fraction"),
        pytest.param("5\u2030", BAD, id="per mille"),
        pytest.param("1 2", BAD, id="two numbers"),
        pytest.param("1\uff12", BAD, id="digits of two scripts"),
        pytest.param("1,2345,6789", BAD, id="groups of four"),
        pytest.param("12,34,56", BAD, id="Indian groups without the last three"),
        pytest.param("1,234,56,789", BAD, id="groups of three, then of two"),
        pytest.param(".", BAD, id="a point"),
        pytest.param("$", BAD, id="a currency"),
        pytest.param("%", BAD, id="a percent sign"),
        pytest.param("-", BAD, id="a sign"),
        pytest.param("()", BAD, id="brackets alone"),
    ],
)
def test_numbers_with_a_decimal_point(text: str, value: object) -> None:
    assert result(POINT, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.250,00-", "-1250.00"),
        ("0,50-", "-0.50"),
        ("1.150,50+", "1150.50"),
        ("(1.234,50)", "-1234.50"),
        (",5", "0.50"),
        ("1\u00a0234\u00a0567,891", "1234567.89"),
        ("1'234,565", "1234.57"),
        ("\u0661\u066c\u0662\u0663\u0664\u066b\u0665", "1234.50"),
        ("12,34,567", BAD),
        ("5,-", BAD),
        ("5,00 Stk.", BAD),
    ],
)
def test_decimals_with_a_decimal_comma(text: str, value: object) -> None:
    found = result(COMMA_MONEY, text)
    assert found == value if isinstance(value, list) else str(found) == value


@pytest.mark.parametrize(
    ("currency", "text", "value"),
    [
        ("EUR", "5 \u20ac", 5),
        ("EUR", "\u20ac5", 5),
        ("EUR", "EUR 1,234.50", 1234.5),
        ("EUR", "1,234.50\u00a0EUR", 1234.5),
        ("EUR", "5 Euro", 5),
        ("EUR", "-5.00 \u20ac", -5.0),
        ("EUR", "\u20ac -5.00", -5.0),
        ("EUR", "\u20ac 5.00-", -5.0),
        ("EUR", "5.00- \u20ac", -5.0),
        ("EUR", "(5.00 \u20ac)", -5.0),
        ("EUR", "(5.00) \u20ac", -5.0),
        ("EUR", "\u20ac(5.00)", -5.0),
        ("EUR", "5", 5),
        ("EUR", "$5", BAD),
        ("EUR", "5 USD", BAD),
        ("USD", "$1,234.50", 1234.5),
        ("USD", "$.50", 0.5),
        ("USD", "-$5", -5),
        ("USD", "US$5", 5),
        ("USD", "$5.00 USD", 5.0),
        ("USD", "\uff045", 5),
        ("USD", "A$5", BAD),
        ("USD", "50\u00a2", BAD),
        ("CHF", "CHF 1'234.50", 1234.5),
        ("CHF", "Fr. 5", 5),
        ("SEK", "1 234 kr", 1234),
        ("SEK", "5 kr.", 5),
        ("INR", "\u20b912,34,567.89", 1234567.89),
        ("INR", "Rs.500", 500),
        ("JPY", "\uffe51,234", 1234),
        ("JPY", "1,234\u5186", 1234),
        ("BRL", "R$ 5", 5),
        ("HUF", "12 500 Ft", 12500),
        ("RUB", "5 \u0440\u0443\u0431.", 5),
        ("$", "$5", 5),
        ("$", "USD 5", BAD),
        (None, "$5", BAD),
        (None, "5 EUR", BAD),
    ],
)
def test_amounts_of_the_columns_currency(currency: str | None, text: str, value: object) -> None:
    reading = Reading(currencies={} if currency is None else {"f": currency})
    assert result(POINT, text, reading) == value


def test_another_currency_is_named_in_the_message() -> None:
    found = converted(number(currency="EUR"), "$5")[0]
    assert found.codes == BAD
    assert "read as amounts in EUR" in found.messages[0]
    assert "shows no single currency" in converted(POINT, "$5")[0].messages[0]


@pytest.mark.parametrize(
    ("text", "fraction", "as_is"),
    [
        ("12%", 0.12, 12),
        ("12.5 %", 0.125, 12.5),
        ("%12", 0.12, 12),
        ("-5%", -0.05, -5),
        ("(5%)", -0.05, -5),
        ("5%-", -0.05, -5),
        ("\uff15\uff05", 0.05, 5),
        ("0.1%", 0.001, 0.1),
        ("100 %", 1, 100),
        ("0.12", 0.12, 0.12),
        ("5%%", BAD, BAD),
        ("1e3%", BAD, BAD),
    ],
)
def test_percents(text: str, fraction: object, as_is: object) -> None:
    assert result(number(percent="fraction"), text) == fraction
    assert result(number(percent="as_is"), text) == as_is


def test_a_percent_without_a_word_of_the_template_is_refused() -> None:
    found = converted(POINT, "12 %")[0]
    assert found.codes == BAD
    assert "12 % may be 0.12 or 12" in found.messages[0]
    assert [str(result(number(decimals=4, percent="fraction"), text)) for text in ("12.345%", "7 %")] == [
        "0.1235",
        "0.0700",
    ]
    assert result(number(integer=True, percent="fraction"), "12%") == ["NOT_AN_INTEGER"]
    assert result(number(integer=True, percent="fraction"), "300%") == 3


_DIGITS = st.integers(min_value=0, max_value=10**12)
_PLACES = st.integers(min_value=0, max_value=3)
_BLANKS = st.sampled_from([" ", "\u00a0", "\u2009", "\u202f", "\u2007", "'", "\u2019", ""])
_DRESSES = st.sampled_from(
    [
        "{}",
        "-{}",
        "\u2212{}",
        "({})",
        "{}-",
        "{} -",
        "- {}",
        "\u20ac{}",
        "{} EUR",
        "-\u20ac{}",
        "({} \u20ac)",
        "\u20ac {}-",
    ]
)


@given(_DIGITS, _PLACES, st.sampled_from(list(DecimalStyle)), _BLANKS, _DRESSES)
def test_what_is_written_in_a_style_is_read_back(
    digits: int, places: int, style: DecimalStyle, separator: str, dress: str
) -> None:
    whole, fraction = divmod(digits, 10**places)
    mark = {DecimalStyle.POINT: ".", DecimalStyle.COMMA: ","}[style]
    text = f"{whole:,}".replace(",", separator) + (f"{mark}{fraction:0{places}}" if places else "")
    value = -digits if dress != "{}" and dress.replace("\u20ac", "").replace(" EUR", "") != "{}" else digits
    field = number(decimals=3, decimal_style=style.value, currency="EUR")
    assert result(field, dress.format(text)) * 10**places == value
