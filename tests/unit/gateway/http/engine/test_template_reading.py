"""Templates in the engine's vocabulary: what they mean."""

import sys
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
from services.gateway.http.engine.template_reading import read_template as read_by
from services.gateway.templates.judging import TemplateJudge
from tests.unit.gateway.http.engine.template_bodies import SECRET, problems, read_template, template, with_field


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


def test_networks_that_the_operator_opened_may_receive_webhooks() -> None:
    read = read_by(template(webhook_url="http://127.0.0.1:8080/hook"), TemplateJudge([ip_network("127.0.0.0/8")]))
    assert read.approved.template.webhook_url == "http://127.0.0.1:8080/hook"


def test_a_secret_and_a_version_stay_outside_of_the_model() -> None:
    read = read_template(template(webhook_url="https://example.com/hook", webhook_secret=SECRET, version=3))
    assert (read.approved.webhook_secret, read.version) == (SECRET, 3)
