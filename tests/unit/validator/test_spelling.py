"""Columns are spelled as single texts are, whatever else stands in them."""

import sys
import unicodedata

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import spelling as texts
from services.validator.domain import spelling

CELLS = st.lists(
    st.none()
    | st.text(
        st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u200c\u200d\u200b\u0301\u00a0 e\u0915\ufeff@.A")
    )
)


def of_column(expression: pl.Expr, cells: list[str | None]) -> list[object]:
    return pl.DataFrame({"text": pl.Series(cells, dtype=pl.String)}).select(expression.alias("made"))["made"].to_list()


@given(CELLS)
def test_columns_are_cleaned_as_texts_are(cells: list[str | None]) -> None:
    expected = [None if cell is None else texts.cleaned(cell) for cell in cells]
    assert of_column(spelling.cleaned(pl.col("text"), beyond=True), cells) == expected


def test_every_character_is_composed_also_with_those_before_it() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    cells = [*every, *(unicodedata.normalize("NFD", char) for char in every)]
    expected = [unicodedata.normalize("NFC", cell) for cell in cells]
    assert of_column(spelling.composed(pl.col("text"), beyond=True), list(cells)) == expected


@given(CELLS)
def test_columns_are_compared_as_texts_are(cells: list[str | None]) -> None:
    expected = [None if cell is None else texts.compared(cell) for cell in cells]
    assert of_column(spelling.as_compared(spelling.cleaned(pl.col("text"), beyond=True)), cells) == expected


@given(st.lists(st.none() | st.text(st.characters(max_codepoint=127))))
def test_ascii_needs_no_closer_look(cells: list[str | None]) -> None:
    both = [of_column(spelling.cleaned(pl.col("text"), beyond=beyond), cells) for beyond in (True, False)]
    assert both[0] == both[1]


@given(st.text(st.sampled_from(" \t\u00a0\u200b\u3164\ufeff\u200da\u0301")))
def test_blank_is_what_nothing_is_left_of(cell: str) -> None:
    assert of_column(spelling.is_blank(pl.col("text")), [cell]) == [texts.cleaned(cell) == ""]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_columns_beyond_ascii_are_found_by_their_bytes(kind: pa.DataType) -> None:
    table = pa.table({
        "plain": pa.array(["a", None, "b"], kind),
        "beyond": pa.array(["a", None, "é"], kind),
        "number": pa.array([1, 2, 3]),
    })  # fmt: skip
    assert "beyond" in spelling.beyond_ascii(table)
    assert "number" not in spelling.beyond_ascii(table)
    if kind == pa.string():
        assert spelling.beyond_ascii(table) == {"beyond"}
        assert spelling.beyond_ascii(table.slice(0, 2)) == frozenset()
        assert spelling.beyond_ascii(table.slice(2, 1)) == {"beyond"}
        assert spelling.beyond_ascii(table.slice(0, 0)) == frozenset()
        assert spelling.beyond_ascii(pa.concat_tables([table.slice(0, 1), table.slice(2)])) == {"beyond"}
