"""Understands a template that a client wrote in the words of Rowporter."""

import json
from typing import Any, cast

from libs.contracts.templates import ImportMode, InvalidRows, SourceFormat, Template, TemplateField
from services.gateway.errors import Problem, invalid_template
from services.gateway.http.field_parts import Placed, field_type, read_rules, with_required
from services.gateway.http.request_shape import Json, objects, present
from services.gateway.http.rowporter.template_models import VOCABULARY, Column, RowporterTemplate
from services.gateway.http.rowporter.template_view import OWN_TARGET, VALIDATIONS, present_validations
from services.gateway.http.template_reading import FieldRequest, TemplateReading, TemplateRequest, own_resource
from services.gateway.shown import shown
from services.gateway.templates.catalog import Written
from services.gateway.templates.judging import TemplateJudge

READ_ONLY = frozenset({"id", "importCount", "createdAt", "updatedAt", "tenant_id", "errors"})
"""What an answer holds beyond a request; accepted and ignored, so that an answer can be sent back changed."""
MAX_WHOLE_NUMBER = 2**53
_TEMPLATE_NAMES = {
    "fields": "columns",
    "source": "skipHeaderRows",
    "invalid_rows": "allowPartialImport",
    "include_unmatched_columns": "allowExtraColumns",
    "embed_enabled": "embedEnabled",
}
_FIELD_NAMES = {"name": "key", "label": "name", "aliases": "suggestedMappings", "rules": "validations"}
_SAME_NAMES = ("name", "description", "webhook_url", "webhook_enabled")


def read_template(
    body: object, judge: TemplateJudge, base: Json | None = None, words: Json | None = None
) -> TemplateRequest:
    """Understand a template.

    Args:
        body: the decoded JSON.
        judge: what judges its meaning.
        base: the template that ``body`` changes, as it is shown.
        words: what is remembered of that.

    Raises:
        InvalidTemplateError: it cannot be saved; holds every problem with its place in the request.
    """
    if not isinstance(body, dict):
        raise invalid_template([Problem("body", "INVALID", "must be a JSON object with the members of a template")])
    changes = {key: value for key, value in cast("Json", body).items() if key not in READ_ONLY}
    keeps_target = base is None or bool((words or {}).get(OWN_TARGET))
    own_target = keeps_target and changes.get("target_resource") is None
    return _Reading(judge).template({**(base or {}), **changes}, own_target=own_target)


class _Reading(TemplateReading):
    """Reads a template."""

    def __init__(self, judge: TemplateJudge) -> None:
        super().__init__(judge, "body", _TEMPLATE_NAMES)
        self.written: dict[str, Any] = {}

    def template(self, given: Json, *, own_target: bool) -> TemplateRequest:
        raw = self.shape(RowporterTemplate, Column, "columns", given)
        self.unread |= given.keys() - raw.keys()
        header_rows = raw.get("skipHeaderRows", 1)
        resource = raw.get("target_resource") or own_resource(str(raw.get("name", "")), "template")
        parts = Template.model_construct(
            **present(
                fields=tuple(
                    self._column(index, number, entry) for index, (number, entry) in enumerate(objects(raw, "columns"))
                ),
                source=SourceFormat(skip_rows=max(header_rows - 1, 0), has_header=None if header_rows else False),
                mode=ImportMode.APPEND,
                invalid_rows=InvalidRows.SKIP if raw.get("allowPartialImport") else InvalidRows.BLOCK,
                include_unmatched_columns=raw.get("allowExtraColumns"),
                embed_enabled=raw.get("embedEnabled"),
                auto_execute=True,
                target_resource=resource,
                **{key: raw.get(key) for key in _SAME_NAMES},
            )
        )
        approved = self.approved(parts, raw.get("webhook_secret"))
        words = present(**{OWN_TARGET: own_target or None, VALIDATIONS: self.written or None})
        return TemplateRequest(approved, None, Written(VOCABULARY, words), self.places)

    def _column(self, index: int, number: int, entry: Json) -> TemplateField:
        location = f"body.columns[{number}]"
        written = [validation for _, validation in objects(entry, "validations")]
        readable = {**entry, "validations": [self._validation(each, n, location) for n, each in enumerate(written)]}
        rules = read_rules(readable, "validations", location, self.problems)
        if present_validations([placed.piece for placed in rules]) != written:
            self.written[str(index)] = written
        aliases = entry.get("suggestedMappings")
        members = present(
            label=entry.get("name"),
            description=entry.get("description"),
            aliases=None if aliases is None else tuple(aliases),
            type=field_type(entry["type"]) if "type" in entry else None,
        )
        asked = FieldRequest(
            location=location,
            name=entry.get("key", f"nameless_{number}"),
            members=members,
            names=_FIELD_NAMES,
            rules=cast(
                "list[Placed[Any]]",
                with_required(rules, f"{location}.required", required=bool(entry.get("required"))),
            ),
            transforms=[],
        )
        return self.field(index, asked)

    def _validation(self, written: Json, number: int, location: str) -> Json | None:
        """A validation as ``read_rules`` takes it; ``None`` where it cannot be read."""
        kind, value, place = written.get("type"), written.get("value"), f"{location}.validations[{number}].value"
        if kind is None:
            return None
        if value is None and kind != "unique":
            self.problems.add(place, "MISSING", "is required")
            return None
        if kind == "enum" and isinstance(value, list):
            values = [_as_text(each) for each in cast("list[object]", value)]
            if None in values:
                wrong = cast("list[object]", value)[values.index(None)]
                message = f"must hold texts, numbers, true and false only; found {shown(wrong)}"
                self.problems.add(place, "INVALID", message)
                return None
            return {**written, "value": values}
        return written


def _as_text(value: object) -> str | None:
    """A value of an enumeration as cells have it; ``None`` for what cannot be one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_WHOLE_NUMBER:
        return json.dumps(value)
    return None
