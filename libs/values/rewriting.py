"""What the transforms of a template make of texts, for those who want to know how the numbers and dates look then."""

from collections.abc import Sequence
from typing import Final, TypeVar

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

_SPECIAL_CHARS: Final = r"[^\p{L}\p{M}\p{Nd}\s]"
"""Neither a letter (with the marks that belong to it) nor a decimal digit nor white space, in any script."""
MAX_BYTES: Final = 200
"""A longer text is no number and no date, and a replacement may make it longer still."""


_Text = TypeVar("_Text", pl.Series, pl.Expr)
TextChange = Capitalize | Lower | RemoveSpecialChars | Replace | Upper
"""Transforms that make a text of each text and know nothing else."""


def changed(text: _Text, transform: TextChange) -> _Text:
    """Texts after such a transform; null for null."""
    match transform:
        case Replace():
            return text.str.replace_all(transform.find, transform.replace, literal=True)
        case RemoveSpecialChars():
            return text.str.replace_all(_SPECIAL_CHARS, "")
        case Upper():
            return text.str.to_uppercase()
        case Lower():
            return text.str.to_lowercase()
        case Capitalize():
            return text.str.to_titlecase()


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
                texts = _short(changed(texts, transform))
            case RemoveSpecialChars() | Upper() | Lower() | Capitalize():
                texts = changed(texts, transform)
            case NormalizeDate() | NormalizePhone() | Concat() | Constant():
                break
            case _:
                pass
    texts = texts.str.replace_all(f"[{MARKS}]+", "").str.strip_chars(BLANKS)
    return texts.filter(texts != "")


def _short(texts: pl.Series) -> pl.Series:
    return texts.filter((texts.str.len_bytes() <= MAX_BYTES).fill_null(value=False))
