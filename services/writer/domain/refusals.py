"""Why MongoDB refuses a record, in the words of who imports: from the server's answer to the errors of a row."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, cast

from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RowError

DOCUMENT_VALIDATION = 121
"""The server's code where the validator of the collection refuses a document."""
TOO_LARGE = 10334
"""The server's code for a document greater than 16 MiB."""
TOO_LARGE_AFTER_UPDATE = 17419
"""The same for one that an update would make."""
MAX_ERRORS = 20
MAX_SPECIFIED_CHARS = 200
_SHOWN_VALUES = 10
_TOO_LARGE = (
    "The record of this row would be greater than 16 MiB, which is the most that MongoDB holds. Shorten its cells."
)
_KEEPER = "whoever looks after the collection"
_KNOWN = {
    15: "it is nested too deep",
    66: "it would change a value that MongoDB lets nobody change, such as a shard key",
    16755: "an index for places (2dsphere) cannot read a value of it",
    16804: "an index for places (2d) cannot read a value of it",
    17262: "a text index takes its field 'language' for the language of its texts, and does not know this one",
}
"""What the server's codes mean that a row may meet in collections with indexes of their own."""
_COMPARISONS = {
    "$eq": "equal to",
    "$ne": "different from",
    "$lt": "less than",
    "$lte": "at most",
    "$gt": "greater than",
    "$gte": "at least",
    "$in": "one of",
    "$nin": "none of",
    "$type": "of the type",
    "$size": "of the size",
}

_LISTS_OF_RULES = {
    "$jsonSchema": "schemaRulesNotSatisfied",
    "properties": "propertiesNotSatisfied",
    "patternProperties": "details",
    "allOf": "schemasNotSatisfied",
    "items": "details",
    "$and": "clausesNotSatisfied",
}
_LISTS_OF_NAMES = {
    "required": ("missingProperties", "it must be there"),
    "additionalProperties": ("additionalProperties", "there must be no field of this name"),
}

Details = Mapping[str, Any]
Path = tuple[str, ...]


def refusal_errors(code: int, reason: Details, resource: str, sets: Container[str]) -> tuple[RowError, ...]:
    """The errors of a row whose record the server refuses; of its values they show none.

    Args:
        code: the server's.
        reason: its write error.
        resource: name of the collection.
        sets: the fields that the template gives values to.
    """
    if code == DOCUMENT_VALIDATION:
        return _schema_errors(reason.get("errInfo", {}).get("details", {}), resource, sets)
    if code in {TOO_LARGE, TOO_LARGE_AFTER_UPDATE}:
        return (RowError(None, None, RowErrorCode.RECORD_TOO_LARGE, _TOO_LARGE),)
    why = _KNOWN.get(code, "it breaks the rules of an index or another rule")
    message = (
        f"The collection {resource!r} refuses the record of this row: {why} (MongoDB's error {code}). Correct the row, "
        f"or ask {_KEEPER}."
    )
    return (RowError(None, None, RowErrorCode.TARGET_REFUSED, message),)


def _schema_errors(details: Details, resource: str, sets: Container[str]) -> tuple[RowError, ...]:
    by_path: dict[Path, list[str]] = {}
    for path, rule in _broken_rules(details, ()):
        rules = by_path.setdefault(path, [])
        if rule not in rules:
            rules.append(rule)
    errors = [_schema_error(path, rules, resource, sets) for path, rules in by_path.items()][:MAX_ERRORS]
    if errors:
        return tuple(errors)
    message = f"The collection {resource!r} has rules of its own that refuse this record. Ask {_KEEPER} for them."
    return (RowError(None, None, RowErrorCode.TARGET_SCHEMA, message),)


def _schema_error(path: Path, rules: Sequence[str], resource: str, sets: Container[str]) -> RowError:
    field = path[0] if path and path[0] in sets else None
    about = f"for {'.'.join(path)!r}" if path else "for its records"
    message = (
        f"The collection {resource!r} has a rule of its own {about}, and this row breaks it: {'; '.join(rules)}. "
        f"Correct the row, or have the rule changed by {_KEEPER}."
    )
    return RowError(field, None, RowErrorCode.TARGET_SCHEMA, message)


def _broken_rules(details: Details, path: Path) -> Iterator[tuple[Path, str]]:
    """Path of the field and words for each rule that is broken, as the server explains a failed validation."""
    operator = str(details.get("operatorName", ""))
    if operator in _LISTS_OF_RULES:
        for found in _parts(details.get(_LISTS_OF_RULES[operator])):
            yield from _nested(found, path)
    elif operator in _LISTS_OF_NAMES:
        key, rule = _LISTS_OF_NAMES[operator]
        for name in details.get(key, ()):
            yield (*path, str(name)), rule
    elif operator:
        yield _leaf(operator, details, path)


def _nested(found: Details, path: Path) -> Iterator[tuple[Path, str]]:
    """What stands in a list of broken rules: a rule, or rules about a property or a clause."""
    if "propertyName" in found:
        path = (*path, str(found["propertyName"]))
    if description := found.get("description"):
        yield path, _cut(str(description))
    elif "operatorName" in found:
        yield from _broken_rules(found, path)
    else:
        for rule in _parts(found.get("details")):
            yield from _broken_rules(rule, path)


def _parts(found: object) -> Iterator[Details]:
    several = cast("Sequence[object]", found if isinstance(found, list) else [found])
    yield from (cast("Details", each) for each in several if isinstance(each, Mapping))


def _leaf(operator: str, details: Details, path: Path) -> tuple[Path, str]:
    specified: Details = details.get("specifiedAs", {})
    if operator.startswith("$") and len(specified) == 1:
        # A query: {"age": {"$lt": 3}}
        (name, condition), *_ = specified.items()
        if not name.startswith("$"):
            value = cast("Details", condition).get(operator) if isinstance(condition, Mapping) else condition
            return (*path, name), _comparison(operator, value)
    return path, _keyword(operator, specified, details.get("consideredType"))


def _comparison(operator: str, value: object) -> str:
    if operator in _COMPARISONS:
        return f"it must be {_COMPARISONS[operator]} {_shown(value)}"
    return f"it must fulfil {operator} {_shown(value)}"


def _keyword(operator: str, specified: Details, written_as: object) -> str:
    value = specified.get(operator)
    match operator:
        case "enum":
            return f"it must be one of {_shown(value)}"
        case "bsonType" | "type":
            return f"it must be of the type {_shown(value)}, and it is written as {written_as}"
        case "minimum" | "maximum":
            exclusive = specified.get(f"exclusive{operator.capitalize()}")
            words = {"minimum": ("at least", "more than"), "maximum": ("at most", "less than")}[operator]
            return f"it must be {words[1 if exclusive else 0]} {_shown(value)}"
        case "minLength" | "maxLength":
            return f"it must have {'at least' if operator == 'minLength' else 'at most'} {_shown(value)} characters"
        case "pattern":
            return f"it must have the form of the pattern {_shown(value)}"
        case "multipleOf":
            return f"it must be a multiple of {_shown(value)}"
        case "$expr":
            return "a condition over several fields ($expr) must hold"
        case _:
            return f"the rule {operator!r} must hold"


def _shown(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        values = [*map(_shown, cast("Sequence[object]", value)[:_SHOWN_VALUES])]
        more = len(cast("Sequence[object]", value)) - len(values)
        return _cut(", ".join(values)) + (f" and {more} more" if more > 0 else "")
    return _cut(repr(value) if isinstance(value, str) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SPECIFIED_CHARS else f"{text[:MAX_SPECIFIED_CHARS]}…"
