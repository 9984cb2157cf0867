"""What every vocabulary of the public surface shares: types, rules and transforms of a field, to and from
``libs.contracts.templates``.

Which rules and transforms there are and what they take stands in the model alone; here are only the other
spellings in which the three reference documents (seeds 000, 001, 002) write them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, Field, ValidationError, WithJsonSchema

from libs.contracts.date_formats import date_format_problem
from libs.contracts.templates import (
    MAX_ENUM_VALUES,
    MAX_PATTERN_CHARS,
    DateFormat,
    FieldName,
    FieldType,
    Header,
    Max,
    MaxLength,
    Min,
    MinLength,
    NormalizeDate,
    Regex,
    Region,
    Required,
    Rule,
    Template,
    Text,
    Transform,
    template_findings,
)
from libs.patterns import pattern_problem
from services.gateway.domain.request_shape import Json, Part, Problems, objects, shown

MAX_BOUND = 2**63 - 1
MAX_LENGTH_BOUND = 2**31 - 1

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


def read_rules(raw: Json, key: str, location: str, problems: Problems) -> list[Rule]:
    """The rules in the list ``raw[key]`` of the field at ``location``; the shape of ``raw`` is judged already."""
    rules: list[Rule] = []
    for number, written in objects(raw, key):
        place = f"{location}.{key}[{number}]"
        part = written
        if written.get("type") == "unique":
            switch = written.get("value")
            if switch is not None and not isinstance(switch, bool):
                problems.add(f"{place}.value", "INVALID", f"true or false is needed; found {shown(switch)}")
            if switch is False:
                continue
            part = {member: value for member, value in written.items() if member != "value"}
        if (rule := cast("Rule | None", _read(part, place, _VALIDATORS, problems))) is not None:
            _check_rule(rule, part, place, problems)
            rules.append(rule)
    return rules


def read_transforms(raw: Json, key: str, location: str, problems: Problems) -> list[Transform]:
    """The transforms in the list ``raw[key]`` of the field at ``location``."""
    read = (read_transform(part, f"{location}.{key}[{number}]", problems) for number, part in objects(raw, key))
    return [transform for transform in read if transform is not None]


def read_transform(part: Json, location: str, problems: Problems) -> Transform | None:
    """The transform that stands at ``location``."""
    transform = cast("Transform | None", _read(part, location, _TRANSFORMATIONS, problems))
    if isinstance(transform, NormalizeDate) and (problem := date_format_problem(transform.format)):
        problems.add(f"{location}.format", "INVALID", problem)
    return transform


def _read(part: Json, location: str, family: _Family, problems: Problems) -> BaseModel | None:
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
        return model.model_validate(given, strict=True)
    except ValidationError as error:
        problems.refusals(error, given, location, written)
        return None


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


def _check_rule(rule: Rule, part: Json, location: str, problems: Problems) -> None:
    """What the model leaves to others: the engine of patterns, and numbers that columns can be compared with."""
    match rule:
        case Regex() if problem := pattern_problem(rule.pattern):
            member = "value" if part.get("pattern") is None else "pattern"
            problems.add(f"{location}.{member}", "INVALID_PATTERN", problem)
        case MinLength() | MaxLength() if rule.value > MAX_LENGTH_BOUND:
            problems.add(f"{location}.value", "INVALID", f"a length of at most {MAX_LENGTH_BOUND} is needed")
        case Min() | Max() if abs(rule.value) > MAX_BOUND:
            problems.add(f"{location}.value", "INVALID", "a number between ±2^63 is needed")
        case _:
            pass


def with_required(rules: Sequence[Rule], *, required: bool) -> list[Rule]:
    """``rules``, led by ``Required`` where the field says ``required: true`` and no rule does."""
    if required and not any(isinstance(rule, Required) for rule in rules):
        return [Required(), *rules]
    return list(rules)


def without_required(rules: Sequence[Rule]) -> Sequence[Rule]:
    """``rules`` without the one that ``required: true`` stands for: the only one, in first place, without words."""
    implied = rules[:1] == (Required(),) and not any(isinstance(rule, Required) for rule in rules[1:])
    return rules[1:] if implied else rules


def present_rule(rule: Rule) -> Validator:
    """A rule in the spelling of the importers and the engine."""
    return Validator.model_validate(_presented(rule))


def present_transform(transform: Transform) -> Transformation:
    """A transform in the spelling of the engine."""
    return Transformation.model_validate(_presented(transform))


def _presented(part: BaseModel) -> Json:
    members = {name: value for name, value in part if value is not None and value != ()}
    return {
        name: list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
        for name, value in members.items()
    }


# --- the model's own findings, at their places -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where a field stands in a request.

    Attributes:
        location: e.g. ``body.field_mapping[3]``.
        members: the request's names of what the model calls ``name``, ``rules``, …; those not listed have the same.
        validators: the rules as written, to point at the one that a finding is about.
    """

    location: str
    members: Mapping[str, str]
    validators: Sequence[tuple[int, Json]] = ()

    def at(self, attribute: str) -> str:
        """The location of what the model calls ``attribute``."""
        return f"{self.location}.{self.members.get(attribute, attribute)}"

    def rule(self, name: str) -> str:
        """The location of the only rule of that type; of all rules where there are several."""
        numbers = [number for number, part in self.validators if part.get("type") == name]
        return f"{self.at('rules')}[{numbers[0]}]" if len(numbers) == 1 else self.at("rules")


def place_problems(
    template: Template, places: Sequence[FieldPlace], unread: Collection[str], problems: Problems
) -> None:
    """Note what keeps ``template`` from working, in the words of the model, each finding at its place.

    Args:
        template: may be made by ``model_construct`` from those parts of a request that could be read.
        places: where its fields stand, in their order.
        unread: names of fields that could not be read and stand in ``template`` by name only.
        problems: takes the findings.
    """
    for finding in template_findings(template):
        place = None if finding.field is None else places[finding.field]
        names = {finding.other} if finding.field is None else {finding.other, template.fields[finding.field].name}
        if place is None:
            problems.add(f"body.{finding.member}", finding.code, finding.message)
        elif finding.member == "name" or (
            not names & set(unread) and not problems.told(finding.message, place.location)
        ):
            location = place.at(finding.member) if finding.rule is None else place.rule(finding.rule)
            problems.add(location, finding.code, finding.message)
