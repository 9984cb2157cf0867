"""Single letters for yes and no. They are read in pairs that are decided for a whole column: O is yes beside the N of
a French file, and no beside the W of a Dutch one."""

from collections.abc import Collection
from typing import Final

LETTER_PAIRS: Final = ("yn", "tf", "jn", "on", "sn", "vf", "wf", "wo", "sf")
"""Yes and no, true and false, of the product's languages: en; de nl sv; fr; es pt it; fr es pt it; de; nl; sv."""
PLAIN_PAIRS: Final = ("yn", "tf")
"""Read where nothing was decided for a column."""


def pair_of(letters: Collection[str]) -> str:
    """The pair that a column with these letters is read by; ``""`` where there is none, or its meaning is open."""
    pairs = [pair for pair in LETTER_PAIRS if set(letters) <= set(pair)]
    meanings = {(letter, pair.index(letter)) for pair in pairs for letter in letters}
    return pairs[0] if pairs and letters and len(meanings) == len(set(letters)) else ""
