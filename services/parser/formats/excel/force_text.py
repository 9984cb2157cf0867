"""The markers by which people keep a spreadsheet program from making a number of a text.

- ``="01067"``, a formula whose result is the text between the quotes, and which holds no other quote;
- an apostrophe before digits, ``'01067``, which the program hides where it was typed, and files show. What follows has
  three digits or more, perhaps a sign before them and separators between: ``'90s`` is no number.
"""

import re

_FORMULA = re.compile(r'="([^"]*)"')
_APOSTROPHE = re.compile(r"'([+-]?(?:[0-9][ .,/:-]?){2,}[0-9])")
_MARKS = ('="', "'")


def without_marker(text: str) -> str:
    """The text that is meant."""
    if text.startswith(_MARKS):
        found = _FORMULA.fullmatch(text) or _APOSTROPHE.fullmatch(text)
        if found is not None:
            return found[1]
    return text


def without_markers(texts: list[str]) -> list[str]:
    """The same of many; one look at most columns."""
    joined = "\n".join(texts)
    if '="' in joined or "'" in joined:
        return [without_marker(text) for text in texts]
    return texts
