"""Templates in the engine's vocabulary: what they mean, and everything that is wrong with one at once."""

import sys
import time
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from libs.contracts.templates import (
    Capitalize,
    ColumnWidth,
    Compare,
    Concat,
    Constant,
    DateOrder,
    DecimalStyle,
    Default,
    FieldType,
    ImportMode,
    InvalidRows,
    Lower,
    Max,
    MaxLength,
    Min,
    MinLength,
    NormalizeDate,
    NormalizePhone,
    OneOf,
    Regex,
    RemoveSpecialChars,
    Replace,
    Required,
    RequiredIf,
    SourceFormat,
    TemplateField,
    Trim,
    Unique,
    Upper,
)
from libs.formats.file_types import file_types
from services.gateway.errors import InvalidTemplateError
from services.gateway.http.engine.template_reading import TemplateRequest
from services.gateway.http.engine.template_reading import read_template as read_by
from services.gateway.http.places import path_text
from services.gateway.templates.judging import TemplateJudge

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def read_template(body: object) -> TemplateRequest:
    return read_by(body, TemplateJudge())


def template(**changes: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": "products",
        "target_resource": "products",
        "field_mapping": [{"source": "SKU", "target": "sku", "required": True}],
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def with_field(**changes: object) -> dict[str, Any]:
    return template(field_mapping=[{"source": "SKU", "target": "sku", **changes}])


def problems(body: object) -> dict[str, str]:
    with pytest.raises(InvalidTemplateError) as caught:
        read_template(body)
    assert len({problem.location for problem in caught.value.problems}) >= 1
    return {problem.location: problem.code for problem in caught.value.problems}


def test_the_example_of_the_engine_but_for_its_mode() -> None:
    read = read_template(
        {
            "name": "products-upsert",
            "description": "Daily product catalogue from ERP",
            "file_type": "csv",
            "delimiter": ",",
            "encoding": "utf-8",
            "has_header": True,
            "target_resource": "products",
            "import_mode": "upsert",
            "upsert_key": "sku",
            "field_mapping": [
                {"source": "SKU", "target": "sku", "required": True},
                {"source": "Name", "target": "name", "required": True, "transform": "trim"},
                {"source": "Price", "target": "price", "transform": "decimal:2"},
                {"source": "Active", "target": "is_active", "transform": "boolean"},
                {"source": "Stock", "target": "stock", "transform": "integer"},
                {"source": "Updated", "target": "updated_at", "transform": "date:YYYY-MM-DD"},
            ],
            "default_values": {"source": "erp"},
            "required_columns": ["SKU", "Name"],
        }
    )
    found = read.approved.template
    assert found.mode is ImportMode.UPSERT
    assert found.fields == (
        TemplateField(name="sku", column="SKU", rules=(Required(),)),
        TemplateField(name="name", column="Name", rules=(Required(),), transforms=(Trim(),)),
        TemplateField(name="price", column="Price", type=FieldType.NUMBER, decimals=2),
        TemplateField(name="is_active", column="Active", type=FieldType.BOOLEAN),
        TemplateField(name="stock", column="Stock", type=FieldType.NUMBER, integer=True),
        TemplateField(name="updated_at", column="Updated", type=FieldType.DATE, date_format="YYYY-MM-DD"),
    )
    assert found.source == SourceFormat(file_type="csv", delimiter=",", encoding="utf-8", has_header=True)
    assert found.default_values == {"source": "erp"}
    assert found.required_columns == ("SKU", "Name")
    assert (read.approved.webhook_secret, read.version) == (None, None)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"transform": "upper"}, {"transforms": (Upper(),)}),
        (
            {"transform": "trim", "transformations": [{"type": "lowercase"}, {"type": "default", "value": "n/a"}]},
            {"transforms": (Trim(), Lower(), Default(value="n/a"))},
        ),
        (
            {"transformations": [{"type": "replace", "find": "-"}]},
            {"transforms": (Replace(find="-", replace=""),)},
        ),
        ({"transform": "integer", "type": "number"}, {"type": FieldType.NUMBER, "integer": True}),
        ({"label": "Stock keeping unit"}, {"label": "Stock keeping unit"}),
        (
            {"required": True, "validators": [{"type": "required", "message": "SKU!"}, {"type": "unique"}]},
            {"rules": (Required(message="SKU!"), Unique())},
        ),
        (
            {"type": "number", "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 9.5}]},
            {"type": FieldType.NUMBER, "rules": (Min(value=0), Max(value=9.5))},
        ),
        (
            {"validators": [{"type": "regex", "pattern": "^[A-Z]{2}$"}, {"type": "enum", "values": ["AB", "CD"]}]},
            {"rules": (Regex(pattern="^[A-Z]{2}$"), OneOf(values=("AB", "CD")))},
        ),
        (
            {"validators": [{"type": "regex", "value": "a+", "message": "no"}, {"type": "enum", "value": ["a", "aa"]}]},
            {"rules": (Regex(pattern="a+", message="no"), OneOf(values=("a", "aa")))},
        ),
        (
            {"validators": [{"type": "minLength", "value": 1}, {"type": "maxLength", "value": 2}]},
            {"rules": (MinLength(value=1), MaxLength(value=2))},
        ),
        (
            {"validators": [{"type": "min_length", "value": 0}, {"type": "max_length", "value": 0}]},
            {"rules": (MinLength(value=0), MaxLength(value=0))},
        ),
        ({"validators": [{"type": "unique", "value": True}]}, {"rules": (Unique(),)}),
        ({"validators": [{"type": "unique", "value": False}]}, {}),
        ({"validators": [{"type": "unique", "against_target": True}]}, {"rules": (Unique(against_target=True),)}),
        ({"type": "string"}, {"type": FieldType.TEXT}),
        ({"type": "phone", "region": "SE"}, {"type": FieldType.PHONE, "region": "SE"}),
        ({"type": "url", "description": "Help"}, {"type": FieldType.URL, "description": "Help"}),
        ({"type": "email", "aliases": ["e-mail", "mail"]}, {"type": FieldType.EMAIL, "aliases": ("e-mail", "mail")}),
        ({"type": "select", "options": ["S", "M"]}, {"type": FieldType.SELECT, "options": ("S", "M")}),
        (
            {"type": "custom_regex", "validators": [{"type": "regex", "pattern": "[a-z]"}]},
            {"type": FieldType.CUSTOM_REGEX, "rules": (Regex(pattern="[a-z]"),)},
        ),
        ({"type": "date", "date_order": "mdy"}, {"type": FieldType.DATE, "date_order": DateOrder.MDY}),
        (
            {"type": "number", "decimal_style": "comma", "decimals": 2},
            {"type": FieldType.NUMBER, "decimal_style": DecimalStyle.COMMA, "decimals": 2},
        ),
        ({"transform": "decimal: 4", "decimals": 4}, {"type": FieldType.NUMBER, "decimals": 4}),
        ({"transform": "date:DD.MM.YYYY"}, {"type": FieldType.DATE, "date_format": "DD.MM.YYYY"}),
        ({"transform": "constant: a:b "}, {"transforms": (Constant(value=" a:b "),)}),
        (
            {"transform": "concat:FirstName, LastName", "transformations": [{"type": "uppercase"}]},
            {"transforms": (Concat(columns=("FirstName", "LastName")), Upper())},
        ),
        (
            {
                "transformations": [
                    {"type": "capitalize"},
                    {"type": "remove_special_chars"},
                    {"type": "normalize_phone"},
                    {"type": "normalize_date"},
                    {"type": "normalize_date", "format": "DD.MM.YYYY"},
                    {"type": "replace", "find": " ", "replace": "_"},
                    {"type": "constant", "value": "x"},
                    {"type": "concat", "columns": ["a, b", "c"]},
                ]
            },
            {
                "transforms": (
                    Capitalize(),
                    RemoveSpecialChars(),
                    NormalizePhone(),
                    NormalizeDate(),
                    NormalizeDate(format="DD.MM.YYYY"),
                    Replace(find=" ", replace="_"),
                    Constant(value="x"),
                    Concat(columns=("a, b", "c")),
                )
            },
        ),
    ],
)
def test_fields(field: dict[str, Any], expected: dict[str, Any]) -> None:
    read = read_template(with_field(**field)).approved.template.fields[0]
    assert read == TemplateField(name="sku", column="SKU", **expected)


def test_rules_about_other_fields() -> None:
    fields = [
        {"target": "start", "type": "date"},
        {
            "target": "end",
            "type": "date",
            "validators": [
                {"type": "compare", "operator": "ge", "field": "start", "message": "ends before it starts"},
                {"type": "required_if", "field": "start"},
                {"type": "required_if", "field": "kind", "values": ["fixed"]},
            ],
        },
        {"target": "kind", "validators": [{"type": "unique", "fields": ["start", "end"]}]},
    ]
    read = read_template(template(field_mapping=fields)).approved.template
    assert [field.column for field in read.fields] == [None, None, None]
    assert read.fields[1].rules == (
        Compare(operator="ge", field="start", message="ends before it starts"),
        RequiredIf(field="start"),
        RequiredIf(field="kind", values=("fixed",)),
    )
    assert read.fields[2].rules == (Unique(fields=("start", "end")),)


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, SourceFormat(file_type="csv")),
        ({"file_type": "auto"}, SourceFormat()),
        ({"file_type": "json", "encoding": "utf-16"}, SourceFormat(file_type="json", encoding="utf-16")),
        ({"file_type": "xml"}, SourceFormat(file_type="xml")),
        ({"file_type": "excel", "sheet": "Sheet 2"}, SourceFormat(file_type="excel", sheet="Sheet 2")),
        ({"file_type": "excel", "sheet": 1, "skip_rows": 2}, SourceFormat(file_type="excel", sheet=1, skip_rows=2)),
        ({"file_type": "auto", "sheet": 0}, SourceFormat(sheet=0)),
        (
            {"file_type": "fixed_width", "column_widths": [3, 10], "has_header": False},
            SourceFormat(
                file_type="fixed_width",
                column_widths=(ColumnWidth(width=3), ColumnWidth(width=10)),
                has_header=False,
            ),
        ),
        (
            {"file_type": "fixed_width", "column_widths": {"z": 3, "a": 10}, "width_unit": "bytes"},
            SourceFormat(
                file_type="fixed_width",
                column_widths=(ColumnWidth(name="z", width=3), ColumnWidth(name="a", width=10)),
                width_unit="bytes",
            ),
        ),
        (
            {"file_type": "fixed_width", "column_widths": [{"name": "z", "width": 3}, {"width": 10}]},
            SourceFormat(
                file_type="fixed_width", column_widths=(ColumnWidth(name="z", width=3), ColumnWidth(width=10))
            ),
        ),
    ],
)
def test_how_the_file_is_read(changes: dict[str, Any], source: SourceFormat) -> None:
    assert read_template(template(**changes)).approved.template.source == source


def test_formats_of_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    package = tmp_path / "a_package-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[rowdock.formats]\nmt940 = a_package:read\nMT-940 = a_package:read\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    file_types.cache_clear()
    request.addfinalizer(file_types.cache_clear)
    assert read_template(template(file_type="mt940")).approved.template.source == SourceFormat(file_type="mt940")
    assert problems(template(file_type="MT-940")) == {"body.file_type": "INVALID"}


def test_the_rest_of_a_template() -> None:
    read = read_template(
        template(
            import_mode="create",
            include_unmatched_columns=True,
            default_date_order="mdy",
            default_decimal_style="comma",
            default_region="SE",
            include_data_in_webhook=False,
            webhook_data_sample_size=10,
            dark_mode=True,
            invalid_rows="block",
        )
    ).approved.template
    assert read.mode is ImportMode.APPEND
    assert read.include_unmatched_columns
    assert (read.default_date_order, read.default_decimal_style) == (DateOrder.MDY, DecimalStyle.COMMA)
    assert (read.default_region, read.webhook_data_sample_size) == ("SE", 10)
    assert read.dark_mode
    assert read.invalid_rows is InvalidRows.BLOCK


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
    assert time.monotonic() - started < 2


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
        (template(include_data_in_webhook=True), {"body.include_data_in_webhook": "NOT_SUPPORTED_YET"}),
        (template(webhook_data_sample_size=-1), {"body.webhook_data_sample_size": "INVALID"}),
        (template(required_columns=["SKU", "", 3]), {
            "body.required_columns[1]": "INVALID", "body.required_columns[2]": "INVALID"}),
        (template(file_type="docx"), {"body.file_type": "INVALID"}),
        (template(import_mode="sync"), {"body.import_mode": "NOT_SUPPORTED_YET"}),
        (template(delete_column="x"), {"body.delete_column": "NOT_SUPPORTED_YET"}),
        (template(scope_filter={"a": 1}), {"body.scope_filter": "NOT_SUPPORTED_YET"}),
        (template(column_widths=[3]), {"body.column_widths": "CONFLICT"}),
        (template(import_mode="update"), {"body.import_mode": "NOT_SUPPORTED_YET"}),
        (template(import_mode="upsert"), {"body.upsert_key": "MISSING"}),
        (template(import_mode="upsert", upsert_key="ean"), {"body.upsert_key": "INVALID"}),
        (template(shared_from_tenant_id="x"), {"body.shared_from_tenant_id": "NOT_SUPPORTED_YET"}),
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


def test_networks_that_the_operator_opened_may_receive_webhooks() -> None:
    read = read_by(template(webhook_url="http://127.0.0.1:8080/hook"), TemplateJudge([ip_network("127.0.0.0/8")]))
    assert read.approved.template.webhook_url == "http://127.0.0.1:8080/hook"


def test_a_secret_and_a_version_stay_outside_of_the_model() -> None:
    read = read_template(template(webhook_url="https://example.com/hook", webhook_secret=SECRET, version=3))
    assert (read.approved.webhook_secret, read.version) == (SECRET, 3)
