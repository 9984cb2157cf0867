"""Transforms and what counts as empty."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import (
    Capitalize,
    Concat,
    Constant,
    Default,
    FieldType,
    InvalidRows,
    Lower,
    NormalizeDate,
    NormalizePhone,
    RemoveSpecialChars,
    Replace,
    Required,
    TemplateField,
    Transform,
    Trim,
    Upper,
)
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from services.validator.domain.transforms import MAX_TEXT_BYTES
from tests.unit.validator.batches import check, errors, outcome, parsed_batch, template

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
        ("\ufeffa", "a"),
        ("\u200ba", "a"),
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


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("abc 123", "abc 123"),
        ("a-b_c", "abc"),
        ("Malm\u00f6!", "Malm\u00f6"),
        ("+46 (0)8-123", "46 08123"),
        ("\u65e5\u672c\u3001\u6771\u4eac", "\u65e5\u672c\u6771\u4eac"),
        ("e\u0301.", "e\u0301"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940?", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\u0663\u0664%", "\u0663\u0664"),
        ("m\u00b2 \u00bd", "m "),
        ("a\tb\nc", "a\tb\nc"),
        ("\U0001f600x", "x"),
        ("$.^*", None),
        ("", None),
        (None, None),
    ],
)
def test_remove_special_chars_keeps_letters_digits_and_white_space(cell: str | None, value: str | None) -> None:
    assert transformed(cell, RemoveSpecialChars()) == value


@pytest.mark.parametrize(
    ("region", "cell", "value"),
    [
        ("US", "650-253-0000", "(650) 253-0000"),
        ("US", "+1 650 253 0000", "(650) 253-0000"),
        ("US", "6502530000", "(650) 253-0000"),
        ("US", "(650) 253-0000", "(650) 253-0000"),
        ("US", "+44 20 8366 1177", "+44 20 8366 1177"),
        ("US", "+442083661177", "+44 20 8366 1177"),
        ("GB", "02083661177", "020 8366 1177"),
        ("GB", "+1 650 253 0000", "+1 650-253-0000"),
        ("US", "  6502530000 ", "(650) 253-0000"),
        ("US", "call me", "call me"),
        ("US", " call me ", " call me "),
        ("US", "12", "12"),
        ("US", "", None),
        ("US", None, None),
    ],
)
def test_normalize_phone_knows_the_plan_of_its_region(region: str, cell: str | None, value: str | None) -> None:
    assert transformed(cell, NormalizePhone(region=region)) == value


def test_normalize_phone_takes_the_region_of_the_template() -> None:
    field = TemplateField(name="f", transforms=(NormalizePhone(),))
    assert check(field, "02083661177", default_region="GB").valid["f"].to_pylist() == ["020 8366 1177"]


@pytest.mark.parametrize(
    ("order", "date_format", "cell", "value"),
    [
        ("dmy", "YYYY-MM-DD", "03/04/2025", "2025-04-03"),
        ("mdy", "YYYY-MM-DD", "03/04/2025", "2025-03-04"),
        ("mdy", "DD.MM.YYYY", "03/04/2025", "04.03.2025"),
        ("dmy", "YYYY-MM-DD", "2025-04-03", "2025-04-03"),
        ("mdy", "YYYY-MM-DD", "2025-04-03", "2025-04-03"),
        ("dmy", "YYYY-MM-DD", "3 April 2025", "2025-04-03"),
        ("dmy", "YYYY-MM-DD", " 03.04.2025 ", "2025-04-03"),
        ("dmy", "YYYY-MM-DD", "2025-04-03T14:05:00+02:00", "2025-04-03"),
        ("dmy", "YYYY-MM-DD HH:mm", "2025-04-03T14:05:00Z", "2025-04-03 14:05"),
        ("dmy", "YYYY-MM-DD", "31/02/2025", "31/02/2025"),
        ("mdy", "YYYY-MM-DD", "31/12/2025", "31/12/2025"),
        ("dmy", "YYYY-MM-DD", "soon", "soon"),
        ("dmy", "YYYY-MM-DD", "", None),
        ("dmy", "YYYY-MM-DD", None, None),
    ],
)
def test_normalize_date_reads_in_the_order_of_the_column(
    order: str, date_format: str, cell: str | None, value: str | None
) -> None:
    field = TemplateField(name="f", transforms=(NormalizeDate(format=date_format),))
    assert check(field, cell, default_date_order=order).valid["f"].to_pylist() == [value]


@pytest.mark.parametrize(
    ("transforms", "more", "cell", "value"),
    [
        ((NormalizeDate(format="DD.MM.YYYY"),), {}, "03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"), TRIM), {}, "03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"), Default(value="24.12.2025")), {}, "", (2025, 12, 24)),
        ((NormalizeDate(format="DD.MM.YYYY"), Replace(find=".", replace="/")), {}, "12/04/2025", (2025, 4, 12)),
        ((TRIM, NormalizeDate()), {}, " 03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"),), {"date_format": "DD.MM.YYYY"}, "03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"),), {"date_order": "mdy"}, "03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"),), {"date_order": "dmy"}, "03/04/2025", (2025, 4, 3)),
        ((UPPER,), {}, "03/04/2025", (2025, 3, 4)),
        ((), {}, "03/04/2025", (2025, 3, 4)),
        ((NormalizeDate(format="DD.MM.YYYY"),), {}, "soon", ["INVALID_DATE"]),
        ((NormalizeDate(),), {"date_format": "DD.MM.YYYY"}, "03/04/2025", ["INVALID_DATE"]),
    ],
)
def test_a_date_is_read_as_normalize_date_left_it(
    transforms: tuple[Transform, ...], more: dict[str, str], cell: str, value: tuple[int, int, int] | list[str]
) -> None:
    field = TemplateField(name="f", type=FieldType.DATE, transforms=transforms, **more)
    batch = check(field, cell, default_date_order="mdy")
    if isinstance(value, list):
        assert [error.code for error in errors(batch)] == value
    else:
        assert batch.valid["f"].to_pylist() == [datetime(*value, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("field_type", "transforms", "cell", "value"),
    [
        ("text", (Constant(value="active"),), "x", "active"),
        ("text", (Constant(value="active"),), "", "active"),
        ("text", (Constant(value="active"),), None, "active"),
        ("text", (Constant(value=""),), "x", None),
        ("text", (Constant(value=" a "),), "x", " a "),
        ("text", (Constant(value=" a "), TRIM, UPPER), "x", "A"),
        ("text", (UPPER, Constant(value="a")), "x", "a"),
        ("text", (Constant(value=""), Default(value="d")), "x", "d"),
        ("number", (Constant(value="7"),), "x", 7),
        ("number", (Constant(value="seven"),), "1", ["NOT_A_NUMBER"]),
        ("boolean", (Constant(value="ja"),), "no", True),
        ("text", (Constant(value="a"), Constant(value="b")), "x", "b"),
    ],
)
def test_a_constant_ignores_the_cell(
    field_type: FieldType, transforms: tuple[Transform, ...], cell: str | None, value: object
) -> None:
    assert outcome(TemplateField(name="f", type=field_type, transforms=transforms), cell) == value


def test_a_constant_fills_every_row_also_beside_a_missing_column() -> None:
    fixed = TemplateField(name="fixed", column="Fixed", transforms=(Constant(value="c"),))
    engine = compile_template(template(TemplateField(name="f"), fixed), ParsePlan(mapping={"f": 0, "fixed": None}))
    assert check_batch(engine, parsed_batch(["x", "y"])).valid["fixed"].to_pylist() == ["c", "c"]
    assert check_batch(engine, parsed_batch([])).valid["fixed"].to_pylist() == []


@pytest.mark.parametrize(
    ("first", "last", "value"),
    [
        ("Ada", "Lovelace", "Ada Lovelace"),
        (" Ada ", "\tLovelace\n", "Ada Lovelace"),
        ("Ada", "", "Ada"),
        ("", "Lovelace", "Lovelace"),
        ("Ada", None, "Ada"),
        (None, "Lovelace", "Lovelace"),
        ("Ada", "  ", "Ada"),
        ("", "", None),
        (None, None, None),
        (" ", None, None),
        ("Ada M.", "King Lovelace", "Ada M. King Lovelace"),
        ("\u65e5", "\u672c", "\u65e5 \u672c"),
    ],
)
def test_concat_joins_what_is_there(first: str | None, last: str | None, value: str | None) -> None:
    assert joined((Concat(columns=("First", "Last")),), first, last) == value


def joined(transforms: tuple[Transform, ...], first: str | None, last: str | None) -> object:
    """What a field becomes of the columns First and Last."""
    field = TemplateField(name="f", transforms=transforms)
    columns = {"First": 1, "Last": 2, "Gone": None}
    plan = ParsePlan(columns=("Other", "First", "Last"), mapping={"f": 0}, concat_columns=columns)
    batch = check_batch(compile_template(template(field), plan), parsed_batch(["other"], [first], [last]))
    return batch.valid["f"].to_pylist()[0]


@pytest.mark.parametrize(
    ("transforms", "value"),
    [
        ((Concat(columns=("Last", "First")),), "b a"),
        ((Concat(columns=("First", "First")),), "a a"),
        ((Concat(columns=("First", "Gone", "Last")),), "a b"),
        ((Concat(columns=("Gone",)),), None),
        ((Concat(columns=("Gone",)), Default(value="d")), "d"),
        ((UPPER, Concat(columns=("First", "Last"))), "a b"),
        ((Concat(columns=("First", "Last")), UPPER), "A B"),
        ((Concat(columns=("First", "Last")), Replace(find=" ", replace=", ")), "a, b"),
        ((Concat(columns=("First", "Last")), Concat(columns=("Last",))), "b"),
        ((Concat(columns=("First", "Last")), Constant(value="c")), "c"),
    ],
)
def test_concat_takes_the_columns_of_the_file(transforms: tuple[Transform, ...], value: str | None) -> None:
    assert joined(transforms, "a", "b") == value


def test_a_constant_that_is_no_value_is_kept_as_the_original_text() -> None:
    field = TemplateField(name="f", type=FieldType.NUMBER, transforms=(UPPER, Constant(value="seven")))
    batch = check(field, "7", None, invalid_rows=InvalidRows.KEEP)
    assert batch.valid["_raw_f"].to_pylist() == ["seven", "seven"]


def test_what_concat_made_is_kept_as_the_original_text() -> None:
    field = TemplateField(name="f", type=FieldType.NUMBER, transforms=(UPPER, Concat(columns=("A", "B"))))
    plan = ParsePlan(columns=("A", "B"), mapping={"f": None}, concat_columns={"A": 0, "B": 1})
    keep = template(field, invalid_rows=InvalidRows.KEEP)
    batch = check_batch(compile_template(keep, plan), parsed_batch(["1", "x"], ["", "y"]))
    assert batch.valid["_raw_f"].to_pylist() == [None, "x y"]
    assert batch.valid["_int_f"].to_pylist() == [1, None]


@pytest.mark.parametrize(
    ("find", "replace", "cell", "value"),
    [
        ("a", "ab", "banana", "babnabnab"),
        ("a", "aa", "", None),
        ("a", "aa", None, None),
        ("a", "aa", "b", "b"),
        ("&", "and", "R&D", "RandD"),
        ("a", "x" * 1024, "a" * 1024, "x" * MAX_TEXT_BYTES),
        ("a", "x" * 1024, "a" * 1025, ["TEXT_TOO_LARGE"]),
        ("a", "\u00e5" * 512, "a" * 1024, "\u00e5" * (MAX_TEXT_BYTES // 2)),
        ("a", "\u00e5" * 512, "a" * 1024 + "b", ["TEXT_TOO_LARGE"]),
        ("\u00e5", "aaa", "\u00e5", "aaa"),
        ("(", "[[", "f(x", "f[[x"),
        ("a", "bb", "b" * (MAX_TEXT_BYTES + 1), "b" * (MAX_TEXT_BYTES + 1)),
    ],
    ids=str,
)
def test_a_replacement_that_grows_has_a_limit(find: str, replace: str, cell: str | None, value: object) -> None:
    assert transformed(cell, Replace(find=find, replace=replace)) == value


def test_text_that_would_grow_too_large_is_kept_as_it_is() -> None:
    field = TemplateField(name="f", transforms=(Replace(find="a", replace="x" * 2000),) * 3)
    batch = check(field, "a" * 1000, "b", invalid_rows=InvalidRows.KEEP)
    assert batch.valid["f"].to_pylist() == ["a" * 1000, "b"]
    assert batch.warnings == 1


LETTERS = st.text("abcxyz\u00e5\u00e4\u00f6ABCXYZ\u00c5\u00c4\u00d6\u0430\u0416\u65e5 -'.1\u0663", max_size=12)
DATES = st.dates(min_value=date(1, 1, 1)).map(date.isoformat)
PHONES = st.from_regex(r"(\+44 ?|\+1 )?[2-9][0-9]{2}[- ]?[2-9][0-9]{2}[- ]?[0-9]{4}", fullmatch=True)


@pytest.mark.parametrize(
    ("transform", "cells"),
    [
        (TRIM, NO_NUL),
        (UPPER, LETTERS),
        (LOWER, LETTERS),
        (CAPITALIZE, LETTERS),
        (RemoveSpecialChars(), NO_NUL),
        (NormalizePhone(), PHONES | LETTERS),
        (NormalizeDate(), DATES | LETTERS),
        (NormalizeDate(format="DD/MM/YYYY"), DATES | LETTERS),
        (Default(value="d"), NO_NUL),
        (Constant(value="c"), NO_NUL),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
@settings(max_examples=30)
@given(st.data())
def test_applying_a_transform_twice_changes_nothing_more(
    transform: Transform, cells: st.SearchStrategy[str], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(cells, min_size=1, max_size=8))
    once = check(TemplateField(name="f", transforms=(transform,)), *drawn).valid["f"].to_pylist()
    again = check(TemplateField(name="f", transforms=(transform,)), *once).valid["f"].to_pylist()
    assert again == once


@settings(max_examples=40)
@given(st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=6))
def test_concat_is_what_python_joins(pairs: list[tuple[str, str]]) -> None:
    field = TemplateField(name="f", transforms=(Concat(columns=("A", "B")),))
    plan = ParsePlan(columns=("A", "B"), mapping={"f": None}, concat_columns={"A": 0, "B": 1})
    batch = check_batch(compile_template(template(field), plan), parsed_batch(*map(list, zip(*pairs, strict=True))))
    expected = [" ".join(part for part in (a.strip(), b.strip()) if part) or None for a, b in pairs]
    assert batch.valid["f"].to_pylist() == expected
