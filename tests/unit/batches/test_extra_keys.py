"""Headers of users' files as keys that can do no harm."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.batches.extra_keys import MAX_KEY_CHARS, ExtraKeys, Overflow, extra_columns, safe_key

headers = st.text(max_size=140) | st.sampled_from(
    ["$where", "a.b", "", "_id", "__proto__", "constructor", "Constructor_", "tenant_id", "A", "a", "a_2", "x" * 200]
)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("City", "City"),
        ("$where", "\uff04where"),
        ("a.b", "a\uff0eb"),
        ("$set.$a..b$", "\uff04set\uff0e\uff04a\uff0e\uff0eb\uff04"),
        ("_id", "_id"),
        ("tenant_id", "tenant_id"),
        ("__proto__", "__proto___"),
        ("constructor", "constructor_"),
        ("prototype", "prototype_"),
        ("con\x00structor", "constructor_"),
        ("Constructor", "Constructor"),
        ("", ""),
        (" \x00\x1f\x7f\x85 ", ""),
        ("a\x00b\nc", "abc"),
        ("  Größe ", "Größe"),
        ("Cafe\u0301", "Caf\xe9"),
        ("e\x00\u0301", "\xe9"),
        ("\ud800x", "x"),
        ("x" * 119 + " y", "x" * 119),
        ("ж" * 500, "ж" * 120),
    ],
)
def test_safe_key(header: str, key: str) -> None:
    assert safe_key(header) == key


@given(headers)
def test_a_key_is_safe_and_stays_as_it_is(header: str) -> None:
    key = safe_key(header)
    assert safe_key(key) == key
    assert unicodedata.is_normalized("NFC", key)
    assert len(key) <= MAX_KEY_CHARS
    assert not set(key) & set("\0.$")
    assert key.encode().decode() == key


@given(st.lists(headers, max_size=30))
def test_no_two_keys_are_equal_in_whatever_case(names: list[str]) -> None:
    made = [key for _, key in extra_columns(names, range(len(names)))]
    assert len({key.casefold() for key in made}) == len(names)
    assert all(0 < len(key) <= MAX_KEY_CHARS for key in made)
    assert made == [key for _, key in extra_columns(names, range(len(names)))]


def test_columns_and_keys() -> None:
    names = ["email", "City", "city", "CITY_2", "", "a.b", "a\uff0eb", "city"]
    assert extra_columns(names, [1, 2, 3, 4, 5, 6, 7]) == (
        ("_extra_1", "City"),
        ("_extra_2", "city_2"),
        ("_extra_3", "CITY_2_2"),
        ("_extra_4", "column_5"),
        ("_extra_5", "a\uff0eb"),
        ("_extra_6", "a\uff0eb_2"),
        ("_extra_7", "city_3"),
    )


def test_long_headers_with_a_common_beginning() -> None:
    keys = ExtraKeys()
    made = [keys.key("x" * 130 + str(number), number) for number in range(3_000)]
    assert len(set(made)) == 3_000
    assert made[1] == "x" * 112 + "_2"


def test_overflow() -> None:
    record = {
        "Town": "x",
        "city": "y",
        "": None,
        "$gt": "",
        "__proto__": "p",
        "half \ud800": "\udfff",
        "whole": "\U0001f600",
    }
    overflow = Overflow(["City", "B"])
    assert overflow.entries(json.dumps(record)) == {
        "Town": "x",
        "city_2": "y",
        "column_5": None,
        "\uff04gt": "",
        "__proto___": "p",
        "half": "\ufffd",
        "whole": "\U0001f600",
    }


def test_the_keys_of_a_record_depend_on_that_record_alone() -> None:
    overflow = Overflow(["City"])
    texts = ['{"a": "1", "A": "2"}', '{"A": "3"}', '{"A": "4", "a": "5"}', '{"a": "6", "A": null}']
    assert [overflow.entries(text) for text in texts] == [
        {"a": "1", "A_2": "2"},
        {"A": "3"},
        {"A": "4", "a_2": "5"},
        {"a": "6", "A_2": None},
    ]
