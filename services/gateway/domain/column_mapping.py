"""The ``mapping`` of an upload: which column fills which field (seeds 000, "Create Import")."""

from typing import cast

from libs.contracts.templates import Template
from services.gateway.domain.json_text import InvalidJsonError, decode_json
from services.gateway.domain.problems import Problem
from services.gateway.domain.request_shape import shown

LOCATION = "body.mapping"

ColumnMapping = list[tuple[str, str | None]]


class InvalidMappingError(Exception):
    """A mapping that cannot be followed, with everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def read_mapping(text: str, template: Template) -> ColumnMapping:
    """Understand a mapping: a JSON object of header and field name, or ``null`` for a column that is not wanted.

    Whether the file has such columns is for the parser to judge.

    Raises:
        InvalidMappingError: it is no such object, or names a field twice, or a field that there is not.
    """
    try:
        decoded = decode_json(text)
    except InvalidJsonError as error:
        raise InvalidMappingError([Problem(LOCATION + error.place, "INVALID_JSON", error.message)]) from error
    if not isinstance(decoded, dict):
        raise InvalidMappingError([Problem(LOCATION, "INVALID", "a mapping is a JSON object: header → field name")])
    fields = {field.name: field.reads_column for field in template.fields}
    filled: dict[str, str] = {}
    mapping = cast("dict[str, str | None]", decoded)
    problems: list[Problem] = []
    for header, name in mapping.items():
        found = _wrong(header, name, fields, filled)
        if found is not None:
            problems.append(Problem(f"{LOCATION}[{shown(header)}]", *found))
        elif name is not None:
            filled[name] = header
    if problems:
        raise InvalidMappingError(problems)
    return list(mapping.items())


def _wrong(header: str, name: object, fields: dict[str, bool], filled: dict[str, str]) -> tuple[str, str] | None:
    """Code and message of what is wrong with one pair; ``fields`` says of each whether it reads a column at all."""
    if not header.strip() or "\0" in header:
        return "INVALID", "a header needs a visible character, and no NUL; remove this one"
    if name is None:
        return None
    if not isinstance(name, str):
        return "INVALID", "a field name is text; null leaves the column out"
    if name not in fields:
        return "UNKNOWN_FIELD", f"there is no field {shown(name)}; the fields are: {_listed(list(fields))}"
    if not fields[name]:
        return "CONFLICT", f"the field {name!r} gets its value from a transform and reads no column"
    if name in filled:
        return "CONFLICT", f"the column {shown(filled[name])} fills the field {name!r} already"
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
