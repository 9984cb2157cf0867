"""Which letters mean yes and no is decided for a column."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.letters import LETTER_PAIRS, pair_of
from libs.contracts.templates import FieldType, TemplateField
from services.parser.planning.boolean_columns import BooleanColumn


def asked(*texts: str) -> BooleanColumn:
    question = BooleanColumn(TemplateField(name="f", type=FieldType.BOOLEAN), "c0")
    question.look(pl.Series(texts, dtype=pl.String))
    return question


@pytest.mark.parametrize(
    ("texts", "pair"),
    [
        (("Y", "N"), "yn"), (("y",), "yn"), (("N",), "yn"), (("J", "n"), "jn"), (("O", "N"), "on"), (("W", "O"), "wo"),
        (("S", "N"), "sn"), (("V", "F"), "vf"), (("T", "F"), "tf"), (("W", "F"), "wf"), (("S", "F"), "sf"),
        (("F",), "tf"), (("O",), ""), (("A", "N"), ""), (("Y", "F"), ""), (("Y", "J", "N"), ""), (("X",), ""),
        (("M", "F"), ""), (("yes", "no"), None), (("1", "0"), None), ((), None), (("yes", " N "), "yn"),
    ],
)  # fmt: skip
def test_pairs(texts: tuple[str, ...], pair: str | None) -> None:
    question = asked(*texts)
    assert question.pair == pair
    assert (question.notes() == []) == (pair is None)
    assert question.reading().words == tuple((pair or "").upper())


def test_only_half_a_pair_leaves_the_question_open() -> None:
    texts = (["N"], ["N", "J"], ["no"], ["X"], [])
    assert [asked(*each).open for each in texts] == [True, False, False, False, False]


def test_more_of_the_file_decides() -> None:
    question = asked("N", "N")
    question.look(pl.Series(["J"]))
    assert question.pair == "jn"


@given(st.lists(st.sampled_from("yntfjosvwxm")))
def test_the_order_of_rows_decides_nothing(letters: list[str]) -> None:
    assert asked(*letters).pair == asked(*reversed(letters)).pair


@given(st.sampled_from(LETTER_PAIRS), st.sampled_from(LETTER_PAIRS))
def test_both_letters_decide(pair: str, other: str) -> None:
    assert pair_of(set(pair)) == pair
    if pair != other:
        assert pair_of({*pair, *other}) in {"", pair, other}
