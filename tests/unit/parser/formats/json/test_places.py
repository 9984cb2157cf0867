"""Where the records of a JSON file are, by the template or by the file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from services.parser.formats.json.places import path_keys, path_text
from tests.unit.parser.formats.json.files import plan_of, read, rows_of, template

ORDER = '{"order_id": 1, "customer": "x", "items": [{"sku": "a"}, {"sku": "b"}]}'
TWO = '{"customers": [{"name": "a"}], "orders": [{"name": "b", "total": 1}]}'


def records(text: str, *columns: str, path: str | None = None, cuts: tuple[int, ...] = ()) -> list[dict[str, str]]:
    """Rows as the cells that they have."""
    data = text.encode()
    fields: list[dict[str, object]] = [{"name": f"f{at}", "column": column} for at, column in enumerate(columns)]
    plan = plan_of(data, template(*fields, source={"record_path": path}))
    found: list[dict[str, str]] = []
    for row in rows_of(read(data, plan, cuts=cuts)):
        assert isinstance(row, tuple), row
        found.append({name: cell for name, cell in zip(plan.columns, row, strict=True) if cell is not None})
    return found


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        pytest.param('{"data": [{"a": 1}]}', ["a"], [{"a": "1"}], id="a wrapper"),
        pytest.param('{"people": [{"a": 1}]}', ["a"], [{"a": "1"}], id="any key"),
        pytest.param('{"n": 1, "people": [{"a": 1}], "m": {"k": 2}}', ["a"], [{"a": "1"}], id="beside metadata"),
        pytest.param('{"a": {"b": {"c": [{"x": 1}]}}}', ["x"], [{"x": "1"}], id="deep"),
        pytest.param(
            '{"a": {"n": 1, "c": [{"x": 1}], "m": 2}, "z": 3}', ["x"], [{"x": "1"}], id="deep, beside metadata"
        ),
        pytest.param('{"hits": {"total": 1, "hits": [{"_id": "1"}]}}', ["_id"], [{"_id": "1"}], id="one name twice"),
        pytest.param('{"d": {"results": [{"x": 1}], "__count": "1"}}', ["x"], [{"x": "1"}], id="odata"),
        pytest.param(
            '{"type": "C", "features": [{"type": "F", "properties": {"name": "x"}}]}',
            ["properties.name"],
            [{"type": "F", "properties.name": "x"}],
            id="features",
        ),
        pytest.param(
            '{"type": "C", "features": [{"type": "F", "properties": {"name": "x"}}]}',
            ["type", "properties.name"],
            [{"type": "F", "properties.name": "x"}],
            id="a column of both",
        ),
        pytest.param(ORDER, ["sku"], [{"sku": "a"}, {"sku": "b"}], id="the list of an order"),
        pytest.param(
            ORDER,
            ["order_id", "customer"],
            [{"order_id": "1", "customer": "x", "items": '[{"sku":"a"},{"sku":"b"}]'}],
            id="an order",
        ),
        pytest.param(
            ORDER,
            ["order_id", "items"],
            [{"order_id": "1", "customer": "x", "items": '[{"sku":"a"},{"sku":"b"}]'}],
            id="an order with its list",
        ),
        pytest.param(TWO, ["total"], [{"name": "b", "total": "1"}], id="one of two lists"),
        pytest.param(TWO, ["name", "total"], [{"name": "b", "total": "1"}], id="the list that has more"),
        pytest.param('{"data": {"id": 1, "n": 2}}', ["id"], [{"id": "1", "n": "2"}], id="one record within"),
        pytest.param('{"data": {"id": 1}, "id": 2}', ["id"], [{"data.id": "1", "id": "2"}], id="one record"),
        pytest.param('{"address": {"city": "L"}}', ["address.city"], [{"address.city": "L"}], id="a nested column"),
        pytest.param('{"data": []}', ["a"], [], id="nothing in it"),
        pytest.param('{"total": 0, "items": []}', ["a"], [], id="nothing in it, beside metadata"),
        pytest.param('{"id": 7, "items": []}', ["id"], [{"id": "7", "items": "[]"}], id="a record with an empty list"),
        pytest.param('{"id": 7, "tags": ["x"]}', ["id"], [{"id": "7", "tags": '["x"]'}], id="a list of texts"),
        pytest.param('{"rows": [{"a": 1}, {"b": 2}]}', ["b"], [{"a": "1"}, {"b": "2"}], id="a key that comes late"),
        pytest.param(
            '{"rows": [{"a": 12345678901234567890123}]}', ["a"], [{"a": "12345678901234567890123"}], id="a big integer"
        ),
        pytest.param('{"rows": [{"a": 1}], "note": "]}{["}', ["a"], [{"a": "1"}], id="brackets in a text behind"),
        pytest.param('\n{"rows"\n:\n[\n{"a":1}\n]\n}\n', ["a"], [{"a": "1"}], id="blanks"),
    ],
)
def test_found(text: str, columns: list[str], expected: list[dict[str, str]]) -> None:
    assert records(text, *columns) == expected


@pytest.mark.parametrize(
    ("text", "columns", "candidates"),
    [
        ('{"id": 1, "items": [{"id": 2}]}', ["id"], ["'items'", "'$'"]),
        (TWO, ["name"], ["'customers'", "'orders'"]),
        (TWO, ["nothing"], ["'customers'", "'orders'"]),
        ('{"a": [{"x": 1}], "b": {"c": [{"x": 2}]}}', ["x"], ["'a'", "'b.c'"]),
    ],
)
def test_unclear(text: str, columns: list[str], candidates: list[str]) -> None:
    with pytest.raises(FileRefusedError, match="RECORDS_UNCLEAR") as refused:
        records(text, *columns)
    for each in (*candidates, "record_path"):
        assert each in refused.value.detail


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"id": [1, 2], "name": ["a", null]}', "'$'"),
        ('{"id": [1, 2, 3], "name": ["a", "b", "c"], "x": [0, 0, 0]}', "'$'"),
        ('{"data": {"id": [1, 2], "name": ["a", "b"]}}', "'data'"),
    ],
)
def test_columns_are_no_record(text: str, place: str) -> None:
    with pytest.raises(FileRefusedError, match="RECORDS_UNCLEAR") as refused:
        records(text, "id", "name")
    for each in (place, "'id', 'name'", "columns", "orient='records'", "record_path"):
        assert each in refused.value.detail


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 1, "codes": ["a", "b"], "tags": ["c", "d"]}',
        '{"id": [1], "name": ["a"]}',
        '{"id": [1, 2], "name": ["a"]}',
        '{"id": [], "name": []}',
        '{"id": [1, 2]}',
    ],
)
def test_a_record_may_have_lists(text: str) -> None:
    assert len(records(text, "id", "name")) == 1


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ('{"id": [1, 2], "name": ["a", "b"]}', "$", [{"id": "[1,2]", "name": '["a","b"]'}]),
        (TWO, "customers", [{"name": "a"}]),
        (TWO, "/customers", [{"name": "a"}]),
        (TWO, "$.customers", [{"name": "a"}]),
        (TWO, "$.customers[*]", [{"name": "a"}]),
        (TWO, "$", [{"customers": '[{"name":"a"}]', "orders": '[{"name":"b","total":1}]'}]),
        ('{"a.b": {"c/d": [{"x": 1}]}, "a": {"b": 2}}', "/a.b/c~1d", [{"x": "1"}]),
        ('{"m": 1, "data": {"x": 1}, "n": {"y": [2]}}', "data", [{"x": "1"}]),
        ('{"a": {"b": {"x": 1}, "c": 3}, "n": 2}', "a.b", [{"x": "1"}]),
        ('{"a": {"b": [{"x": 1}], "c": 3}, "n": [{"z": 2}]}', "a.b", [{"x": "1"}]),
        ('[{"x": 1}]', "$", [{"x": "1"}]),
        ('[{"x": 1}]', "$[*]", [{"x": "1"}]),
        ('{"x": 1}\n{"x": 2}', "$", [{"x": "1"}, {"x": "2"}]),
    ],
)
def test_told(text: str, path: str, expected: list[dict[str, str]]) -> None:
    assert records(text, "x", "name", "customers", path=path) == expected
    assert records(text, "x", "name", "customers", path=path, cuts=tuple(range(len(text)))) == expected


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (TWO, "clients", "'customers', 'orders'"),
        ('{"data": {"n": 5}}', "data.n", "a number"),
        ('[{"x": 1}]', "data", "a list of records itself"),
        ('{"x": 1}\n{"x": 2}', "data", "a list of records itself"),
    ],
)
def test_a_path_that_leads_nowhere(text: str, path: str, said: str) -> None:
    with pytest.raises(FileRefusedError, match="NO_RECORDS") as refused:
        records(text, "x", path=path)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": {"b": [{"x": 1}], "b": 1}}', "'b' stands in the file twice"),
        ('{"a": {"b": [{"x": 1}]}, "a": 1}', "'a' stands in the file twice"),
        ('{"a": {"b": [{"x": 1}]}} x', "something follows"),
        ('{"a": {"b": [{"x": 1}]}', "ends in or after"),
        ('{"a": {"b": [{"x": 1}] "c": 1}}', "after the records"),
    ],
)
def test_damage_behind_the_records(text: str, said: str) -> None:
    with pytest.raises(FileRefusedError, match="MALFORMED_JSON") as refused:
        records(text, "x", path="a.b")
    assert said in refused.value.detail


def test_the_run_says_what_is_not_read() -> None:
    plan = plan_of(b'{"made": 1, "d": {"rows": [{"a": 1}]}}', template("a"))
    assert "records: the list 'd.rows'; not read is what stands beside it: 'made'" in plan.notes


@given(st.lists(st.text(min_size=1, max_size=4), max_size=4))
def test_a_path_that_is_shown_can_be_written(keys: list[str]) -> None:
    assert path_keys(path_text(keys)) == tuple(keys)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
    st.permutations(["head", "rows", "tail"]),
    st.lists(st.integers(0, 200), max_size=4).map(tuple),
)
def test_the_place_does_not_depend_on_order_or_depth(
    numbers: list[int], keys: list[str], order: list[str], cuts: tuple[int, ...]
) -> None:
    parts: dict[str, object] = {"head": "x", "rows": [{"n": number} for number in numbers], "tail": {"total": [1]}}
    value: object = {each: parts[each] for each in order}
    for key in keys:
        value = {"m": None, key: value}
    assert records(json.dumps(value), "n", cuts=cuts) == [{"n": str(number)} for number in numbers]
