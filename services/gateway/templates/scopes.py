"""What keeps the scope of a sync from standing for the records that its template makes."""

from collections.abc import Iterator
from math import isfinite

from libs.contracts.templates import TEXTUAL_TYPES, Constant, FieldType, ImportMode, Scalar, Template, TemplateField
from services.gateway.errors import Problem
from services.gateway.shown import shown

MAX_SCOPE_FIELDS = 20
MAX_VALUE_BYTES = 1_000
_KINDS = {FieldType.NUMBER: "a number", FieldType.BOOLEAN: "true or false"}


def scope_problems(parts: Template) -> Iterator[Problem]:
    """Everything that is wrong with ``scope_filter`` of a sync: a record that it makes has to be within it, and nothing
    can be by accident."""
    scope = parts.scope_filter
    if scope is None or parts.mode is not ImportMode.SYNC:
        return
    if len(scope) > MAX_SCOPE_FIELDS:
        yield Problem(
            "scope_filter", "INVALID", f"a scope has at most {MAX_SCOPE_FIELDS} fields; these are {len(scope):,}"
        )
        return
    fields = {field.name: field for field in parts.fields}
    for name, value in scope.items():
        place = f"scope_filter.{name}"
        if problem := _unusable(value):
            yield Problem(place, "INVALID", problem)
        elif name in parts.default_values:
            if not _same(parts.default_values[name], value):
                message = f"default_values.{name} has another value, so the records of a file would not be in the scope"
                yield Problem(place, "CONFLICT", message)
        elif name not in fields:
            message = (
                f"the template gives no record a {shown(name)}, so none of a file would be in the scope; add it to "
                "default_values with this value, or map a column to it"
            )
            yield Problem(place, "CONFLICT", message)
        elif problem := _at_odds(fields[name], value):
            yield Problem(place, "CONFLICT", problem)


def _unusable(value: Scalar) -> str | None:
    if value is None:
        return "null would stand for every record that lacks the field; give a value"
    if isinstance(value, str):
        try:
            fits = 0 < len(value.encode()) <= MAX_VALUE_BYTES
        except UnicodeEncodeError:
            fits = False
        return None if fits else f"a text of 1 to {MAX_VALUE_BYTES:,} bytes is needed"
    if isinstance(value, float) and not isfinite(value):
        return "a finite number is needed"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a number of at most 64 bits is needed"
    return None


def _at_odds(field: TemplateField, value: Scalar) -> str | None:
    if field.type is FieldType.DATE:
        return "records cannot be chosen by a date; use another field"
    if field.type in TEXTUAL_TYPES:
        if not isinstance(value, str):
            return f"the field {shown(field.name)} holds texts; write the value as a text"
        constants = [transform.value for transform in field.transforms if isinstance(transform, Constant)]
        if constants and constants[-1] != value:
            return f"the field {shown(field.name)} is always {shown(constants[-1])}; write that"
        return None
    boolean = isinstance(value, bool)
    right = boolean if field.type is FieldType.BOOLEAN else isinstance(value, int | float) and not boolean
    return None if right else f"the field {shown(field.name)} holds {_KINDS[field.type]}; write the value as that"


def _same(one: Scalar, other: Scalar) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)
