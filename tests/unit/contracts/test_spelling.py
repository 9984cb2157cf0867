"""Texts that people take for the same: as they are stored, and as they are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.spelling import BLANKS, cleaned, compared, compared_word

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
RAINBOW = "\U0001f3f3\ufe0f\u200d\U0001f308"
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u200c\u200d\u200b\u0301\u00a0 e\u0915\ufeff")
)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("a", "a"),
        (" a\t", "a"),
        ("\u00a0a\u3000", "a"),
        ("\u2028a\u2029", "a"),
        ("a\u00a0b", "a\u00a0b"),
        ("a  b", "a  b"),
        ("\ufeffa", "a"),
        ("\u200ba\u200b", "a"),
        ("a\u200bb", "ab"),
        ("co\u00adoperate", "cooperate"),
        ("\u202a+46 70\u202c", "+46 70"),
        ("\u2066abc\u2069", "abc"),
        ("\u200f\u05e9\u05dc\u05d5\u05dd\u200f", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u061c\u0633\u0644\u0627\u0645", "\u0633\u0644\u0627\u0645"),
        ("a\u2060b", "ab"),
        ("\u00a0\u200b \ufeff\u3000", ""),
        ("\u3164", ""),
        ("\u2800\u2800", ""),
        ("\u200d\u200c", ""),
        ("a\u200db", "ab"),
        ("a\u200d", "a"),
        ("\u200da", "a"),
        (FAMILY, FAMILY),
        (RAINBOW, RAINBOW),
        (f"{FAMILY}\u200d", FAMILY),
        ("क्\u200dष", "क्\u200dष"),
        ("ක්\u200dෂ", "ක්\u200dෂ"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("Que\u0301bec", "Québec"),
        ("A\u030angstro\u0308m", "Ångström"),
        ("\u1112\u1161\u11ab", "한"),
        ("\ufa19戸", "\ufa19戸"),
        ("ﬁn", "ﬁn"),
        ("\uff11\uff12", "\uff11\uff12"),
    ],
)
def test_cleaned(text: str, stored: str) -> None:
    assert cleaned(text) == stored


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SKU123", "SKU123\u00a0 ", True),
        ("SKU 123", "SKU\u00a0123", True),
        ("SKU 123", "SKU\u2009123", True),
        ("Québec-7", "Que\u0301bec-7", True),
        ("\u212b", "\u00c5", True),
        ("\ufa19戸", "神戸", True),
        ("Anna@EXAMPLE.com", "Anna@example.com", True),
        ("a@BÜCHER.de", "a@bücher.de", True),
        ("00042", "42", False),
        ("4711", "4711.0", False),
        ("sku", "SKU", False),
        ("Anna@example.com", "anna@example.com", False),
        ("A@B", "A@b", False),
        ("a b", "a  b", False),
        ("ﬁn", "fin", False),
        ("\uff11\uff12", "12", False),
        ("e", "é", False),
    ],
)
def test_what_is_one_key(one: str, other: str, same: bool) -> None:
    assert (compared(one) == compared(other)) is same


def test_words_have_no_case() -> None:
    assert compared_word("  SÍ ") == compared_word("si\u0301") == "sí"


@given(TEXTS)
def test_both_are_idempotent(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)
    assert compared(compared(text)) == compared(text)
    assert compared(cleaned(text)) == compared(text)


@given(TEXTS)
def test_canonically_equivalent_texts_are_one_key(text: str) -> None:
    assert (
        compared(unicodedata.normalize("NFD", text)) == compared(unicodedata.normalize("NFC", text)) == compared(text)
    )


@given(
    st.text(st.sampled_from(BLANKS)), TEXTS.filter(lambda text: cleaned(text) != ""), st.text(st.sampled_from(BLANKS))
)
def test_blanks_around_a_text_do_not_count(before: str, text: str, behind: str) -> None:
    assert compared(f"{before}{text}{behind}") == compared(text)
