"""Stored importers as they are shown."""

import re

from libs.contracts.ids import as_uuid
from libs.contracts.templates import FieldType, InvalidRows, Rule, TemplateField, Transform
from services.gateway.http.field_parts import part_members
from services.gateway.http.importers.importer_models import (
    ImporterField,
    ImporterFieldView,
    ImporterTransformation,
    ImporterValidator,
    ImporterView,
)
from services.gateway.http.importers.importer_reading import FILTER_TOO
from services.gateway.http.request_shape import Json
from services.gateway.http.template_reading import present_receiver_off, remembered_words
from services.gateway.webhooks.endpoints import Linked

_SPELLINGS = {"upper": "uppercase", "lower": "lowercase"}


def present_importer(linked: Linked) -> ImporterView:
    """A stored importer with its receiver; reading it again gives the same one."""
    document, endpoint, template = linked.document, linked.endpoint, linked.document.template
    blocks = template.invalid_rows is InvalidRows.BLOCK
    words = remembered_words(document.wording, document.version)
    return ImporterView(
        id=as_uuid(document.id),
        name=template.name,
        key=document.key or "",
        description=template.description,
        fields=[_present_field(each) for each in template.fields],
        webhook_url=template.webhook_url,
        webhook_enabled=template.webhook_enabled if endpoint is None else endpoint.enabled,
        include_data_in_webhook=template.include_data_in_webhook,
        webhook_data_sample_size=template.webhook_data_sample_size,
        include_unmatched_columns=template.include_unmatched_columns,
        filter_invalid_rows=template.invalid_rows is InvalidRows.SKIP or (blocks and FILTER_TOO in words),
        disable_on_invalid_rows=blocks,
        dark_mode=template.dark_mode,
        created_at=document.created_at,
        updated_at=document.updated_at,
        target_resource=template.target_resource,
        tenant_id=document.tenant_id,
        webhook_secret=linked.secret,
        errors=[*present_receiver_off(endpoint, "importer")],
    )


def _present_field(each: TemplateField) -> ImporterFieldView:
    return ImporterFieldView(
        name=each.name,
        display_name=each.label,
        id=each.name,
        label=each.label or words_of(each.name),
        type=FieldType(each.type).value,
        validators=[_present_rule(rule) for rule in each.rules],
        transformations=[_present_transform(transform) for transform in each.transforms],
        options=list(each.options) or None,
    )


def _present_rule(rule: Rule) -> ImporterValidator:
    """A rule with those of its members that the vocabulary has, a bound as it was written: whole where it is."""
    members = {name: value for name, value in part_members(rule).items() if name in ImporterValidator.model_fields}
    value = members.get("value")
    if isinstance(value, float) and value.is_integer():
        members["value"] = int(value)
    return ImporterValidator.model_validate(members)


def _present_transform(transform: Transform) -> ImporterTransformation:
    members = part_members(transform)
    return ImporterTransformation.model_validate(members | {"type": _SPELLINGS.get(transform.type, transform.type)})


def words_of(name: str) -> str:
    """The label of a field that has no display name: ``first_name`` and ``firstName`` are ``First Name``."""
    words = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).split("_")
    return " ".join(word[0].upper() + word[1:] for word in words if word)


def request_of(view: ImporterView) -> Json:
    """The request that an importer could be made by, of which a change needs to say only what is to be different."""
    shown = view.model_dump(exclude={"webhook_secret"})
    fields = [{name: each[name] for name in ImporterField.model_fields} for each in shown["fields"]]
    return {**shown, "fields": fields}
