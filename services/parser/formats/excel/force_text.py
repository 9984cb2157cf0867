"""The markers by which people keep a spreadsheet program from making a number of a text.

- ``="01067"``, see ``libs.values.force_text``;
- an apostrophe before digits, ``'01067``, which the program hides where it was typed, and files show. What follows has
  three digits or more, perhaps a sign before them and separators between: ``'90s`` is no number.
"""

import re

from libs.values.force_text import FORMULA_START, without_formula

_APOSTROPHE = re.compile(r"'([+-]?(?:[0-9][ .,/:-]?){2,}[0-9])")
_QUOTE = "'"


def without_marker(text: str) -> str:
    """The text that is meant."""
    found = _APOSTROPHE.fullmatch(text) if text.startswith(_QUOTE) else None
    return without_formula(text) if found is None else found[1]


def without_markers(texts: list[str]) -> list[str]:
    """The same of many; one look at most columns."""
    joined = "\n".join(texts)
    if FORMULA_START in joined or _QUOTE in joined:
        return [without_marker(text) for text in texts]
    return texts
