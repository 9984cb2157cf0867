"""A template that cannot work is refused with everything that is wrong with it."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.contracts.date_formats import date_format_problem
from libs.contracts.templates import FieldType, ImportMode, Template


def template(**changes: object) -> Template:
    return Template.model_validate(
        {"name": "contacts", "target_resource": "contacts", "fields": [{"name": "email"}], **changes}
    )


def field(**changes: object) -> Template:
    return template(fields=[{"name": "value", **changes}])


def test_the_smallest_template() -> None:
    made = template()
    assert (made.mode, made.auto_execute, made.matches_by_key) == (ImportMode.APPEND, False, False)
    assert made.fields[0].type is FieldType.TEXT
    assert made.fields[0].source == "email"


def test_a_template_survives_being_stored() -> None:
    made = template(
        fields=[
            {"name": "email", "column": "E-Mail", "type": "email", "rules": [{"type": "required"}, {"type": "unique"}]},
            {"name": "n", "type": "number", "integer": True, "rules": [{"type": "min", "value": 1}]},
            {"name": "day", "type": "date", "date_format": "DD.MM.YYYY", "transforms": [{"type": "trim"}]},
        ],
        mode="upsert",
        upsert_key="email",
        default_values={"origin": "file", "score": 1.5, "none": None, "yes": True},
    )
    assert Template.model_validate(made.model_dump(mode="json")) == made
    assert made.fields[0].source == "E-Mail"
    assert made.fields[0].required


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        template(
            mode="upsert",
            fields=[
                {"name": "email"},
                {"name": "email", "integer": True},
                {"name": "tenant_id", "type": "number", "date_format": "YYYY-MM-DD"},
                {"name": "day", "type": "date", "date_format": "YYYY-MM"},
                {"name": "size", "rules": [{"type": "min", "value": 1}]},
                {
                    "name": "text",
                    "rules": [{"type": "min_length", "value": 3}, {"type": "max_length", "value": 2}],
                },
                {"name": "n", "type": "number", "rules": [{"type": "min", "value": 3}, {"type": "max", "value": 2}]},
            ],
            default_values={"email": "x", "extra": 1, "huge": 2**63},
        )
    told = str(refused.value)
    for problem in (
        "field 'email': 'email' is defined twice",
        "field 'tenant_id': 'tenant_id' is reserved",
        "default_values.extra is reserved",
        "default_values.email would overwrite",
        "default_values.huge is a number beyond 64 bits",
        "mode 'upsert' needs an upsert_key",
        "field 'email': integer needs type 'number'",
        "field 'tenant_id': date_format needs type 'date'",
        "field 'day': date_format 'YYYY-MM' must hold YYYY, MM and DD",
        "field 'size': min and max compare numbers",
        "field 'text': min_length is greater than max_length",
        "field 'n': min is greater than max",
    ):
        assert problem in told


def test_an_upsert_key_is_a_field() -> None:
    with pytest.raises(ValidationError, match="upsert_key 'id' is not one of the fields: email"):
        template(mode="upsert", upsert_key="id")


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 1.5, "text", True, None])
def test_default_values_that_a_record_can_hold(value: object) -> None:
    assert template(default_values={"origin": value}).default_values == {"origin": value}


@pytest.mark.parametrize("name", ["", "1st", "a.b", "$set", "_id", "é", "a" * 65, "a b", "name\n"])
def test_names_that_are_no_identifiers(name: str) -> None:
    with pytest.raises(ValidationError):
        template(fields=[{"name": name}])


@pytest.mark.parametrize("name", ["", "Contacts", "system.users", "1st", "a" * 65, "a-b", "name\n"])
def test_resources_that_are_no_collections(name: str) -> None:
    with pytest.raises(ValidationError):
        template(target_resource=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": [{"type": "of_the_future"}]},
        {"rules": [{"type": "min", "value": "NaN"}], "type": "number"},
        {"rules": [{"type": "max", "value": "Infinity"}], "type": "number"},
        {"rules": [{"type": "regex", "pattern": ""}]},
        {"rules": [{"type": "enum", "values": []}]},
        {"transforms": [{"type": "replace", "find": ""}]},
        {"type": "telephone"},
    ],
)
def test_fields_that_say_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        field(**changes)


def test_what_a_newer_release_has_added_is_ignored_at_every_depth() -> None:
    known = {
        "name": "t",
        "target_resource": "records",
        "source": {"file_type": "fixed_width", "column_widths": [{"width": 3}]},
        "fields": [{"name": "sku", "rules": [{"type": "min_length", "value": 1}], "transforms": [{"type": "trim"}]}],
    }

    def with_additions(part: object) -> object:
        if isinstance(part, list):
            return [with_additions(each) for each in part]
        if isinstance(part, dict):
            return {key: with_additions(value) for key, value in part.items()} | {"of_the_future": {"a": [1]}}
        return part

    assert Template.model_validate(with_additions(known)) == Template.model_validate(known)


@pytest.mark.parametrize("name", ["tenant_id", "extra", "is_deleted", "deleted_at", "constructor", "prototype"])
def test_names_that_only_rowdock_may_use(name: str) -> None:
    for given in ({"fields": [{"name": name}]}, {"default_values": {name: "x"}}):
        with pytest.raises(ValidationError, match="is reserved"):
            template(**given)


@pytest.mark.parametrize("name", ["_id", "_import", "a.b", "$a"])
def test_names_that_no_field_can_have(name: str) -> None:
    with pytest.raises(ValidationError):
        template(fields=[{"name": name}])


def test_a_template_may_own_the_times_of_its_records() -> None:
    made = template(fields=[{"name": "updated_at", "type": "date"}], default_values={"created_at": "2020-01-01"})
    assert made.sets == {"updated_at", "created_at"}


def test_the_example_of_the_import_engine_is_a_template() -> None:
    """Its reference maps a column to ``updated_at``."""
    fields = [
        {"name": "sku", "column": "SKU", "rules": [{"type": "required"}]},
        {"name": "name", "column": "Name", "rules": [{"type": "required"}], "transforms": [{"type": "trim"}]},
        {"name": "price", "column": "Price", "type": "number", "decimals": 2},
        {"name": "is_active", "column": "Active", "type": "boolean"},
        {"name": "updated_at", "column": "Updated", "type": "date", "date_format": "YYYY-MM-DD"},
    ]
    made = template(
        name="products-sync",
        target_resource="products",
        mode="sync",
        upsert_key="sku",
        scope_filter={"source": "erp"},
        fields=fields,
        default_values={"source": "erp"},
        required_columns=["SKU", "Name"],
    )
    assert "updated_at" in made.sets


def test_a_template_has_fields() -> None:
    with pytest.raises(ValidationError):
        template(fields=[])


@pytest.mark.parametrize(
    ("changes", "matches"),
    [
        ({}, False),
        ({"upsert_key": "email"}, False),
        ({"mode": "upsert", "upsert_key": "email"}, True),
        ({"mode": "update", "upsert_key": "email"}, True),
        ({"mode": "sync", "upsert_key": "email", "scope_filter": {"country": "SE"}}, True),
    ],
)
def test_modes_that_match_rows_with_records(changes: dict[str, Any], matches: bool) -> None:
    assert template(**changes).matches_by_key is matches


@pytest.mark.parametrize(
    "date_format",
    [
        "YYYY-MM-DD",
        "DD.MM.YYYY",
        "MM/DD/YYYY HH:mm",
        "YYYYMMDD",
        "YYYYMMDDHHmmss",
        "YYYY-MM-DDTHH:mm:ss",
        "YYYY-MM-DDTHH:mm:ss.SSSZ",
        "D.M.YY",
        "DMMMYYYY",
        "D MMMM YYYY",
        "MMM D, YYYY",
        "dddd, MMMM D, YYYY h:mm A",
        "ddd DD/MM/YYYY hh:mma",
        "D. MMMM YYYY [at] H[h]mm",
        "YYYY-MM-DD ss",
        "[]YYYY[$^.*]MM DD",
    ],
)
def test_date_formats_that_work(date_format: str) -> None:
    assert date_format_problem(date_format) is None
    assert field(type="date", date_format=date_format).fields[0].date_format == date_format


@pytest.mark.parametrize(
    ("date_format", "problem"),
    [
        ("YYYY-MM", "must hold YYYY, MM and DD"),
        ("HH:mm", "must hold YYYY, MM and DD"),
        ("", "must hold YYYY, MM and DD"),
        ("[YYYY]-MM-DD", "must hold YYYY, MM and DD"),
        ("YYYY-MM-DD DD", "holds a token for the day twice"),
        ("YYYY-MM-DD D", "holds a token for the day twice"),
        ("YYYY-MM-MMM-DD", "holds a token for the month twice"),
        ("YYYY-YY-MM-DD", "holds a token for the year twice"),
        ("YYYY-MM-DDD", "holds a token for the day twice"),
        ("YYYY-MM-DD HH hh A", "holds a token for the hour twice"),
        ("YYYY-MM-DD hh A a", "holds a token for the half twice"),
        ("YYYY-MM-DD ddd dddd", "holds a token for the weekday twice"),
        ("YYYY-MM-DD hh:mm", "must hold hh (or h) and A (or a) together"),
        ("YYYY-MM-DD HH:mm A", "must hold hh (or h) and A (or a) together"),
        ("DMYYYY", "holds D directly before digits"),
        ("D[1]MM-YYYY", "holds D directly before digits"),
        ("D[]MM-YYYY", "holds D directly before digits"),
        ("YYYY-MM-DD Hmm", "holds H directly before digits"),
        ("YYYYY-MM-DD", "are understood"),
        ("yyyy-mm-dd", "are understood"),
        ("%Y-%m-%d", "are understood"),
        ("YYYY-MM-DD\n", "are understood"),
        ("YYYY-MM-DD_", "are understood"),
        ("YYYY-MM-DD [x", "are understood"),
        ("YYYY-MM-DD at", "'t'"),
        ("Do MMMM YYYY", "'o'"),
    ],
)
def test_date_formats_that_do_not(date_format: str, problem: str) -> None:
    assert problem in (date_format_problem(date_format) or "")


def test_every_problem_of_a_date_format_is_told() -> None:
    told = date_format_problem("hh:MM Q") or ""
    assert told.count("; it ") == 2
    for problem in ("'Q'", "must hold YYYY", "must hold hh (or h) and A"):
        assert problem in told


def test_what_release_0_1_does_not_know_is_stored_only_where_it_says_something() -> None:
    field = {"name": "price", "type": "number"}
    body = {"name": "t", "target_resource": "things", "fields": [field]}
    added = {"two_digit_year_pivot", "zero_dates", "null_values"}
    assert not added & set(Template.model_validate(body).model_dump())
    said = Template.model_validate(
        {
            **body,
            "null_values": ["-"],
            "source": {"file_type": "json", "record_path": "a.b"},
            "fields": [{**field, "percent": "as_is"}],
        }
    )
    stored = said.model_dump(mode="json")
    assert stored["null_values"] == ["-"]
    assert stored["source"]["record_path"] == "a.b"
    assert stored["fields"][0]["percent"] == "as_is"
    assert Template.model_validate(stored) == said
