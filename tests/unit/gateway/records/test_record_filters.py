"""Filters of records: what clients write, and what the server is asked."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.errors import InvalidInputError
from services.gateway.records.record_filters import MAX_FILTERS, MAX_VALUES, OWN_FIELDS, Field, Kind, read_filters

FIELDS = {
    "name": Field("name", frozenset({Kind.TEXT})),
    "price": Field("price", frozenset({Kind.NUMBER})),
    "born": Field("born", frozenset({Kind.DATE})),
    "active": Field("active", frozenset({Kind.BOOLEAN})),
    "mixed": Field("mixed", frozenset({Kind.TEXT, Kind.NUMBER})),
    **OWN_FIELDS,
}


def condition(text: str) -> dict[str, Any]:
    (found,) = read_filters([text], FIELDS).conditions
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name:eq:a:b", {"name": {"$in": ["a:b"]}}),
        ("name:eq:", {"name": {"$in": [""]}}),
        ("name:ne:$gt", {"name": {"$nin": ["$gt"]}}),
        ('name:in:a,"b,c"', {"name": {"$in": ["a", "b,c"]}}),
        ("name:gte:m", {"$or": [{"name": {"$gte": "m"}}]}),
        ("name:prefix:An", {"name": {"$gte": "An", "$lt": "Ao"}}),
        ("name:prefix:", {"name": {"$gte": ""}}),
        ("name:prefix:a\ud7ff", {"name": {"$gte": "a\ud7ff", "$lt": "a\ue000"}}),
        ("name:prefix:a\U0010ffff", {"name": {"$gte": "a\U0010ffff", "$lt": "b"}}),
        ("name:exists:true", {"name": {"$ne": None}}),
        ("name:exists:false", {"name": None}),
        ("price:eq:10", {"price": {"$in": [Int64(10)]}}),
        ("price:eq:0.1", {"price": {"$in": [Decimal128("0.1"), 0.1]}}),
        ("price:in:1,2.50", {"price": {"$in": [Int64(1), Decimal128("2.50"), 2.5]}}),
        ("price:gt:-3", {"$or": [{"price": {"$gt": Int64(-3)}}]}),
        ("born:lt:2025-03-31", {"$or": [{"born": {"$lt": datetime(2025, 3, 31, tzinfo=UTC)}}]}),
        ("born:eq:2025-03-31T14:05:00+02:00", {"born": {"$in": [datetime(2025, 3, 31, 12, 5, tzinfo=UTC)]}}),
        ("active:eq:true", {"active": {"$in": [True]}}),
        ("mixed:eq:7", {"mixed": {"$in": [Int64(7), "7"]}}),
        ("mixed:gt:x", {"$or": [{"mixed": {"$gt": "x"}}]}),
        ("_run_id:eq:x", {"_import.run_id": {"$in": ["x"]}}),
    ],
)
def test_what_is_asked(text: str, expected: dict[str, Any]) -> None:
    assert condition(text) == expected


@pytest.mark.parametrize(
    ("text", "bound"),
    # The double 0.1 is a little more than the exact 0.1, the double 0.3 a little less.
    [
        ("price:gt:0.1", 0.1),
        ("price:gte:0.1", Decimal128("0.1")),
        ("price:lt:0.1", Decimal128("0.1")),
        ("price:lte:0.1", 0.1),
        ("price:gt:0.3", Decimal128("0.3")),
        ("price:lte:0.3", Decimal128("0.3")),
    ],
)
def test_a_bound_is_on_the_same_side_of_both_forms_of_a_number(text: str, bound: object) -> None:
    operator = text.split(":")[1]
    assert condition(text) == {"$or": [{"price": {f"${operator}": bound}}]}


def test_by_which_values_records_may_be_found() -> None:
    wanted = read_filters(["name:in:a,b", "price:gt:1", "price:ne:2"], FIELDS)
    assert wanted.named == {"name": ["a", "b"]}
    assert len(wanted.conditions) == 3


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("name", "INVALID_FILTER", "field:operator:value"),
        ("name:eq", "INVALID_FILTER", "field:operator:value"),
        ("name:$gt:1", "INVALID_FILTER", "the operators are eq"),
        ("nmae:eq:1", "UNKNOWN_FIELD", "did you mean 'name'?"),
        ("tenant_id:eq:x", "UNKNOWN_FIELD", "There are name, price"),
        ("_keys.a:eq:x", "UNKNOWN_FIELD", "There are name, price"),
        ("active:gt:true", "INVALID_FILTER", "which takes eq, ne, in, exists"),
        ("price:prefix:1", "INVALID_FILTER", "a number"),
        ("price:eq:NaN", "INVALID_VALUE", "a number"),
        ("price:eq:1e9999", "INVALID_VALUE", "a number"),
        (f"price:eq:{'1' * 35}.5", "INVALID_VALUE", "at most 34 digits"),
        ("born:eq:yesterday", "INVALID_VALUE", "a day or a time"),
        ("born:eq:0001-01-01T00:00:00+10:00", "INVALID_VALUE", "a day or a time"),
        ("active:eq:yes", "INVALID_VALUE", "true or false"),
        ("name:exists:yes", "INVALID_VALUE", "true (there is a value)"),
        ('name:in:"a', "INVALID_VALUE", "quotes"),
        (f"name:in:{','.join('a' * (MAX_VALUES + 1))}", "INVALID_VALUE", f"at most {MAX_VALUES}"),
        (f"name:eq:{'x' * 2_000}", "INVALID_FILTER", "2,000"),
    ],
)
def test_what_is_refused(text: str, code: str, told: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_filters(["name:eq:fine", text], FIELDS)
    (problem,) = refused.value.problems
    assert (problem.location, problem.code) == ("filter[1]", code)
    assert told in problem.message


def test_too_many() -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_filters(["name:eq:a"] * (MAX_FILTERS + 1), FIELDS)
    assert [(problem.location, problem.code) for problem in refused.value.problems] == [("filter", "TOO_MANY")]


@given(st.lists(st.text(max_size=40) | st.from_regex(r"(name|price|born|mixed):[a-z]{2,6}:.{0,20}", fullmatch=True)))
def test_nothing_of_a_client_is_an_operator(texts: list[str]) -> None:
    """Whatever is sent is refused, or becomes values below operators and paths that are ours."""
    try:
        wanted = read_filters(texts, FIELDS)
    except InvalidInputError:
        return
    ours = {"$or", "$in", "$nin", "$ne", "$lt", "$lte", "$gt", "$gte", *(field.path for field in FIELDS.values())}

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set[str]().union(*map(names, value)) if isinstance(value, list) else set()

    assert names(list(wanted.conditions)) <= ours


@given(st.text(min_size=1, max_size=5), st.text(max_size=5))
def test_a_prefix_is_a_range_of_bytes(prefix: str, rest: str) -> None:
    """What begins with it is in the range, what the range ends with does not."""
    bounds = condition(f"name:prefix:{prefix}")["name"]
    text = (prefix + rest).encode("utf-8", "surrogatepass")
    assert bounds["$gte"].encode("utf-8", "surrogatepass") <= text
    if "$lt" in bounds:
        assert text < bounds["$lt"].encode("utf-8", "surrogatepass")
        assert not bounds["$lt"].startswith(prefix)
