"""Understands a template that a client wrote in the words of the import engine."""

from typing import Any, cast

from pydantic import ValidationError

from libs.contracts.templates import MAX_FIELDS, ColumnWidth, ImportMode, SourceFormat, Template, TemplateField
from libs.formats.file_types import file_types
from services.gateway.errors import Problem, invalid_template
from services.gateway.http.engine.expressions import EXPRESSIONS, Expression, read_expression
from services.gateway.http.engine.template_models import AUTO, VOCABULARY, EngineFieldMapping, EngineTemplate
from services.gateway.http.field_parts import (
    Placed,
    field_type,
    read_rules,
    read_transform,
    read_transforms,
    with_required,
)
from services.gateway.http.places import path_text
from services.gateway.http.request_shape import Json, objects, present
from services.gateway.http.template_reading import FieldRequest, TemplateReading, TemplateRequest
from services.gateway.shown import shown
from services.gateway.templates.catalog import Written
from services.gateway.templates.judging import TemplateJudge

READ_ONLY = frozenset(
    {
        "id", "tenant_id", "shared_from_tenant_id", "read_only", "copied_from", "created_at", "updated_at",
        "webhook_disabled_at", "webhook_disabled_reason", "errors",
    }
)  # fmt: skip
"""What an answer holds beyond a request; accepted and ignored, so that an answer can be sent back changed."""
TEMPLATE_NAMES = {"mode": "import_mode", "fields": "field_mapping", "source": ""}
FIELD_NAMES = {"name": "target", "column": "source", "rules": "validators", "transforms": "transformations"}
"""What the engine calls members of the model that it calls otherwise."""
_SAME_NAMES = EngineFieldMapping.model_fields.keys() & TemplateField.model_fields.keys()
_SOURCE_MEMBERS = (
    "delimiter", "encoding", "has_header", "skip_rows", "skip_footer_rows", "comment_prefix", "quote_char",
    "escape_char", "width_unit", "sheet", "record_path", "hidden_rows", "hidden_columns",
)  # fmt: skip
_TEMPLATE_MEMBERS = (
    "name", "description", "target_resource", "invalid_rows", "upsert_key", "delete_column", "scope_filter",
    "default_values", "required_columns", "include_unmatched_columns", "default_date_order", "default_decimal_style",
    "default_region", "two_digit_year_pivot", "zero_dates", "null_values", "webhook_url", "webhook_enabled",
    "include_data_in_webhook", "webhook_data_sample_size", "dark_mode", "auto_execute",
    "shared_with_children", "record_events",
)  # fmt: skip


def read_template(body: object, judge: TemplateJudge, location: str = "body") -> TemplateRequest:
    """Understand a template as a client wrote it.

    Args:
        body: the decoded JSON.
        judge: what judges its meaning.
        location: where it stands in the request.

    Raises:
        InvalidTemplateError: it cannot be saved; holds every problem with its place in the request.
    """
    if not isinstance(body, dict):
        raise invalid_template([Problem(location, "INVALID", "a template is a JSON object")])
    raw = {key: value for key, value in cast("Json", body).items() if key not in READ_ONLY}
    return _Reading(judge, location).template(raw)


class _Reading(TemplateReading):
    """Reads a template of the engine's."""

    def __init__(self, judge: TemplateJudge, location: str) -> None:
        super().__init__(judge, location, TEMPLATE_NAMES)
        self.words: list[Json] = []

    def template(self, given: Json) -> TemplateRequest:
        raw = self.shape(EngineTemplate, EngineFieldMapping, "field_mapping", given)
        self.unread |= given.keys() - raw.keys()
        mode = raw.get("import_mode")
        parts = Template.model_construct(
            **present(
                source=self.source(raw),
                fields=self.fields(raw),
                mode=ImportMode.APPEND if mode in {"create", None} else ImportMode(mode),
                **{key: raw.get(key) for key in _TEMPLATE_MEMBERS},
            )
        )
        approved = self.approved(parts, raw.get("webhook_secret"))
        words = present(import_mode=mode if mode == "create" else None, fields=self.words or None)
        return TemplateRequest(approved, raw.get("version"), Written(VOCABULARY, words), self.places)

    def source(self, raw: Json) -> SourceFormat:
        file_type, known = raw.get("file_type", "csv"), file_types()
        if file_type not in {*known, AUTO}:
            message = f"{shown(file_type)} is no known format; known: {', '.join((*known, AUTO))}"
            self.problems.add(f"{self.location}.file_type", "INVALID", message)
        widths = self.column_widths(raw.get("column_widths"))
        members = {key: raw.get(key) for key in _SOURCE_MEMBERS} | {
            "column_widths": widths,
            "file_type": file_type if file_type in known else None,
        }
        try:
            return SourceFormat(**present(**members))
        except ValidationError as error:
            self.problems.refusals(error, members, self.location)
            return SourceFormat()

    def column_widths(self, written: object) -> tuple[ColumnWidth, ...] | None:
        """The widths, in any of the three forms."""
        if written is None:
            return None
        place = f"{self.location}.column_widths"
        columns: list[tuple[str, object]] = []
        if isinstance(written, dict):
            named = cast("Json", written)
            columns = [(path_text((name,)), {"name": name, "width": width}) for name, width in named.items()]
        elif isinstance(written, list):
            entries = cast("list[object]", written)
            columns = [(f"[{n}]", {"width": each} if isinstance(each, int) else each) for n, each in enumerate(entries)]
        if not columns:
            self.problems.add(
                place,
                "INVALID",
                'a list of widths such as [10, 25], of {"name", "width"}, or an object of widths by name is needed',
            )
        if len(columns) > MAX_FIELDS:
            message = f"at most {MAX_FIELDS} columns can be read; these are {len(columns):,}"
            self.problems.add(place, "INVALID", message)
            return None
        widths: list[ColumnWidth] = []
        for step, column in columns:
            try:
                widths.append(ColumnWidth.model_validate(column, strict=True, extra="forbid"))
            except ValidationError as error:
                self.problems.refusals(error, column, f"{place}{step}")
        return tuple(widths)

    def fields(self, raw: Json) -> tuple[TemplateField, ...]:
        fields: list[TemplateField] = []
        for number, entry in objects(raw, "field_mapping"):
            location = f"{self.location}.field_mapping[{number}]"
            expression = self.expression(entry, location)
            asked = FieldRequest(
                location=location,
                # Without a name the rest can be judged all the same.
                name=entry.get("target", f"nameless_{number}"),
                members=self.members(entry, location, expression),
                names=FIELD_NAMES | {key: "transform" for key in expression.members if entry.get(key) is None},
                rules=self.rules(entry, location),
                transforms=self.transforms(entry, location, expression),
            )
            fields.append(self.field(len(fields), asked))
            if entry.get("transform") is not None:
                sent = {key: entry[key] for key in expression.members if entry.get(key) is not None}
                self.words.append({"field": len(fields) - 1, "transform": entry["transform"], **sent})
        return tuple(fields)

    def members(self, entry: Json, location: str, expression: Expression) -> Json:
        """The members of a ``TemplateField`` but its name, its rules and its transforms."""
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
        return {
            **expression.members,
            **{key: value for key, value in given.items() if key in _SAME_NAMES},
            **present(column=entry.get("source")),
        }

    def rules(self, entry: Json, location: str) -> list[Placed[Any]]:
        rules = read_rules(entry, "validators", location, self.problems)
        return with_required(rules, f"{location}.required", required=bool(entry.get("required")))

    def transforms(self, entry: Json, location: str, expression: Expression) -> list[Placed[Any]]:
        """The transform of the expression, then the others."""
        others = read_transforms(entry, "transformations", location, self.problems)
        if expression.transformation is None:
            return others
        place = f"{location}.transform"
        first = read_transform(expression.transformation, place, self.problems)
        return others if first is None else [Placed(first.piece, place, whole=True), *others]

    def expression(self, entry: Json, location: str) -> Expression:
        """What the expression in ``transform`` says."""
        written = entry.get("transform")
        if written is None:
            return Expression()
        if (expression := read_expression(written)) is None:
            place = f"{location}.transform"
            self.problems.add(place, "INVALID", f"{shown(written)} is no transform; use {EXPRESSIONS}")
            return Expression()
        return expression
