"""Templates in the engine's vocabulary: both ways, and everything that is wrong with one at once."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from libs.contracts.templates import (
    Default,
    FieldType,
    ImportMode,
    InvalidRows,
    Lower,
    Max,
    Min,
    OneOf,
    Regex,
    Replace,
    Required,
    Template,
    TemplateField,
    Trim,
    Unique,
    Upper,
)
from services.gateway.domain.engine_vocabulary import InvalidTemplateError, present_template, read_template

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


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


def test_the_example_of_the_engine_as_far_as_it_is_supported() -> None:
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
                {"source": "Active", "target": "is_active", "transform": "boolean"},
                {"source": "Stock", "target": "stock", "transform": "integer"},
                {"source": "Updated", "target": "changed_on", "transform": "date:YYYY-MM-DD"},
            ],
            "default_values": {"source": "erp"},
            "required_columns": ["SKU", "Name"],
        }
    )
    assert read.template.mode is ImportMode.UPSERT
    assert read.template.fields == (
        TemplateField(name="sku", column="SKU", rules=(Required(),)),
        TemplateField(name="name", column="Name", rules=(Required(),), transforms=(Trim(),)),
        TemplateField(name="is_active", column="Active", type=FieldType.BOOLEAN),
        TemplateField(name="stock", column="Stock", type=FieldType.NUMBER, integer=True),
        TemplateField(name="changed_on", column="Updated", type=FieldType.DATE, date_format="YYYY-MM-DD"),
    )
    assert read.template.default_values == {"source": "erp"}
    assert read.template.required_columns == ("SKU", "Name")
    assert (read.webhook_secret, read.version) == (None, None)


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
    ],
)
def test_fields(field: dict[str, Any], expected: dict[str, Any]) -> None:
    read = read_template(with_field(**field)).template.fields[0]
    assert read == TemplateField(name="sku", column="SKU", **expected)


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
        (template(file_type="json"), {"body.file_type": "NOT_SUPPORTED_YET"}),
        (template(file_type="docx"), {"body.file_type": "INVALID"}),
        (template(import_mode="sync"), {"body.import_mode": "NOT_SUPPORTED_YET"}),
        (template(delete_column="x"), {"body.delete_column": "NOT_SUPPORTED_YET"}),
        (template(scope_filter={"a": 1}), {"body.scope_filter": "NOT_SUPPORTED_YET"}),
        (template(column_widths=[3]), {"body.column_widths": "NOT_SUPPORTED_YET"}),
        (template(import_mode="upsert"), {"body.upsert_key": "MISSING"}),
        (template(import_mode="upsert", upsert_key="ean"), {"body.upsert_key": "INVALID"}),
        (template(default_values={"sku": "x"}), {"body.default_values.sku": "CONFLICT"}),
        (template(default_values={"a.b": 1, "n": [1]}), {
            "body.default_values.a.b": "INVALID", "body.default_values.n": "INVALID"}),
        (template(default_values={"tenant_id": "x"}), {"body.default_values.tenant_id": "RESERVED_NAME"}),
        (template(default_values={"n": 2**63}), {"body.default_values.n": "INVALID"}),
        (template(default_values={"n": "\ud800"}), {"body.default_values.n": "INVALID"}),
        (template(webhook_url="http://127.0.0.1/x"), {"body.webhook_url": "INVALID_URL"}),
        (template(webhook_secret=SECRET), {"body.webhook_secret": "CONFLICT"}),
        (template(webhook_url="https://example.com/x", webhook_secret="short"), {"body.webhook_secret": "INVALID"}),
        (with_field(target="$where"), {"body.field_mapping[0].target": "INVALID"}),
        (with_field(target="_id"), {"body.field_mapping[0].target": "INVALID"}),
        (with_field(target="tenant_id"), {"body.field_mapping[0].target": "RESERVED_NAME"}),
        (with_field(type="phone"), {"body.field_mapping[0].type": "INVALID"}),
        (with_field(transform="decimal:2"), {"body.field_mapping[0].transform": "NOT_SUPPORTED_YET"}),
        (with_field(transform="constant:x"), {"body.field_mapping[0].transform": "NOT_SUPPORTED_YET"}),
        (with_field(transform="concat:a,b"), {"body.field_mapping[0].transform": "NOT_SUPPORTED_YET"}),
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
        (with_field(validators=[{"type": "unique", "value": 3}]), {
            "body.field_mapping[0].validators[0].value": "UNKNOWN_FIELD"}),
        (with_field(validators=[{"type": "min_length", "value": 1.5}]), {
            "body.field_mapping[0].validators[0].value": "INVALID"}),
        (with_field(validators=[{"type": "min", "value": 1}]), {
            "body.field_mapping[0].validators[0].type": "CONFLICT"}),
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
        "file_type": "xml",
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
        ("body.file_type", "NOT_SUPPORTED_YET"),
        ("body.name", "INVALID"),
        ("body.target_resource", "INVALID"),
        ("body.upsert_key", "MISSING"),
        ("body.webhook_url", "INVALID_URL"),
    ]
    assert all(problem.message for problem in caught.value.problems)


def test_networks_that_the_operator_opened_may_receive_webhooks() -> None:
    read = read_template(template(webhook_url="http://127.0.0.1:8080/hook"), [ip_network("127.0.0.0/8")])
    assert read.template.webhook_url == "http://127.0.0.1:8080/hook"


def test_a_secret_and_a_version_stay_outside_of_the_model() -> None:
    read = read_template(template(webhook_url="https://example.com/hook", webhook_secret=SECRET, version=3))
    assert (read.webhook_secret, read.version) == (SECRET, 3)


@pytest.mark.parametrize(
    "model",
    [
        Template(name="small", target_resource="things", fields=(TemplateField(name="a"),)),
        Template(
            name="all of it",
            description="words",
            target_resource="things",
            mode=ImportMode.UPSERT,
            upsert_key="a",
            invalid_rows=InvalidRows.KEEP,
            auto_execute=True,
            webhook_url="https://example.com/hook",
            webhook_enabled=False,
            default_values={"source": "erp", "n": 1, "f": 1.5, "t": True, "nothing": None},
            required_columns=("A",),
            fields=(
                TemplateField(name="a", column="A", label="An A", rules=(Required(), Unique())),
                TemplateField(
                    name="b", type=FieldType.NUMBER, integer=True, rules=(Min(value=1), Required(), Max(value=2))
                ),
                TemplateField(name="c", rules=(Required(message="c!"), Regex(pattern=r"\d+"), OneOf(values=("1",)))),
                TemplateField(name="d", type=FieldType.DATE, date_format="DD.MM.YYYY"),
                TemplateField(name="e", transforms=(Trim(), Replace(find="x", replace="y"), Default(value="z"))),
            ),
        ),
    ],
)
def test_an_answer_can_be_sent_back(model: Template) -> None:
    view = present_template(model, template_id="1" * 24, version=7, created_at=NOW, updated_at=NOW)
    read = read_template(view.model_dump(mode="json"))
    columns = tuple(field.model_copy(update={"column": field.source}) for field in model.fields)
    assert read.template == model.model_copy(update={"fields": columns})
    assert read.version == 7
