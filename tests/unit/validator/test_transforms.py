"""Transforms and what counts as empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import (
    Capitalize,
    Default,
    FieldType,
    Lower,
    Replace,
    Required,
    TemplateField,
    Transform,
    Trim,
    Upper,
)
from services.validator.domain.engine import check_batch, compile_template
from tests.unit.validator.batches import check, outcome, parsed_batch, template

TRIM, UPPER, LOWER, CAPITALIZE = Trim(), Upper(), Lower(), Capitalize()
NO_NUL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def transformed(cell: str | None, *transforms: Transform) -> object:
    return outcome(TemplateField(name="f", transforms=transforms), cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("a", "a"),
        (" a", "a"),
        ("a ", "a"),
        ("\ta\r\n", "a"),
        ("\u00a0a\u00a0", "a"),
        ("\u3000a\u2003", "a"),
        ("a  b", "a  b"),
        (" ", None),
        ("", None),
        (None, None),
        ("\ufeffa", "\ufeffa"),
        ("\u200ba", "\u200ba"),
    ],
)
def test_trim_drops_white_space_at_both_ends(cell: str | None, value: str | None) -> None:
    assert transformed(cell, TRIM) == value


@pytest.mark.parametrize(
    ("cell", "upper", "lower"),
    [
        ("abc", "ABC", "abc"),
        ("ABC", "ABC", "abc"),
        ("aBc1", "ABC1", "abc1"),
        ("åäö", "ÅÄÖ", "åäö"),
        ("straße", "STRASSE", "straße"),
        ("ΑΣ", "ΑΣ", "ας"),
        ("ﬁ", "FI", "ﬁ"),
        ("привет", "ПРИВЕТ", "привет"),
        ("日本", "日本", "日本"),
        ("", None, None),
        (None, None, None),
        (" x ", " X ", " x "),
    ],
)
def test_upper_and_lower_follow_unicode(cell: str | None, upper: str | None, lower: str | None) -> None:
    assert transformed(cell, UPPER) == upper
    assert transformed(cell, LOWER) == lower


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("anna", "Anna"),
        ("ANNA", "Anna"),
        ("anna maria", "Anna Maria"),
        ("jean-luc", "Jean-Luc"),
        ("o'brien", "O'Brien"),
        ("élan école", "Élan École"),
        ("a  b", "A  B"),
        ("åsa", "Åsa"),
        ("McDONALD", "Mcdonald"),
        ("x_y", "X_Y"),
        ("1", "1"),
        ("", None),
        (None, None),
    ],
)
def test_capitalize_raises_the_first_letter_of_each_word(cell: str | None, value: str | None) -> None:
    assert transformed(cell, CAPITALIZE) == value


@pytest.mark.parametrize(
    ("field_type", "cell", "value"),
    [
        ("text", "", "7"),
        ("text", None, "7"),
        ("text", "x", "x"),
        ("text", " ", " "),
        ("number", "", 7),
        ("number", None, 7),
        ("number", "  ", 7),
        ("number", "8", 8),
        ("number", " 8 ", 8),
        ("number", "x", ["NOT_A_NUMBER"]),
    ],
)
def test_default_fills_empty_values_only(field_type: FieldType, cell: str | None, value: object) -> None:
    assert outcome(TemplateField(name="f", type=field_type, transforms=(Default(value="7"),)), cell) == value


def test_default_serves_a_field_without_a_column() -> None:
    absent = TemplateField(name="absent", transforms=(Default(value="ab"), UPPER))
    both = compile_template(template(TemplateField(name="f"), absent), ParsePlan(mapping={"f": 0, "absent": None}))
    assert check_batch(both, parsed_batch(["x", "y"])).valid["absent"].to_pylist() == ["AB", "AB"]


@pytest.mark.parametrize(
    ("find", "replace", "cell", "value"),
    [
        ("a", "b", "banana", "bbnbnb"),
        ("an", "", "banana", "ba"),
        (".", "-", "a.b", "a-b"),
        ("a", "$0", "abc", "$0bc"),
        ("a", "\\1", "abc", "\\1bc"),
        ("aa", "a", "aaaa", "aa"),
        ("(", "[", "f(x", "f[x"),
        ("x", "y", "abc", "abc"),
        ("a", "", "aaa", None),
        ("å", "aa", "Åå", "Åaa"),
        ("a", "b", "", None),
        ("a", "b", None, None),
    ],
)
def test_replace_takes_both_texts_literally(find: str, replace: str, cell: str | None, value: str | None) -> None:
    assert transformed(cell, Replace(find=find, replace=replace)) == value


@pytest.mark.parametrize(
    ("transforms", "cell", "value"),
    [
        ((TRIM, UPPER), " a ", "A"),
        ((TRIM, Default(value="x")), "  ", "x"),
        ((Default(value="x"), TRIM), "  ", None),
        ((Default(value=" x "), TRIM), "", "x"),
        ((Replace(find="-", replace=""), Default(value="none")), "-", "none"),
        ((UPPER, LOWER), "aB", "ab"),
        ((LOWER, UPPER), "aB", "AB"),
        ((Replace(find="a", replace="b"), Replace(find="b", replace="c")), "ab", "cc"),
        ((Default(value="a"), Default(value="b")), "", "a"),
        ((UPPER, Replace(find="A", replace="x"), CAPITALIZE), "aa bb", "Xx Bb"),
    ],
)
def test_transforms_run_in_order(transforms: tuple[Transform, ...], cell: str, value: str | None) -> None:
    assert transformed(cell, *transforms) == value


def test_a_replacement_may_make_a_value_empty_that_is_required() -> None:
    field = TemplateField(name="f", transforms=(Replace(find="n/a"),), rules=(Required(),))
    assert outcome(field, "n/a") == ["REQUIRED"]


@given(st.lists(NO_NUL, min_size=1, max_size=8), st.sampled_from([TRIM, UPPER, LOWER, CAPITALIZE, Default(value="d")]))
def test_applying_a_transform_twice_changes_nothing_more(cells: list[str], transform: Transform) -> None:
    once = check(TemplateField(name="f", transforms=(transform,)), *cells).valid["f"].to_pylist()
    again = check(TemplateField(name="f", transforms=(transform,)), *once).valid["f"].to_pylist()
    assert again == once
