"""Phone numbers, by the numbering plans of the world (Google's libphonenumber).

A number counts if its length and form are possible in its plan; whether it was ever assigned is not asked, so
that numbers made up for examples (555-0100) pass. Python looks at distinct texts only.
"""

import re
from functools import partial
from typing import Final

import phonenumbers
import polars as pl
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

from libs.contracts.spelling import compared
from services.validator.domain.spelling import answers

# The library finds a number anywhere in a sentence. A cell must hold the number and nothing else: digits of any script,
# what people write between them, and an extension.
_BETWEEN: Final = r"-\p{Nd}()./\[\] \t\p{Zs}\u2010-\u2015\u2212\u30fc\uff08\uff09\uff0d-\uff0f"
_FORM: Final = (
    rf"^(?i-u:tel:)?[+\uff0b]?[(\uff08\p{{Nd}}][{_BETWEEN}]*"
    r"(?i:;ext=\p{Nd}{1,7}|,? *(?:extensi[o\u00f3]n|extn?|xtn|x|#|~|int|anexo|\u0434\u043e\u0431)[.:]? *\p{Nd}{1,7})?$"
)
# E.164 allows 15 digits; the rest is room for what stands between them and for an extension.
_MOST_CHARS: Final = 60
_MOST_CHARS_OF_SEVERAL: Final = 500

_FLOAT = re.compile(r"(\+?[0-9]{7,15})\.0")
"""A number that went through a program which took it for one of arithmetic."""
_SEPARATORS = re.compile(r"[,;|/&\n\r]|\s(?:or|and|oder|und|ou|et|o|y|e|of|en|och|eller)\s|\s{2,}", re.IGNORECASE)
_LEAST_DIGITS: Final = 3
"""After a slash: fewer are the end of another number, ``123 45 67/68``, and no part of this one."""
_TAIL = re.compile(rf"[/\uff0f]\s*[0-9]{{1,{_LEAST_DIGITS - 1}}}$")


def is_phone(text: pl.Expr, region: str) -> pl.Expr:
    """Whether a text is a phone number; null for null.

    Args:
        text: text without blanks around it.
        region: ISO 3166 code for numbers without a country code.
    """
    possible = _phone_shaped(text).map_batches(
        lambda texts: answers(texts, lambda number: _parsed(number, region) is not None, pl.Boolean),
        return_dtype=pl.Boolean,
    )
    return pl.when(text.is_not_null()).then(possible.fill_null(value=False))


def normalised(text: pl.Expr, region: str) -> pl.Expr:
    """Numbers of the region's own numbering plan in their national format, all others in the international one.

    ``(650) 253-0000``, ``+44 20 8366 1177``. What is no phone number stays as it is. Once normalised, a number does
    not change any more.

    Args:
        text: text without blanks around it.
        region: ISO 3166 code for numbers without a country code.
    """
    changed = _phone_shaped(text).map_batches(
        lambda texts: answers(texts, partial(_formatted, region=region), pl.String), return_dtype=pl.String
    )
    return pl.coalesce(changed, text)


def _phone_shaped(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(_FORM) & (text.str.len_chars() <= _MOST_CHARS)).then(text)


def are_several(text: pl.Expr, region: str) -> pl.Expr:
    """Whether a text that is no phone number holds several; null for null."""
    return text.map_batches(
        lambda texts: answers(texts, partial(_are_several, region=region), pl.Boolean), return_dtype=pl.Boolean
    )


def _are_several(text: str, region: str) -> bool:
    if len(text) > _MOST_CHARS_OF_SEVERAL:
        return False
    parts = [part.strip(" ()") for part in _SEPARATORS.split(text)]
    numbers = [part for part in parts if part and _one(part, region) is not None]
    return len(numbers) > 1 or (len(numbers) == 1 and _TAIL.search(text) is not None)


def _parsed(text: str, region: str) -> PhoneNumber | None:
    # Two numbers with a slash between them can have as many digits as one long number of some plans.
    if "/" in text and _are_several(text, region):
        return None
    return _one(text, region)


def _one(text: str, region: str) -> PhoneNumber | None:
    if (number := _FLOAT.fullmatch(text)) is not None:
        text = number[1]
    try:
        # The library knows not all blanks.
        found = phonenumbers.parse(compared(text), region)
    except NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(found) == ValidationResult.IS_POSSIBLE
    return found if possible else None


def _formatted(text: str, region: str) -> str | None:
    number = _parsed(text, region)
    if number is None:
        return None
    national = number.country_code == phonenumbers.country_code_for_region(region)
    form = PhoneNumberFormat.NATIONAL if national else PhoneNumberFormat.INTERNATIONAL
    written = phonenumbers.format_number(number, form)
    # Some numbers that are possible but were never assigned are written so that they would be read as others.
    return written if _parsed(written, region) == number else None
