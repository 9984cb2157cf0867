"""Filters of records as a client writes them, ``<field>:<operator>:<value>``, and the queries that they become. Pure.

A client's words are values, and names that are looked up: what the server is asked is put together here, of operators
that stand here. So nothing that a client sends is ever taken for an operator, a path or a pattern.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from bson import Decimal128, Int64

from services.gateway.errors import Problem, invalid_input
from services.gateway.shown import shown

MAX_FILTERS: Final = 20
MAX_FILTER_CHARS: Final = 2_000
MAX_VALUES: Final = 100
"""Of ``in``."""
MAX_NAMED: Final = 20
"""So many fields a refusal names."""
Condition = dict[str, Any]


class Kind(StrEnum):
    """As what values of a field are compared."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Field:
    """What can be filtered by.

    Attributes:
        path: in the stored record.
        kinds: more than one where templates do not agree about a field.
    """

    path: str
    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are wanted.

    Attributes:
        conditions: all hold.
        named: values of a field of which a wanted record has one, by the field's path: by it records may be found.
    """

    conditions: tuple[Condition, ...] = ()
    named: Mapping[str, Sequence[Any]] | None = None


OWN_FIELDS: Final[Mapping[str, Field]] = {
    "_created_at": Field("_import.created_at", frozenset({Kind.DATE})),
    "_updated_at": Field("_import.updated_at", frozenset({Kind.DATE})),
    "_run_id": Field("_import.run_id", frozenset({Kind.TEXT})),
    "_row": Field("_import.row", frozenset({Kind.NUMBER})),
}
"""What Rowdock itself notes in a record, by the names under which files show it; no field of a template has these."""
_RANGES: Final = ("lt", "lte", "gt", "gte")
_OPERATORS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.TEXT: frozenset({"eq", "ne", "in", "exists", "prefix", *_RANGES}),
    Kind.NUMBER: frozenset({"eq", "ne", "in", "exists", *_RANGES}),
    Kind.DATE: frozenset({"eq", "ne", "in", "exists", *_RANGES}),
    Kind.BOOLEAN: frozenset({"eq", "ne", "in", "exists"}),
}
_ALL: Final = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "exists")
_EXAMPLES: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "a text",
    Kind.NUMBER: "a number such as 12.50, of at most 34 digits",
    Kind.DATE: "a day or a time such as 2025-03-31 or 2025-03-31T14:05:00Z",
    Kind.BOOLEAN: "true or false",
}
_INT64: Final = 2**63


class _RefusedError(Exception):
    """One filter cannot be used; holds its code and what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_filters(texts: Sequence[str], fields: Mapping[str, Field]) -> Wanted:
    """The records that all filters let pass.

    Args:
        texts: the filters.
        fields: by the names that filters may have.

    Raises:
        InvalidInputError: at ``filter[<index>]``: ``INVALID_FILTER``, ``UNKNOWN_FIELD`` or ``INVALID_VALUE``; at
            ``filter`` ``TOO_MANY``.
    """
    if len(texts) > MAX_FILTERS:
        raise invalid_input(Problem("filter", "TOO_MANY", f"there may be {MAX_FILTERS} filters; leave some out"))
    conditions: list[Condition] = []
    problems: list[Problem] = []
    named: dict[str, Sequence[Any]] = {}
    for index, text in enumerate(texts):
        try:
            field, operator, value = _parted(text, fields)
            if operator in ("eq", "in"):
                named.setdefault(field.path, _values(field, operator, value))
            conditions.append(_condition(field, operator, value))
        except _RefusedError as refused:
            problems.append(Problem(f"filter[{index}]", refused.code, refused.message))
    if problems:
        raise invalid_input(*problems)
    return Wanted(tuple(conditions), named)


def _parted(text: str, fields: Mapping[str, Field]) -> tuple[Field, str, str]:
    name, first, rest = text.partition(":")
    operator, second, value = rest.partition(":")
    if len(text) > MAX_FILTER_CHARS or not first or not second or operator not in _ALL:
        raise _RefusedError(
            "INVALID_FILTER",
            f"write a filter as field:operator:value, such as price:gte:10, of at most {MAX_FILTER_CHARS:,} "
            f"characters; the operators are {', '.join(_ALL)}",
        )
    field = fields.get(name)
    if field is None:
        known = [*fields][:MAX_NAMED]
        meant = get_close_matches(name[:100], fields, n=1)
        hint = f"; did you mean {meant[0]!r}?" if meant else "."
        raise _RefusedError(
            "UNKNOWN_FIELD",
            f"no template that writes here has a field {shown(name)}{hint} There are {', '.join(known)}"
            + (" and more" if len(fields) > MAX_NAMED else ""),
        )
    possible = frozenset[str]().union(*(_OPERATORS[kind] for kind in field.kinds))
    if operator not in possible:
        allowed = ", ".join(each for each in _ALL if each in possible)
        raise _RefusedError("INVALID_FILTER", f"{name!r} is {_told(field)}, which takes {allowed}")
    return field, operator, value


def _condition(field: Field, operator: str, value: str) -> Condition:
    match operator:
        case "exists":
            if value not in ("true", "false"):
                raise _RefusedError("INVALID_VALUE", "exists takes true (there is a value) or false (there is none)")
            return {field.path: {"$ne": None} if value == "true" else None}
        case "eq" | "in":
            return {field.path: {"$in": _values(field, operator, value)}}
        case "ne":
            return {field.path: {"$nin": _values(field, operator, value)}}
        case "prefix":
            return {field.path: _beginning_with(value)}
        case _:
            bounds = [_bound(read, operator) for read in _read(field, value, ranges=True)]
            return {"$or": [{field.path: {f"${operator}": bound}} for bound in bounds]}


def _values(field: Field, operator: str, value: str) -> list[Any]:
    try:
        texts = [value] if operator != "in" else next(csv.reader([value], strict=True), [""])
    except csv.Error:
        message = 'in takes values with commas between them; put quotes around one with a comma or a quote: a,"b,c"'
        raise _RefusedError("INVALID_VALUE", message) from None
    if len(texts) > MAX_VALUES:
        raise _RefusedError("INVALID_VALUE", f"in takes at most {MAX_VALUES} values; ask in parts")
    return [each for text in texts for read in _read(field, text) for each in read]


def _read(field: Field, text: str, *, ranges: bool = False) -> list[list[Any]]:
    """The values that a text may mean, by the kinds of a field: of a number the exact and the binary one."""
    found: list[list[Any]] = []
    for kind in sorted(field.kinds):
        if ranges and kind is Kind.BOOLEAN:
            continue
        if (read := _READERS[kind](text)) is not None:
            found.append(read)
    if not found:
        raise _RefusedError("INVALID_VALUE", f"{shown(text)} is not {_told(field)}")
    return found


def _told(field: Field) -> str:
    return " or ".join(_EXAMPLES[kind] for kind in sorted(field.kinds))


def _number(text: str) -> list[Any] | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or len(number.as_tuple().digits) > 34 or not -6_000 < number.adjusted() < 6_000:
        return None
    if number == number.to_integral_value() and -_INT64 <= number < _INT64:
        return [Int64(int(number))]
    binary = float(number)
    # A record holds 0.1 as a double or as an exact decimal, and these are not equal.
    return [Decimal128(number), *([binary] if abs(binary) != float("inf") else [])]


def _date(text: str) -> list[Any] | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return [moment]


_READERS: Final[Mapping[Kind, Callable[[str], list[Any] | None]]] = {
    Kind.TEXT: lambda text: [text],
    Kind.NUMBER: _number,
    Kind.DATE: _date,
    Kind.BOOLEAN: {"true": [True], "false": [False]}.get,
}


def _bound(values: Sequence[Any], operator: str) -> Any:  # noqa: ANN401 - a value of any kind
    """Of the values that a number means the one by which both are on the same side."""
    if len(values) == 1:
        return values[0]
    return min(values, key=_exact) if operator in ("gte", "lt") else max(values, key=_exact)


def _exact(value: Decimal128 | float) -> Decimal:
    return value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)


def _beginning_with(text: str) -> Condition:
    """The texts that begin with one, as a range: the server orders texts by their bytes in UTF-8."""
    behind = _behind(text)
    return {"$gte": text} if behind is None else {"$gte": text, "$lt": behind}


def _behind(text: str) -> str | None:
    """The first text behind all that begin with ``text``; ``None`` where there is none."""
    while text:
        text, code = text[:-1], ord(text[-1]) + 1
        if 0xD800 <= code <= 0xDFFF:
            code = 0xE000  # Halves of surrogates are no letters.
        if code <= 0x10FFFF:
            return text + chr(code)
    return None
