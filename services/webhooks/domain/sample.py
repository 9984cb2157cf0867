"""Rows of an import in the body of the event that it is completed: how many, how large, and as what JSON."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

MAX_ROWS = 1_000
MAX_BYTES = 64 * 1024
"""Of the rows of one body, as JSON in UTF-8. Receivers expect some 20 kB; who asks for rows has asked for more."""
NOT_SHOWN = frozenset({"_id", "tenant_id", "_import", "is_deleted", "deleted_at", "created_at", "updated_at"})
"""What Rowdock itself puts beside the fields of a row, unless the template sets a field of that name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the template of a run asks for.

    Attributes:
        rows: most of them.
        resource: the target collection.
        names: fields that the template sets.
    """

    rows: int
    resource: str
    names: frozenset[str]


class Sample:
    """Rows as they are gathered, in the order of the file, until the next one would be too many or too large."""

    def __init__(self, most: int) -> None:
        self._most = min(most, MAX_ROWS)
        self._left = MAX_BYTES
        self.rows: list[dict[str, Any]] = []

    @property
    def full(self) -> bool:
        """Whether no further row is taken."""
        return len(self.rows) >= self._most or self._left <= 0

    def add(self, record: Mapping[str, Any], names: frozenset[str]) -> None:
        """Take the row of a record; one that does not fit is left out, with all behind it."""
        row = {name: as_json(value) for name, value in record.items() if name in names}
        self._left -= len(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if self._left >= 0:
            self.rows.append(row)


def rows_link(run_id: str) -> str:
    """Path of the interface under which there are all rows."""
    return f"/imports/runs/{run_id}/rows?outcome=written"


def as_json(value: object) -> Any:  # noqa: ANN401 - what JSON has
    """A stored value as JSON: moments as ISO 8601 in UTC, exact decimals and ids as text, what is no number as null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return aware.isoformat().replace("+00:00", "Z")
        case Mapping():
            members = cast("Mapping[object, object]", value)
            return {str(name): as_json(each) for name, each in members.items()}
        case list():
            return [as_json(each) for each in cast("list[object]", value)]
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)
