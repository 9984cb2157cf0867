"""The template: the one model of an import configuration.

Every vocabulary of the public surface is translated to and from this model in the gateway.
A template is immutable per version; a run carries a copy of the version it was started with.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from libs.contracts.date_formats import date_format_problem

FIELD_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
RESOURCE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
FILE_TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
REGION_PATTERN = r"^[A-Z]{2}$"
RESERVED_FIELD_NAMES = frozenset(
    {"tenant_id", "extra", "is_deleted", "deleted_at", "created_at", "updated_at", "constructor", "prototype"}
)
MAX_FIELDS = 500
MAX_PATTERN_CHARS = 500
MAX_ENUM_VALUES = 5_000
MAX_TEXT_CHARS = 2_000
MAX_DATE_FORMAT_CHARS = 40
MAX_DECIMALS = 30

FieldName = Annotated[str, StringConstraints(pattern=FIELD_NAME_PATTERN)]
ResourceName = Annotated[str, StringConstraints(pattern=RESOURCE_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
Header = Annotated[str, StringConstraints(min_length=1, max_length=300)]
DateFormat = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DATE_FORMAT_CHARS)]
FileType = Annotated[str, StringConstraints(pattern=FILE_TYPE_PATTERN)]
Region = Annotated[str, StringConstraints(pattern=REGION_PATTERN)]
Scalar = str | int | float | bool | None


class _Frozen(BaseModel):
    """A part of a template as it is stored: what a newer release has added is ignored.

    Whoever judges a client's request passes ``extra="forbid"`` or reads it by a model of its own. What would
    change the meaning of a template, such as a type, rule or transform of an unknown kind, is refused in any case.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class FieldType(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    EMAIL = "email"
    DATE = "date"
    BOOLEAN = "boolean"
    PHONE = "phone"
    URL = "url"
    SELECT = "select"
    CUSTOM_REGEX = "custom_regex"


class DateOrder(StrEnum):
    """How 03/04/2025 is read. A date that starts with a four-digit year is year, month, day in any case."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


class DecimalStyle(StrEnum):
    """What stands before the decimals: ``1,234.5`` (point) or ``1.234,5`` (comma)."""

    POINT = "point"
    COMMA = "comma"


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


KEYED_MODES = frozenset({ImportMode.UPSERT, ImportMode.UPDATE, ImportMode.SYNC})
"""Modes that find a record by ``upsert_key``."""


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
    """No two rows of the file hold the same value; the first row of the file keeps it.

    Attributes:
        fields: further fields: then no two rows hold the same combination. A row in which one of
            them is empty repeats nothing.
        against_target: neither may a live record of the target hold it, other than the one that the
            row updates.
    """

    type: Literal["unique"] = "unique"
    fields: tuple[FieldName, ...] = Field(default=(), max_length=10)
    against_target: bool = False
    message: Text | None = None


class RequiredIf(_Frozen):
    """A value is required where another field has one, or one of ``values`` (compared as text after transforms)."""

    type: Literal["required_if"] = "required_if"
    field: FieldName
    values: tuple[Text, ...] | None = Field(default=None, min_length=1, max_length=MAX_ENUM_VALUES)
    message: Text | None = None


class Compare(_Frozen):
    """The value relates to that of another field as said: ``end`` ``ge`` ``start``. Empty values pass."""

    type: Literal["compare"] = "compare"
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    field: FieldName
    message: Text | None = None


Rule = Annotated[
    Required | MinLength | MaxLength | Min | Max | Regex | OneOf | Unique | RequiredIf | Compare,
    Field(discriminator="type"),
]


class Trim(_Frozen):
    type: Literal["trim"] = "trim"


class Upper(_Frozen):
    type: Literal["upper"] = "upper"


class Lower(_Frozen):
    type: Literal["lower"] = "lower"


class Capitalize(_Frozen):
    """First Letter Of Each Word."""

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


class RemoveSpecialChars(_Frozen):
    """Only letters, digits (of any script) and spaces stay."""

    type: Literal["remove_special_chars"] = "remove_special_chars"


class NormalizePhone(_Frozen):
    """A number of the region's own numbering plan in its national format, ``(650) 253-0000``; any other in the
    international one. What is no phone number stays as it is.

    Attributes:
        region: ISO 3166 code for numbers without a country code; the template's ``default_region`` if absent.
    """

    type: Literal["normalize_phone"] = "normalize_phone"
    region: Region | None = None


class NormalizeDate(_Frozen):
    """A date in any form that the type ``date`` understands becomes text in ``format``; other text stays as it is."""

    type: Literal["normalize_date"] = "normalize_date"
    format: DateFormat = "YYYY-MM-DD"


class Constant(_Frozen):
    """The field has this text in every row; its column is not read."""

    type: Literal["constant"] = "constant"
    value: Text


class Concat(_Frozen):
    """The cells of these columns of the file that are not empty, joined by spaces."""

    type: Literal["concat"] = "concat"
    columns: tuple[Header, ...] = Field(min_length=1, max_length=20)


Transform = Annotated[
    Trim
    | Upper
    | Lower
    | Capitalize
    | RemoveSpecialChars
    | NormalizePhone
    | NormalizeDate
    | Default
    | Replace
    | Constant
    | Concat,
    Field(discriminator="type"),
]


class TemplateField(_Frozen):
    """One field of the target record.

    Attributes:
        name: key in the record.
        label: name shown to people.
        description: help for people.
        column: header of the source column. Where it is absent, the column is found by name, label and aliases.
        aliases: other headers that the column may have.
        type: what the text of the cell must be.
        date_format: for ``date``: the only form that is read, in tokens such as ``YYYY-MM-DD``, see
            ``libs.contracts.date_formats``. Without it: ISO 8601, day, month and year as ``date_order`` says,
            month names, and Excel's serial numbers.
        date_order: for ``date`` without a format; found out from the column where absent.
        decimal_style: for ``number``; found out from the column where absent.
        integer: for ``number``: refuse a fraction.
        decimals: for ``number``: an exact decimal number, rounded half up to so many decimals.
        options: for ``select``: the values to choose from.
        region: for ``phone``: ISO 3166 code for numbers without a country code; the template's
            ``default_region`` where absent.
        transforms: applied to the text in this order, before type and rules.
        rules: all are checked; every broken one is reported.
    """

    name: FieldName
    label: Text | None = None
    description: Text | None = None
    column: Header | None = None
    aliases: tuple[Header, ...] = Field(default=(), max_length=50)
    type: FieldType = FieldType.TEXT
    date_format: DateFormat | None = None
    date_order: DateOrder | None = None
    decimal_style: DecimalStyle | None = None
    integer: bool = False
    decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    options: tuple[Text, ...] = Field(default=(), max_length=MAX_ENUM_VALUES)
    region: Region | None = None
    transforms: tuple[Transform, ...] = Field(default=(), max_length=20)
    rules: tuple[Rule, ...] = Field(default=(), max_length=20)

    @property
    def source(self) -> str:
        """The header that the field is read from, as far as the template knows it."""
        return self.column or self.label or self.name

    @property
    def required(self) -> bool:
        return any(isinstance(rule, Required) for rule in self.rules)

    @property
    def reads_column(self) -> bool:
        """Whether the value comes from the field's own column at all."""
        return not any(isinstance(transform, Constant | Concat) for transform in self.transforms)

    @property
    def filled_when_empty(self) -> bool:
        """Whether the field has a value even where its column is missing or empty."""
        return any(isinstance(transform, Constant | Default) for transform in self.transforms)


class ColumnWidth(_Frozen):
    """One column of a fixed-width file.

    Attributes:
        name: its header, where the file has no header line.
        width: in the ``width_unit`` of the format.
    """

    name: Header | None = None
    width: int = Field(ge=1, le=100_000)


class SourceFormat(_Frozen):
    """How the file is read; ``None`` means: find out from the file.

    Attributes:
        file_type: name of a registered format: ``csv``, ``json``, ``xml``, ``fixed_width``, ``excel``, ….
        delimiter: for ``csv``.
        encoding: of text formats, a codec name of Python.
        has_header: whether the first row names the columns; by default it does, except in fixed-width files.
        skip_rows: rows before the header that are dropped.
        column_widths: for ``fixed_width``.
        width_unit: what ``column_widths`` count.
        sheet: for ``excel``: name, or index from 0; the first visible worksheet where absent.
    """

    file_type: FileType | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, max_length=40)
    has_header: bool | None = None
    skip_rows: int = Field(default=0, ge=0, le=1_000)
    column_widths: tuple[ColumnWidth, ...] = Field(default=(), max_length=MAX_FIELDS)
    width_unit: Literal["characters", "bytes"] = "characters"
    sheet: Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(min_length=1, max_length=100)] | None = None


class Template(_Frozen):
    """What a file must look like and what becomes of it.

    Attributes:
        default_values: constants for fields of the record that no column provides.
        required_columns: headers without which the file is refused.
        upsert_key: field that identifies a record, for every mode but append.
        scope_filter: for ``mode = sync``: which live records the file stands for.
        delete_column: header of the column that marks records to delete, for ``mode = upsert``.
        include_unmatched_columns: keep columns that no field reads, under ``extra`` of the record.
        default_date_order: for columns whose own dates do not tell.
        default_decimal_style: for columns whose own numbers do not tell.
        default_region: ISO 3166 code for phone numbers without a country code.
        webhook_url: receiver of the run's events.
        include_data_in_webhook: send rows with the events.
        webhook_data_sample_size: most rows sent; all where absent.
        dark_mode: how the embedded importer looks.
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
    scope_filter: dict[FieldName, Scalar] | None = None
    delete_column: Header | None = None
    default_values: dict[FieldName, Scalar] = {}
    required_columns: tuple[Header, ...] = Field(default=(), max_length=MAX_FIELDS)
    include_unmatched_columns: bool = False
    default_date_order: DateOrder = DateOrder.DMY
    default_decimal_style: DecimalStyle = DecimalStyle.POINT
    default_region: Region = "US"
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    include_data_in_webhook: bool = False
    webhook_data_sample_size: int | None = Field(default=None, ge=0, le=1_000)
    dark_mode: bool = False
    auto_execute: bool = False

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
    def matches_by_key(self) -> bool:
        """Whether rows are matched with records by the upsert key."""
        return self.mode in KEYED_MODES


TEXTUAL_TYPES = frozenset(
    {FieldType.TEXT, FieldType.EMAIL, FieldType.PHONE, FieldType.URL, FieldType.SELECT, FieldType.CUSTOM_REGEX}
)
"""Types whose value is the checked text itself."""
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
    return [
        *_name_findings(template),
        *_mode_findings(template),
        *(finding for index in range(len(template.fields)) for finding in _field_findings(template, index)),
    ]


def _name_findings(template: Template) -> Iterator[Finding]:
    names = [field.name for field in template.fields]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding("CONFLICT", f"{name!r} is defined twice", "name", index)
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
            yield Finding("INVALID", f"{member} is a number beyond 64 bits, which no record can hold", member)


def _mode_findings(template: Template) -> Iterator[Finding]:
    names = [field.name for field in template.fields]
    mode, key = template.mode, template.upsert_key
    if mode in KEYED_MODES and key is None:
        yield Finding("MISSING", f"mode {mode.value!r} needs an upsert_key", "upsert_key")
    if key is not None and key not in names:
        message = f"upsert_key {key!r} is not one of the fields: {', '.join(names)}"
        yield Finding("INVALID", message, "upsert_key")
    if mode is ImportMode.SYNC and not template.scope_filter:
        message = "mode 'sync' needs a scope_filter, so that it cannot delete what the file does not stand for"
        yield Finding("MISSING", message, "scope_filter")
    if template.scope_filter is not None and mode is not ImportMode.SYNC:
        yield Finding("CONFLICT", "scope_filter needs mode 'sync'", "scope_filter")
    if template.delete_column is not None and mode is not ImportMode.UPSERT:
        yield Finding("CONFLICT", "delete_column needs mode 'upsert'", "delete_column")


def _field_findings(template: Template, index: int) -> Iterator[Finding]:
    field = template.fields[index]
    for attribute, needed, given in (
        ("date_format", FieldType.DATE, field.date_format is not None),
        ("date_order", FieldType.DATE, field.date_order is not None),
        ("decimal_style", FieldType.NUMBER, field.decimal_style is not None),
        ("integer", FieldType.NUMBER, field.integer),
        ("decimals", FieldType.NUMBER, field.decimals is not None),
        ("options", FieldType.SELECT, bool(field.options)),
        ("region", FieldType.PHONE, field.region is not None),
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
        yield Finding("CONFLICT", "integer and decimals exclude each other", "decimals", index)
    if field.type is FieldType.SELECT and not field.options:
        yield Finding("MISSING", "type 'select' needs options", "options", index)
    if field.type is FieldType.CUSTOM_REGEX and not any(isinstance(rule, Regex) for rule in field.rules):
        yield Finding("MISSING", "type 'custom_regex' needs a regex rule", "rules", index)
    yield from _rule_findings(template, index)


def _rule_findings(template: Template, index: int) -> Iterator[Finding]:
    field = template.fields[index]
    types = {each.name: each.type for each in template.fields}
    lengths: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _LENGTH_RULES)}
    bounds: dict[str, Any] = {rule.type: rule.value for rule in field.rules if isinstance(rule, _NUMERIC_RULES)}
    if bounds and field.type is not FieldType.NUMBER:
        message = "min and max compare numbers; the type must be 'number'"
        yield Finding("CONFLICT", message, "rules", index)
    if lengths.get("min_length", 0) > lengths.get("max_length", float("inf")):
        yield Finding("CONFLICT", "min_length is greater than max_length: no value can pass", "rules", index)
    if bounds.get("min", float("-inf")) > bounds.get("max", float("inf")):
        yield Finding("CONFLICT", "min is greater than max: no value can pass", "rules", index)
    for number, rule in enumerate(field.rules):
        member = f"rules[{number}]"
        for other in _other_fields(rule):
            if other not in types:
                yield Finding("INVALID", f"{rule.type}: there is no field {other!r}", member, index, other)
            if other == field.name:
                yield Finding("INVALID", f"{rule.type} names the field itself", member, index, other)
        if isinstance(rule, Compare) and rule.field in types and not comparable(rule, field.type, types[rule.field]):
            message = (
                f"compare: a {field.type.value} cannot be compared with the {types[rule.field].value} "
                f"{rule.field!r} by {rule.operator!r}"
            )
            yield Finding("CONFLICT", message, member, index, rule.field)


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
