"""The mapping of an upload: which column of the file fills which field."""

from collections.abc import Collection, Mapping
from itertools import islice

from libs.contracts.templates import Template
from services.gateway.errors import Problem, invalid_input
from services.gateway.shown import shown

ColumnMapping = list[tuple[str, str | None]]
"""Header and name of the field that its column fills, or ``None`` for a column that is not wanted."""
MAX_NAMES_SHOWN = 8


def column_mapping(given: Mapping[str, object], template: Template) -> ColumnMapping:
    """The mapping that ``given`` says, by header.

    Whether the file has such columns is for the parser to judge.

    Raises:
        InvalidInputError: at ``mapping[…]``: a field is named twice, or one that there is not.
    """
    fields = {field.name: field.reads_column for field in template.fields}
    filled: dict[str, str] = {}
    mapping: ColumnMapping = []
    problems: list[Problem] = []
    for header, name in given.items():
        found = _wrong(header, name, fields, filled)
        if found is not None:
            problems.append(Problem(f"mapping[{shown(header)}]", *found))
        elif isinstance(name, str):
            filled[name] = header
            mapping.append((header, name))
        else:
            mapping.append((header, None))
    if problems:
        raise invalid_input(*problems)
    return mapping


def _wrong(header: str, name: object, fields: Mapping[str, bool], filled: Mapping[str, str]) -> tuple[str, str] | None:
    """Code and message of what is wrong with one pair; ``fields`` says of each whether it reads a column at all."""
    if not header.strip() or "\0" in header:
        return "INVALID", "a header needs a visible character, and no NUL; remove this one"
    if name is None:
        return None
    if not isinstance(name, str):
        return "INVALID", "a field name is text; null leaves the column out"
    if name not in fields:
        return "UNKNOWN_FIELD", f"there is no field {shown(name)}; the fields are: {_listed(fields)}"
    if not fields[name]:
        return "CONFLICT", f"the field {name!r} gets its value from a transform and reads no column"
    if name in filled:
        return "CONFLICT", f"the column {shown(filled[name])} fills the field {name!r} already"
    return None


def _listed(names: Collection[str]) -> str:
    return ", ".join(islice(names, MAX_NAMES_SHOWN)) + (", …" if len(names) > MAX_NAMES_SHOWN else "")
