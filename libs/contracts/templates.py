"""The template: the one model of an import configuration (DESIGN section 6).

Every vocabulary of the public surface is translated to and from this model in the gateway.
A template is immutable per version; a run carries a copy of the version it was started with.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

FIELD_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
RESOURCE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
RESERVED_FIELD_NAMES = frozenset(
    {"tenant_id", "extra", "is_deleted", "deleted_at", "created_at", "updated_at", "constructor", "prototype"}
)
MAX_FIELDS = 500
MAX_PATTERN_CHARS = 500
MAX_ENUM_VALUES = 5_000
MAX_TEXT_CHARS = 2_000

FieldName = Annotated[str, StringConstraints(pattern=FIELD_NAME_PATTERN)]
ResourceName = Annotated[str, StringConstraints(pattern=RESOURCE_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
Header = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldType(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    EMAIL = "email"
    DATE = "date"
    BOOLEAN = "boolean"


class InvalidRows(StrEnum):
    """What becomes of a run when some of its rows are invalid (seeds 000, "Invalid Row Handling")."""

    SKIP = "skip"
    """Invalid rows are rejected, the rest is written."""
    BLOCK = "block"
    """One invalid row is enough: nothing is written and the run fails."""
    KEEP = "keep"
    """Invalid rows are written too, with their original text and a warning."""


class ImportMode(StrEnum):
    APPEND = "append"
    UPSERT = "upsert"


class Required(_Frozen):
    type: Literal["required"] = "required"
    message: Text | None = None


class MinLength(_Frozen):
    type: Literal["min_length"] = "min_length"
    value: int = Field(ge=0)
    message: Text | None = None


class MaxLength(_Frozen):
    type: Literal["max_length"] = "max_length"
    value: int = Field(ge=0)
    message: Text | None = None


class Min(_Frozen):
    type: Literal["min"] = "min"
    value: float = Field(allow_inf_nan=False)
    message: Text | None = None


class Max(_Frozen):
    type: Literal["max"] = "max"
    value: float = Field(allow_inf_nan=False)
    message: Text | None = None


class Regex(_Frozen):
    """The whole value must match, in the syntax of Rust's ``regex`` crate (linear time)."""

    type: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    message: Text | None = None


class OneOf(_Frozen):
    type: Literal["enum"] = "enum"
    values: tuple[Text, ...] = Field(min_length=1, max_length=MAX_ENUM_VALUES)
    message: Text | None = None


class Unique(_Frozen):
    """No two rows of the file hold the same value; the first row of the file keeps it."""

    type: Literal["unique"] = "unique"
    message: Text | None = None


Rule = Annotated[Required | MinLength | MaxLength | Min | Max | Regex | OneOf | Unique, Field(discriminator="type")]


class Trim(_Frozen):
    type: Literal["trim"] = "trim"


class Upper(_Frozen):
    type: Literal["upper"] = "upper"


class Lower(_Frozen):
    type: Literal["lower"] = "lower"


class Capitalize(_Frozen):
    """First Letter Of Each Word (seeds 000)."""

    type: Literal["capitalize"] = "capitalize"


class Default(_Frozen):
    """An empty value becomes ``value``."""

    type: Literal["default"] = "default"
    value: Text


class Replace(_Frozen):
    """Every occurrence of the literal text ``find`` becomes ``replace``."""

    type: Literal["replace"] = "replace"
    find: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    replace: Text = ""


Transform = Annotated[Trim | Upper | Lower | Capitalize | Default | Replace, Field(discriminator="type")]


class TemplateField(_Frozen):
    """One field of the target record.

    Attributes:
        name: key in the record.
        label: name shown to people.
        column: header of the source column; the field's own name where it is absent.
        type: what the text of the cell must be.
        date_format: for ``date``: tokens ``YYYY MM DD HH mm ss``; ISO 8601 where absent.
        integer: for ``number``: refuse a fraction.
        transforms: applied to the text in this order, before type and rules.
        rules: all are checked; every broken one is reported.
    """

    name: FieldName
    label: Text | None = None
    column: Header | None = None
    type: FieldType = FieldType.TEXT
    date_format: str | None = Field(default=None, max_length=40)
    integer: bool = False
    transforms: tuple[Transform, ...] = Field(default=(), max_length=20)
    rules: tuple[Rule, ...] = Field(default=(), max_length=20)

    @property
    def source(self) -> str:
        """The header that the field is read from."""
        return self.column or self.name

    @property
    def required(self) -> bool:
        return any(isinstance(rule, Required) for rule in self.rules)

    @property
    def unique(self) -> bool:
        return any(isinstance(rule, Unique) for rule in self.rules)


class SourceFormat(_Frozen):
    """How the file is read; ``None`` means: find out from the file."""

    file_type: Literal["csv"] = "csv"
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, max_length=40)
    has_header: bool = True
    skip_rows: int = Field(default=0, ge=0, le=1_000)


class Template(_Frozen):
    """What a file must look like and what becomes of it.

    Attributes:
        default_values: constants for fields of the record that no column provides.
        required_columns: headers without which the file is refused.
        upsert_key: field that identifies a record, for ``mode = upsert``.
        webhook_url: receiver of the run's events.
        auto_execute: go on from validated to executing without being asked.
    """

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    source: SourceFormat = SourceFormat()
    fields: tuple[TemplateField, ...] = Field(min_length=1, max_length=MAX_FIELDS)
    invalid_rows: InvalidRows = InvalidRows.SKIP
    target_resource: ResourceName
    mode: ImportMode = ImportMode.APPEND
    upsert_key: FieldName | None = None
    default_values: dict[FieldName, str | int | float | bool | None] = {}
    required_columns: tuple[Header, ...] = Field(default=(), max_length=MAX_FIELDS)
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    auto_execute: bool = False

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        problems = list(template_problems(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def whole_file_questions(self) -> bool:
        """Whether the barrier has to compare rows of different batches."""
        return self.mode is ImportMode.UPSERT or any(field.unique for field in self.fields)


def template_problems(template: Template) -> list[str]:
    """Everything that keeps a well-formed template from working, all at once.

    Patterns are not compiled here: contracts have no regex engine. The gateway asks the
    engine that will run them.
    """
    problems: list[str] = []
    names = [field.name for field in template.fields]
    problems += [f"field {name!r} is defined twice" for name in sorted({n for n in names if names.count(n) > 1})]
    every_name = [*names, *template.default_values]
    problems += [f"field name {n!r} is reserved; choose another" for n in every_name if n in RESERVED_FIELD_NAMES]
    problems += [
        f"default_values.{name} would overwrite the field of that name; use the transform 'default' on it"
        for name in template.default_values
        if name in names
    ]
    problems += [
        f"default_values.{name} is a number beyond 64 bits, which no record can hold"
        for name, value in template.default_values.items()
        if isinstance(value, int) and not -(2**63) <= value < 2**63
    ]
    if template.mode is ImportMode.UPSERT:
        if template.upsert_key is None:
            problems.append("mode 'upsert' needs an upsert_key")
        elif template.upsert_key not in names:
            problems.append(f"upsert_key {template.upsert_key!r} is not one of the fields: {', '.join(names)}")
    for field in template.fields:
        problems += [f"field {field.name!r}: {problem}" for problem in _field_problems(field)]
    return problems


_NUMERIC_RULES = (Min, Max)
_LENGTH_RULES = (MinLength, MaxLength)


def _field_problems(field: TemplateField) -> list[str]:
    problems: list[str] = []
    if field.date_format is not None and field.type is not FieldType.DATE:
        problems.append("date_format needs type 'date'")
    if field.date_format is not None and (problem := date_format_problem(field.date_format)):
        problems.append(problem)
    if field.integer and field.type is not FieldType.NUMBER:
        problems.append("integer needs type 'number'")
    lengths: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _LENGTH_RULES)}
    bounds: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _NUMERIC_RULES)}
    if bounds and field.type is not FieldType.NUMBER:
        problems.append("min and max compare numbers; the type must be 'number'")
    if lengths.get("min_length", 0) > lengths.get("max_length", float("inf")):
        problems.append("min_length is greater than max_length: no value can pass")
    if bounds.get("min", float("-inf")) > bounds.get("max", float("inf")):
        problems.append("min is greater than max: no value can pass")
    return problems


_DATE_TOKENS = re.compile(r"YYYY|MM|DD|HH|mm|ss")
_DATE_LITERALS = re.compile(r"[-/. :T]*")


def date_format_problem(date_format: str) -> str | None:
    """Why a date format cannot work, or ``None``. Tokens: ``YYYY MM DD HH mm ss``."""
    tokens: list[str] = _DATE_TOKENS.findall(date_format)
    rest = _DATE_TOKENS.sub("", date_format)
    if not _DATE_LITERALS.fullmatch(rest):
        return f"date_format {date_format!r}: only YYYY MM DD HH mm ss and the signs - / . : space T are understood"
    if not {"YYYY", "MM", "DD"} <= set(tokens):
        return f"date_format {date_format!r} must hold YYYY, MM and DD"
    if len(tokens) != len(set(tokens)):
        return f"date_format {date_format!r} holds a token twice"
    return None
