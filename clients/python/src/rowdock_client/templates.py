"""Templates in files, and how they differ from those that the gateway has. Pure but for reading the file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from rowdock_client.errors import RowdockError
from rowdock_client.models import EngineTemplate, EngineTemplateView

NOT_COMPARED = frozenset({"webhook_secret", "version"})
"""What the gateway does not show again, or changes by itself."""
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
Members = dict[str, Any]


class TemplateFileError(RowdockError):
    """A file holds no template."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            "NO_TEMPLATE", f"{file}: {reason}", "mend the file; the README's table has the keys of a template"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in which two templates differ.

    Attributes:
        path: where, such as ``field_mapping[2].required``.
        before: what the gateway has; ``None`` also where it has nothing.
        after: what the file says.
    """

    path: str
    before: Any
    after: Any


def read_template_file(file: Path) -> Members:
    """The members of a template in a file of JSON or YAML.

    Raises:
        TemplateFileError: there is no such file, or something else in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text) if file.suffix.lower() in YAML_SUFFIXES else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TemplateFileError(file, str(error)) from error
    if not isinstance(found, dict):
        raise TemplateFileError(file, "it holds no object")
    members = cast("Members", found)
    if not isinstance(members.get("name"), str):
        raise TemplateFileError(file, "it has no name")
    return members


def differences(stored: EngineTemplateView, wanted: Mapping[str, Any]) -> list[Difference]:
    """Where a template would change if it were replaced by the wanted one.

    What neither says has the value that the interface documents for it. Other spellings of the same, such as
    ``minLength`` for ``min_length``, count as differences.

    Raises:
        ValidationError: the wanted one cannot be a template.
    """
    before = _typed(EngineTemplate.model_validate(stored.model_dump(mode="json")).model_dump(mode="json"))
    after = _typed(EngineTemplate.model_validate(dict(wanted)).model_dump(mode="json"))
    known = EngineTemplate.model_fields
    members = [name for name in known if name not in NOT_COMPARED]
    unknown = [name for name in wanted if name not in known]
    return [
        *(found for name in members for found in _compared(name, before.get(name), after.get(name))),
        *(Difference(name, None, wanted[name]) for name in unknown),
    ]


def misshapen(file: Path, error: ValidationError) -> TemplateFileError:
    """The error that a template in a file has which is none."""
    first = error.errors(include_url=False, include_input=False)[0]
    return TemplateFileError(file, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _typed(template: Members) -> Members:
    """The template with the type of each field as the gateway shows it: texts are ``text``, said or not."""
    fields = [
        {**each, "type": "text"} if each.get("type") in {None, "string", "text"} else each
        for each in template["field_mapping"]
    ]
    return {**template, "field_mapping": fields}


def _compared(path: str, before: Any, after: Any) -> Iterator[Difference]:  # noqa: ANN401 - any JSON
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("Members", before), cast("Members", after)
        for name in {**old, **new}:
            yield from _compared(f"{path}.{name}", old.get(name), new.get(name))
    elif (ones := _objects(cast("object", before))) and (others := _objects(cast("object", after))):
        for number, (one, other) in enumerate(zip_longest(ones, others)):
            yield from _compared(f"{path}[{number}]", one, other)
    elif before != after:
        yield Difference(path, before, after)


def _objects(value: object) -> list[object]:
    """The entries of a list of objects, so that the one may be compared with the other; else none."""
    if not isinstance(value, list):
        return []
    entries = cast("list[object]", value)
    return entries if all(isinstance(each, dict) for each in entries) else []
