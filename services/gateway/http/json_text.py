"""JSON as clients send it, read strictly: it has one meaning, or an error says what is wrong and where.

Refused beside what is no JSON (RFC 8259): a name that an object has twice, ``NaN`` and the infinities, numbers too
large or too long for a number, texts with half of a surrogate pair, and what is nested too deeply. So what is read
can be compared, shown and encoded again.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from json.scanner import py_make_scanner  # pyright: ignore - its stub leaves it out
from typing import Any, cast

from libs.formats.json_errors import said
from services.gateway.http.places import Path, path_text
from services.gateway.shown import shown

MAX_DEPTH = 64
MAX_NUMBER_CHARS = 100
MAX_UNINTERRUPTED_CHARS = 64 * 1024
"""Longer texts are decoded in steps between which other threads come to their turn, at a tenth of the speed."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_PERHAPS_A_SURROGATE = re.compile("[\ud800-\udfff]|\\\\u[dD][89a-fA-F]")
_UNUSUAL_NUMBER = re.compile("[0-9.]{90}|[0-9][eE][+-]?[0-9]{3}")
"""Where a number may be longer than is read, or too large."""


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
    decoder = _Decoder()
    try:
        value = decoder.decode(text)
    except RecursionError:
        raise _too_deep("") from None
    except json.JSONDecodeError as error:
        raise InvalidJsonError(f"line {error.lineno}, column {error.colno}: {said(error)}") from None
    plain = _SIMPLE if _PERHAPS_A_SURROGATE.search(text) else _SIMPLE | {str}
    deep = text.count("[") + text.count("{") > MAX_DEPTH
    if (decoder.refused or deep or str not in plain) and type(value) not in plain:
        _check(value, plain)
    return value


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands in for a part that is refused until its place is known."""

    message: str
    name: str | None = None
    """The member of this name is meant, not the whole."""


class _Decoder:
    """Decodes one text; ``refused`` says whether there is a ``_Refused`` in its value."""

    def __init__(self) -> None:
        self.refused = False

    def decode(self, text: str) -> object:
        # A call for each number costs several times as much as decoding, and few texts need it.
        if _UNUSUAL_NUMBER.search(text):
            numbers: Any = {"parse_int": self._integer, "parse_float": self._decimal}
        else:
            numbers = {}
        decoder = json.JSONDecoder(parse_constant=self._constant, object_pairs_hook=self._members, **numbers)
        if len(text) > MAX_UNINTERRUPTED_CHARS:
            _let_be_interrupted(decoder)
        return decoder.decode(text)

    def _refuse(self, message: str, name: str | None = None) -> _Refused:
        self.refused = True
        return _Refused(message, name)

    def _integer(self, text: str) -> int | _Refused:
        return int(text) if len(text) <= MAX_NUMBER_CHARS else self._too_long(text)

    def _decimal(self, text: str) -> float | _Refused:
        if len(text) > MAX_NUMBER_CHARS:
            return self._too_long(text)
        number = float(text)
        return number if math.isfinite(number) else self._refuse(f"{text} is too large for a number")

    def _too_long(self, text: str) -> _Refused:
        return self._refuse(f"the number has {len(text):,} characters; at most {MAX_NUMBER_CHARS} are read")

    def _constant(self, name: str) -> _Refused:
        return self._refuse(f"{name} is no JSON; write null or a finite number")

    def _members(self, pairs: list[tuple[str, object]]) -> dict[str, object] | _Refused:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return self._refuse(f"the name {shown(repeated)} is there more than once; keep one of them", repeated)


def _let_be_interrupted(decoder: Any) -> None:  # noqa: ANN401 - its parts are not typed
    """Put Python's own scanner in the place of the one in C, which holds the lock of Python to the end of the text."""
    decoder.scan_once = py_make_scanner(decoder)


_SIMPLE: frozenset[type] = frozenset({bool, int, float, type(None)})


def _check(value: object, plain: frozenset[type], path: Path = ()) -> None:
    """Raise for the first part of ``value``, which stands at ``path``, that is refused; what is ``plain`` is not."""
    if isinstance(value, _Refused):
        raise InvalidJsonError(value.message, path_text(path if value.name is None else (*path, value.name)))
    if isinstance(value, str):
        _check_text(value, "text", path)
        return
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if str not in plain:
            for name in members:
                _check_text(name, "name", path)
        parts: Iterable[tuple[int | str, object]] = members.items()
    else:
        parts = enumerate(cast("list[object]", value))
    if len(path) >= MAX_DEPTH:
        raise _too_deep(path_text(path))
    for step, part in parts:
        if type(part) not in plain:
            _check(part, plain, (*path, step))


def _check_text(text: str, kind: str, path: Path) -> None:
    if _LONE_SURROGATE.search(text):
        raise InvalidJsonError(f"the {kind} {shown(text)} holds half of a surrogate pair; remove it", path_text(path))


def _too_deep(place: str) -> InvalidJsonError:
    return InvalidJsonError(f"objects and lists are nested more than {MAX_DEPTH} deep", place)
