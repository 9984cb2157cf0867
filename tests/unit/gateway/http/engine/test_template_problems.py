"""Everything that is wrong with a template in the engine's vocabulary, at once and each at its place."""

import time
from contextlib import suppress

import pytest

from services.gateway.errors import InvalidTemplateError
from services.gateway.http.places import path_text
from tests.unit.gateway.http.engine.template_bodies import SECRET, problems, read_template, template, with_field

HOSTILE_NAMES = ["_id", "__proto__", "$where", "a.b", "constructor", "prototype", "tenant_id", "extra", "is_deleted"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_no_targets_but_may_be_headers(name: str) -> None:
    assert problems(with_field(target=name)).keys() == {"body.field_mapping[0].target"}
    assert problems(template(default_values={name: 1})).keys() == {f"body.default_values{path_text((name,))}"}
    headers = template(
        field_mapping=[{"source": name, "target": "sku", "aliases": [name], "transform": f"concat:{name}"}],
        required_columns=[name],
    )
    read = read_template(headers).approved.template
    assert (read.fields[0].column, read.required_columns) == (name, (name,))


def test_an_unknown_format_names_those_that_are_known() -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        read_template(template(file_type="docx"))
    assert caught.value.problems[0].message == (
        "'docx' is no known format; known: csv, json, xml, fixed_width, excel, auto"
    )


@pytest.mark.parametrize("pattern", ["(a+)+$", "((((a*)*)*)*)*b", "(a|aa)+$", "(?i)(x+x+)+y", "[a-z]{1,1000}" * 30])
def test_patterns_cost_bounded_time_when_they_are_judged(pattern: str) -> None:
    started = time.monotonic()
    body = with_field(validators=[{"type": "regex", "pattern": pattern}])
    with suppress(InvalidTemplateError):
        read_template(body)
    assert time.monotonic() - started < 20


def test_fields_that_cannot_be_read_are_not_blamed_on_others() -> None:
    fields = [
        {"target": "price", "transform": "decimal:99"},
        {"target": "cost", "type": "number", "validators": [{"type": "compare", "operator": "lt", "field": "price"}]},
        {"target": "price", "integer": True},
    ]
    body = template(field_mapping=fields, import_mode="upsert", upsert_key="price")
    assert problems(body) == {
        "body.field_mapping[0].transform": "INVALID",
        "body.field_mapping[2].target": "CONFLICT",
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], {"body": "INVALID"}),
        ({}, {"body.name": "MISSING", "body.target_resource": "MISSING", "body.field_mapping": "MISSING"}),
        (template(name="  "), {"body.name": "INVALID"}),
        (template(name="\ud800"), {"body.name": "INVALID"}),
        (template(colour="red"), {"body.colour": "UNKNOWN_FIELD"}),
        (template(field_mapping=[]), {"body.field_mapping": "INVALID"}),
        (template(field_mapping=["sku"]), {"body.field_mapping[0]": "INVALID"}),
        (template(target_resource="Products!"), {"body.target_resource": "INVALID"}),
        (template(has_header="yes"), {"body.has_header": "INVALID"}),
        (template(skip_rows=-1), {"body.skip_rows": "INVALID"}),
        (template(delimiter=";;"), {"body.delimiter": "INVALID"}),
        (template(delimiter='"'), {"body.delimiter": "INVALID"}),
        (template(encoding="rot13"), {"body.encoding": "INVALID"}),
        (template(encoding="utf-9"), {"body.encoding": "INVALID"}),
        (template(encoding="punycode"), {"body.encoding": "INVALID"}),
        (template(file_type=7), {"body.file_type": "INVALID"}),
        (template(file_type="fixed_width"), {"body.column_widths": "MISSING"}),
        (template(file_type="fixed_width", column_widths=[]), {"body.column_widths": "INVALID"}),
        (template(file_type="fixed_width", column_widths="3,4"), {"body.column_widths": "INVALID"}),
        (template(file_type="fixed_width", column_widths=[3, 0, True, "4", {"name": "x"}, {"width": 1, "at": 2}]), {
            "body.column_widths[1].width": "INVALID", "body.column_widths[2].width": "INVALID",
            "body.column_widths[3]": "INVALID", "body.column_widths[4].width": "MISSING",
            "body.column_widths[5].at": "UNKNOWN_FIELD"}),
        (template(file_type="fixed_width", column_widths={"sku": 3, "name": -1}), {
            "body.column_widths.name.width": "INVALID"}),
        (template(width_unit="inches"), {"body.width_unit": "INVALID"}),
        (template(sheet=0), {"body.sheet": "CONFLICT"}),
        (template(file_type="excel", sheet=-1), {"body.sheet": "INVALID"}),
        (template(file_type="excel", sheet=True), {"body.sheet": "INVALID"}),
        (template(default_region="Germany", default_date_order="ydm", default_decimal_style=","), {
            "body.default_region": "INVALID", "body.default_date_order": "INVALID",
            "body.default_decimal_style": "INVALID"}),
        (template(include_unmatched_columns="all"), {"body.include_unmatched_columns": "INVALID"}),
        (template(include_data_in_webhook=1), {"body.include_data_in_webhook": "INVALID"}),
        (template(webhook_data_sample_size=-1), {"body.webhook_data_sample_size": "INVALID"}),
        (template(required_columns=["SKU", "", 3]), {
            "body.required_columns[1]": "INVALID", "body.required_columns[2]": "INVALID"}),
        (template(file_type="docx"), {"body.file_type": "INVALID"}),
        (template(import_mode="sync"), {"body.upsert_key": "MISSING", "body.scope_filter": "MISSING"}),
        (template(import_mode="sync", upsert_key="sku", scope_filter={"a": 1}), {"body.scope_filter.a": "CONFLICT"}),
        (template(delete_column="x"), {"body.delete_column": "CONFLICT"}),
        (template(scope_filter={"a": 1}), {"body.scope_filter": "CONFLICT"}),
        (template(column_widths=[3]), {"body.column_widths": "CONFLICT"}),
        (template(import_mode="update"), {"body.upsert_key": "MISSING"}),
        (template(import_mode="upsert"), {"body.upsert_key": "MISSING"}),
        (template(import_mode="upsert", upsert_key="ean"), {"body.upsert_key": "INVALID"}),
        (template(shared_with_children="x"), {"body.shared_with_children": "INVALID"}),
        (with_field(validators=[{"type": "required"}, {"type": "unique", "fields": ["b", "b", "sku"]}]), {
            "body.field_mapping[0].validators[1]": "INVALID",
            "body.field_mapping[0].validators[1].fields": "CONFLICT"}),
        (with_field(required=True, validators=[{"type": "unique", "value": False}, {"type": "regex", "value": "("}]), {
            "body.field_mapping[0].validators[1].value": "INVALID_PATTERN"}),
        (template(default_values={"sku": "x"}), {"body.default_values.sku": "CONFLICT"}),
        (template(default_values={"a.b": 1, "n": [1]}), {
            "body.default_values['a.b']": "INVALID", "body.default_values.n": "INVALID"}),
        (template(default_values={"tenant_id": "x"}), {"body.default_values.tenant_id": "RESERVED_NAME"}),
        (template(default_values={"n": 2**63}), {"body.default_values.n": "INVALID"}),
        (template(default_values={"n": "\ud800"}), {"body.default_values.n": "INVALID"}),
        (template(webhook_url="http://127.0.0.1/x"), {"body.webhook_url": "INVALID_URL"}),
        (template(webhook_secret=SECRET), {"body.webhook_secret": "CONFLICT"}),
        (template(webhook_url="https://example.com/x", webhook_secret="short"), {"body.webhook_secret": "INVALID"}),
        (template(webhook_url="https://example.com/x", webhook_secret="whsec_!"), {"body.webhook_secret": "INVALID"}),
        (template(webhook_url=7, webhook_secret=SECRET), {"body.webhook_url": "INVALID"}),
        (with_field(target="$where"), {"body.field_mapping[0].target": "INVALID"}),
        (with_field(target="_id"), {"body.field_mapping[0].target": "INVALID"}),
        (with_field(target="tenant_id"), {"body.field_mapping[0].target": "RESERVED_NAME"}),
        (with_field(type="telephone"), {"body.field_mapping[0].type": "INVALID"}),
        (with_field(source=""), {"body.field_mapping[0].source": "INVALID"}),
        (with_field(aliases=["a", ""]), {"body.field_mapping[0].aliases[1]": "INVALID"}),
        (with_field(transform="shout"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="decimal"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="decimal:two"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="decimal:31"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="constant:"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="concat:"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="concat:a,,b"), {"body.field_mapping[0].transform.columns[1]": "INVALID"}),
        (with_field(transform="decimal:2", decimals=3), {"body.field_mapping[0].decimals": "CONFLICT"}),
        (with_field(transform="date:" + "Y" * 41), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="trim:x"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="date:"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="date:YY"), {"body.field_mapping[0].transform": "INVALID"}),
        (with_field(transform="boolean", type="date"), {"body.field_mapping[0].type": "CONFLICT"}),
        (with_field(date_format="YYYY-MM-DD"), {"body.field_mapping[0].date_format": "CONFLICT"}),
        (with_field(type="date", date_format="YYYY"), {"body.field_mapping[0].date_format": "INVALID"}),
        (with_field(integer=True), {"body.field_mapping[0].integer": "CONFLICT"}),
        (with_field(validators=[{"type": "regex"}]), {"body.field_mapping[0].validators[0].pattern": "MISSING"}),
        (with_field(validators=[{"type": "regex", "pattern": "(?=a)"}]), {
            "body.field_mapping[0].validators[0].pattern": "INVALID_PATTERN"}),
        (with_field(validators=[{"type": "regex", "pattern": "a)|(b"}]), {
            "body.field_mapping[0].validators[0].pattern": "INVALID_PATTERN"}),
        (with_field(date_order="dmy"), {"body.field_mapping[0].date_order": "CONFLICT"}),
        (with_field(type="date", date_order="dmy", date_format="YYYY-MM-DD"), {
            "body.field_mapping[0].date_order": "CONFLICT"}),
        (with_field(type="number", integer=True, decimals=2), {"body.field_mapping[0].decimals": "CONFLICT"}),
        (with_field(decimal_style="comma", decimals=2, region="SE", options=["a"]), {
            "body.field_mapping[0].decimal_style": "CONFLICT", "body.field_mapping[0].decimals": "CONFLICT",
            "body.field_mapping[0].region": "CONFLICT", "body.field_mapping[0].options": "CONFLICT"}),
        (with_field(type="select"), {"body.field_mapping[0].options": "MISSING"}),
        (with_field(type="boolean", true_values=["a"]), {"body.field_mapping[0].false_values": "MISSING"}),
        (with_field(type="boolean", false_values=["a"]), {"body.field_mapping[0].true_values": "MISSING"}),
        (with_field(type="boolean", true_values=["Ja", "a"], false_values=["ja "]), {
            "body.field_mapping[0].false_values": "CONFLICT"}),
        (with_field(true_values=["a"], false_values=["b"]), {
            "body.field_mapping[0].true_values": "CONFLICT", "body.field_mapping[0].false_values": "CONFLICT"}),
        (with_field(null_values=["a", 1]), {"body.field_mapping[0].null_values[1]": "INVALID"}),
        (template(null_values="NULL"), {"body.null_values": "INVALID"}),
        (with_field(type="select", options=["a", 1]), {"body.field_mapping[0].options[1]": "INVALID"}),
        (with_field(type="custom_regex"), {"body.field_mapping[0].validators": "MISSING"}),
        (with_field(type="custom_regex", validators=[{"type": "regex", "pattern": "("}]), {
            "body.field_mapping[0].validators[0].pattern": "INVALID_PATTERN"}),
        (with_field(type="phone", region="Sweden"), {"body.field_mapping[0].region": "INVALID"}),
        (with_field(validators=[{"type": "unique", "value": 3}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "unique", "fields": ["ean"]}]), {
            "body.field_mapping[0].validators[0]": "INVALID"}),
        (with_field(validators=[{"type": "required_if", "field": "sku"}, {"type": "required_if"}]), {
            "body.field_mapping[0].validators[0]": "INVALID",
            "body.field_mapping[0].validators[1].field": "MISSING"}),
        (with_field(validators=[{"type": "compare", "field": "sku2", "operator": "is"}]), {
            "body.field_mapping[0].validators[0].operator": "INVALID"}),
        (with_field(validators=[{"type": "regex", "pattern": "a", "value": "b"}]), {
            "body.field_mapping[0].validators[0].value": "CONFLICT"}),
        (with_field(validators=[{"type": "regex", "value": "("}]), {
            "body.field_mapping[0].validators[0].value": "INVALID_PATTERN"}),
        (with_field(validators=[{"type": "regex", "value": "a" * 501}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "regex", "pattern": "((a{999}){999}){999}"}]), {
            "body.field_mapping[0].validators[0].pattern": "INVALID_PATTERN"}),
        (with_field(validators=[{"type": "enum", "value": ["a", 1]}]), {
            "body.field_mapping[0].validators[0].value[1]": "INVALID"}),
        (with_field(validators=[{"type": "max_length", "value": 2**31}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "required"}] * 21), {"body.field_mapping[0].validators": "INVALID"}),
        (with_field(required=True, validators=[{"type": "unique"}] * 20), {
            "body.field_mapping[0].validators": "INVALID"}),
        (with_field(transformations=[{"type": "normalize_date", "format": "soon"}]), {
            "body.field_mapping[0].transformations[0].format": "INVALID"}),
        (with_field(transformations=[{"type": "normalize_phone", "region": "us"}, {"type": "trim", "value": "x"}]), {
            "body.field_mapping[0].transformations[0].region": "INVALID",
            "body.field_mapping[0].transformations[1].value": "UNKNOWN_FIELD"}),
        (with_field(target="$where", type="text", integer=True, transform="shout"), {
            "body.field_mapping[0].target": "INVALID", "body.field_mapping[0].integer": "CONFLICT",
            "body.field_mapping[0].transform": "INVALID"}),
        (with_field(validators=[{"type": "min_length", "value": 1.5}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "min", "value": 1}]), {
            "body.field_mapping[0].validators": "CONFLICT"}),
        (with_field(type="number", validators=[{"type": "min", "value": -1e300}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(type="number", validators=[{"type": "max", "value": 10**400}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "min_length", "value": 5}, {"type": "max_length", "value": 3}]), {
            "body.field_mapping[0].validators": "CONFLICT"}),
        (with_field(validators=[{"type": "enum", "values": []}]), {
            "body.field_mapping[0].validators[0].values": "INVALID"}),
        (with_field(transformations=[{"type": "default"}, {"type": "slugify"}]), {
            "body.field_mapping[0].transformations[0].value": "MISSING",
            "body.field_mapping[0].transformations[1].type": "INVALID"}),
    ],
)  # fmt: skip
def test_each_problem_has_its_place(body: object, expected: dict[str, str]) -> None:
    assert problems(body) == expected


def test_every_problem_is_named_at_once_in_order_of_place() -> None:
    body = {
        "name": "",
        "colour": "red",
        "file_type": "docx",
        "target_resource": "Products",
        "import_mode": "upsert",
        "webhook_url": "ftp://example.com",
        "field_mapping": [
            {"source": "a", "target": "a", "transform": "shout"},
            {"source": "b", "target": "a", "type": "date", "date_format": "soon", "colour": 1},
            {"source": "c", "target": "c", "validators": [{"type": "regex", "pattern": r"(a)\1"}, {"type": "enum"}]},
        ],
    }
    with pytest.raises(InvalidTemplateError) as caught:
        read_template(body)
    assert [(problem.location, problem.code) for problem in caught.value.problems] == [
        ("body.colour", "UNKNOWN_FIELD"),
        ("body.field_mapping[0].transform", "INVALID"),
        ("body.field_mapping[1].colour", "UNKNOWN_FIELD"),
        ("body.field_mapping[1].date_format", "INVALID"),
        ("body.field_mapping[1].target", "CONFLICT"),
        ("body.field_mapping[2].validators[0].pattern", "INVALID_PATTERN"),
        ("body.field_mapping[2].validators[1].values", "MISSING"),
        ("body.file_type", "INVALID"),
        ("body.name", "INVALID"),
        ("body.target_resource", "INVALID"),
        ("body.upsert_key", "MISSING"),
        ("body.webhook_url", "INVALID_URL"),
    ]
    assert all(problem.message for problem in caught.value.problems)
