"""What MongoDB's own tools write of values that JSON has no form for."""

import json
from typing import Any

import pytest

from tests.unit.parser.formats.json.files import plain_plan, plan_of, read, rows_in, rows_of, template

DATED = "2024-03-31T14:05:00.000Z"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ({"$oid": "65f0c0ffee65f0c0ffee0001"}, "65f0c0ffee65f0c0ffee0001"),
        ({"$date": "2024-03-31T14:05:00Z"}, "2024-03-31T14:05:00Z"),
        ({"$date": {"$numberLong": "1711893900000"}}, DATED),
        ({"$date": 1711893900000}, DATED),
        ({"$date": {"$numberLong": "-2208988800001"}}, "1899-12-31T23:59:59.999Z"),
        ({"$date": {"$numberLong": "253402300800000"}}, "253402300800000"),
        ({"$numberLong": "9223372036854775807"}, "9223372036854775807"),
        ({"$numberInt": "5"}, "5"),
        ({"$numberDouble": "2.50"}, "2.50"),
        ({"$numberDecimal": "1.10"}, "1.10"),
        ({"$uuid": "3b241101-e2bb-4255-8caf-4136c566a962"}, "3b241101-e2bb-4255-8caf-4136c566a962"),
        ({"$symbol": "A"}, "A"),
    ],
)
def test_a_value_is_one_cell(value: object, cell: str) -> None:
    for records in ([{"a": value}], [{"a": value, "b": 1}, {"b": 2, "a": None}, {"b": 3, "a": "x"}]):
        data = json.dumps(records).encode()
        assert plan_of(data).columns[0] == "a"
        assert rows_in(data)[0][0] == cell


@pytest.mark.parametrize(
    "value",
    [
        {"$oid": "65f0c0ffee65f0c0ffee0001", "more": 1},
        {"$oid": None},
        {"$date": {"$numberLong": None}},
        {"$date": {"$other": "1"}},
        {"$date": True},
        {"$binary": {"base64": "AA==", "subType": "00"}},
        {"$ref": "users"},
        {"oid": "1"},
        {},
    ],
)
def test_other_objects_are_objects(value: dict[str, Any]) -> None:
    data = json.dumps([{"b": 1, "a": value}]).encode()
    assert "a" not in plan_of(data, template("b")).columns


def test_a_template_that_names_the_type_reads_it_there() -> None:
    data = b'[{"_id": {"$oid": "1"}, "at": {"$date": "2024-03-31"}}, {"_id": {"$oid": "2"}, "at": null}]'
    wanted = template({"name": "id", "column": "_id.$oid"}, "at")
    assert plan_of(data, wanted).columns == ("_id.$oid", "at")
    assert rows_in(data, wanted) == [("1", "2024-03-31"), ("2", None)]
    joined = template({"name": "id", "transforms": [{"type": "concat", "columns": ["_id.$oid", "at"]}]})
    assert rows_in(data, joined) == [("1", "2024-03-31"), ("2", None)]


def test_lists_of_records_are_found_by_these_names() -> None:
    users = [{"at": {"$date": "2024-03-31"}, "a": n} for n in range(2)]
    data = json.dumps({"groups": [{"b": 1}, {"b": 2}], "users": users}).encode()
    for at in ("at", "at.$date"):
        wanted = template("a", {"name": "at", "column": at})
        assert rows_in(data, wanted) == [("2024-03-31", "0"), ("2024-03-31", "1")]


def test_plans_of_the_release_before_go_on_as_they_began() -> None:
    plan = plain_plan("array", ("a.$oid",), mapping={"a": 0})
    assert rows_of(read(b'[{"a": {"$oid": "1"}}]', plan)) == [("1",)]


def test_two_values_of_one_name_are_told() -> None:
    assert rows_in(b'[{"a": {"$oid": "1"}, "a": "2"}, {"a": "3"}]') == ["DUPLICATE_KEY_IN_RECORD", ("3",)]
