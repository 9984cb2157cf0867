"""What each type accepts, and the value that comes out; numbers, dates and phones have files of their own."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import TEXTUAL_TYPES, FieldType, TemplateField
from services.validator.domain.field_types import MAX_URL_CHARS, conversion
from services.validator.domain.steps import Steps
from tests.unit.validator.batches import outcome
from tests.unit.validator.conversions import converted, result


def field(kind: str, **more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": kind, **more})


TEXT, CUSTOM = field("text"), field("custom_regex")
EMAIL, URL, BOOLEAN = field("email"), field("url"), field("boolean")
SIZE = field("select", options=("S", "M", "L", " x ", "Größe"))
EVERY_TYPE = [
    TEXT, CUSTOM, EMAIL, URL, BOOLEAN, SIZE, field("phone"), field("date"), field("date", date_format="DD.MM.YYYY"),
    field("number"), field("number", integer=True), field("number", decimals=2), field("number", decimal_style="comma"),
]  # fmt: skip
BAD_URL, BAD_BOOLEAN, BAD_OPTION = (
    ["INVALID_URL"], ["INVALID_BOOLEAN"], ["INVALID_OPTION"],
)  # fmt: skip


def test_these_are_all_types() -> None:
    assert {each.type for each in EVERY_TYPE} == set(FieldType)


@pytest.mark.parametrize(
    "cell", ["a", " a ", " ", "a\nb", "\t", "00123", "ÅÄÖ", "日本語", "\U0001f600", "=1+1", "NULL", "\x01", "x" * 5000]
)
def test_text_is_taken_as_it_is(cell: str) -> None:
    assert outcome(TEXT, cell) == cell


@pytest.mark.parametrize(
    "text", ["a", "00123", "ÅÄÖ", "日本語", "\U0001f600", "=1+1", "NULL", "\x01", "2024-03-31", "1,5", "x" * 5000]
)
def test_custom_regex_leaves_the_work_to_its_rule(text: str) -> None:
    assert result(CUSTOM, text) == text


@pytest.mark.parametrize("each", EVERY_TYPE, ids=repr)
def test_without_text_there_is_no_value_and_no_error(each: TemplateField) -> None:
    for found in converted(each, "", None):
        assert found == (None, None, [], [], None, None)


@pytest.mark.parametrize("each", EVERY_TYPE, ids=repr)
def test_texts_keep_an_invalid_value_and_others_do_not(each: TemplateField) -> None:
    steps = Steps()
    made = conversion(each, steps.let(pl.col("text")), steps)
    assert made.keeps_text == (each.type in TEXTUAL_TYPES)
    invalid = converted(each, "?")[0]
    assert invalid.key == ("?" if made.keeps_text else None)
    assert invalid.comparable == invalid.key


@pytest.mark.parametrize("each", [EMAIL, URL, BOOLEAN, field("phone"), field("date"), field("number")])
@pytest.mark.parametrize("cell", [" ", "\t", "\n", "\u00a0", " \r\n "])
def test_blanks_are_empty_where_the_type_is_not_text(each: TemplateField, cell: str) -> None:
    assert outcome(each, cell) is None


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("http://example.com", True),
        ("https://example.com/", True),
        ("HTTPS://EXAMPLE.COM/Path?q=1&r=a%20b#part", True),
        ("https://example.com?q=1", True),
        ("https://example.com#part", True),
        ("https://sub.example.co.uk:8443/a/b.html", True),
        ("http://localhost:3000/", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]:8080/x", True),
        ("https://user:secret@example.com/", True),
        ("https://my_bucket.example.com", True),
        ("https://example.com./", True),
        ("https://bücher.example/straße?ü=1", True),
        ("https://例え.テスト/パス", True),
        ("https://a", True),
        ("https://example.com:65535", True),
        ("https://example.com:65536", False),
        ("https://example.com:port", False),
        ("https://example.com/" + "a" * (MAX_URL_CHARS - 20), True),
        ("https://example.com/" + "a" * (MAX_URL_CHARS - 19), False),
        ("example.com", False),
        ("www.example.com", False),
        ("//example.com", False),
        ("/path", False),
        ("ftp://example.com", False),
        ("mailto:a@b.c", False),
        ("javascript:alert(1)", False),
        ("https:example.com", False),
        ("https:/example.com", False),
        ("https://", False),
        ("https:///path", False),
        ("https://?q=1", False),
        ("https://:80/", False),
        ("https://-example.com", False),
        ("https://.example.com", False),
        ("https://exa mple.com", False),
        ("https://example.com/a b", False),
        ("https://example.com/a\nb", False),
        ("https://example.com/a\tb", False),
        ("https://example.com/<script>", False),
        ('https://example.com/"x"', False),
        ("https://example.com\\path", False),
        ("https://a@b@c.d", False),
        ("https://[::1", False),
        ("https://[1]", False),
        ("x https://example.com", False),
        ("http\u017f://example.com", False),
    ],
)
def test_urls(text: str, valid: bool) -> None:
    assert result(URL, text) == (text if valid else BAD_URL)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("\u202ahttps://example.com\u202c", "https://example.com"),
        ("\u00a0https://example.com/\u200b", "https://example.com/"),
        ("https://example.com/cafe\u0301", "https://example.com/caf\u00e9"),
        ("https://a.example/?u=https://b.example", "https://a.example/?u=https://b.example"),
        ("https://web.example/2020/https://b.example/", "https://web.example/2020/https://b.example/"),
        ("n/a", None),
        ("mailto:a@b.c", BAD_URL),
    ],
)
def test_urls_as_people_write_them(text: str, stored: object) -> None:
    assert outcome(URL, text) == stored


@pytest.mark.parametrize("between", [" ", ", ", ",", ";", " | ", "\n"])
def test_several_urls_are_an_error_that_says_so(between: str) -> None:
    found = converted(URL, f"https://a.example/x{between}HTTPS://b.example")[0]
    assert found.codes == BAD_URL
    assert "several web addresses" in found.messages[0]


def test_a_long_url_is_refused_at_once() -> None:
    assert result(URL, "https://" + "a." * 500_000) == BAD_URL


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("S", "S"),
        ("M", "M"),
        ("Größe", "Größe"),
        ("s", BAD_OPTION),
        ("XL", BAD_OPTION),
        ("S,M", BAD_OPTION),
        ("SM", BAD_OPTION),
        ("GRÖSSE", BAD_OPTION),
        ("Gro\u0308ße", "Größe"),
        ("S\u200b", "S"),
        ("0", BAD_OPTION),
        ("", None),
    ],
)
def test_select(text: str, value: object) -> None:
    assert result(SIZE, text) == value


def test_the_message_shows_some_options() -> None:
    few = converted(field("select", options=("red", "green")), "x")[0].messages[0]
    assert few.endswith("Write exactly one of: red, green.")
    many = converted(field("select", options=[f"o{number}" for number in range(5000)]), "x")[0].messages[0]
    assert many.endswith("o8, o9 and 4990 more.")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda each: each == each.strip()),
        min_size=1,
        max_size=20,
    ),
    st.data(),
)
def test_every_option_is_accepted(options: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(options))
    assert result(field("select", options=options), chosen) == chosen


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE", "1", "yes", "YES", "on", "ja", "Ja", "sant", " sant ")),
        *((word, False) for word in ("false", "FALSE", "0", "no", "No", "off", "nej", "NEJ", "falskt", "\tno")),
        *((word, BAD_BOOLEAN) for word in ("2", "truee", "tr ue", "01", "x", "\uff11", "none", "j", "o", "1.5")),
        ("", None),
    ],
)
def test_booleans(text: str, value: object) -> None:
    assert result(BOOLEAN, text) == value


def test_booleans_are_compared_as_values() -> None:
    yes, no, ja = converted(BOOLEAN, "yes", "no", "ja")
    assert (yes.key, yes.comparable) == (ja.key, ja.comparable) == ("true", True)
    assert (no.key, no.comparable) == ("false", False)
