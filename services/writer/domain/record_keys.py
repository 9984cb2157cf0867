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


def carries(record: Mapping[str, Any], key: Key) -> bool:
    """Whether a record carries the entry of ``key`` that follows from its fields; false where none follows."""
    held = cast("Sequence[Mapping[str, Any]]", record.get(KEYS) or ())
    own = [entry_values(entry) for entry in held if entry[SCOPE] == key.id]
    values = _values(record, key)
    return values is not None and len(own) == 1 and _exactly(own[0]) == _exactly(values)


def _values(record: Mapping[str, Any], key: Key) -> list[Any] | None:
    """The values of the entry that follows from the fields of a record; ``None`` where one is not of a key's type."""
    values = [key_value(record.get(name)) for name in key.names]
    return values if all(isinstance(value, _TYPES) for value in values) else None


def _exactly(values: list[Any]) -> list[Any] | bytes:
    """Values so that those are equal that are stored alike: to Python, True equals 1 and no NaN another."""
    return values if all(isinstance(value, str) for value in values) else bson.encode({"": values})
