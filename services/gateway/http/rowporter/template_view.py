"""Stored templates in the words of Rowporter."""

from collections.abc import Sequence
from typing import Any

from libs.contracts.templates import FieldType, InvalidRows, Required, Rule, TemplateField
from libs.storage.documents import Wording
from services.gateway.http.field_parts import part_members, without_required
from services.gateway.http.request_shape import Json
from services.gateway.http.rowporter.ids import template_id
from services.gateway.http.rowporter.template_models import ColumnView, RowporterTemplate, RowporterTemplateView
from services.gateway.http.template_reading import present_receiver_off, remembered_words
from services.gateway.webhooks.endpoints import Linked

VALIDATIONS = "validations"
"""Remembered: the validations of a column as they were written, by its number, where the model keeps their meaning."""
OWN_TARGET = "own_target"
"""Remembered of a template whose collection was made for it."""
_TYPES = {FieldType.TEXT: "string"}
_RULES = {"min_length": "minLength", "max_length": "maxLength"}
_VALUES = ("value", "pattern", "values")


def present_template(linked: Linked, imports: int) -> RowporterTemplateView:
    """A stored template with its receiver, and how many imports there are of it."""
    document, endpoint, template = linked.document, linked.endpoint, linked.document.template
    source = template.source
    return RowporterTemplateView(
        id=template_id(document.id),
        name=template.name,
        description=template.description,
        columns=present_columns(template.fields, document.wording, document.version),
        allow_extra_columns=template.include_unmatched_columns,
        skip_header_rows=0 if source.has_header is False else source.skip_rows + 1,
        allow_partial_import=template.invalid_rows is not InvalidRows.BLOCK,
        embed_enabled=template.embed_enabled,
        import_count=imports,
        created_at=document.created_at,
        updated_at=document.updated_at,
        target_resource=template.target_resource,
        tenant_id=document.tenant_id,
        webhook_url=template.webhook_url,
        webhook_enabled=template.webhook_enabled if endpoint is None else endpoint.enabled,
        webhook_secret=linked.secret,
        errors=present_receiver_off(endpoint, "template"),
    )


def present_columns(fields: Sequence[TemplateField], wording: Wording | None, version: int) -> list[ColumnView]:
    """The columns of that version of a template."""
    written: Json = remembered_words(wording, version).get(VALIDATIONS, {})
    return [
        ColumnView(
            key=field.name,
            name=field.label or field.name,
            type=_TYPES.get(field.type, field.type.value),
            required=field.required,
            description=field.description,
            validations=written.get(str(number)) or present_validations(field.rules),
            suggested_mappings=list(field.aliases),
        )
        for number, field in enumerate(fields)
    ]


def present_validations(rules: Sequence[Rule]) -> list[Json]:
    """The rules of a column but ``required``, which is a member of it."""
    return [_present_rule(rule) for rule in without_required(rules) if not isinstance(rule, Required)]


def _present_rule(rule: Rule) -> Json:
    members = part_members(rule)
    value: Any = next((members[name] for name in _VALUES if name in members), True)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    message = {} if rule.message is None else {"message": rule.message}
    return {"type": _RULES.get(rule.type, rule.type), "value": value, **message}


def request_of(view: RowporterTemplateView) -> Json:
    """The request that a template could be made by, of which a change needs to say only what is to be different."""
    shown = view.model_dump(exclude={"webhook_secret"})
    return {name: value for name, value in shown.items() if name in _MEMBERS}


_MEMBERS = frozenset(field.alias for field in RowporterTemplate.model_fields.values())
