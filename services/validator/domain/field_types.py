"""The types of fields: what their text must look like, and the value that comes out of it."""

from typing import Final

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import FieldType, TemplateField
from services.validator.domain import dates, numbers, phones
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps

_PLAIN_READING = Reading()

TRUE_WORDS: Final = ("true", "1", "yes", "on", "ja", "sant")
"""As the import engine's reference has them."""
FALSE_WORDS: Final = ("false", "0", "no", "off", "nej", "falskt")

# "A valid e-mail address", WHATWG HTML, https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
EMAIL_PATTERN: Final = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
# RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of them are its angle brackets.
MAX_EMAIL_CHARS: Final = 254

# RFC 3986 with the letters of all scripts, as browsers show them (RFC 3987). A port ends at 65535.
URL_PATTERN: Final = (
    r"^(?i-u:https?)://(?:[^\s/?#@\[\]\\<>\x22\x00-\x1f\x7f]+@)?"
    r"(?:[\p{L}\p{M}\p{N}_](?:[\p{L}\p{M}\p{N}_.-]*[\p{L}\p{M}\p{N}_])?\.?|\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\])"
    r"(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"(?:[/?#][^\s<>\x22\x00-\x1f\x7f]*)?$"
)
MAX_URL_CHARS: Final = 2_083
"""The longest URL of Internet Explorer, and since then of many a database column."""

_SHOWN_OPTIONS = 10


def conversion(field: TemplateField, text: pl.Expr, steps: Steps, reading: Reading = _PLAIN_READING) -> Conversion:
    """The conversion of a field.

    Args:
        field: the field.
        text: what ``transforms.checked_text`` gives: no ``""``, null where the field is empty.
        steps: takes the intermediate results.
        reading: how the file's dates, numbers and phone numbers are to be understood.
    """
    let = steps.let
    match field.type:
        case FieldType.TEXT | FieldType.CUSTOM_REGEX:
            return _textual(field.name, text)
        case FieldType.EMAIL:
            return _email(field.name, text)
        case FieldType.URL:
            return _url(field.name, text)
        case FieldType.PHONE:
            return _phone(field, text, let, reading)
        case FieldType.SELECT:
            return _select(field, text)
        case FieldType.NUMBER:
            return numbers.conversion(field, text, let, reading)
        case FieldType.DATE:
            return dates.conversion(field, text, let, reading)
        case FieldType.BOOLEAN:
            return _boolean(field.name, text, let)


def _textual(name: str, text: pl.Expr, *checks: Check) -> Conversion:
    return Conversion({name: text}, checks, text, keeps_text=True, comparable=text)


def _email(name: str, text: pl.Expr) -> Conversion:
    # The pattern admits ASCII only, so bytes are characters wherever the length matters.
    valid = text.str.contains(EMAIL_PATTERN) & (text.str.len_bytes() <= MAX_EMAIL_CHARS)
    message = (
        f"This is not an e-mail address. Write one address such as name@example.com, at most {MAX_EMAIL_CHARS} "
        "characters long."
    )
    return _textual(name, text, Check(RowErrorCode.INVALID_EMAIL, message, ~valid))


def _url(name: str, text: pl.Expr) -> Conversion:
    valid = text.str.contains(URL_PATTERN) & (text.str.len_chars() <= MAX_URL_CHARS)
    message = (
        "This is not a web address. Write it in full and without spaces, as in https://example.com/page, at most "
        f"{MAX_URL_CHARS} characters long."
    )
    return _textual(name, text, Check(RowErrorCode.INVALID_URL, message, ~valid))


def _phone(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    region = reading.region(field.region)
    message = (
        f"This is not a phone number. Write it as it is dialled in {region}, or with the code of its country, as in "
        "+1 650 253 0000; an extension may follow."
    )
    return _textual(field.name, text, Check(RowErrorCode.INVALID_PHONE, message, ~let(phones.is_phone(text, region))))


def _select(field: TemplateField, text: pl.Expr) -> Conversion:
    options = field.options
    more = f" and {len(options) - _SHOWN_OPTIONS} more" if len(options) > _SHOWN_OPTIONS else ""
    message = f"This is not one of the options. Write exactly one of: {', '.join(options[:_SHOWN_OPTIONS])}{more}."
    return _textual(field.name, text, Check(RowErrorCode.INVALID_OPTION, message, ~text.is_in(options)))


def _boolean(name: str, text: pl.Expr, let: Let) -> Conversion:
    word = let(text.str.to_lowercase())
    true, false = pl.lit(value=True), pl.lit(value=False)
    value = let(pl.when(word.is_in(TRUE_WORDS)).then(true).when(word.is_in(FALSE_WORDS)).then(false))
    message = f"This is neither yes nor no. Write one of {', '.join(TRUE_WORDS)} or {', '.join(FALSE_WORDS)}."
    invalid = text.is_not_null() & value.is_null()
    return Conversion(
        {name: value}, (Check(RowErrorCode.INVALID_BOOLEAN, message, invalid),), value.cast(pl.String), comparable=value
    )
