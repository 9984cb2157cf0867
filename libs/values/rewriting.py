"""What the transforms of a template make of texts, for those who want to know how the numbers and dates look then."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from libs.contracts.spelling import BLANKS, MARKS
from libs.contracts.templates import (
    Capitalize,
    Concat,
    Constant,
    Lower,
    NormalizeDate,
    NormalizePhone,
    RemoveSpecialChars,
    Replace,
    Transform,
    Upper,
)

SPECIAL_CHARS: Final = r"[^\p{L}\p{M}\p{Nd}\s]"
"""Neither a letter (with the marks that belong to it) nor a decimal digit nor white space, in any script."""
MAX_BYTES: Final = 200
"""A longer text is no number and no date, and a replacement may make it longer still."""


def rewritten(texts: pl.Series, transforms: Sequence[Transform]) -> pl.Series:
    """The texts that are left, in their order, without blanks around and invisible marks.

    Args:
        texts: cells of a column.
        transforms: of its field. Those from the first one on that reads dates or phone numbers, or other columns, are
            not applied.
    """
    texts = _short(texts)
    for transform in transforms:
        match transform:
            case Replace():
                texts = _short(texts.str.replace_all(transform.find, transform.replace, literal=True))
            case RemoveSpecialChars():
                texts = texts.str.replace_all(SPECIAL_CHARS, "")
            case Upper():
                texts = texts.str.to_uppercase()
            case Lower():
                texts = texts.str.to_lowercase()
            case Capitalize():
                texts = texts.str.to_titlecase()
            case NormalizeDate() | NormalizePhone() | Concat() | Constant():
                break
            case _:
                pass
    texts = texts.str.replace_all(f"[{MARKS}]+", "").str.strip_chars(BLANKS)
    return texts.filter(texts != "")


def _short(texts: pl.Series) -> pl.Series:
    return texts.filter((texts.str.len_bytes() <= MAX_BYTES).fill_null(value=False))
