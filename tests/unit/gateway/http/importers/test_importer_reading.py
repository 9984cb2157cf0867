"""Importers: what a request means in the model, how it is shown again, and what is refused where."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import FieldType, InvalidRows, Lower, Required, Template, Trim
from libs.storage.documents import TemplateDocument
from services.gateway.errors import InvalidTemplateError
from services.gateway.http.importers.importer_models import ImporterView
from services.gateway.http.importers.importer_reading import read_importer
from services.gateway.http.importers.importer_view import present_importer, request_of, words_of
from services.gateway.http.template_reading import OWN_RESOURCE_BYTES, TemplateRequest, own_resource
from services.gateway.templates.judging import TemplateJudge
from services.gateway.webhooks.endpoints import Linked

NOW = datetime(2024, 1, 1, tzinfo=UTC)
FIELD: dict[str, Any] = {"name": "email", "type": "email"}


def importer(**changes: object) -> dict[str, Any]:
    return {"name": "Customer Import", "fields": [FIELD], **changes}


def with_field(**changes: object) -> dict[str, Any]:
    return importer(fields=[{**FIELD, **changes}])


def read(body: object, base: dict[str, Any] | None = None) -> TemplateRequest:
    return read_importer(body, TemplateJudge(), base)


def shown(wanted: TemplateRequest) -> ImporterView:
    document = TemplateDocument.model_construct(
        id="5" * 24, tenant_id="7" * 24, version=1, template=wanted.approved.template,
        wording=wanted.written.wording(1), key="k", created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return present_importer(Linked(document))


def problems(body: object) -> dict[str, str]:
    with pytest.raises(InvalidTemplateError) as caught:
        read(body)
    return {problem.location: problem.code for problem in caught.value.problems}


def test_what_an_importer_means() -> None:
    field = {
        **FIELD,
        "display_name": "Email Address",
        "validators": [{"type": "required", "message": "Email is required"}],
        "transformations": [{"type": "trim"}, {"type": "lowercase"}],
        "options": None,
    }
    template = read(importer(fields=[field], webhook_url="https://example.com/w")).approved.template
    [read_field] = template.fields
    assert (read_field.name, read_field.label, read_field.type) == ("email", "Email Address", FieldType.EMAIL)
    assert read_field.rules == (Required(message="Email is required"),)
    assert read_field.transforms == (Trim(), Lower())
    assert template.auto_execute
    assert template.source.file_type is None
    assert template.target_resource.startswith("customer_import_")


@pytest.mark.parametrize(
    ("disable", "filter_out", "policy"),
    [
        (False, False, InvalidRows.KEEP),
        (False, True, InvalidRows.SKIP),
        (True, False, InvalidRows.BLOCK),
        (True, True, InvalidRows.BLOCK),
    ],
)
def test_invalid_rows(disable: bool, filter_out: bool, policy: InvalidRows) -> None:
    wanted = read(importer(disable_on_invalid_rows=disable, filter_invalid_rows=filter_out))
    assert wanted.approved.template.invalid_rows is policy
    view = shown(wanted)
    assert (view.disable_on_invalid_rows, view.filter_invalid_rows) == (disable, filter_out)


VALIDATORS: list[dict[str, Any]] = [
    {"type": "required", "message": "Field is required"},
    {"type": "min_length", "value": 3, "message": "Minimum 3 characters"},
    {"type": "max_length", "value": 50},
    {"type": "min", "value": 0},
    {"type": "max", "value": 99.5},
    {"type": "regex", "pattern": r"^[A-Z]{2}\d{4}$"},
    {"type": "unique", "message": "Duplicate value found"},
]
TRANSFORMATIONS: list[dict[str, Any]] = [
    {"type": "trim"}, {"type": "uppercase"}, {"type": "lowercase"}, {"type": "capitalize"},
    {"type": "remove_special_chars"}, {"type": "normalize_phone"}, {"type": "normalize_date", "format": "YYYY-MM-DD"},
    {"type": "default", "value": "N/A"}, {"type": "replace", "find": " ", "replace": "_"},
]  # fmt: skip
names = st.from_regex("[a-z][A-Za-z0-9_]{0,9}", fullmatch=True).filter(lambda name: name != "extra")
fields = st.fixed_dictionaries(
    {
        "name": names,
        "display_name": st.none() | st.text("abc ", min_size=1, max_size=5),
        "type": st.just("text"),
        "validators": st.lists(st.sampled_from(VALIDATORS[:1] + VALIDATORS[5:]), max_size=3),
        "transformations": st.lists(st.sampled_from(TRANSFORMATIONS), max_size=4),
        "options": st.none(),
    }
)
importers = st.fixed_dictionaries(
    {
        "name": st.text("abc é", min_size=1, max_size=9).filter(str.strip),
        "description": st.none() | st.text("abc", max_size=5),
        "fields": st.lists(fields, min_size=1, max_size=4, unique_by=lambda field: str(field["name"])),
        "webhook_url": st.none() | st.just("https://example.com/webhook"),
        "webhook_enabled": st.booleans(),
        "include_data_in_webhook": st.booleans(),
        "webhook_data_sample_size": st.none() | st.integers(0, 1_000),
        "include_unmatched_columns": st.booleans(),
        "filter_invalid_rows": st.booleans(),
        "disable_on_invalid_rows": st.booleans(),
        "dark_mode": st.booleans(),
    }
)


@given(importers)
def test_an_importer_is_shown_as_it_was_sent_and_can_be_sent_back(body: dict[str, Any]) -> None:
    wanted = read(body)
    view = shown(wanted)
    answer = view.model_dump(mode="json")
    for member, sent in body.items():
        if member != "fields":
            assert answer[member] == sent, member
    for field, sent in zip(answer["fields"], body["fields"], strict=True):
        assert {**sent, "id": sent["name"], "label": sent["display_name"] or words_of(sent["name"])} == field
    again = read({key: value for key, value in answer.items() if key != "webhook_secret"})
    assert again.approved == wanted.approved
    unchanged = read({}, request_of(view))
    assert (unchanged.approved, unchanged.written) == (wanted.approved, wanted.written)


def test_changes_replace_what_they_name_and_nothing_else() -> None:
    base = request_of(shown(read(importer(description="Old", dark_mode=True, target_resource="customers"))))
    template = read({"description": None, "webhook_enabled": False}, base).approved.template
    assert (template.description, template.webhook_enabled) == (None, False)
    assert (template.name, template.dark_mode, template.target_resource) == ("Customer Import", True, "customers")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], {"body": "INVALID"}),
        ({}, {"body.name": "MISSING", "body.fields": "MISSING"}),
        (importer(name=" "), {"body.name": "INVALID"}),
        (importer(name=None), {"body.name": "INVALID"}),
        (importer(colour="red"), {"body.colour": "UNKNOWN_FIELD"}),
        (importer(fields=[]), {"body.fields": "INVALID"}),
        (importer(fields=None), {"body.fields": "INVALID"}),
        (importer(fields=[FIELD, "email"]), {"body.fields[1]": "INVALID"}),
        (importer(fields=[FIELD, FIELD]), {"body.fields[1].name": "CONFLICT"}),
        (importer(dark_mode="yes"), {"body.dark_mode": "INVALID"}),
        (importer(webhook_data_sample_size=-1), {"body.webhook_data_sample_size": "INVALID"}),
        (importer(webhook_url="http://127.0.0.1/"), {"body.webhook_url": "INVALID_URL"}),
        (importer(target_resource="A b"), {"body.target_resource": "INVALID"}),
        (with_field(name="no spaces"), {"body.fields[0].name": "INVALID"}),
        (with_field(name="tenant_id"), {"body.fields[0].name": "RESERVED_NAME"}),
        (with_field(type="url"), {"body.fields[0].type": "INVALID"}),
        (with_field(type="select"), {"body.fields[0].options": "MISSING"}),
        (with_field(type="custom_regex"), {"body.fields[0].validators": "MISSING"}),
        (with_field(options=["a"]), {"body.fields[0].options": "CONFLICT"}),
        (with_field(validators=[{"type": "enum"}]), {"body.fields[0].validators[0].type": "INVALID"}),
        (with_field(validators=[{"type": "min_length"}]), {"body.fields[0].validators[0].value": "MISSING"}),
        (with_field(validators=[{"type": "regex", "pattern": "(?=a)"}]),
         {"body.fields[0].validators[0].pattern": "INVALID_PATTERN"}),
        (with_field(transformations=[{"type": "upper"}]), {"body.fields[0].transformations[0].type": "INVALID"}),
        (with_field(transformations=[{"type": "replace"}]), {"body.fields[0].transformations[0].find": "MISSING"}),
        (with_field(transformations=[{"type": "normalize_date", "format": "QQ"}]),
         {"body.fields[0].transformations[0].format": "INVALID"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(body: object, expected: dict[str, str]) -> None:
    assert problems(body) == expected


def test_everything_that_is_wrong_is_told_at_once() -> None:
    body = importer(name="", dark_mode=1, fields=[{"name": "a b", "type": "date"}, {"name": "b", "type": "x"}])
    assert problems(body) == {
        "body.dark_mode": "INVALID",
        "body.fields[0].name": "INVALID",
        "body.fields[1].type": "INVALID",
        "body.name": "INVALID",
    }


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("email", "Email"),
        ("first_name", "First Name"),
        ("firstName", "First Name"),
        ("a__b2C", "A B2 C"),
        ("URL", "URL"),
    ],
)
def test_labels_are_made_of_names(name: str, label: str) -> None:
    assert words_of(name) == label


@given(st.text(max_size=200))
def test_a_collection_of_its_own_has_a_name_that_can_be_one(name: str) -> None:
    resource = own_resource(name, "importer")
    assert Template.model_validate({**_TEMPLATE, "target_resource": resource}).target_resource == resource
    assert len(resource.rpartition("_")[2]) == 2 * OWN_RESOURCE_BYTES


_TEMPLATE: dict[str, Any] = {"name": "x", "fields": [{"name": "a"}]}


def test_rows_in_webhooks_are_nothing_to_tell_of() -> None:
    assert shown(read(importer(include_data_in_webhook=True))).errors == []
