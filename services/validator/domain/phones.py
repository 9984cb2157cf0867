"""Phone numbers, by the numbering plans of the world (Google's libphonenumber).

A number counts if its length and form are possible in its plan; whether it was ever assigned is not asked, so
that numbers made up for examples (555-0100) pass. Python looks at distinct texts only.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import phonenumbers
import polars as pl
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

# The library finds a number anywhere in a sentence. A cell must hold the number and nothing else: digits, what people
# write between them, and an extension.
_FORM: Final = (
    "^(?i-u:tel:)?[+]?[(0-9][-0-9()./ \u00a0\u202f\u2010-\u2015\u2212]*"
    "(?i-u:;ext=[0-9]{1,7}|,? *(?:extension|extn?|x|#)[.:]? *[0-9]{1,7})?$"
)
# E.164 allows 15 digits; the rest is room for what stands between them and for an extension.
_MOST_CHARS: Final = 60


def is_phone(text: pl.Expr, region: str) -> pl.Expr:
    """Whether a text is a phone number; null for null.

    Args:
        text: text without blanks around it.
        region: ISO 3166 code for numbers without a country code.
    """
    possible = _phone_shaped(text).map_batches(
        partial(_answers, lambda number: _parsed(number, region) is not None, pl.Boolean), return_dtype=pl.Boolean
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
        partial(_answers, partial(_formatted, region=region), pl.String), return_dtype=pl.String
    )
    return pl.coalesce(changed, text)


def _phone_shaped(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(_FORM) & (text.str.len_chars() <= _MOST_CHARS)).then(text)


def _answers(ask: Callable[[str], object], dtype: type[pl.DataType], texts: pl.Series) -> pl.Series:
    """The answer to every text, asked once per distinct text; null for null."""
    distinct: list[str] = texts.drop_nulls().unique().to_list()
    return texts.replace_strict(distinct, [ask(text) for text in distinct], default=None, return_dtype=dtype)


def _parsed(text: str, region: str) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    return number if possible else None


def _formatted(text: str, region: str) -> str | None:
    number = _parsed(text, region)
    if number is None:
        return None
    national = number.country_code == phonenumbers.country_code_for_region(region)
    form = PhoneNumberFormat.NATIONAL if national else PhoneNumberFormat.INTERNATIONAL
    written = phonenumbers.format_number(number, form)
    # Some numbers that are possible but were never assigned are written so that they would be read as others.
    return written if _parsed(written, region) == number else None
