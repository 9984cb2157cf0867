"""Values of records as cells of a table. Pure."""

import json
from decimal import Decimal
from math import isfinite

from bson import Decimal128

from libs.values.json_values import as_json
from services.gateway.records.spreadsheets import Cell


def as_cell(value: object) -> Cell:
    """A value as a cell of a table: numbers are numbers, everything else is what ``as_json`` has, as text."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return int(value)
        case float():
            return value if isfinite(value) else str(value)
        case Decimal128():
            exact: Decimal = value.to_decimal()
            return exact if exact.is_finite() else str(exact)
        case _:
            shown = as_json(value)
            return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
