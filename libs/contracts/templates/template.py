"""The template as a whole, and everything that keeps a well-formed one from working."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from libs.contracts.date_formats import date_format_problem
from libs.contracts.spelling import same_words
from libs.contracts.templates.fields import DateOrder, DecimalStyle, FieldType, TemplateField
from libs.contracts.templates.parts import (
    MAX_FIELDS,
    MAX_WORDS,
    RESERVED_FIELD_NAMES,
    FieldName,
    Header,
    Region,
    ResourceName,
    Scalar,
    TemplatePart,
    Text,
    added,
)
from libs.contracts.templates.rules import Compare, Max, MaxLength, Min, MinLength, Regex, RequiredIf, Rule, Unique
from libs.contracts.templates.source import SourceFormat
from libs.contracts.templates.transforms import NormalizeDate


class InvalidRows(StrEnum):
    """What becomes of a run when some of its rows are invalid."""

    SKIP = "skip"
    """Invalid rows are rejected, the rest is written."""
    BLOCK = "block"
    """One invalid row is enough: nothing is written and the run fails."""
    KEEP = "keep"
    """Invalid rows are written too, with their original text and a warning."""


class ImportMode(StrEnum):
    APPEND = "append"
    UPSERT = "upsert"
    UPDATE = "update"
    SYNC = "sync"


class RecordEvents(StrEnum):
    """What ``records.changed.v1`` tells of the records that a run changes."""

    OFF = "off"
    IDS = "ids"
    """Which records, and what was done to each."""
    FIELDS = "fields"
    """And the names of the fields that changed."""
    VALUES = "values"
    """And their values."""


KEYED_MODES = frozenset({ImportMode.UPSERT, ImportMode.UPDATE, ImportMode.SYNC})
"""Modes that find a record by ``upsert_key``."""


class Template(TemplatePart):
    """What a file must look like and what becomes of it.

    Attributes:
        default_values: constants for fields of the record that no column provides.
        required_columns: headers without which the file is refused.
        upsert_key: field that identifies a record, for every mode but append.
        scope_filter: for ``mode = sync``: which live records the file stands for.
        delete_column: header of the column that marks records to delete, for ``mode = upsert``. A file must have it.
        include_unmatched_columns: keep columns that no field reads, under ``extra`` of the record.
        default_date_order: for columns whose own dates do not tell.
        default_decimal_style: for columns whose own numbers do not tell.
        two_digit_year_pivot: the first two-digit year of the 20th century, those below are of the 21st. Where absent it
            is 69, and a year more than 20 years ahead is refused unless a ``date_format`` asks for it.
        zero_dates: whether a date of zeros such as ``0000-00-00`` is an error or an empty value.
        default_region: ISO 3166 code for phone numbers without a country code.
        null_values: texts that mean "no value" in every field, also in texts; where absent, the usual ones in all
            fields but texts.
        webhook_url: receiver of the run's events.
        include_data_in_webhook: send rows with the events.
        webhook_data_sample_size: most rows sent; all where absent.
        dark_mode: how the embedded importer looks.
        embed_enabled: whether the template may be used by an embedded importer.
        auto_execute: go on from validated to executing without being asked.
        shared_with_children: organizations below the one that has it may use it too.
        record_events: what internal consumers on Kafka are told of the records that its runs change.
    """

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    source: SourceFormat = SourceFormat()
    fields: tuple[TemplateField, ...] = Field(min_length=1, max_length=MAX_FIELDS)
    invalid_rows: InvalidRows = InvalidRows.SKIP
    target_resource: ResourceName
    mode: ImportMode = ImportMode.APPEND
    upsert_key: FieldName | None = None
    scope_filter: dict[FieldName, Scalar] | None = None
    delete_column: Header | None = None
    default_values: dict[FieldName, Scalar] = Field(default={})
    required_columns: tuple[Header, ...] = Field(default=(), max_length=MAX_FIELDS)
    include_unmatched_columns: bool = False
    default_date_order: DateOrder = DateOrder.DMY
    default_decimal_style: DecimalStyle = DecimalStyle.POINT
    two_digit_year_pivot: int | None = added(default=None, ge=0, le=100)
    zero_dates: Literal["error", "empty"] = added(default="error")
    default_region: Region = "US"
    null_values: tuple[Text, ...] | None = added(default=None, max_length=MAX_WORDS)
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    include_data_in_webhook: bool = False
    webhook_data_sample_size: int | None = Field(default=None, ge=0, le=1_000)
    dark_mode: bool = False
    embed_enabled: bool = added(default=True)
    auto_execute: bool = False
    shared_with_children: bool = added(default=False)
    record_events: RecordEvents = added(default=RecordEvents.OFF)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        findings = template_findings(self)
        if findings:
            raise ValueError("; ".join(self._said(finding) for finding in findings))
        return self

    def _said(self, finding: "Finding") -> str:
        return (
            finding.message
            if finding.field is None
            else f"field {self.fields[finding.field].name!r}: {finding.message}"
        )

    @property
    def sets(self) -> frozenset[str]:
        """The fields of a record that it gives values to: its own, and the default values."""
        return frozenset({*(field.name for field in self.fields), *self.default_values})

    @property
    def matches_by_key(self) -> bool:
        """Whether rows are matched with records by the upsert key."""
        return self.mode in KEYED_MODES


TEXTUAL_TYPES = frozenset(
    {FieldType.TEXT, FieldType.EMAIL, FieldType.PHONE, FieldType.URL, FieldType.SELECT, FieldType.CUSTOM_REGEX}
)
"""Types whose value is the checked text itself."""
MAX_LISTED = 8
_NUMERIC_RULES = (Min, Max)
_LENGTH_RULES = (MinLength, MaxLength)


class Finding(NamedTuple):
    """Something that keeps a well-formed template from working.

    Attributes:
        code: ``MISSING``, ``CONFLICT``, ``RESERVED_NAME`` or ``INVALID``.
        message: what is wrong and how to fix it.
        member: what it is about: path of a member of the template, or of the field, such as ``rules[0]``.
        field: index of the field that it is about.
        other: name of another field that the rule speaks of.
    """

    code: Literal["MISSING", "CONFLICT", "RESERVED_NAME", "INVALID"]
    message: str
    member: str
    field: int | None = None
    other: str | None = None

    @property
    def location(self) -> str:
        """The path in the template, such as ``fields[2].rules[0]``."""
        return self.member if self.field is None else f"fields[{self.field}].{self.member}"


def template_findings(template: Template) -> list[Finding]:
    """Everything that keeps a well-formed template from working, all at once.

    Patterns are not compiled here: contracts have no regex engine. The gateway asks the
    engine that will run them.
    """
    types = {field.name: field.type for field in template.fields}
    return [
        *_name_findings(template),
        *_mode_findings(template),
        *(finding for index in range(len(template.fields)) for finding in _field_findings(template, index, types)),
    ]


def _name_findings(template: Template) -> Iterator[Finding]:
    names: set[str] = set()
    for index, name in enumerate(field.name for field in template.fields):
        if name in names:
            yield Finding("CONFLICT", f"{name!r} is defined twice; give each field a name of its own", "name", index)
        names.add(name)
        if name in RESERVED_FIELD_NAMES:
            yield Finding("RESERVED_NAME", f"{name!r} is reserved; choose another name", "name", index)
    for name, value in template.default_values.items():
        member = f"default_values.{name}"
        if name in RESERVED_FIELD_NAMES:
            yield Finding("RESERVED_NAME", f"{member} is reserved; choose another name", member)
        if name in names:
            message = f"{member} would overwrite the field of that name; use the transform 'default' on it"
            yield Finding("CONFLICT", message, member)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield Finding(
                "INVALID", f"{member} is a number beyond 64 bits, which no record can hold; write it as text", member
            )


def _mode_findings(template: Template) -> Iterator[Finding]:
    names = [field.name for field in template.fields]
    mode, key = template.mode, template.upsert_key
    if mode in KEYED_MODES and key is None:
        yield Finding("MISSING", f"mode {mode.value!r} needs an upsert_key", "upsert_key")
    if key is not None and key not in names:
        message = f"upsert_key {key!r} is not one of the fields: {_listed(names)}"
        yield Finding("INVALID", message, "upsert_key")
    if mode is ImportMode.SYNC and not template.scope_filter:
        message = "mode 'sync' needs a scope_filter, so that it cannot delete what the file does not stand for"
        yield Finding("MISSING", message, "scope_filter")
    if template.scope_filter is not None and mode is not ImportMode.SYNC:
        yield Finding("CONFLICT", "scope_filter needs mode 'sync'", "scope_filter")
    if template.delete_column is not None and mode is not ImportMode.UPSERT:
        yield Finding("CONFLICT", "delete_column needs mode 'upsert'", "delete_column")


def _field_findings(template: Template, index: int, types: Mapping[str, FieldType]) -> Iterator[Finding]:
    field = template.fields[index]
    for attribute, needed, given in (
        ("date_format", FieldType.DATE, field.date_format is not None),
        ("date_order", FieldType.DATE, field.date_order is not None),
        ("past", FieldType.DATE, field.past),
        ("decimal_style", FieldType.NUMBER, field.decimal_style is not None),
        ("integer", FieldType.NUMBER, field.integer),
        ("decimals", FieldType.NUMBER, field.decimals is not None),
        ("percent", FieldType.NUMBER, field.percent is not None),
        ("currency", FieldType.NUMBER, field.currency is not None),
        ("options", FieldType.SELECT, bool(field.options)),
        ("region", FieldType.PHONE, field.region is not None),
        ("true_values", FieldType.BOOLEAN, bool(field.true_values)),
        ("false_values", FieldType.BOOLEAN, bool(field.false_values)),
    ):
        if given and field.type is not needed:
            yield Finding("CONFLICT", f"{attribute} needs type {needed.value!r}", attribute, index)
    if field.date_format is not None and (problem := date_format_problem(field.date_format)):
        yield Finding("INVALID", problem, "date_format", index)
    for number, transform in enumerate(field.transforms):
        if isinstance(transform, NormalizeDate) and (problem := date_format_problem(transform.format)):
            yield Finding("INVALID", problem, f"transforms[{number}].format", index)
    if field.date_format is not None and field.date_order is not None:
        message = "date_order says nothing beside a date_format; leave one of them out"
        yield Finding("CONFLICT", message, "date_order", index)
    if field.integer and field.decimals is not None:
        yield Finding("CONFLICT", "integer and decimals exclude each other; leave one of them out", "decimals", index)
    yield from _word_findings(field, index)
    if field.type is FieldType.SELECT and not field.options:
        yield Finding("MISSING", "type 'select' needs options", "options", index)
    if field.type is FieldType.CUSTOM_REGEX and not any(isinstance(rule, Regex) for rule in field.rules):
        yield Finding("MISSING", "type 'custom_regex' needs a regex rule", "rules", index)
    yield from _rule_findings(field, index, types)


def _word_findings(field: TemplateField, index: int) -> Iterator[Finding]:
    for given, missing in (("true_values", "false_values"), ("false_values", "true_values")):
        if getattr(field, given) and not getattr(field, missing):
            message = f"{given} needs {missing} beside it: with one word of a pair only half of the rows would be read"
            yield Finding("MISSING", message, missing, index)
    if both := same_words(field.true_values) & same_words(field.false_values):
        yield Finding("CONFLICT", f"{_listed(sorted(both))} cannot mean both true and false", "false_values", index)


def _rule_findings(field: TemplateField, index: int, types: Mapping[str, FieldType]) -> Iterator[Finding]:
    lengths: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _LENGTH_RULES)}
    bounds: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _NUMERIC_RULES)}
    if bounds and field.type is not FieldType.NUMBER:
        message = "min and max compare numbers; the type must be 'number'"
        yield Finding("CONFLICT", message, "rules", index)
    if lengths.get("min_length", 0) > lengths.get("max_length", float("inf")):
        yield Finding(
            "CONFLICT", "min_length is greater than max_length: no value can pass; change one of them", "rules", index
        )
    if bounds.get("min", float("-inf")) > bounds.get("max", float("inf")):
        yield Finding("CONFLICT", "min is greater than max: no value can pass; change one of them", "rules", index)
    for number, rule in enumerate(field.rules):
        member = f"rules[{number}]"
        for other in _other_fields(rule):
            if other not in types:
                message = f"{rule.type}: there is no field {other!r}; the fields are {_listed(types)}"
                yield Finding("INVALID", message, member, index, other)
            if other == field.name:
                yield Finding(
                    "INVALID",
                    f"{rule.type} names the field itself; name another one, or leave it out",
                    member,
                    index,
                    other,
                )
        if isinstance(rule, Compare) and rule.field in types and not comparable(rule, field.type, types[rule.field]):
            message = (
                f"compare: a {field.type.value} cannot be compared with the {types[rule.field].value} "
                f"{rule.field!r} by {rule.operator!r}; compare fields of one type, and those that are neither numbers "
                "nor dates by eq or ne only"
            )
            yield Finding("CONFLICT", message, member, index, rule.field)


def _listed(names: Collection[str]) -> str:
    said = ", ".join(islice(names, MAX_LISTED))
    return f"{said}, … ({len(names)} in all)" if len(names) > MAX_LISTED else said


def _other_fields(rule: Rule) -> tuple[str, ...]:
    match rule:
        case RequiredIf() | Compare():
            return (rule.field,)
        case Unique():
            return rule.fields
        case _:
            return ()


def comparable(rule: Compare, one: FieldType, other: FieldType) -> bool:
    """Whether values of two types can be compared: of one kind, and in an order only numbers and dates."""
    if one in TEXTUAL_TYPES and other in TEXTUAL_TYPES:
        return rule.operator in {"eq", "ne"}
    return one is other and (one is not FieldType.BOOLEAN or rule.operator in {"eq", "ne"})
