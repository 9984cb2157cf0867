"""JSON values that keep what the text says (digits, repeated keys), and the cells they become.

An object is the tuple of its pairs of key and value, an array a list, a number the text of its digits.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring

from libs.contracts.reasons import RowErrorCode
from libs.formats.json_errors import said
from services.parser.formats.api.headers import nested_value

MAX_DEPTH = 64
"""Objects and arrays within each other, the record included."""
_MAX_NAME_CHARS = 16 * 1024 * 1024
"""Of all dotted names of a record together: deep nesting repeats the outer keys in each of them."""


BOOLEANS = {True: "true", False: "false"}
"""Their texts, as JSON writes them."""


class Number(str):
    """The digits of a number, to tell them from a string of digits."""

    __slots__ = ()


Value = str | bool | None | tuple[tuple[str, "Value"], ...] | list["Value"]
Pairs = tuple[tuple[str, Value], ...]


class BadRecordError(Exception):
    """A record that cannot become cells.

    Attributes:
        code: of the row issue.
        problem: what is wrong, to follow ``record 17: ``.
    """

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(f"{code}: {problem}")
        self.code = code
        self.problem = problem


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON; write null or a number")


# The standard library's scanner is the one that hands out every pair and the text of every number.
decode_at: Callable[..., tuple[Value, int]] = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
).raw_decode
"""``(text, at=0)`` to the value that starts exactly there and the index of its end.

Raises:
    ValueError: there is none.
    RecursionError: it is nested deeper than some hundred levels.
"""


def decode_object(text: str) -> Pairs | None:
    """The object that is all of ``text``, or ``None``."""
    try:
        value, end = decode_at(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, tuple) and end == len(text) else None


def blank_end(text: str, at: int) -> int:
    """The index of the first character from ``text[at]`` on that is no blank of JSON."""
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def has_surrogates(text: str) -> bool:
    """Whether ``text`` holds a surrogate, such as a mark of an undecodable byte (``encoding.MARKS``)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def explain(error: ValueError) -> tuple[str, int]:
    """What ``decode_at`` complains about, and at which index of its text."""
    if isinstance(error, json.JSONDecodeError):
        return said(error), error.pos
    return str(error), 0


def kind_of(value: Value) -> str:
    """What a value is, in words."""
    return _KINDS[type(value)]


_KINDS: dict[type, str] = {
    Number: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    tuple: "an object",
    type(None): "null",
}


def too_deep() -> BadRecordError:
    """The issue of a record that is nested too deep."""
    return BadRecordError(
        RowErrorCode.NESTED_TOO_DEEP,
        f"objects and lists stand more than {MAX_DEPTH} deep within each other; put the values further up",
    )


_BLANK = re.compile(r"[ \t\r\n]*")
# What ``Extent`` is inside of: the pattern finds what ends that.
_START = re.compile("")
_CODE = re.compile(r'["{}\[\]]')
_STRING = re.compile(r'["\\]')
_ESCAPE = re.compile(r".", re.DOTALL)
_SCALAR = re.compile(r'[\s,:{}\[\]"]')


class Extent:
    """Finds where a value ends by its brackets and quotes alone, however large, deep or malformed it is.

    Args:
        depth: brackets that are open already; then the end is after the one that closes the last of them.
    """

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._inside = _CODE if depth else _START

    def feed(self, text: str, at: int) -> int | None:
        """The index of ``text`` behind the value, or ``None`` if it goes on; ``at`` is where to look from."""
        if self._inside is _START:
            if text[at] not in '"{[':
                self._inside = _SCALAR
                at += 1
            else:
                self._inside = _CODE
        while found := self._inside.search(text, at):
            mark, at = found[0], found.end()
            if self._inside is _SCALAR:
                return found.start()
            if self._inside is _ESCAPE:
                self._inside = _STRING
            elif mark == "\\":
                self._inside = _ESCAPE
            elif mark == '"':
                self._inside = _CODE if self._inside is _STRING else _STRING
                if self._inside is _CODE and not self._depth:
                    return at
            else:
                self._depth += 1 if mark in "{[" else -1
                if not self._depth:
                    return at
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_MONGODB = frozenset({"$oid", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$uuid", "$symbol"})
_TYPE_MARK = ".$"


def named_with_type(names: Iterable[str]) -> frozenset[str]:
    """Of dotted names with a type of MongoDB's Extended JSON, such as ``a.$oid``, what they name: ``a``."""
    return frozenset(name.partition(_TYPE_MARK)[0] for name in names if _TYPE_MARK in name)


def of_mongodb(value: Pairs) -> str | None:
    """The text of a value as MongoDB's tools write those that JSON has no form for, ``{"$oid": "65f0…"}`` and
    ``{"$date": "2024-03-31T14:05:00Z"}``; ``None`` where an object is none
    (https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md).
    """
    if len(value) != 1:
        return None
    ((key, held),) = value
    if key == "$date":
        if isinstance(held, tuple) and len(held) == 1 and held[0][0] == "$numberLong":
            held = held[0][1]
            return _moment(held) if isinstance(held, str) else None
        return _moment(held) if isinstance(held, Number) else held if isinstance(held, str) else None
    return str(held) if key in _OF_MONGODB and isinstance(held, str) else None


def _moment(milliseconds: str) -> str:
    """The time so long after the start of 1970; the number itself where that has no year of four digits."""
    try:
        moment = _EPOCH + timedelta(milliseconds=int(milliseconds))
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return milliseconds


def flatten(
    record: Pairs, asked: Collection[str] = (), *, with_type: Collection[str] | None = None
) -> dict[str, str | None]:
    """The cells of a record by their dotted names: ``{"a": {"b": 1}}`` has the cell ``a.b``.

    A key that holds a dot itself is the same name. Null is a missing cell, an array the compact text of
    it, and an object without members has no cell at all.

    Args:
        record: the object.
        asked: names that have to be cells where they are there at all.
        with_type: a value of MongoDB's Extended JSON is a cell itself, ``a`` and not ``a.$oid``, unless ``a`` is among
            these, see ``named_with_type``; ``None`` where no such value is told from other objects.

    Raises:
        BadRecordError: ``DUPLICATE_KEY_IN_RECORD`` (two values have the same name), ``NESTED_TOO_DEEP``,
            ``NESTED_VALUE``, ``ROW_TOO_LARGE``.
    """
    cells = _Cells(asked, with_type)
    cells.add(record, "", 1)
    if cells.nested is not None:
        raise BadRecordError(RowErrorCode.NESTED_VALUE, cells.nested)
    return cells.texts


class _Cells:
    def __init__(self, asked: Collection[str], with_type: Collection[str] | None) -> None:
        self.texts: dict[str, str | None] = {}
        self._with_type = with_type
        self.nested: str | None = None
        self._asked = asked
        self._objects: set[str] = set()
        self._name_chars = 0

    def add(self, pairs: Pairs, prefix: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise too_deep()
        texts, objects = self.texts, self._objects
        for key, value in pairs:
            name = self._within(prefix, key) if prefix else key
            if name in texts or name in objects:
                raise BadRecordError(
                    RowErrorCode.DUPLICATE_KEY_IN_RECORD,
                    f"the key {name[:300]!r} stands twice in the record, so one of its values would be lost; "
                    "rename or remove one",
                )
            if value is None or isinstance(value, str):
                texts[name] = value
            elif isinstance(value, bool):
                texts[name] = BOOLEANS[value]
            elif not isinstance(value, tuple):
                texts[name] = compact(value, depth + 1)
            elif (text := self._typed(name, value)) is not None:
                texts[name] = text
            else:
                objects.add(name)
                if value and name in self._asked:
                    self.nested = self.nested or nested_value(name, f"{name}.{value[0][0]}")
                self.add(value, f"{name}.", depth + 1)

    def _typed(self, name: str, value: Pairs) -> str | None:
        return None if self._with_type is None or name in self._with_type else of_mongodb(value)

    def _within(self, prefix: str, key: str) -> str:
        name = prefix + key
        self._name_chars += len(name)
        if self._name_chars > _MAX_NAME_CHARS:
            raise BadRecordError(
                RowErrorCode.ROW_TOO_LARGE,
                "the names of its nested keys are too long together; put the values further up",
            )
        return name


def compact(value: Value, depth: int = 1) -> str:
    """The JSON text of a value without blanks; numbers, order and repeated keys as they were.

    Args:
        value: what to write.
        depth: of the value, if it is an object or an array.

    Raises:
        BadRecordError: ``NESTED_TOO_DEEP``.
    """
    if isinstance(value, str):
        return value if isinstance(value, Number) else encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return BOOLEANS[value]
    if depth > MAX_DEPTH:
        raise too_deep()
    if isinstance(value, list):
        return f"[{','.join([compact(each, depth + 1) for each in value])}]"
    return f"{{{','.join([f'{encode_basestring(key)}:{compact(each, depth + 1)}' for key, each in value])}}}"
