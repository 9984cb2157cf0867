"""The import engine's vocabulary for templates, to and from ``libs.contracts.templates.Template``.

Names of the engine's own are kept; these are additions: per field ``type``, ``label``, ``date_format``,
``integer``, ``validators``, ``transformations``; per template ``invalid_rows``, ``auto_execute`` and the three
``webhook_…``. ``transform`` is applied before ``transformations``.

``read_template`` names everything that is wrong at once: pydantic judges the shape of every part, and
``_Reading`` walks the same raw document for what the parts mean, passing over whatever has the wrong shape.
"""

import base64
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from libs.contracts.errors import PermanentError
from libs.contracts.templates import (
    FIELD_NAME_PATTERN,
    MAX_ENUM_VALUES,
    MAX_FIELDS,
    MAX_PATTERN_CHARS,
    MAX_TEXT_CHARS,
    RESERVED_FIELD_NAMES,
    Default,
    FieldName,
    FieldType,
    Header,
    ImportMode,
    InvalidRows,
    Max,
    MaxLength,
    Min,
    MinLength,
    OneOf,
    Regex,
    Replace,
    Required,
    ResourceName,
    Rule,
    Template,
    TemplateField,
    Text,
    Transform,
    date_format_problem,
)
from libs.egress.rules import IPNetwork, url_problem
from libs.rules.patterns import pattern_problem
from services.gateway.domain.problems import Problem

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # Standard Webhooks 1.0.0, "Signature scheme"
MAX_INTEGER = 2**63 - 1
MAX_LENGTH_BOUND = 2**31 - 1
MAX_SHOWN_CHARS = 80
READ_ONLY = frozenset({"id", "created_at", "updated_at"})
"""What an answer holds beyond a request; accepted and ignored, so that an answer can be sent back changed."""

_Scalar = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
_Number = Annotated[Any, WithJsonSchema({"type": ["number", "null"]})]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EngineValidator(_Part):
    """A rule: ``value`` for the four bounds, ``pattern`` for ``regex``, ``values`` for ``enum``."""

    type: Literal["required", "min_length", "max_length", "min", "max", "regex", "enum", "unique"]
    value: _Number = None
    pattern: str | None = Field(default=None, min_length=1, max_length=MAX_PATTERN_CHARS)
    values: list[Text] | None = Field(default=None, min_length=1, max_length=MAX_ENUM_VALUES)
    message: Text | None = None


class EngineTransformation(_Part):
    """A change of the text: ``value`` for ``default``, ``find`` and ``replace`` for ``replace``."""

    type: Literal["trim", "upper", "uppercase", "lower", "lowercase", "capitalize", "default", "replace"]
    value: Text | None = None
    find: Text | None = Field(default=None, min_length=1)
    replace: Text | None = None


class EngineFieldMapping(_Part):
    """One field of the target record and the column that it is read from."""

    source: Header
    target: FieldName
    required: bool = False
    transform: str | None = Field(
        default=None, max_length=200, description="trim, upper, lower, boolean, integer or date:FORMAT"
    )
    type: Literal["text", "number", "email", "date", "boolean"] | None = None
    label: Text | None = None
    date_format: str | None = Field(default=None, max_length=40, examples=["YYYY-MM-DD"])
    integer: bool | None = None
    validators: list[EngineValidator] = Field(default=[], max_length=20)
    transformations: list[EngineTransformation] = Field(default=[], max_length=20)


class EngineTemplate(_Part):
    """The blueprint of an import: what the file looks like and what becomes of it."""

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    file_type: Literal["csv", "json", "xml", "fixed_width", "excel"] = "csv"
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, min_length=1, max_length=40)
    has_header: bool = True
    skip_rows: int = Field(default=0, ge=0, le=1_000)
    column_widths: list[Any] | None = None
    target_resource: ResourceName
    import_mode: Literal["append", "create", "upsert", "update", "sync"] = "append"
    upsert_key: FieldName | None = None
    delete_column: str | None = None
    scope_filter: dict[str, Any] | None = None
    default_values: dict[str, _Scalar] = {}
    required_columns: list[Header] = Field(default=[], max_length=MAX_FIELDS)
    field_mapping: list[EngineFieldMapping] = Field(min_length=1, max_length=MAX_FIELDS)
    invalid_rows: Literal["skip", "block", "keep"] = "skip"
    auto_execute: bool = False
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    webhook_secret: str | None = Field(default=None, max_length=200)
    version: int | None = Field(
        default=None, ge=1, description="With PUT: the version that is being replaced; 409 where it no longer is."
    )


class EngineTemplateView(EngineTemplate):
    """A stored template. ``webhook_secret`` is shown once, by the call that made it."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)

    id: str
    version: int | None = 1
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateRequest:
    """A template as asked for, with what is not part of the model."""

    template: Template
    webhook_secret: str | None
    version: int | None


class InvalidTemplateError(PermanentError):
    """A template that cannot be saved, with everything that is wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        things = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("INVALID_TEMPLATE", f"the template has {things}; see errors")
        self.problems = problems


def read_template(body: object, allowed_networks: Collection[IPNetwork] = ()) -> TemplateRequest:
    """Understand a template as a client wrote it.

    Args:
        body: the decoded JSON of the request.
        allowed_networks: networks that webhooks may reach although they are not public.

    Raises:
        InvalidTemplateError: it cannot be saved; holds every problem with its location.
    """
    if not isinstance(body, dict):
        raise InvalidTemplateError((Problem("body", "INVALID", "a template is a JSON object"),))
    raw = {key: value for key, value in cast("dict[str, Any]", body).items() if key not in READ_ONLY}
    reading = _Reading(allowed_networks)
    try:
        shape = EngineTemplate.model_validate(raw)
    except ValidationError as error:
        shape = None
        reading.problems += [_shape_problem(cast("dict[str, Any]", entry)) for entry in error.errors()]
    model = reading.template(raw)
    if reading.problems or shape is None:
        raise InvalidTemplateError(tuple(_in_order(reading.problems)))
    try:
        template = Template.model_validate(model)
    except ValidationError as error:
        problems = tuple(Problem("body", "INVALID", str(entry["msg"])) for entry in error.errors())
        raise InvalidTemplateError(problems) from error
    return TemplateRequest(template, shape.webhook_secret, shape.version)


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Each once, sorted by place; numbers in a location count as numbers."""

    def place(problem: Problem) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", problem.location)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    return sorted(dict.fromkeys(problems), key=place)


def _location(path: tuple[int | str, ...]) -> str:
    return "body" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _shape_problem(error: dict[str, Any]) -> Problem:
    location = _location(error["loc"])
    match error["type"]:
        case "missing":
            return Problem(location, "MISSING", "is required")
        case "extra_forbidden":
            return Problem(location, "UNKNOWN_FIELD", f"{error['loc'][-1]!r} is unknown here; remove it")
        case "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            return Problem(location, "INVALID", f"{_shown(error['input'])} does not match {pattern}")
        case _:
            return Problem(location, "INVALID", f"{error['msg']}; found {_shown(error['input'])}")


def _shown(value: object) -> str:
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"


# --- meaning ------------------------------------------------------------------------------------

_VALIDATOR_TAKES: dict[str, str | None] = {
    "required": None,
    "unique": None,
    "min_length": "value",
    "max_length": "value",
    "min": "value",
    "max": "value",
    "regex": "pattern",
    "enum": "values",
}
_TRANSFORMATION_NEEDS: dict[str, tuple[str, ...]] = {"default": ("value",), "replace": ("find",)}
_TRANSFORMATION_TAKES: dict[str, tuple[str, ...]] = {"default": ("value",), "replace": ("find", "replace")}
_TRANSFORMATION_NAMES = {"uppercase": "upper", "lowercase": "lower"}
_LATER_TRANSFORMS = frozenset({"decimal", "constant", "concat"})
_LATER_FILE_TYPES = frozenset({"json", "xml", "fixed_width", "excel"})
_LATER_MODES = frozenset({"update", "sync"})
# Python has these as text encodings, but no file is written in them.
_NOT_FILE_ENCODINGS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")


def _text(raw: dict[str, Any], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def _objects(raw: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    value = raw.get(key)
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    return [(n, cast("dict[str, Any]", entry)) for n, entry in enumerate(entries) if isinstance(entry, dict)]


def _mapping(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _present(**values: object) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


@dataclass(slots=True)
class _Reading:
    """Collects problems; what it returns is only of use where there are none, of shape or of meaning."""

    allowed_networks: Collection[IPNetwork]
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, location: str, code: str, message: str) -> None:
        self.problems.append(Problem(location, code, message))

    def later(self, location: str, what: str, instead: str) -> None:
        self.add(location, "NOT_SUPPORTED_YET", f"{what} is not supported yet; {instead}")

    def template(self, raw: dict[str, Any]) -> dict[str, Any]:
        name = _text(raw, "name")
        if name and not name.strip():
            self.add("body.name", "INVALID", "the name is blank")
        return _present(
            name=name,
            description=raw.get("description"),
            source=self.source(raw),
            fields=self.fields(raw),
            invalid_rows=raw.get("invalid_rows"),
            target_resource=raw.get("target_resource"),
            mode=self.mode(raw),
            upsert_key=raw.get("upsert_key"),
            default_values=self.default_values(raw),
            required_columns=raw.get("required_columns"),
            webhook_url=self.webhook_url(raw),
            webhook_enabled=raw.get("webhook_enabled"),
            auto_execute=raw.get("auto_execute"),
        )

    def source(self, raw: dict[str, Any]) -> dict[str, Any]:
        file_type = _text(raw, "file_type")
        if file_type in _LATER_FILE_TYPES:
            self.later("body.file_type", f"{file_type!r}", "supported: csv")
        if raw.get("column_widths") is not None:
            self.later("body.column_widths", "fixed width", "supported: csv")
        delimiter, encoding = _text(raw, "delimiter"), _text(raw, "encoding")
        if delimiter is not None and delimiter in '"\r\n\0':
            self.add("body.delimiter", "INVALID", "a quote, a line break or NUL cannot separate cells")
        if encoding is not None and not _is_file_encoding(encoding):
            self.add(
                "body.encoding", "INVALID", f"{_shown(encoding)} is no text encoding; examples: utf-8, utf-16, cp1252"
            )
        return _present(
            delimiter=delimiter, encoding=encoding, has_header=raw.get("has_header"), skip_rows=raw.get("skip_rows")
        )

    def mode(self, raw: dict[str, Any]) -> str:
        mode = _text(raw, "import_mode") or "append"
        key = _text(raw, "upsert_key")
        if mode in _LATER_MODES:
            self.later("body.import_mode", f"{mode!r}", "supported: append, create, upsert")
        if raw.get("delete_column") is not None:
            self.later("body.delete_column", "deleting by a column", "leave it out")
        if raw.get("scope_filter") is not None:
            self.later("body.scope_filter", "a scope", "leave it out")
        targets = {_text(entry, "target") for _, entry in _objects(raw, "field_mapping")}
        if mode == "upsert" and raw.get("upsert_key") is None:
            self.add("body.upsert_key", "MISSING", "import_mode 'upsert' needs the field that identifies a record")
        elif key is not None and key not in targets:
            self.add("body.upsert_key", "INVALID", f"{_shown(key)} is not the target of any field")
        return "append" if mode == "create" else mode

    def default_values(self, raw: dict[str, Any]) -> dict[str, Any]:
        targets = {_text(entry, "target") for _, entry in _objects(raw, "field_mapping")}
        values = _mapping(raw, "default_values")
        for name, value in values.items():
            location = f"body.default_values.{name}"
            if not re.fullmatch(FIELD_NAME_PATTERN, name):
                self.add(location, "INVALID", f"the name {_shown(name)} does not match {FIELD_NAME_PATTERN}")
            elif name in RESERVED_FIELD_NAMES:
                self.add(location, "RESERVED_NAME", f"{name!r} is reserved; choose another name")
            elif name in targets:
                self.add(
                    location, "CONFLICT", "a field of that name exists; use the transformation 'default' on it instead"
                )
            if not _is_scalar(value):
                self.add(location, "INVALID", "a default is a text, a finite 64-bit number, true, false or null")
        return values

    def webhook_url(self, raw: dict[str, Any]) -> str | None:
        url, secret = _text(raw, "webhook_url"), _text(raw, "webhook_secret")
        if url is not None and (problem := url_problem(url, self.allowed_networks)):
            self.add("body.webhook_url", "INVALID_URL", problem)
        if secret is not None and not _is_webhook_secret(secret):
            self.add(
                "body.webhook_secret",
                "INVALID",
                f"a secret is 'whsec_' and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; "
                "leave it out to get one",
            )
        if secret is not None and url is None and raw.get("webhook_url") is None:
            self.add("body.webhook_secret", "CONFLICT", "a secret needs a webhook_url")
        return url

    def fields(self, raw: dict[str, Any]) -> list[dict[str, Any]]:
        seen: dict[str, int] = {}
        fields: list[dict[str, Any]] = []
        for number, entry in _objects(raw, "field_mapping"):
            location = f"body.field_mapping[{number}]"
            target = _text(entry, "target")
            if target is not None and target in seen:
                first = seen[target]
                self.add(f"{location}.target", "CONFLICT", f"field_mapping[{first}] has the target {target!r} already")
            elif target is not None:
                seen[target] = number
            if target in RESERVED_FIELD_NAMES:
                self.add(f"{location}.target", "RESERVED_NAME", f"{target!r} is reserved; choose another target")
            fields.append(self.field(entry, location))
        return fields

    def field(self, entry: dict[str, Any], location: str) -> dict[str, Any]:
        implied = self.transform(entry, location)
        kind, date_format, integer = (
            self.agreed(entry, location, key, implied) for key in ("type", "date_format", "integer")
        )
        kind = kind or "text"
        if date_format is not None and kind != "date":
            self.add(f"{location}.date_format", "CONFLICT", "date_format needs type 'date'")
        if isinstance(date_format, str) and (problem := date_format_problem(date_format)):
            place = "transform" if entry.get("date_format") is None else "date_format"
            self.add(f"{location}.{place}", "INVALID", problem)
        if integer and kind != "number":
            self.add(f"{location}.integer", "CONFLICT", "integer needs type 'number'")
        rules = [
            self.rule(rule, f"{location}.validators[{number}]", kind) for number, rule in _objects(entry, "validators")
        ]
        self.bounds(rules, location)
        if entry.get("required") is True and not any(rule.get("type") == "required" for rule in rules):
            rules.insert(0, {"type": "required"})
        return _present(
            name=entry.get("target"),
            label=entry.get("label"),
            column=entry.get("source"),
            type=kind,
            date_format=date_format,
            integer=integer,
            rules=rules,
            transforms=[*implied.get("transforms", []), *self.transformations(entry, location)],
        )

    def agreed(self, entry: dict[str, Any], location: str, key: str, implied: dict[str, Any]) -> Any:  # noqa: ANN401 - as in the request
        given, meant = entry.get(key), implied.get(key)
        if given is not None and meant is not None and given != meant:
            self.add(
                f"{location}.{key}", "CONFLICT", f"{_shown(given)} contradicts the transform {entry['transform']!r}"
            )
        return meant if given is None else given

    def transform(self, entry: dict[str, Any], location: str) -> dict[str, Any]:
        """What the expression in ``transform`` says about type and text."""
        expression = _text(entry, "transform")
        if expression is None:
            return {}
        name, colon, argument = expression.strip().partition(":")
        place = f"{location}.transform"
        match name:
            case "trim" | "upper" | "lower" if not colon:
                return {"transforms": [{"type": name}]}
            case "boolean" if not colon:
                return {"type": "boolean"}
            case "integer" if not colon:
                return {"type": "number", "integer": True}
            case "date" if argument:
                return {"type": "date", "date_format": argument}
            case _ if name in _LATER_TRANSFORMS:
                self.later(place, f"the transform {name!r}", "supported: trim, upper, lower, boolean, integer, date:…")
            case _:
                self.add(
                    place,
                    "INVALID",
                    f"{_shown(expression)} is no transform; use trim, upper, lower, boolean, integer or "
                    "date:FORMAT such as date:YYYY-MM-DD",
                )
        return {}

    def transformations(self, entry: dict[str, Any], location: str) -> list[dict[str, Any]]:
        transforms: list[dict[str, Any]] = []
        for number, part in _objects(entry, "transformations"):
            place = f"{location}.transformations[{number}]"
            kind = _text(part, "type") or ""
            takes = _TRANSFORMATION_TAKES.get(kind, ())
            for member in _TRANSFORMATION_NEEDS.get(kind, ()):
                if part.get(member) is None:
                    self.add(f"{place}.{member}", "MISSING", f"the transformation {kind!r} needs it")
            self.foreign(part, place, kind, {"value", "find", "replace"} - set(takes))
            transforms.append(
                {"type": _TRANSFORMATION_NAMES.get(kind, kind), **_present(**{key: part.get(key) for key in takes})}
            )
        return transforms

    def rule(self, part: dict[str, Any], location: str, kind: str) -> dict[str, Any]:
        rule = _text(part, "type") or ""
        takes = _VALIDATOR_TAKES.get(rule)
        if takes is not None and part.get(takes) is None:
            self.add(f"{location}.{takes}", "MISSING", f"the validator {rule!r} needs it")
        if rule in _VALIDATOR_TAKES:
            self.foreign(part, location, rule, {"value", "pattern", "values"} - {takes or ""})
        value, pattern = part.get("value"), _text(part, "pattern")
        if takes == "value" and value is not None:
            self.bound(rule, value, location)
        if rule in {"min", "max"} and kind != "number":
            self.add(f"{location}.type", "CONFLICT", f"{rule!r} compares numbers; the field's type must be 'number'")
        if rule == "regex" and pattern and len(pattern) <= MAX_PATTERN_CHARS and (problem := _pattern_problem(pattern)):
            self.add(f"{location}.pattern", "INVALID_PATTERN", problem)
        return {"type": rule, **_present(message=part.get("message"), **({takes: part.get(takes)} if takes else {}))}

    def bound(self, rule: str, value: object, location: str) -> None:
        if rule in {"min", "max"}:
            if not (_is_number(value) and abs(cast("float", value)) <= MAX_INTEGER):
                self.add(f"{location}.value", "INVALID", f"a number between ±2^63 is needed; found {_shown(value)}")
        elif not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LENGTH_BOUND):
            self.add(f"{location}.value", "INVALID", f"a whole number from 0 is needed; found {_shown(value)}")

    def bounds(self, rules: list[dict[str, Any]], location: str) -> None:
        values = {str(rule["type"]): rule["value"] for rule in rules if _is_number(rule.get("value"))}
        for low, high in (("min_length", "max_length"), ("min", "max")):
            if low in values and high in values and values[low] > values[high]:
                self.add(f"{location}.validators", "CONFLICT", f"{low} is greater than {high}: no value can pass")

    def foreign(self, part: dict[str, Any], location: str, kind: str, members: set[str]) -> None:
        for member in sorted(members):
            if part.get(member) is not None:
                self.add(f"{location}.{member}", "UNKNOWN_FIELD", f"{kind!r} has no {member!r}; remove it")


def _pattern_problem(pattern: str) -> str | None:
    try:
        pattern.encode()
    except UnicodeEncodeError:
        return None  # the shape of the text is refused already
    return pattern_problem(pattern)


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        try:
            return len(value.encode()) <= MAX_TEXT_CHARS
        except UnicodeEncodeError:
            return False
    if isinstance(value, bool) or value is None:
        return True
    return _is_number(value) and abs(cast("float", value)) <= (MAX_INTEGER if isinstance(value, int) else math.inf)


def _is_file_encoding(name: str) -> bool:
    if name.lower().replace("-", "_") in _NOT_FILE_ENCODINGS:
        return False
    try:
        "".encode(name)
    except (LookupError, ValueError, TypeError):
        return False
    return True


def _is_webhook_secret(secret: str) -> bool:
    if not secret.startswith("whsec_"):
        return False
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES


# --- and back -----------------------------------------------------------------------------------


def present_template(
    template: Template,
    *,
    template_id: str,
    version: int,
    created_at: datetime,
    updated_at: datetime,
    webhook_secret: str | None = None,
) -> EngineTemplateView:
    """A stored template in the engine's vocabulary; reading it again gives the same template."""
    source = template.source
    return EngineTemplateView(
        id=template_id,
        name=template.name,
        description=template.description,
        file_type=source.file_type,
        delimiter=source.delimiter,
        encoding=source.encoding,
        has_header=source.has_header,
        skip_rows=source.skip_rows,
        target_resource=template.target_resource,
        import_mode=ImportMode(template.mode).value,
        upsert_key=template.upsert_key,
        default_values=dict(template.default_values),
        required_columns=list(template.required_columns),
        field_mapping=[_present_field(each) for each in template.fields],
        invalid_rows=InvalidRows(template.invalid_rows).value,
        auto_execute=template.auto_execute,
        webhook_url=template.webhook_url,
        webhook_enabled=template.webhook_enabled,
        webhook_secret=webhook_secret,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


def _present_field(each: TemplateField) -> EngineFieldMapping:
    # ``required: true`` stands for the rule without a message in first place; any other keeps its place and words.
    implied = bool(each.rules) and each.rules[0] == Required()
    return EngineFieldMapping(
        source=each.source,
        target=each.name,
        required=each.required,
        type=FieldType(each.type).value,
        label=each.label,
        date_format=each.date_format,
        integer=each.integer or None,
        validators=[_present_rule(rule) for rule in each.rules[1 if implied else 0 :]],
        transformations=[_present_transform(transform) for transform in each.transforms],
    )


def _present_rule(rule: Rule) -> EngineValidator:
    match rule:
        case MinLength() | MaxLength() | Min() | Max():
            return EngineValidator(type=rule.type, value=rule.value, message=rule.message)
        case Regex():
            return EngineValidator(type="regex", pattern=rule.pattern, message=rule.message)
        case OneOf():
            return EngineValidator(type="enum", values=list(rule.values), message=rule.message)
        case _:
            return EngineValidator(type=rule.type, message=rule.message)


def _present_transform(transform: Transform) -> EngineTransformation:
    match transform:
        case Default():
            return EngineTransformation(type="default", value=transform.value)
        case Replace():
            return EngineTransformation(type="replace", find=transform.find, replace=transform.replace)
        case _:
            return EngineTransformation(type=transform.type)
