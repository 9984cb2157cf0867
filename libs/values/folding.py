"""Characters that mean the same in numbers and dates, as ASCII has them.

Digits of any script, blanks of any width, dashes that stand for a minus or a hyphen, and what East Asian keyboards
write at full width. A text with digits of two scripts is no number that anybody means: it becomes null.
"""

import re
from collections.abc import Mapping
from typing import Final

import polars as pl

from libs.contracts.spelling import WIDE_BLANKS

_ZEROS: Final = (
    0xFF10, 0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0,
    0x0F20, 0x1040, 0x17E0, 0x1810,
)  # fmt: skip
"""The zero of each script whose digits stand for 0 to 9, full width first; its digits follow it in Unicode."""
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_TO_FULL_WIDTH: Final = 0xFEE0
ASCII_OF: Final[Mapping[str, str]] = {
    **{chr(zero + digit): str(digit) for zero in _ZEROS for digit in range(10)},
    **dict.fromkeys(WIDE_BLANKS, " "),
    **dict.fromkeys(_DASHES, "-"),
    **{chr(ord(sign) + _TO_FULL_WIDTH): sign for sign in "+.,%():/$"},
    "\uffe5": "\u00a5",
    "\uffe1": "\u00a3",
    "\uffe6": "\u20a9",
    "\u066a": "%",
    "\u2019": "'",
}
"""Characters, and what is read in their place."""

_READ_AS_OTHERS: Final = f"[{''.join(map(re.escape, ASCII_OF))}]"
_DIGITS: Final = f"[{''.join(chr(zero + digit) for zero in _ZEROS for digit in range(10))}]"
_SCRIPTS: Final = ("[0-9]", *(f"[{chr(zero)}-{chr(zero + 9)}]" for zero in _ZEROS))


def folded(texts: pl.Series) -> pl.Series:
    """The texts with each of those characters replaced; null for null and for digits of two scripts."""
    beyond_ascii = texts.str.len_bytes() != texts.str.len_chars()
    if not beyond_ascii.any():
        return texts
    at = beyond_ascii.arg_true()
    at = at.filter(texts.gather(at).str.contains(_READ_AS_OTHERS))
    if not len(at):
        return texts
    foreign = texts.gather(at).alias("text")
    text = pl.col("text")
    found = text.str.replace_many(list(ASCII_OF), list(ASCII_OF.values()))
    if foreign.str.contains(_DIGITS).any():
        scripts = pl.sum_horizontal(text.str.contains(script) for script in _SCRIPTS)
        found = pl.when(scripts <= 1).then(found)
    return texts.clone().scatter(at, foreign.to_frame().select(found).to_series())
