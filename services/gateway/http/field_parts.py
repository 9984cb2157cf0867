"""What every vocabulary of the public surface shares: types, rules and transforms of a field, to and from
``libs.contracts.templates``.

Which rules and transforms there are and what they take stands in the model alone; here are only the other
spellings in which the vocabularies write them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, Field, ValidationError, WithJsonSchema

from libs.contracts.templates import (
    MAX_ENUM_VALUES,
    MAX_PATTERN_CHARS,
    DateFormat,
    FieldName,
    FieldType,
    Header,
    Region,
    Required,
    Rule,
    Text,
    Transform,
)
from services.gateway.http.places import Places
from services.gateway.http.request_shape import Json, Part, Problems, objects
from services.gateway.shown import shown

TypeName = Literal[
    "text", "string", "number", "email", "date", "boolean", "phone", "url", "select", "custom_regex"
]  # fmt: skip
_AnyValue = Annotated[
    Any, WithJsonSchema({"type": ["number", "string", "boolean", "array", "null"], "items": {"type": "string"}})
]


def field_type(name: str) -> FieldType:
    """A type by its name in any vocabulary."""
    return FieldType("text" if name == "string" else name)


class Validator(Part):
    """A rule. ``value`` for the four bounds, ``pattern`` (or ``value``) for ``regex``, ``values`` (or ``value``) for
    ``enum``, ``fields`` and ``against_target`` for ``unique``, ``field`` and ``values`` for ``required_if``,
    ``field`` and ``operator`` for ``compare``.
    """

    type: Literal[
        "required", "min_length", "minLength", "max_length", "maxLength", "min", "max", "regex", "enum", "unique",
        "required_if", "compare",
    ]  # fmt: skip
    value: _AnyValue = None
    pattern: str | None = Field(default=None, min_length=1, max_length=MAX_PATTERN_CHARS)
    values: list[Text] | None = Field(default=None, min_length=1, max_length=MAX_ENUM_VALUES)
    field: FieldName | None = None
    fields: list[FieldName] | None = Field(default=None, max_length=10)
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"] | None = None
    against_target: bool | None = None
    message: Text | None = None


class Transformation(Part):
    """A change of the text. ``value`` for ``default`` and ``constant``, ``find`` and ``replace`` for ``replace``,
    ``format`` for ``normalize_date``, ``region`` for ``normalize_phone``, ``columns`` for ``concat``.
    """

    type: Literal[
        "trim", "upper", "uppercase", "lower", "lowercase", "capitalize", "remove_special_chars", "normalize_phone",
        "normalize_date", "default", "replace", "constant", "concat",
    ]  # fmt: skip
    value: Text | None = None
    find: Text | None = Field(default=None, min_length=1)
    replace: Text | None = None
    format: DateFormat | None = None
    region: Region | None = None
    columns: list[Header] | None = Field(default=None, min_length=1, max_length=20)


def _by_type(union: object) -> dict[str, type[BaseModel]]:
    models = cast("tuple[type[BaseModel], ...]", get_args(get_args(union)[0]))
    return {cast("str", model.model_fields["type"].default): model for model in models}


@dataclass(frozen=True, slots=True)
class _Family:
    """The parts of one kind.

    Attributes:
        noun: what a message calls one of them.
        models: by the model's name of its type.
        spellings: other names of types.
        stands_for: the member that ``value`` is another name for, by type.
    """

    noun: str
    models: Mapping[str, type[BaseModel]]
    spellings: Mapping[str, str]
    stands_for: Mapping[str, str] = field(default_factory=dict[str, str])


_VALIDATORS = _Family(
    "validator",
    _by_type(Rule),
    {"minLength": "min_length", "maxLength": "max_length"},
    {"regex": "pattern", "enum": "values"},
)
_TRANSFORMATIONS = _Family("transformation", _by_type(Transform), {"uppercase": "upper", "lowercase": "lower"})


Piece = TypeVar("Piece", Rule, Transform)


@dataclass(frozen=True, slots=True)
class Placed(Generic[Piece]):
    """A rule or a transform, and where it stands in the request.

    Attributes:
        location: e.g. ``body.field_mapping[0].validators[2]``.
        names: what the request calls members of the piece that it calls otherwise.
        whole: it stands there as a whole, its members have no place of their own.
    """

    piece: Piece
    location: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    whole: bool = False


def put_places(places: Places, path: str, placed: Iterable[Placed[Any]]) -> None:
    """Say where the pieces of the list at ``path`` of the model stand."""
    for index, each in enumerate(placed):
        places.put(f"{path}[{index}]", each.location, whole=each.whole)
        for member, name in each.names.items():
            places.put(f"{path}[{index}].{member}", f"{each.location}.{name}")


def read_rules(raw: Json, key: str, location: str, problems: Problems) -> list[Placed[Rule]]:
    """The rules in the list ``raw[key]`` of the field at ``location``; the shape of ``raw`` is judged already."""
    rules: list[Placed[Rule]] = []
    for number, written in objects(raw, key):
        place = f"{location}.{key}[{number}]"
        part = written
        if written.get("type") == "unique":
            switch = written.get("value")
            if switch is not None and not isinstance(switch, bool):
                problems.add(f"{place}.value", "INVALID", f"must be true or false; found {shown(switch)}")
            if switch is False:
                continue
            part = {member: value for member, value in written.items() if member != "value"}
        if (read := _read(part, place, _VALIDATORS, problems)) is not None:
            rules.append(Placed(cast("Rule", read[0]), place, read[1]))
    return rules


def read_transforms(raw: Json, key: str, location: str, problems: Problems) -> list[Placed[Transform]]:
    """The transforms in the list ``raw[key]`` of the field at ``location``."""
    read = (read_transform(part, f"{location}.{key}[{number}]", problems) for number, part in objects(raw, key))
    return [transform for transform in read if transform is not None]


def read_transform(part: Json, location: str, problems: Problems) -> Placed[Transform] | None:
    """The transform that stands at ``location``."""
    read = _read(part, location, _TRANSFORMATIONS, problems)
    return None if read is None else Placed(cast("Transform", read[0]), location, read[1])


def _read(part: Json, location: str, family: _Family, problems: Problems) -> tuple[BaseModel, dict[str, str]] | None:
    """A piece, and what the request calls members of it that have another name in the model."""
    name = part.get("type")
    if name is None:
        return None
    model = family.models[family.spellings.get(name, name)]
    given, written = _members(part, location, model, family.stands_for.get(name), problems)
    missing = [member for member, each in model.model_fields.items() if each.is_required() and member not in given]
    for member in missing:
        problems.add(f"{location}.{member}", "MISSING", f"the {family.noun} {name!r} needs it")
    if missing:
        return None
    try:
        piece = model.model_validate(given, strict=True)
    except ValidationError as error:
        problems.refusals(error, given, location, written)
        return None
    return piece, {member: name for member, name in written.items() if member != name}


def _members(
    part: Json, location: str, model: type[BaseModel], value_means: str | None, problems: Problems
) -> tuple[Json, dict[str, str]]:
    """What ``part`` gives for the members of ``model``, and under which names it does."""
    given: Json = {}
    written: dict[str, str] = {}
    for member, value in part.items():
        target = value_means if member == "value" and value_means is not None else member
        if value is None or member == "type":
            continue
        if target not in model.model_fields:
            problems.add(f"{location}.{member}", "UNKNOWN_FIELD", f"{part['type']!r} has no {member!r}; remove it")
        elif target in given:
            problems.add(
                f"{location}.{member}", "CONFLICT", f"{written[target]!r} says the same; leave one of them out"
            )
        else:
            written[target] = member
            given[target] = tuple(cast("list[object]", value)) if isinstance(value, list) else value
    return given, written


def with_required(rules: Sequence[Placed[Rule]], location: str, *, required: bool) -> list[Placed[Rule]]:
    """``rules``, led by ``Required`` where the member at ``location`` says ``true`` and no rule does."""
    if required and not any(isinstance(placed.piece, Required) for placed in rules):
        implied: Placed[Rule] = Placed(Required(), location, whole=True)
        return [implied, *rules]
    return list(rules)


def without_required(rules: Sequence[Rule]) -> Sequence[Rule]:
    """``rules`` without the one that ``required: true`` stands for: the only one, in first place, without words."""
    implied = rules[:1] == (Required(),) and not any(isinstance(rule, Required) for rule in rules[1:])
    return rules[1:] if implied else rules


def present_rule(rule: Rule) -> Validator:
    """A rule in the spelling of the importers and the engine."""
    return Validator.model_validate(part_members(rule))


def present_transform(transform: Transform) -> Transformation:
    """A transform in the spelling of the engine."""
    return Transformation.model_validate(part_members(transform))


def part_members(part: Rule | Transform) -> Json:
    """The members of a rule or a transform that say something, by their names in the model."""
    members = {name: value for name, value in part if value is not None and value != ()}
    return {
        name: list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
        for name, value in members.items()
    }
