"""Values of records as JSON has them. Pure.

What anybody is shown of a record is made here alone, whichever way it is asked for or told.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, cast

from bson.datetime_ms import DatetimeMS


def as_json(value: object) -> Any:  # noqa: ANN401 - whatever JSON has
    """A value as JSON has it: exact numbers as texts with all their digits, times in UTC, years beyond 9999 as
    milliseconds since 1970, bytes as Base64, what else MongoDB knows as text."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return value if isfinite(value) else str(value)
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return moment.isoformat().replace("+00:00", "Z")
        case DatetimeMS():
            return str(int(value))
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            members = cast("Mapping[object, object]", value)
            return {str(name): as_json(each) for name, each in members.items()}
        case Sequence():
            return [as_json(each) for each in cast("Sequence[object]", value)]
        case _:
            return str(value)
