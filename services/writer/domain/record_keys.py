"""What a record carries for the keys of its tenant: the same entries that ``TargetKeys`` gives it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, cast

import bson
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from libs.contracts.record_keys import KEYS, SCOPE, entry_values, key_entry, key_value

_TYPES = (str, bool, int, float, Decimal128, datetime, DatetimeMS)


class Key(Protocol):
    """A registered combination of fields, see ``libs.storage.target_keys``."""

    @property
    def id(self) -> ObjectId:
        """Scope of its entries."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The fields."""
        ...


def entries(keys: Sequence[Key], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a record, in the order of ``keys``; none of a key that lacks a value of a key's type."""
    found = ((key, _values(record, key)) for key in keys)
    return [key_entry(key.id, values) for key, values in found if values is not None]


def carried(record: Mapping[str, Any], key: Key) -> list[Any] | None:
    """The values of the entry of ``key`` that a record carries; ``None`` where that is not the one that follows from
    its fields, or where none follows."""
    held = cast("Sequence[Mapping[str, Any]]", record.get(KEYS) or ())
    values = _values(record, key)
    if values is None:
        return None
    # Of nearly every record it is the only entry, and about texts, of which those are equal that are stored alike.
    if _are_texts(values) and held == [key_entry(key.id, values)]:
        return values
    own = [entry_values(entry) for entry in held if entry[SCOPE] == key.id]
    return values if len(own) == 1 and _exactly(own[0]) == _exactly(values) else None


def _values(record: Mapping[str, Any], key: Key) -> list[Any] | None:
    """The values of the entry that follows from the fields of a record; ``None`` where one is not of a key's type."""
    values = [key_value(record.get(name)) for name in key.names]
    for value in values:
        if not isinstance(value, _TYPES):
            return None
    return values


def _are_texts(values: list[Any]) -> bool:
    return {*map(type, values)} == {str}


def _exactly(values: list[Any]) -> list[Any] | bytes:
    """Values so that those are equal that are stored alike: to Python, True equals 1 and no NaN another."""
    return values if _are_texts(values) else bson.encode({"": values})
