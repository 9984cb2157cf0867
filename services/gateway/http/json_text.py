"""JSON as clients send it, read strictly: it has one meaning, or an error says what is wrong and where.

Refused beside what is no JSON (RFC 8259): a name that an object has twice, ``NaN`` and the infinities, numbers too
large or too long for a number, texts with half of a surrogate pair, and what is nested too deeply. So what is read
can be compared, shown and encoded again.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from services.gateway.http.places import Path, path_text
from services.gateway.shown import shown

MAX_DEPTH = 64
MAX_NUMBER_CHARS = 100

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SAID = {
    "Expecting value": "a value is needed here: an object, list, number, text in double quotes, true, false or null",
    "Expecting property name enclosed in double quotes": "a name in double quotes is needed here",
    "Expecting ':' delimiter": "a ':' is needed here, between a name and its value",
    "Expecting ',' delimiter": "a ',' or the end of the object or list is needed here",
    "Illegal trailing comma before end of object": "a ',' stands before the end of the object; remove it",
    "Illegal trailing comma before end of array": "a ',' stands before the end of the list; remove it",
    "Extra data": "the value has ended before this; remove what follows",
    "Unterminated string starting at": "the text that begins here has no closing quote",
    "Invalid control character at": "a line break, tab or other control character in a text; write \\n, \\t or \\u00XX",
    "Invalid \\escape": "a '\\' with a character that it cannot stand before; write '\\\\' for the character itself",
    "Invalid \\uXXXX escape": "four hexadecimal digits are needed after '\\u'",
}
"""The decoder's messages in our words."""


class InvalidJsonError(ValueError):
    """Text that is refused.

    Attributes:
        message: why, and how to mend it.
        place: where in the value, such as ``.field_mapping[2].target``; empty for the value itself, and where the text
            is no JSON at all: then the message names line and column.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(f"{place.removeprefix('.')}: {message}" if place else message)
        self.message = message
        self.place = place


def decode_json(content: str | bytes) -> object:
    """The value of ``content``; bytes are UTF-8.

    Raises:
        InvalidJsonError: it has none, or it is refused.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InvalidJsonError(f"byte {error.start + 1} is not UTF-8; send JSON in UTF-8") from None
    try:
        value = json.loads(
            text, parse_int=_integer, parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_members
        )
    except RecursionError:
        raise _too_deep("") from None
    except json.JSONDecodeError as error:
        said = _SAID.get(error.msg, error.msg)
        raise InvalidJsonError(f"line {error.lineno}, column {error.colno}: {said}") from None
    if type(value) not in _SIMPLE:
        _check(value)
    return value


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands in for a part that is refused until its place is known."""

    message: str
    name: str | None = None
    """The member of this name is meant, not the whole."""


def _integer(text: str) -> int | _Refused:
    return int(text) if len(text) <= MAX_NUMBER_CHARS else _too_long(text)


def _decimal(text: str) -> float | _Refused:
    if len(text) > MAX_NUMBER_CHARS:
        return _too_long(text)
    number = float(text)
    return number if abs(number) != float("inf") else _Refused(f"{text} is too large for a number")


def _too_long(text: str) -> _Refused:
    return _Refused(f"the number has {len(text):,} characters; at most {MAX_NUMBER_CHARS} are read")


def _constant(name: str) -> _Refused:
    return _Refused(f"{name} is no JSON; write null or a finite number")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object] | _Refused:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return _Refused(f"the name {shown(name)} is there more than once; keep one of them", name)
        seen.add(name)
    raise AssertionError("fewer members than pairs, and no name twice")


_SIMPLE = frozenset({bool, int, float, type(None)})


def _check(value: object, path: Path = ()) -> None:
    """Raise for the first part of ``value``, which stands at ``path``, that is refused."""
    if isinstance(value, _Refused):
        raise InvalidJsonError(value.message, path_text(path if value.name is None else (*path, value.name)))
    if isinstance(value, str):
        if _LONE_SURROGATE.search(value):
            raise InvalidJsonError(
                f"the text {shown(value)} holds half of a surrogate pair; remove it", path_text(path)
            )
        return
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        for name in members:
            if _LONE_SURROGATE.search(name):
                message = f"the name {shown(name)} holds half of a surrogate pair; remove it"
                raise InvalidJsonError(message, path_text(path))
        parts: Iterable[tuple[int | str, object]] = members.items()
    else:
        parts = enumerate(cast("list[object]", value))
    if len(path) >= MAX_DEPTH:
        raise _too_deep(path_text(path))
    for step, part in parts:
        if type(part) not in _SIMPLE:
            _check(part, (*path, step))


def _too_deep(place: str) -> InvalidJsonError:
    return InvalidJsonError(f"objects and lists are nested more than {MAX_DEPTH} deep", place)
