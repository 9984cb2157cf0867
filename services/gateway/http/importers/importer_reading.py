"""Understands an importer that a client wrote."""

from typing import Any, cast

from libs.contracts.templates import ImportMode, InvalidRows, Template, TemplateField
from services.gateway.errors import Problem, invalid_template
from services.gateway.http.field_parts import field_type, read_rules, read_transforms
from services.gateway.http.importers.importer_models import VOCABULARY, Importer, ImporterField
from services.gateway.http.request_shape import Json, objects, present
from services.gateway.http.template_reading import FieldRequest, TemplateReading, TemplateRequest, own_resource
from services.gateway.templates.catalog import Written
from services.gateway.templates.judging import TemplateJudge

READ_ONLY = frozenset({"id", "key", "tenant_id", "created_at", "updated_at", "errors"})
"""What an answer holds beyond a request; accepted and ignored, so that an answer can be sent back changed."""
COMPUTED = frozenset({"id", "label"})
"""The same of a field."""
FILTER_TOO = "filter_invalid_rows"
"""Remembered of an importer that says ``disable_on_invalid_rows``, which decides, and this as well."""
_FIELD_NAMES = {"label": "display_name", "rules": "validators", "transforms": "transformations"}
_SAME_NAMES = (
    "name", "description", "webhook_url", "webhook_enabled", "include_data_in_webhook", "webhook_data_sample_size",
    "include_unmatched_columns", "dark_mode",
)  # fmt: skip


def read_importer(body: object, judge: TemplateJudge, base: Json | None = None) -> TemplateRequest:
    """Understand an importer.

    Args:
        body: the decoded JSON.
        judge: what judges its meaning.
        base: the importer that ``body`` changes, as it is shown.

    Raises:
        InvalidTemplateError: it cannot be saved; holds every problem with its place in the request.
    """
    if not isinstance(body, dict):
        raise invalid_template([Problem("body", "INVALID", "an importer is a JSON object")])
    given = {key: value for key, value in {**(base or {}), **cast("Json", body)}.items() if key not in READ_ONLY}
    return _Reading(judge).importer(given)


class _Reading(TemplateReading):
    """Reads an importer."""

    def __init__(self, judge: TemplateJudge) -> None:
        super().__init__(judge, "body", {"invalid_rows": "disable_on_invalid_rows"})

    def importer(self, given: Json) -> TemplateRequest:
        given = given | {"fields": _without_computed(given["fields"])} if "fields" in given else given
        raw = self.shape(Importer, ImporterField, "fields", given)
        self.unread |= given.keys() - raw.keys()
        block, filter_out = raw.get("disable_on_invalid_rows"), raw.get("filter_invalid_rows")
        parts = Template.model_construct(
            **present(
                fields=tuple(self._field(number, entry) for number, entry in self._entries(raw)),
                mode=ImportMode.APPEND,
                invalid_rows=InvalidRows.BLOCK if block else InvalidRows.SKIP if filter_out else InvalidRows.KEEP,
                auto_execute=True,
                target_resource=raw.get("target_resource") or own_resource(str(raw.get("name", "")), "importer"),
                **{key: raw.get(key) for key in _SAME_NAMES},
            )
        )
        approved = self.approved(parts, raw.get("webhook_secret"))
        words = {FILTER_TOO: True} if block and filter_out else {}
        return TemplateRequest(approved, None, Written(VOCABULARY, words), self.places)

    def _entries(self, raw: Json) -> list[tuple[int, tuple[int, Json]]]:
        """The fields by their index in the model, each with its index in the request."""
        return list(enumerate(objects(raw, "fields")))

    def _field(self, index: int, numbered: tuple[int, Json]) -> TemplateField:
        number, entry = numbered
        location = f"body.fields[{number}]"
        members: Json = present(label=entry.get("display_name"), options=entry.get("options"))
        if entry.get("type") is not None:
            members["type"] = field_type(entry["type"])
        asked = FieldRequest(
            location=location,
            name=entry.get("name", f"nameless_{number}"),
            members=members,
            names=_FIELD_NAMES,
            rules=read_rules(entry, "validators", location, self.problems),
            transforms=read_transforms(entry, "transformations", location, self.problems),
        )
        return self.field(index, asked)


def _without_computed(fields: object) -> object:
    if not isinstance(fields, list):
        return fields
    return [
        {key: value for key, value in cast("Json", entry).items() if key not in COMPUTED}
        if isinstance(entry, dict)
        else entry
        for entry in cast("list[Any]", fields)
    ]
