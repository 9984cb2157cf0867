"""The errors of the libraries that read a request, in our words: what is needed, and what was found instead.

Pure functions from an error of pydantic, of Litestar (whose parameters are read by msgspec) or of the reader of forms
to a message for the person who sent the request.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from libs.contracts.ids import ID_PATTERN
from libs.contracts.templates import (
    CURRENCY_PATTERN,
    FIELD_NAME_PATTERN,
    FILE_TYPE_PATTERN,
    REGION_PATTERN,
    RESOURCE_PATTERN,
)
from services.gateway.shown import shown

PATTERNS = {
    FIELD_NAME_PATTERN: "a letter and up to 63 more letters, digits and '_', such as 'unit_price'",
    RESOURCE_PATTERN: "a small letter and up to 63 more small letters, digits and '_', such as 'price_list'",
    FILE_TYPE_PATTERN: "the name of a format, such as 'csv'",
    CURRENCY_PATTERN: "the three capital letters of a currency, such as 'EUR' (ISO 4217)",
    REGION_PATTERN: "the two capital letters of a country, such as 'US' (ISO 3166)",
}
"""What the patterns of the models ask for."""

Error = Mapping[str, Any]
"""An entry of ``ValidationError.errors()``."""
_Need = Callable[[Mapping[str, Any]], str]


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _characters(number: int) -> str:
    return "1 character" if number == 1 else f"{number:,} characters"


_TEXT = "a text in double quotes"
_OBJECT = "an object {…}"
NEEDS: Mapping[str, _Need] = {
    "string_type": lambda _: _TEXT,
    "string_too_short": lambda ctx: f"a text of at least {_characters(ctx['min_length'])}",
    "string_too_long": lambda ctx: f"a text of at most {_characters(ctx['max_length'])}",
    "string_pattern_mismatch": lambda ctx: PATTERNS.get(ctx["pattern"], f"a text of the pattern {ctx['pattern']}"),
    "string_unicode": lambda _: "a text without half of a surrogate pair",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "float_parsing": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool_type": lambda _: "true or false",
    "bool_parsing": lambda _: "true or false",
    "greater_than_equal": lambda ctx: f"a number of at least {ctx['ge']:,}",
    "less_than_equal": lambda ctx: f"a number of at most {ctx['le']:,}",
    "literal_error": lambda ctx: f"one of {ctx['expected']}",
    "enum": lambda ctx: f"one of {ctx['expected']}",
    "list_type": lambda _: "a list […]",
    "tuple_type": lambda _: "a list […]",
    "too_short": lambda ctx: f"a list of at least {_entries(ctx['min_length'])}",
    "too_long": lambda ctx: f"a list of at most {_entries(ctx['max_length'])}",
    "dict_type": lambda _: _OBJECT,
    "model_type": lambda _: _OBJECT,
    "union_tag_invalid": lambda ctx: f"an object whose {ctx['discriminator']} is one of {ctx['expected_tags']}",
    "union_tag_not_found": lambda ctx: f"an object with {ctx['discriminator']}",
}
"""What an error of pydantic asks for, by its type and from its context."""


def explain(errors: Sequence[Error]) -> tuple[str, str]:
    """Code and message for what pydantic found at one place; each of several errors is another way to mend it."""
    first = errors[0]
    match first["type"]:
        case "missing":
            return "MISSING", "is required"
        case "extra_forbidden":
            return "UNKNOWN_FIELD", f"{shown(first['loc'][-1])} is unknown here; remove it"
        case "value_error" | "assertion_error":
            return "INVALID", str(first["ctx"]["error"])
        case _:
            needs = " or ".join(dict.fromkeys(map(_need, errors)))
            subject = "the name must be" if first["loc"][-1:] == ("[key]",) else "must be"
            return "INVALID", f"{subject} {needs}; {_found(first)}"


def _need(error: Error) -> str:
    need = NEEDS.get(error["type"])
    return f"valid ({error['msg']})" if need is None else need(error.get("ctx", {}))


def _found(error: Error) -> str:
    given = error["input"]
    if error["type"] in {"string_too_long", "string_too_short"}:
        return f"this one has {_characters(len(given))}"
    if error["type"] in {"too_long", "too_short"}:
        return f"this one has {_entries(len(given))}"
    return f"found {shown(given)}"


_EXPECTED = re.compile(r"Expected `(int|str|float|bool)`(?: (>=|<=|of length >=|of length <=) ([0-9]+))?")
_MATCHING = re.compile(r"Expected `str` matching regex '(.*)'")
_TOO_LARGE = "Number out of range"
_PARAMETER_PATTERNS: Mapping[str, str] = {
    ID_PATTERN: "an id as it was answered, of 24 characters from 0-9 and a-f",
}
_PARAMETER_NEEDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "int >=": "a whole number of at least {}",
    "int <=": "a whole number of at most {}",
    "str of length >=": "a text of at least {} characters",
    "str of length <=": "a text of at most {} characters",
}


def explain_parameter(message: str, given: str, allowed: Collection[str] = ()) -> str:
    """The message for a parameter of a path, query or header that Litestar refused.

    Args:
        message: Litestar's, such as ``Expected `int` >= 1``.
        given: the parameter as it was sent.
        allowed: the values that it can have, where they are few.
    """
    if allowed:
        need = f"one of {', '.join(map(repr, allowed))}"
    elif message == _TOO_LARGE:
        need = "a whole number that is not so large"
    elif matching := _MATCHING.match(message):
        need = _PARAMETER_PATTERNS.get(matching[1], f"a text of the pattern {matching[1]}")
    elif expected := _EXPECTED.match(message):
        kind, comparison, bound = expected.groups()
        form = _PARAMETER_NEEDS.get(f"{kind} {comparison}" if comparison else kind, message)
        need = form.format(f"{int(bound):,}" if bound else "")
    else:
        return message
    return f"must be {need}; found {shown(given)}"


_FORM_ERRORS: Mapping[str, str] = {
    "Unexpected end": "it ends before its last boundary; it was cut off, or ends with another one than it begins with",
    "Boundary not found": "it does not begin with the boundary that its Content-Type names",
    "Unexpected byte in front of first": "it does not begin with the boundary that its Content-Type names",
    "Unexpected byte after first": "there is something else than a line break behind its first boundary",
    "Unexpected bytes after boundary": "there is something else than a line break behind a boundary",
    "Unexpected data after end": "there is more behind its last boundary",
    "Invalid line break": "its lines have to end with CR LF",
    "Maximum segment count": "it has too many parts",
    "Maximum segment header": "the headers of a part are too long",
    "Missing Content-Disposition": "a part has no header 'Content-Disposition: form-data; name=…'",
    "Invalid Content-Disposition": "a part has no header 'Content-Disposition: form-data; name=…'",
    "Segment size": "a part is not as long as its own Content-Length says",
    "Segment Content-Length": "a part is not as long as its own Content-Length says",
}
"""What is wrong with a form, by the beginning of the reader's message."""


def explain_form(message: str) -> str:
    """The message for a form that cannot be read."""
    for beginning, words in _FORM_ERRORS.items():
        if message.startswith(beginning):
            return words
    return f"it is no multipart/form-data ({message})"
