"""The import engine's vocabulary for templates (seeds 002), to and from ``libs.contracts.templates.Template``.

Names of the engine's own are kept; the rest are additions, under the names of the model: per field ``type``,
``label``, ``description``, ``aliases``, ``date_format``, ``date_order``, ``decimal_style``, ``integer``,
``decimals``, ``options``, ``region``, ``validators``, ``transformations``; per template the ``default_…`` of the
three styles, ``include_unmatched_columns``, ``invalid_rows``, ``auto_execute``, ``dark_mode``, the ``webhook_…``,
and ``auto`` as a ``file_type``. ``transform`` is applied before ``transformations``.

``read_template`` names everything that is wrong at once: pydantic judges the shape of every part, and
``_Reading`` builds what is left into the model, which judges the meaning.
"""

import base64
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema

from libs.contracts.templates import (
    MAX_DECIMALS,
    MAX_ENUM_VALUES,
    MAX_FIELDS,
    MAX_TEXT_CHARS,
    ColumnWidth,
    DateFormat,
    DateOrder,
    DecimalStyle,
    FieldName,
    FieldType,
    Header,
    ImportMode,
    InvalidRows,
    Region,
    ResourceName,
    SourceFormat,
    Template,
    TemplateField,
    Text,
    Transform,
)
from libs.egress.rules import IPNetwork, url_problem
from libs.formats.content import BUILT_IN, file_types
from libs.formats.encodings import file_codec
from services.gateway.domain.field_vocabulary import (
    FieldPlace,
    Transformation,
    TypeName,
    Validator,
    field_type,
    place_problems,
    present_rule,
    present_transform,
    read_rules,
    read_transform,
    read_transforms,
    with_required,
    without_required,
)
from services.gateway.domain.problems import InvalidTemplateError, Problem
from services.gateway.domain.request_shape import Json, Part, Problems, objects, present, shown

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # Standard Webhooks 1.0.0, "Signature scheme"
READ_ONLY = frozenset({"id", "created_at", "updated_at"})
"""What an answer holds beyond a request; accepted and ignored, so that an answer can be sent back changed."""
AUTO = "auto"
"""The ``file_type`` of a template whose files say themselves what they are."""
MAX_TRANSFORM_CHARS = MAX_TEXT_CHARS + len("constant:")

_Scalar = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
_Width = {"type": "integer", "minimum": 1}
_ColumnWidths = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Widths in the order of the columns; with names where the file has no header line.",
            "anyOf": [
                {"type": "array", "items": _Width},
                {"type": "object", "additionalProperties": _Width},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["width"],
                        "properties": {"name": {"type": ["string", "null"]}, "width": _Width},
                    },
                },
                {"type": "null"},
            ],
        }
    ),
]


class EngineFieldMapping(Part):
    """One field of the target record and the column that it is read from.

    Without ``source`` the column is found by ``target``, ``label`` and ``aliases``.
    """

    source: Header | None = None
    target: FieldName
    required: bool = False
    transform: str | None = Field(
        default=None,
        max_length=MAX_TRANSFORM_CHARS,
        description="trim, upper, lower, boolean, integer, decimal:N, date:FORMAT, constant:VALUE or concat:f1,f2",
    )
    type: TypeName | None = None
    label: Text | None = None
    description: Text | None = None
    aliases: list[Header] = Field(default=[], max_length=50)
    date_format: DateFormat | None = Field(default=None, examples=["YYYY-MM-DD"])
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    decimal_style: Literal["point", "comma"] | None = None
    integer: bool | None = None
    decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    options: list[Text] | None = Field(default=None, max_length=MAX_ENUM_VALUES)
    region: Region | None = None
    validators: list[Validator] = Field(default=[], max_length=20)
    transformations: list[Transformation] = Field(default=[], max_length=20)


class EngineTemplate(Part):
    """The blueprint of an import: what the file looks like and what becomes of it."""

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    file_type: str = Field(
        default="csv",
        description=f"{', '.join(BUILT_IN)}, a registered format of your own, or {AUTO}: what the file says it is.",
    )
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, min_length=1, max_length=40)
    has_header: bool | None = Field(default=None, description="Default: true, except for fixed_width.")
    skip_rows: int = Field(default=0, ge=0, le=1_000)
    column_widths: _ColumnWidths = None
    width_unit: Literal["characters", "bytes"] = "characters"
    sheet: Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Of a workbook: name, or index from 0."
    )
    target_resource: ResourceName
    import_mode: Literal["append", "create", "upsert", "update", "sync"] = "append"
    upsert_key: FieldName | None = None
    delete_column: Header | None = None
    scope_filter: dict[str, Any] | None = None
    default_values: dict[FieldName, _Scalar] = Field(default={})
    required_columns: list[Header] = Field(default=[], max_length=MAX_FIELDS)
    include_unmatched_columns: bool = False
    default_date_order: Literal["dmy", "mdy", "ymd"] = "dmy"
    default_decimal_style: Literal["point", "comma"] = "point"
    default_region: Region = "US"
    field_mapping: list[EngineFieldMapping] = Field(min_length=1, max_length=MAX_FIELDS)
    invalid_rows: Literal["skip", "block", "keep"] = "skip"
    auto_execute: bool = False
    dark_mode: bool = False
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    webhook_secret: str | None = Field(default=None, max_length=200)
    include_data_in_webhook: bool = False
    webhook_data_sample_size: int | None = Field(default=None, ge=0, le=1_000)
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
    raw = {key: value for key, value in cast("Json", body).items() if key not in READ_ONLY}
    reading = _Reading(allowed_networks)
    raw = reading.problems.shape(EngineTemplate, raw, "body")
    model = reading.template(raw)
    if reading.problems.found:
        raise InvalidTemplateError(reading.problems.in_order())
    return TemplateRequest(Template.model_validate(model), raw.get("webhook_secret"), raw.get("version"))


# --- meaning ------------------------------------------------------------------------------------

_NAMES = {"name": "target", "column": "source", "rules": "validators", "transforms": "transformations"}
"""What the engine calls members of ``TemplateField`` that it calls otherwise."""
_SAME_NAMES = EngineFieldMapping.model_fields.keys() & TemplateField.model_fields.keys()
_EXPRESSIONS = (
    "trim, upper, lower, boolean, integer, decimal:N such as decimal:2, date:FORMAT such as date:YYYY-MM-DD, "
    "constant:VALUE or concat:COLUMN,COLUMN"
)


@dataclass(slots=True)
class _Expression:
    """What the expression in ``transform`` says: members of ``TemplateField``, and a change of the text."""

    members: Json = field(default_factory=dict[str, Any])
    transforms: list[Transform] = field(default_factory=list[Transform])


@dataclass(slots=True)
class _Reading:
    """Collects problems; what it returns is only of use where there are none."""

    allowed_networks: Collection[IPNetwork]
    problems: Problems = field(default_factory=Problems)

    def template(self, raw: Json) -> Json:
        if (name := raw.get("name")) is not None and not name.strip():
            self.problems.add("body.name", "INVALID", "the name is blank")
        self.writing(raw)
        self.webhook(raw)
        self.default_values(raw)
        fields, places, unread = self.fields(raw)
        model = present(
            name=name,
            source=self.source(raw),
            fields=tuple(fields),
            mode=ImportMode("append" if raw.get("import_mode") in _READ_AS_APPEND else raw["import_mode"]),
            **{
                key: raw.get(key)
                for key in (
                    "description", "target_resource", "invalid_rows", "upsert_key", "default_values",
                    "required_columns", "include_unmatched_columns", "default_date_order", "default_decimal_style",
                    "default_region", "webhook_url", "webhook_enabled", "webhook_data_sample_size", "dark_mode",
                    "auto_execute",
                )
            },
        )  # fmt: skip
        place_problems(Template.model_construct(**model), places, unread, self.problems)
        return model

    def source(self, raw: Json) -> SourceFormat:
        file_type = raw.get("file_type", "csv")
        known = (*file_types(), AUTO)
        if file_type not in known:
            self.problems.add(
                "body.file_type", "INVALID", f"{shown(file_type)} is no known format; known: {', '.join(known)}"
            )
        delimiter, encoding = raw.get("delimiter"), raw.get("encoding")
        if delimiter is not None and delimiter in '"\r\n\0':
            self.problems.add("body.delimiter", "INVALID", "a quote, a line break or NUL cannot separate cells")
        if encoding is not None and file_codec(encoding) is None:
            self.problems.add(
                "body.encoding", "INVALID", f"{shown(encoding)} is no text encoding; examples: utf-8, utf-16, cp1252"
            )
        members = {key: raw.get(key) for key in ("has_header", "skip_rows", "width_unit", "sheet")}
        widths = self.column_widths(raw.get("column_widths"))
        try:
            return SourceFormat(
                **present(
                    file_type=None if file_type == AUTO else file_type,
                    delimiter=delimiter,
                    encoding=encoding,
                    column_widths=widths,
                    **members,
                )
            )
        except ValidationError as error:
            self.problems.refusals(error, {**members, "column_widths": widths, "file_type": file_type}, "body")
            return SourceFormat()

    def column_widths(self, written: object) -> tuple[ColumnWidth, ...] | None:
        """The widths, in any of the three forms."""
        if written is None:
            return None
        columns: list[tuple[str, object]] = []
        if isinstance(written, dict):
            named = cast("Json", written)
            columns = [(f".{name}", {"name": name, "width": width}) for name, width in named.items()]
        elif isinstance(written, list):
            entries = cast("list[object]", written)
            columns = [(f"[{n}]", {"width": each} if isinstance(each, int) else each) for n, each in enumerate(entries)]
        if not columns:
            self.problems.add(
                "body.column_widths",
                "INVALID",
                'a list of widths such as [10, 25], of {"name", "width"}, or an object of widths by name is needed',
            )
        widths: list[ColumnWidth] = []
        for place, column in columns:
            try:
                widths.append(ColumnWidth.model_validate(column, strict=True, extra="forbid"))
            except ValidationError as error:
                self.problems.refusals(error, column, f"body.column_widths{place}")
        return tuple(widths)

    def writing(self, raw: Json) -> None:
        mode = raw.get("import_mode")
        if mode in _LATER_MODES:
            self.problems.later("body.import_mode", f"{mode!r}", "supported: append, create, upsert")
        if raw.get("delete_column") is not None:
            self.problems.later("body.delete_column", "deleting by a column", "leave it out")
        if raw.get("scope_filter") is not None:
            self.problems.later("body.scope_filter", "a scope", "leave it out")

    def default_values(self, raw: Json) -> None:
        for name, value in cast("Json", raw.get("default_values") or {}).items():
            if not _is_scalar(value):
                self.problems.add(
                    f"body.default_values.{name}",
                    "INVALID",
                    f"a default is a text of at most {MAX_TEXT_CHARS} bytes, a finite number, true, false or null",
                )

    def webhook(self, raw: Json) -> None:
        url, secret = raw.get("webhook_url"), raw.get("webhook_secret")
        if url is not None and (problem := url_problem(url, self.allowed_networks)):
            self.problems.add("body.webhook_url", "INVALID_URL", problem)
        if secret is not None and not _is_webhook_secret(secret):
            self.problems.add(
                "body.webhook_secret",
                "INVALID",
                f"a secret is 'whsec_' and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; "
                "leave it out to get one",
            )
        if secret is not None and url is None and not self.problems.within("body.webhook_url"):
            self.problems.add("body.webhook_secret", "CONFLICT", "a secret needs a webhook_url")
        if raw.get("include_data_in_webhook"):
            self.problems.later("body.include_data_in_webhook", "sending rows with the events", "leave it out")

    def fields(self, raw: Json) -> tuple[list[TemplateField], list[FieldPlace], set[str]]:
        """The fields, where they stand, and the names of those that could not be read."""
        fields: list[TemplateField] = []
        places: list[FieldPlace] = []
        unread: set[str] = set()
        for number, entry in objects(raw, "field_mapping"):
            location = f"body.field_mapping[{number}]"
            # Without a name the rest can be judged all the same.
            name = entry.get("target", f"nameless_{number}")
            expression = self.expression(entry, location)
            members = _NAMES | {key: "transform" for key in expression.members if entry.get(key) is None}
            values = self.field(entry, location, expression)
            try:
                each = TemplateField(name=name, **values)
            except ValidationError as error:
                self.problems.refusals(error, values, location, members)
                each = TemplateField.model_construct(name=name)
                unread.add(name)
            fields.append(each)
            places.append(FieldPlace(location, members, objects(entry, "validators")))
        return fields, places, unread

    def field(self, entry: Json, location: str, expression: _Expression) -> Json:
        """The members of a ``TemplateField`` but its name."""
        given = {key: value for key, value in entry.items() if value is not None}
        if "type" in given:
            given["type"] = field_type(given["type"])
        for key in expression.members.keys() & given.keys():
            if given[key] != expression.members[key]:
                self.problems.add(
                    f"{location}.{key}",
                    "CONFLICT",
                    f"{shown(entry[key])} contradicts the transform {shown(entry['transform'])}",
                )
        rules = read_rules(entry, "validators", location, self.problems)
        transforms = read_transforms(entry, "transformations", location, self.problems)
        return {
            **expression.members,
            **{key: value for key, value in given.items() if key in _SAME_NAMES},
            **present(column=entry.get("source")),
            "rules": tuple(with_required(rules, required=bool(entry.get("required")))),
            "transforms": (*expression.transforms, *transforms),
        }

    def expression(self, entry: Json, location: str) -> _Expression:
        """What the expression in ``transform`` says (seeds 002, "Field transforms")."""
        written = entry.get("transform")
        if written is None:
            return _Expression()
        place = f"{location}.transform"
        name, _, argument = cast("str", written).partition(":")
        part: Json = {}
        match name.strip(), argument.strip():
            case ("trim" | "upper" | "lower") as kind, "" if ":" not in written:
                part = {"type": kind}
            case "boolean", "" if ":" not in written:
                return _Expression({"type": FieldType.BOOLEAN})
            case "integer", "" if ":" not in written:
                return _Expression({"type": FieldType.NUMBER, "integer": True})
            case "decimal", digits if re.fullmatch(r"[0-9]{1,3}", digits):
                return _Expression({"type": FieldType.NUMBER, "decimals": int(digits)})
            case "date", date_format if date_format:
                return _Expression({"type": FieldType.DATE, "date_format": date_format})
            case "constant", value if value:
                part = {"type": "constant", "value": argument}
            case "concat", columns if columns:
                part = {"type": "concat", "columns": [column.strip() for column in columns.split(",")]}
            case _:
                self.problems.add(place, "INVALID", f"{shown(written)} is no transform; use {_EXPRESSIONS}")
        if not part:
            return _Expression()
        transform = read_transform(part, place, self.problems)
        return _Expression(transforms=[] if transform is None else [transform])


_LATER_MODES = frozenset({"update", "sync"})
_READ_AS_APPEND = _LATER_MODES | {"create", "append", None}


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        try:
            return len(value.encode()) <= MAX_TEXT_CHARS
        except UnicodeEncodeError:
            return False
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


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
        file_type=source.file_type or AUTO,
        delimiter=source.delimiter,
        encoding=source.encoding,
        has_header=source.has_header,
        skip_rows=source.skip_rows,
        column_widths=_present_widths(source.column_widths),
        width_unit=source.width_unit,
        sheet=source.sheet,
        target_resource=template.target_resource,
        import_mode=ImportMode(template.mode).value,
        upsert_key=template.upsert_key,
        delete_column=template.delete_column,
        scope_filter=template.scope_filter,
        default_values=dict(template.default_values),
        required_columns=list(template.required_columns),
        include_unmatched_columns=template.include_unmatched_columns,
        default_date_order=DateOrder(template.default_date_order).value,
        default_decimal_style=DecimalStyle(template.default_decimal_style).value,
        default_region=template.default_region,
        field_mapping=[_present_field(each) for each in template.fields],
        invalid_rows=InvalidRows(template.invalid_rows).value,
        auto_execute=template.auto_execute,
        dark_mode=template.dark_mode,
        webhook_url=template.webhook_url,
        webhook_enabled=template.webhook_enabled,
        webhook_secret=webhook_secret,
        include_data_in_webhook=template.include_data_in_webhook,
        webhook_data_sample_size=template.webhook_data_sample_size,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


def _present_widths(widths: tuple[ColumnWidth, ...]) -> list[int] | list[Json] | None:
    if any(each.name is not None for each in widths):
        return [{"name": each.name, "width": each.width} for each in widths]
    return [each.width for each in widths] or None


def _present_field(each: TemplateField) -> EngineFieldMapping:
    return EngineFieldMapping(
        source=each.column,
        target=each.name,
        required=each.required,
        type=FieldType(each.type).value,
        label=each.label,
        description=each.description,
        aliases=list(each.aliases),
        date_format=each.date_format,
        date_order=None if each.date_order is None else each.date_order.value,
        decimal_style=None if each.decimal_style is None else each.decimal_style.value,
        integer=each.integer or None,
        decimals=each.decimals,
        options=list(each.options) or None,
        region=each.region,
        validators=[present_rule(rule) for rule in without_required(each.rules)],
        transformations=[present_transform(transform) for transform in each.transforms],
    )
