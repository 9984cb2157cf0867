"""Names of files as text, and which are meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sources.names import MAX_NAME_BYTES, matches, moved_name, readable, stored, usable_name


@given(st.binary(max_size=300))
def test_any_name_is_text_and_comes_back(name: bytes) -> None:
    text = readable(name)
    text.encode()  # it can be stored and sent
    assert stored(text) == name
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)


def test_what_is_readable_stays_as_it_is() -> None:
    assert readable("Größen 2026 №5.csv".encode()) == "Größen 2026 №5.csv"
    assert readable(b"a\nb\xff%.csv") == "a%0Ab%FF%25.csv"


@pytest.mark.parametrize(
    ("name", "pattern", "is_meant"),
    [
        ("a.csv", "*.csv", True),
        ("a.csv", "*", True),
        ("", "*", True),
        ("a.csv.tmp", "*.csv", False),
        ("stock_2026.csv", "stock_????.csv", True),
        ("stock_26.csv", "stock_????.csv", False),
        ("a.csv", "A.csv", False),
        ("a[1].csv", "a[1].csv", True),
        ("aXbXc", "a*b*c", True),
        ("abcb", "a*bc", False),
        ("a.csv", "a.csv**", True),
    ],
)
def test_patterns(name: str, pattern: str, *, is_meant: bool) -> None:
    assert matches(name, pattern) is is_meant


def test_a_pattern_of_many_stars_ends() -> None:
    assert not matches("a" * 255, "*a" * 100 + "b")


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_what_is_no_name(name: bytes) -> None:
    assert not usable_name(name)


def test_a_file_is_put_away_under_a_name_that_fits() -> None:
    ending = b".report.json"
    moved = moved_name("0123456789abcdef", b"below/" + b"n" * 255, ending)
    assert moved.startswith(b"0123456789ab-nnn")
    assert len(moved + ending) == MAX_NAME_BYTES
    assert moved_name("0123456789abcdef", b"a.csv", ending) == b"0123456789ab-a.csv"
