"""Which texts are e-mail addresses, and what is stored of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import TemplateField
from tests.unit.validator.batches import check, errors, outcome
from tests.unit.validator.conversions import converted, result

EMAIL = TemplateField.model_validate({"name": "f", "type": "email"})
BAD = ["INVALID_EMAIL"]


@pytest.mark.parametrize(
    "text",
    [
        "a@b.c", "a@b", "first.last+tag@sub.example.co.uk", "!#$%&'*+/=?^_`{|}~-@x.y", "a..b@c.d", ".a@b.c", "a@1.2",
        "a@x-y.z", f"a@{'b' * 63}.c", f"{'a' * 250}@b.c", "å@b.c", "用户@例子.广告", "a@bücher.de",
        "παράδειγμα@δοκιμή.gr", "उपयोगकर्ता@उदाहरण.कॉम", "a@xn--bcher-kva.de", "Anna@b.c",
    ],
)  # fmt: skip
def test_addresses_are_stored_as_they_are(text: str) -> None:
    assert result(EMAIL, text) == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Anna@EXAMPLE.com", "Anna@example.com"),
        ("a@BÜCHER.de", "a@bücher.de"),
        ("a@bu\u0308cher.de", "a@bücher.de"),
        ("a@例え。jp", "a@例え.jp"),
        ("a@b.c.", "a@b.c"),
        ("a@b.c;", "a@b.c"),
        ("a@b.c,", "a@b.c"),
        ("mailto:a@b.c", "a@b.c"),
        ("MAILTO:A@B.C", "A@b.c"),
        ("<a@b.c>", "a@b.c"),
        ("Anna <a@b.c>", "a@b.c"),
        ('"Larsson, Anna" <a@b.c>', "a@b.c"),
        ("Anna <mailto:a@b.c>", "a@b.c"),
        ("a@b.c <a@b.c>", "a@b.c"),
        ("\u202aa@b.c\u202c", "a@b.c"),
        ("a\u200b@b.c", "a@b.c"),
        ("\u00a0a@b.c\u00a0", "a@b.c"),
        ("\ufeffa@b.c", "a@b.c"),
        ("e\u0301@b.c", "é@b.c"),
    ],
)
def test_what_is_meant_beyond_doubt_is_stored_in_one_form(text: str, stored: str) -> None:
    assert outcome(EMAIL, text) == stored
    assert outcome(EMAIL, stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "a", "@b.c", "a@", "a@b..c", "a@-b.c", "a@b-.c", "a b@c.d", "a@b c.d", "a@b@c.d", '"a"@b.c', "a@[127.0.0.1]",
        "a@b_c.d", "a@b.c\nx", f"a@{'b' * 64}.c", f"{'a' * 251}@b.c", "Anna a@b.c", "a@b.c (home)",
        "mailto:a@b.c?subject=x", "a@b.c..", "a@☃.net", "a@\u0301.de", "a@ü..de", "https://b.c", f"{'å' * 200}@b.c",
        "<>", "a@b.c>", "\u2603@b.c",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert result(EMAIL, text) == BAD
    assert "several" not in converted(EMAIL, text)[0].messages[0]


@pytest.mark.parametrize(
    "text",
    ["a@b.c, d@e.f", "a@b.c;d@e.f", "a@b.c d@e.f", "a@b.c / d@e.f", "a@b.c\nd@e.f", "A <a@b.c>, B <d@e.f>",
     "a@b.c|d@e.f", "d@e.f <a@b.c>"],
)  # fmt: skip
def test_several_addresses_are_an_error_that_says_so(text: str) -> None:
    found = converted(EMAIL, text)[0]
    assert (found.codes, found.value) == (BAD, text)
    assert "several e-mail addresses" in found.messages[0]


def test_every_row_on_its_own() -> None:
    batch = check(EMAIL, "a@b.c", "x", None, "Ä@B.C", "a@b.c;d@e.f", "N/A")
    assert batch.valid["f"].to_pylist() == ["a@b.c", None, "Ä@b.c", None]
    assert [error.value for error in errors(batch)] == ["x", "a@b.c;d@e.f"]


@given(
    st.from_regex(r"\A[a-zA-Z0-9.+_-]{1,10}\Z"),
    st.from_regex(r"\A[a-zA-Z0-9]{1,10}(?:\.[a-zA-Z0-9]{1,5}){0,2}\Z"),
    st.sampled_from(["%s", "mailto:%s", "Name <%s>", "<%s>", "%s.", "%s;", "\u202a%s\u202c"]),
)
def test_the_domain_has_no_case_and_what_is_stored_does_not_change(local: str, domain: str, form: str) -> None:
    stored = outcome(EMAIL, form % f"{local}@{domain}")
    assert stored == f"{local}@{domain.lower()}"
