"""Words for yes and no, and for no value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import Default, Replace, Required, TemplateField
from services.validator.domain.reading import Reading
from services.validator.domain.words import FALSE_WORDS, NULL_WORDS, TRUE_WORDS
from tests.unit.validator.batches import check, errors, outcome
from tests.unit.validator.conversions import converted, result

PAIRS = [
    "true false", "1 0", "-1 0", "1.0 0.0", "1,0 0,0", "yes no", "on off", "ja nein", "wahr falsch",
    "ja nee", "waar onwaar", "ja nej", "sant falskt", "ja nei", "sann usann", "sand falsk",
    "oui non", "vrai faux", "sí no", "si no", "verdadero falso",
    "sim não", "sim nao",
    "verdadeiro falso", "sì no", "vero falso", "はい いいえ",
    "真 偽", "是 否", "真 假", "对 错", "對 錯", "有 無", "有 没有",
    "예 아니요", "네 아니오", "참 거짓", "да нет", "ano ne", "da nu", "da ne",
]  # fmt: skip


def boolean(**more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": "boolean", **more})


def field(kind: str, **more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": kind, **more})


@pytest.mark.parametrize("pair", PAIRS)
def test_words_come_in_whole_pairs(pair: str) -> None:
    yes, no = pair.split()
    for form in (str.lower, str.upper, str.title, lambda word: f"\u00a0{word}\u200b "):
        assert (outcome(boolean(), form(yes)), outcome(boolean(), form(no))) == (True, False)


def test_no_word_means_both() -> None:
    assert TRUE_WORDS.isdisjoint(FALSE_WORDS)
    assert not {word for word in TRUE_WORDS | FALSE_WORDS if len(word) == 1 and word.isascii() and word.isalpha()}


def test_a_composed_word_is_a_decomposed_one() -> None:
    assert (outcome(boolean(), "si\u0301"), outcome(boolean(), "na\u0303o")) == (True, False)


@pytest.mark.parametrize(
    "word", ["maybe", "2", "x", "ye", "0.5", "01", "ok", "aktiv", "✓", "☒", "☐", "tr ue", "m", "w"]
)
def test_other_words_are_refused_with_the_remedy(word: str) -> None:
    found = converted(boolean(), word)[0]
    assert found.codes == ["INVALID_BOOLEAN"]
    assert "true_values" in found.messages[0]


@pytest.mark.parametrize(
    ("pairs", "text", "value"),
    [
        ({}, "y", True),
        ({}, "N", False),
        ({}, "T", True),
        ({}, "f", False),
        ({}, "j", ["INVALID_BOOLEAN"]),
        ({"f": "on"}, "O", True),
        ({"f": "wo"}, "O", False),
        ({"f": "jn"}, "J", True),
        ({"f": "jn"}, "y", ["INVALID_BOOLEAN"]),
        ({"f": "jn"}, "yes", True),
        ({"f": ""}, "n", ["INVALID_BOOLEAN"]),
        ({"f": ""}, "no", False),
    ],
)
def test_letters_are_read_as_the_plan_says(pairs: dict[str, str], text: str, value: object) -> None:
    assert result(boolean(), text, Reading(letter_pairs=pairs)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("aktiv", True), ("AKTIV", True), (" x ", True), ("inaktiv", False), ("-", False), ("true", ["INVALID_BOOLEAN"]),
     ("1", ["INVALID_BOOLEAN"]), ("y", ["INVALID_BOOLEAN"]), ("N/A", None), ("E\u0301", True)],
)  # fmt: skip
def test_the_template_may_name_the_words(text: str, value: object) -> None:
    assert outcome(boolean(true_values=("aktiv", "X", "é"), false_values=("inaktiv", "-")), text) == value


TYPED = [
    field("number"), field("number", integer=True), field("number", decimals=2), field("date"),
    field("date", date_format="DD.MM.YYYY"), field("boolean"), field("email"), field("phone"), field("url"),
    field("select", options=("a", "b")),
]  # fmt: skip


@pytest.mark.parametrize("each", TYPED, ids=repr)
def test_words_for_no_value_are_empty_in_typed_fields(each: TemplateField) -> None:
    """No type reads one of them, on which looking for them only where a type refuses something rests."""
    for word in sorted(NULL_WORDS):
        assert converted(each, word)[0].codes, word
        assert outcome(each, f" {word}\u00a0") is None, word


@pytest.mark.parametrize("kind", ["text", "custom_regex"])
def test_texts_keep_them(kind: str) -> None:
    rules = [{"type": "regex", "pattern": ".*"}]
    assert outcome(field(kind, rules=rules), "N/A") == "N/A"


def test_options_are_values() -> None:
    assert outcome(field("select", options=("NA", "EU")), "NA") == "NA"
    assert outcome(field("select", options=("NA", "EU")), "N/A") is None
    assert outcome(field("select", options=("NA", "EU")), "na") == ["INVALID_OPTION"]


def test_required_fields_need_a_value() -> None:
    assert outcome(field("number", rules=[Required()]), "NULL") == ["REQUIRED"]


def test_defaults_fill_them() -> None:
    assert outcome(field("number", transforms=[Default(value="7")]), "n/a") == 7
    assert outcome(field("text", transforms=[Default(value="7")]), "n/a") == "n/a"
    assert outcome(field("text", null_values=("n/a",), transforms=[Default(value="n/a")]), " n/a ") == "n/a"


def test_a_replacement_comes_first() -> None:
    assert outcome(field("number", transforms=[Replace(find="N/A", replace="0")]), "N/A") == 0


@pytest.mark.parametrize("kind", ["text", "number", "email"])
def test_the_template_may_name_them(kind: str) -> None:
    other = ["INVALID_EMAIL"] if kind == "email" else ["NOT_A_NUMBER"] if kind == "number" else "N/A"
    for named in ({"null_values": ("?", "-99")}, {}):
        batch = [check(field(kind, **named), cell, null_values=("?", "-99")) for cell in ("?", " -99 ", "N/A")]
        assert [each.valid.to_pylist()[0]["f"] for each in batch[:2]] == [None, None]
        assert [error.code for error in errors(batch[2])] == (other if isinstance(other, list) else [])
    assert outcome(field("number", null_values=()), "N/A") == ["NOT_A_NUMBER"]


def test_batches_of_many_kinds_are_read_alike() -> None:
    each = field("number")
    batch = check(each, "1", "N/A", None, "x", "\u20072", "—", "3")
    assert batch.valid["_row"].to_pylist() == [1, 2, 3, 5, 6, 7]
    assert [error.value for error in errors(batch)] == ["x"]


@given(st.lists(st.sampled_from(["1", "N/A", "-", "x", "", "ä", "2"])))
def test_the_order_of_rows_decides_nothing(cells: list[str]) -> None:
    def told(cells: list[str]) -> list[tuple[str, bool]]:
        batch = check(field("select", options=("1", "2")), *cells)
        rejected = {row.row for row in batch.rejected}
        return sorted((cell, number in rejected) for number, cell in enumerate(cells, start=1))

    assert told(cells) == told(cells[::-1])
