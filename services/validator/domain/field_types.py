"""The types of fields: what their text must look like, and the value that comes out of it."""

from dataclasses import replace
from typing import Final

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.spelling import compared
from libs.contracts.templates import FieldType, TemplateField
from services.validator.domain import dates, emails, numbers, phones
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion, Let
from services.validator.domain.reading import Reading
from services.validator.domain.spelling import answers, as_compared
from services.validator.domain.steps import Steps
from services.validator.domain.words import SHOWN_WORDS

_PLAIN_READING = Reading()

# RFC 3986 with the letters of all scripts, as browsers show them (RFC 3987). A port ends at 65535.
URL_PATTERN: Final = (
    r"^(?i-u:https?)://(?:[^\s/?#@\[\]\\<>\x22\x00-\x1f\x7f]+@)?"
    r"(?:[\p{L}\p{M}\p{N}_](?:[\p{L}\p{M}\p{N}_.-]*[\p{L}\p{M}\p{N}_])?\.?|\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\])"
    r"(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"(?:[/?#][^\s<>\x22\x00-\x1f\x7f]*)?$"
)
MAX_URL_CHARS: Final = 2_083
"""The longest URL of Internet Explorer, and since then of many a database column."""

_SEVERAL_URLS: Final = r"^(?i-u:https?)://.*[\s,;|](?i-u:https?)://"

_SHOWN_OPTIONS = 10
_NO_EMAIL = (
    f"This is not an e-mail address. Write one address such as name@example.com, at most {emails.MAX_EMAIL_BYTES} "
    "characters long."
)


def conversion(
    field: TemplateField, text: pl.Expr, steps: Steps, reading: Reading = _PLAIN_READING, *, closely: bool = True
) -> Conversion:
    """The conversion of a field.

    Args:
        field: the field.
        text: what ``transforms.checked_text`` gives: no ``""``, null where the field is empty.
        steps: takes the intermediate results.
        reading: how the file's dates, numbers and phone numbers are to be understood.
        closely: whether what the plain way of reading refuses may be something else, see ``may_be_read_closely``.
    """
    let = steps.let
    match field.type:
        case FieldType.TEXT | FieldType.CUSTOM_REGEX:
            return _textual(field.name, text)
        case FieldType.EMAIL:
            return _email(field.name, text, let) if closely else _plain_email(field.name, text)
        case FieldType.URL:
            return _url(field.name, text)
        case FieldType.PHONE:
            return _phone(field, text, let, reading)
        case FieldType.SELECT:
            return _select(field, text, let)
        case FieldType.NUMBER:
            return numbers.conversion(field, text, let, reading)
        case FieldType.DATE:
            return dates.conversion(field, text, let, reading)
        case FieldType.BOOLEAN:
            return _boolean(field, text, let, reading)


def _textual(name: str, text: pl.Expr, *checks: Check) -> Conversion:
    return Conversion({name: text}, checks, text, keeps_text=True, comparable=text)


def may_be_read_closely(field: TemplateField, text: str) -> bool:
    """Whether a text that a conversion refuses would be worth one with ``closely``."""
    return field.type is FieldType.EMAIL and "@" in text


def _plain_email(name: str, text: pl.Expr) -> Conversion:
    return _textual(name, text, Check(RowErrorCode.INVALID_EMAIL, _NO_EMAIL, ~emails.is_plain(text)))


def _email(name: str, text: pl.Expr, let: Let) -> Conversion:
    plain = let(emails.is_plain(text))
    rest = let(pl.when(~plain).then(text))
    found = let(emails.addresses(rest))
    none = let(rest.is_not_null() & found.is_null())
    several = let(emails.are_several(pl.when(none).then(rest)).fill_null(value=False))
    too_many = "These are several e-mail addresses. Keep the one that is meant, or give each a column of its own."
    return _textual(
        name,
        let(pl.coalesce(found, text)),
        Check(RowErrorCode.INVALID_EMAIL, _NO_EMAIL, none & ~several),
        Check(RowErrorCode.INVALID_EMAIL, too_many, several),
    )


def _url(name: str, text: pl.Expr) -> Conversion:
    several = text.str.contains(_SEVERAL_URLS)
    valid = text.str.contains(URL_PATTERN) & (text.str.len_chars() <= MAX_URL_CHARS)
    message = (
        "This is not a web address. Write it in full and without spaces, as in https://example.com/page, at most "
        f"{MAX_URL_CHARS} characters long."
    )
    too_many = "These are several web addresses. Keep the one that is meant, or give each a column of its own."
    return _textual(
        name,
        text,
        Check(RowErrorCode.INVALID_URL, message, ~valid & ~several),
        Check(RowErrorCode.INVALID_URL, too_many, several),
    )


def _phone(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    region = reading.region(field.region)
    message = (
        f"This is not a phone number. Write it as it is dialled in {region}, or with the code of its country, as in "
        "+1 650 253 0000; an extension may follow."
    )
    too_many = "These are several phone numbers. Keep the one that is meant, or give each a column of its own."
    none = let(~phones.is_phone(text, region))
    several = let(phones.are_several(pl.when(none).then(text), region).fill_null(value=False))
    return _textual(
        field.name,
        text,
        Check(RowErrorCode.INVALID_PHONE, message, none & ~several),
        Check(RowErrorCode.INVALID_PHONE, too_many, several),
    )


def _select(field: TemplateField, text: pl.Expr, let: Let) -> Conversion:
    options = field.options
    spelled: dict[str, str] = {}
    for option in options:
        spelled.setdefault(compared(option), option)
    more = f" and {len(options) - _SHOWN_OPTIONS} more" if len(options) > _SHOWN_OPTIONS else ""
    message = f"This is not one of the options. Write exactly one of: {', '.join(options[:_SHOWN_OPTIONS])}{more}."
    exact = let(text.is_in(options))

    def option_of(text: str) -> str | None:
        return spelled.get(compared(text))

    others = pl.when(~exact).then(text)
    found = let(others.map_batches(lambda texts: answers(texts, option_of, pl.String), return_dtype=pl.String))
    value = let(pl.coalesce(found, text))
    converted = _textual(field.name, value, Check(RowErrorCode.INVALID_OPTION, message, ~exact & found.is_null()))
    return replace(converted, key=let(as_compared(value)))


def yes_or_no(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> pl.Expr:
    """What the words of a boolean field mean: true, false, or null for any other text.

    Args:
        field: of the type ``boolean``.
        text: what ``transforms.checked_text`` gives.
        let: names an intermediate result.
        reading: which words mean what.
    """
    yes, no = map(sorted, reading.yes_and_no(field))
    word = let(text.str.to_lowercase())
    true, false = pl.lit(value=True), pl.lit(value=False)
    return pl.when(word.is_in(yes)).then(true).when(word.is_in(no)).then(false)


def _boolean(field: TemplateField, text: pl.Expr, let: Let, reading: Reading) -> Conversion:
    value = let(yes_or_no(field, text, let, reading))
    words = SHOWN_WORDS if not field.true_values else f"{_few(field.true_values)}, or {_few(field.false_values)}"
    message = f"This is neither yes nor no. Write {words}."
    if not field.true_values:
        message += " Other words can be named in the template, as true_values and false_values."
    invalid = text.is_not_null() & value.is_null()
    return Conversion(
        {field.name: value},
        (Check(RowErrorCode.INVALID_BOOLEAN, message, invalid),),
        value.cast(pl.String),
        comparable=value,
    )


def _few(words: tuple[str, ...]) -> str:
    return ", ".join(words[:_SHOWN_OPTIONS])
