"""Stored templates in the words of the import engine."""

from typing import Any

from libs.contracts.templates import (
    ColumnWidth,
    DateOrder,
    DecimalStyle,
    FieldType,
    ImportMode,
    InvalidRows,
    RecordEvents,
    Template,
    TemplateField,
)
from services.gateway.http.engine.expressions import Expression, read_expression
from services.gateway.http.engine.template_models import AUTO, CopiedFromView, EngineFieldMapping, EngineTemplateView
from services.gateway.http.field_parts import present_rule, present_transform, without_required
from services.gateway.http.request_shape import Json
from services.gateway.http.template_reading import present_receiver_off, remembered_words
from services.gateway.webhooks.endpoints import Linked


def present_template(linked: Linked) -> EngineTemplateView:
    """A stored template with its receiver; reading it again gives the same template."""
    document, endpoint = linked.document, linked.endpoint
    template, copied = document.template, document.copied_from
    source = template.source
    words = remembered_words(document.wording, document.version)
    return EngineTemplateView(
        id=document.id,
        tenant_id=document.tenant_id,
        shared_from_tenant_id=document.tenant_id if linked.shared else None,
        read_only=linked.shared,
        shared_with_children=template.shared_with_children,
        copied_from=None if copied is None else CopiedFromView(**copied.model_dump()),
        name=template.name,
        description=template.description,
        file_type=source.file_type or AUTO,
        delimiter=source.delimiter,
        encoding=source.encoding,
        has_header=source.has_header,
        skip_rows=source.skip_rows,
        skip_footer_rows=source.skip_footer_rows,
        comment_prefix=source.comment_prefix,
        quote_char=source.quote_char,
        escape_char=source.escape_char,
        column_widths=_present_widths(source.column_widths),
        width_unit=source.width_unit,
        sheet=source.sheet,
        record_path=source.record_path,
        hidden_rows=source.hidden_rows,
        hidden_columns=source.hidden_columns,
        target_resource=template.target_resource,
        import_mode=present_mode(template.mode, words),
        upsert_key=template.upsert_key,
        delete_column=template.delete_column,
        scope_filter=template.scope_filter,
        default_values=dict(template.default_values),
        required_columns=list(template.required_columns),
        include_unmatched_columns=template.include_unmatched_columns,
        default_date_order=DateOrder(template.default_date_order).value,
        default_decimal_style=DecimalStyle(template.default_decimal_style).value,
        default_region=template.default_region,
        two_digit_year_pivot=template.two_digit_year_pivot,
        zero_dates=template.zero_dates,
        null_values=None if template.null_values is None else list(template.null_values),
        field_mapping=_present_fields(template, words),
        invalid_rows=InvalidRows(template.invalid_rows).value,
        auto_execute=template.auto_execute,
        dark_mode=template.dark_mode,
        webhook_url=template.webhook_url,
        webhook_enabled=template.webhook_enabled if endpoint is None else endpoint.enabled,
        webhook_disabled_at=None if endpoint is None else endpoint.disabled_at,
        webhook_disabled_reason=None if endpoint is None else endpoint.disabled_reason,
        errors=present_receiver_off(endpoint, "template"),
        webhook_secret=linked.secret,
        include_data_in_webhook=template.include_data_in_webhook,
        webhook_data_sample_size=template.webhook_data_sample_size,
        record_events=RecordEvents(template.record_events).value,
        version=document.version,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )


def present_mode(mode: ImportMode, words: Json) -> Any:  # noqa: ANN401 - one of the engine's names of modes
    """A mode as it was written: ``create`` and ``append`` mean the same."""
    return words.get("import_mode", ImportMode(mode).value)


def _present_widths(widths: tuple[ColumnWidth, ...]) -> list[int] | list[Json] | None:
    if any(each.name is not None for each in widths):
        return [{"name": each.name, "width": each.width} for each in widths]
    return [each.width for each in widths] or None


def _present_fields(template: Template, words: Json) -> list[EngineFieldMapping]:
    written = {entry["field"]: entry for entry in words.get("fields", [])}
    return [_present_field(each, written.get(number, {})) for number, each in enumerate(template.fields)]


def _present_field(each: TemplateField, written: Json) -> EngineFieldMapping:
    """A field; what its ``transform`` says already is said a second time only where it was written so."""
    expression = (read_expression(written["transform"]) if written else None) or Expression()
    others = each.transforms if expression.transformation is None else each.transforms[1:]
    members: Json = {
        "type": FieldType(each.type).value,
        "date_format": each.date_format,
        "integer": each.integer or None,
        "decimals": each.decimals,
    }
    return EngineFieldMapping(
        source=each.column,
        target=each.name,
        required=each.required,
        transform=written.get("transform"),
        **(members | {member: written.get(member) for member in expression.members}),
        label=each.label,
        description=each.description,
        aliases=list(each.aliases),
        date_order=None if each.date_order is None else each.date_order.value,
        past=each.past or None,
        decimal_style=None if each.decimal_style is None else each.decimal_style.value,
        percent=None if each.percent is None else each.percent.value,
        currency=each.currency,
        options=list(each.options) or None,
        region=each.region,
        true_values=list(each.true_values) or None,
        false_values=list(each.false_values) or None,
        null_values=None if each.null_values is None else list(each.null_values),
        validators=[present_rule(rule) for rule in without_required(each.rules)],
        transformations=[present_transform(transform) for transform in others],
    )
