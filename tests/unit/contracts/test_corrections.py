"""What makes a cell of a file of corrections another one, and what does not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.contracts.corrections import (
    MAX_WORKBOOK_CHARS,
    cut_to_cell,
    harmless,
    own_columns,
    same_cell,
    unharmed,
)


@given(st.text(st.sampled_from("'=+-@\t\r1a."), max_size=6) | st.text(max_size=20))
@example("'=1")
@example("''-x")
def test_harmless_texts_come_back(text: str) -> None:
    cell = harmless(text)
    assert unharmed(cell) == text
    assert not cell.startswith(("=", "@", "\t", "\r"))


@given(st.lists(st.text(st.sampled_from("'=+-@a1"), max_size=4), min_size=2, max_size=2, unique=True))
def test_two_texts_never_become_one_cell(texts: list[str]) -> None:
    one, other = map(harmless, texts)
    assert one != other


@pytest.mark.parametrize("cell", ["'90s", "'-5", "-5", "a'=1", "'"])
def test_apostrophes_of_others_stay(cell: str) -> None:
    assert unharmed(cell) == harmless(cell) == cell


@pytest.mark.parametrize(
    ("handed_out", "found"),
    [
        (None, ""), ("", None), ("  ", ""), ("a\r\nb", "a\nb"), ("a\rb", "a\nb"), ("a\nb", "a\r\nb"),
        ("x" * 40_000, cut_to_cell("x" * 40_000)),
        ("é\r\n" * 20_000, cut_to_cell("é\r\n" * 20_000).replace("\r\n", "\n")),
    ],
)  # fmt: skip
def test_what_programs_change_unasked_is_no_correction(handed_out: str | None, found: str | None) -> None:
    assert same_cell(handed_out, found)


@pytest.mark.parametrize(
    ("handed_out", "found"),
    [("a", ""), (None, "a"), ("a", "a "), ("01", "1"), ("a\nb", "a b"), ("x" * 40_000, "x" * MAX_WORKBOOK_CHARS)],
)
def test_everything_else_is_one(handed_out: str | None, found: str | None) -> None:
    assert not same_cell(handed_out, found)


def test_own_columns_are_called_like_no_other() -> None:
    assert own_columns(["Sku"]) == ("_row", "_run", "_reasons")
    assert own_columns(["_row", "__row", "_reasons"]) == ("___row", "_run", "__reasons")
