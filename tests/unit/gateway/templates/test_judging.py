"""The judge of templates: every problem in paths of the model, whatever vocabulary the template was written in."""

from ipaddress import ip_network
from typing import Any

import pytest

from libs.contracts.templates import (
    Compare,
    Constant,
    FieldType,
    ImportMode,
    InvalidRows,
    Max,
    MinLength,
    NormalizeDate,
    Regex,
    RequiredIf,
    SourceFormat,
    Template,
    TemplateField,
    Unique,
)
from services.gateway.errors import InvalidTemplateError
from services.gateway.templates.judging import TemplateJudge

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NAMES = frozenset({"body", "query", "header", "path", "field_mapping", "validators", "target", "import_mode"})
"""Words of HTTP and of a vocabulary, which the model does not use."""


def parts(**members: Any) -> Template:  # noqa: ANN401 - members of a template, possibly wrong ones
    sound = {"name": "products", "target_resource": "products", "fields": (TemplateField(name="sku"),)}
    return Template.model_construct(**{**sound, **members})


def field(**members: Any) -> tuple[TemplateField, ...]:  # noqa: ANN401 - members of a field
    return (TemplateField(name="ean"), TemplateField(name="sku", **members))


SYNC: dict[str, Any] = {"mode": ImportMode.SYNC, "upsert_key": "sku"}


@pytest.mark.parametrize(
    "members",
    [
        {"scope_filter": {"a": "erp"}, "default_values": {"a": "erp"}},
        {"scope_filter": {"a": 1}, "default_values": {"a": 1.0}},
        {"scope_filter": {"sku": 1.5}, "fields": field(type="number")},
        {"scope_filter": {"sku": True}, "fields": field(type="boolean")},
        {"scope_filter": {"sku": "a", "ean": "b"}, "fields": field(transforms=(Constant(value="a"),))},
    ],
)
def test_scopes_that_the_records_of_a_file_are_in(members: dict[str, Any]) -> None:
    assert TemplateJudge().problems(parts(**SYNC, **members)) == []


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"name": " "}, {"name": "INVALID"}),
        ({"mode": ImportMode.UPDATE}, {"upsert_key": "MISSING"}),
        ({"mode": ImportMode.SYNC}, {"upsert_key": "MISSING", "scope_filter": "MISSING"}),
        ({"mode": ImportMode.SYNC, "scope_filter": {}}, {"upsert_key": "MISSING", "scope_filter": "MISSING"}),
        ({"scope_filter": {"sku": "x"}}, {"scope_filter": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"a": 1}}, {"scope_filter.a": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"a": None, "sku": ""}}, {
            "scope_filter.a": "INVALID", "scope_filter.sku": "INVALID"}),
        ({**SYNC, "scope_filter": {"a": "erp"}, "default_values": {"a": "shop"}}, {"scope_filter.a": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"a": 1}, "default_values": {"a": True}}, {"scope_filter.a": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"sku": 1, "ean": "x" * 1_001}}, {
            "scope_filter.sku": "CONFLICT", "scope_filter.ean": "INVALID"}),
        ({**SYNC, "scope_filter": {"sku": "1"}, "fields": field(type="number")}, {"scope_filter.sku": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"sku": True}, "fields": field(type="number")}, {"scope_filter.sku": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"sku": 2**63}, "fields": field(type="number")}, {"scope_filter.sku": "INVALID"}),
        ({**SYNC, "scope_filter": {"sku": "2024-01-01"}, "fields": field(type="date")}, {
            "scope_filter.sku": "CONFLICT"}),
        ({**SYNC, "scope_filter": {"sku": "b"}, "fields": field(transforms=(Constant(value="a"),))}, {
            "scope_filter.sku": "CONFLICT"}),
        ({**SYNC, "scope_filter": {f"a{at}": 1 for at in range(21)}}, {"scope_filter": "INVALID"}),
        ({"mode": ImportMode.UPSERT}, {"upsert_key": "MISSING"}),
        ({"delete_column": "x"}, {"delete_column": "CONFLICT"}),
        ({"source": SourceFormat(file_type="docx")}, {"source.file_type": "INVALID"}),
        ({"source": SourceFormat(delimiter='"')}, {"source.delimiter": "INVALID"}),
        ({"source": SourceFormat(quote_char="q")}, {"source.quote_char": "INVALID"}),
        ({"source": SourceFormat(quote_char="\n")}, {"source.quote_char": "INVALID"}),
        ({"source": SourceFormat(delimiter="|", quote_char="|")}, {"source.quote_char": "CONFLICT"}),
        ({"source": SourceFormat(quote_char="~", escape_char="~")}, {"source.escape_char": "CONFLICT"}),
        ({"source": SourceFormat(comment_prefix='"')}, {"source.comment_prefix": "INVALID"}),
        ({"source": SourceFormat(file_type="json", quote_char="'")}, {"source.quote_char": "CONFLICT"}),
        ({"source": SourceFormat(encoding="rot13")}, {"source.encoding": "INVALID"}),
        ({"source": SourceFormat(file_type="fixed_width")}, {"source.column_widths": "MISSING"}),
        ({"source": SourceFormat(file_type="csv", sheet=0)}, {"source.sheet": "CONFLICT"}),
        ({"default_values": {"n": float("inf"), "sku": 1}}, {
            "default_values.n": "INVALID", "default_values.sku": "CONFLICT"}),
        ({"webhook_url": "http://127.0.0.1/"}, {"webhook_url": "INVALID_URL"}),
        ({"fields": (TemplateField(name="extra"),)}, {"fields[0].name": "RESERVED_NAME"}),
        ({"fields": field(integer=True)}, {"fields[1].integer": "CONFLICT"}),
        ({"fields": field(rules=(Unique(), Regex(pattern="(?=a)")))}, {
            "fields[1].rules[1].pattern": "INVALID_PATTERN"}),
        ({"fields": field(rules=(MinLength(value=2**40),))}, {"fields[1].rules[0].value": "INVALID"}),
        ({"fields": field(type="number", rules=(Max(value=1e300),))}, {"fields[1].rules[0].value": "INVALID"}),
        ({"fields": field(rules=(Unique(fields=("ean", "ean")),))}, {"fields[1].rules[0].fields": "CONFLICT"}),
        ({"fields": field(rules=(RequiredIf(field="ean"), RequiredIf(field="x")))}, {"fields[1].rules[1]": "INVALID"}),
        ({"fields": field(rules=(Compare(operator="lt", field="ean"),))}, {"fields[1].rules[0]": "CONFLICT"}),
        ({"fields": field(transforms=(NormalizeDate(format="soon"),))}, {"fields[1].transforms[0].format": "INVALID"}),
    ],
)  # fmt: skip
def test_problems_name_paths_of_the_model(members: dict[str, Any], found: dict[str, str]) -> None:
    problems = TemplateJudge().problems(parts(**members))
    assert {problem.location: problem.code for problem in problems} == found
    assert not any(NAMES & set(problem.location.replace("[", ".").split(".")) for problem in problems)
    with pytest.raises(InvalidTemplateError) as refused:
        TemplateJudge().approve(parts(**members))
    assert list(refused.value.problems) == problems


def test_secrets_of_webhooks() -> None:
    judge = TemplateJudge()
    there = parts(webhook_url="https://example.com/hook")
    assert judge.problems(there, SECRET) == []
    assert [problem.code for problem in judge.problems(there, "whsec_short")] == ["INVALID"]
    [problem] = judge.problems(parts(), SECRET)
    assert (problem.location, problem.code) == ("webhook_secret", "CONFLICT")
    assert judge.problems(parts(), SECRET, unread={"webhook_url"}) == []


def test_networks_that_the_operator_opened() -> None:
    inside = parts(webhook_url="http://127.0.0.1:8080/")
    assert TemplateJudge([ip_network("127.0.0.0/8")]).problems(inside) == []


def test_what_could_not_be_read_is_not_blamed_on_others() -> None:
    fields = (TemplateField(name="price"), TemplateField(name="cost", type=FieldType.NUMBER, rules=(
        Compare(operator="lt", field="price"),)))  # fmt: skip
    assert [problem.location for problem in TemplateJudge().problems(parts(fields=fields))] == ["fields[1].rules[0]"]
    assert TemplateJudge().problems(parts(fields=fields), unread={"fields[0]"}) == []


def test_an_approved_template_is_whole() -> None:
    approved = TemplateJudge().approve(parts(invalid_rows="block"), None)
    assert approved.template == Template(
        name="products", target_resource="products", fields=(TemplateField(name="sku"),), invalid_rows=InvalidRows.BLOCK
    )
