"""The formula by which people keep a spreadsheet program from making a number of a text: ``="01067"``.

It is exactly that, without another quote in it; its result is the text between the quotes.
"""

import re
from typing import Final

FORMULA_START: Final = '="'
FORMULA: Final = r'="([^"]*)"'
"""Python's ``re`` and Arrow read it alike."""

_FORMULA = re.compile(FORMULA)


def without_formula(text: str) -> str:
    """The text that is meant."""
    found = _FORMULA.fullmatch(text) if text.startswith(FORMULA_START) else None
    return text if found is None else found[1]
