"""The expressions in ``transform`` of a field, such as ``trim``, ``decimal:2`` or ``concat:first,last``."""

import re
from dataclasses import dataclass, field

from libs.contracts.templates import FieldType
from services.gateway.http.request_shape import Json

EXPRESSIONS = (
    "trim, upper, lower, boolean, integer, decimal:N such as decimal:2, date:FORMAT such as date:YYYY-MM-DD, "
    "constant:VALUE or concat:COLUMN,COLUMN"
)


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression says: members of ``TemplateField``, or a transform as it would be written in
    ``transformations``.
    """

    members: Json = field(default_factory=dict[str, object])
    transformation: Json | None = None


def read_expression(written: str) -> Expression | None:
    """What ``written`` says, or ``None`` where it is no expression."""
    name, colon, argument = written.partition(":")
    match name.strip(), argument.strip():
        case ("trim" | "upper" | "lower") as kind, "" if not colon:
            return Expression(transformation={"type": kind})
        case "boolean", "" if not colon:
            return Expression({"type": FieldType.BOOLEAN})
        case "integer", "" if not colon:
            return Expression({"type": FieldType.NUMBER, "integer": True})
        case "decimal", digits if re.fullmatch(r"[0-9]{1,3}", digits):
            return Expression({"type": FieldType.NUMBER, "decimals": int(digits)})
        case "date", date_format if date_format:
            return Expression({"type": FieldType.DATE, "date_format": date_format})
        case "constant", value if value:
            return Expression(transformation={"type": "constant", "value": argument})
        case "concat", columns if columns:
            names = [column.strip() for column in columns.split(",")]
            return Expression(transformation={"type": "concat", "columns": names})
        case _:
            return None
