"""The reader against the standard library's json module over the whole text."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.file_format import column_keys
from services.parser.formats.api.limits import ReaderLimits
from tests.unit.parser.formats.json.files import (
    LIMITS,
    outcome,
    plain_plan,
    plan_of,
    read,
    rows_of,
    template,
)

SMALL_LIMITS = st.builds(
    ReaderLimits,
    block_bytes=st.integers(1, 40),
    max_record_bytes=st.integers(1, 60),
    max_cell_bytes=st.integers(1, 30),
    issue_cell_chars=st.integers(1, 10),
)
CUTS = st.lists(st.integers(0, 10_000), max_size=6).map(tuple)
SHAPES = st.sampled_from(["array", "wrapped:data", "objects", "lines"])

KEYS = st.one_of(st.sampled_from(["a", "b", "a.b", "c", "é", "", " a"]), st.text(max_size=3))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**30, 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)
VALUES = st.recursive(
    SCALARS, lambda some: st.one_of(st.lists(some, max_size=3), st.dictionaries(KEYS, some, max_size=3)), max_leaves=6
)
REGULAR = st.fixed_dictionaries({"a": SCALARS, "b": SCALARS, "c": st.text(max_size=3)})
RECORDS = st.lists(st.one_of(REGULAR, REGULAR, st.dictionaries(KEYS, VALUES, max_size=4), VALUES), max_size=8)


class Digits(str):
    """A number as the oracle reads it."""

    __slots__ = ()


def flattened(record: dict[str, Any], prefix: str = "") -> list[tuple[str, str | None]]:
    """Names and texts of the record's cells, in order; a name may come twice."""
    cells: list[tuple[str, str | None]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            cells += [(f"{prefix}{key}", "{}"), *flattened(value, f"{prefix}{key}.")]
        elif isinstance(value, list):
            cells.append((f"{prefix}{key}", written(value)))
        elif isinstance(value, bool):
            cells.append((f"{prefix}{key}", str(value).lower()))
        else:
            cells.append((f"{prefix}{key}", value))
    return cells


def written(value: object) -> str:
    """Compact JSON text; numbers go through as they are."""
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{written(key)}:{written(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def expected(record: object, columns: set[str]) -> dict[str, str | None] | str:
    """Cells by name, or the code of the issue."""
    if not isinstance(record, dict):
        return "NOT_AN_OBJECT"
    cells = flattened(record)
    if len({name for name, _ in cells}) < len(cells):
        return "DUPLICATE_KEY_IN_RECORD"
    objects = {name for name, _ in flattened_objects(record)}
    kept = {name: text for name, text in cells if name not in objects}
    if any("\0" in (text or "") for name, text in kept.items() if name in columns):
        return "NUL_CHARACTER"
    return {name: text for name, text in kept.items() if text is not None}


def flattened_objects(record: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            found += [(f"{prefix}{key}", value), *flattened_objects(value, f"{prefix}{key}.")]
    return found


def named(row: tuple[str | None, ...] | str, plan: ParsePlan) -> dict[str, str | None] | str:
    """A row by the names of the file's keys, without what is missing."""
    if isinstance(row, str):
        return row
    cells = dict(zip(column_keys(plan), row, strict=True))
    more = cells.pop(plan.columns[plan.overflow], None) if plan.overflow is not None else None
    extra: dict[str, str | None] = json.loads(more) if more else {}
    return {name: text for name, text in (cells | extra).items() if text is not None}


def compose(shape: str, texts: list[str], blank: str) -> tuple[str, int]:
    """A file, and where its records start."""
    if shape == "lines":
        return "\n".join(texts), 0
    if shape == "objects":
        return blank.join(texts), 0
    elements = f"[{blank}{f'{blank},{blank}'.join(texts)}{blank}]"
    if shape == "array":
        return elements, 1
    before = f'{{{blank}"n":{blank}{{"data":[1]}}{blank},"data":'
    return f'{before}{elements}, "z": ["]"]}}', len(before) + 1


@settings(max_examples=300)
@given(
    records=RECORDS,
    shape=SHAPES,
    ascii_only=st.booleans(),
    blank=st.sampled_from(["", " ", "\n", " \r\n\t"]),
    cuts=CUTS,
    narrow=st.booleans(),
)
def test_values_and_rows_are_those_of_the_standard_library(
    records: list[object], shape: str, ascii_only: bool, blank: str, cuts: tuple[int, ...], narrow: bool
) -> None:
    if shape == "objects":
        records = [record for record in records if isinstance(record, dict)]
    texts = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    text, start = compose(shape, texts, blank)
    data = text.encode()
    columns = sorted({name for record in records if isinstance(record, dict) for name, _ in flattened(record)})
    columns = [name for name in columns if name != "(other)"][: 1 if narrow else None]
    plan = plain_plan(shape, (*columns, "(other)"), start=start, overflow=len(columns))
    again = [json.loads(text, parse_float=Digits, parse_int=Digits) for text in texts]
    rows = [named(row, plan) for row in rows_of(read(data, plan, cuts=cuts))]
    assert rows == [expected(record, set(columns)) for record in again]


@settings(max_examples=150)
@given(records=st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=6), shape=SHAPES)
def test_the_sampler_finds_every_column(records: list[dict[str, Any]], shape: str) -> None:
    texts = [json.dumps(record) for record in records]
    data = compose(shape, texts, " ")[0].encode()
    path = None if shape.startswith("wrapped") else "$"
    reads_nothing = {"name": "zz", "transforms": [{"type": "constant", "value": "x"}]}
    plan = plan_of(data, template(reads_nothing, source={"record_path": path}))
    rows = [named(row, plan) for row in rows_of(read(data, plan))]
    again = [json.loads(text, parse_float=Digits, parse_int=Digits) for text in texts]
    names = {name for record in again for name, _ in flattened(record)}
    if len(records) > 1 and plan.options["shape"] == shape:
        assert rows == [expected(record, names) for record in again]


TOKENS = st.sampled_from(
    [
        *[
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b"\n",
            b" ",
            b"\\",
            b"1",
            b"-",
            b".",
            b"e5",
            b"tru",
            b"true",
            b"null",
        ],
        *[
            b'"a"',
            b'"b":',
            b'{"a":1}',
            b'{"a":1}',
            b',{"a":1}',
            b',{"a":"x","b":[2]}',
            b'{"a":1}\n',
            b"\n[",
            b'{"data":[',
        ],
        *[
            b'"\\ud800"',
            b'"\\u0000"',
            b'"\\"',
            b"NaN",
            "é".encode(),
            b"\xff",
            b"\0",
            b"\xef\xbb\xbf",
            b"\r\n",
            b'{"b":{"a":2}}',
        ],
        *[b',{"a":"\\ud800"}', b',{"a":"\xff"}', b"[[[[", b"]]]]", b',{"a":1,"a":2}', b"]}", b',"data":[]'],
    ]
)
SOUP = st.lists(TOKENS, max_size=30).map(b"".join)
FILES = st.one_of(
    SOUP, SOUP.map(lambda soup: b"[" + soup), SOUP.map(lambda soup: b'{"data":[' + soup), st.binary(max_size=60)
)


@settings(max_examples=600)
@given(data=FILES, shape=SHAPES, cuts=CUTS, limits=st.one_of(st.just(LIMITS), SMALL_LIMITS))
@example(data=b"[1.5,2]", shape="array", cuts=(3,), limits=LIMITS)
@example(data=b'[{"a":1},"x\\"y",tru]', shape="array", cuts=(12, 13), limits=LIMITS)
@example(data=b'{"data":[{"a":1}],"z":"a  b"}', shape="wrapped:data", cuts=(24, 25), limits=LIMITS)
def test_rows_do_not_depend_on_how_the_bytes_are_cut(
    data: bytes, shape: str, cuts: tuple[int, ...], limits: ReaderLimits
) -> None:
    start = {"array": 1, "wrapped:data": 9}.get(shape, 0)
    plan = plain_plan(shape, ("a", "(other)"), start=start, overflow=1)
    assert outcome(data, plan, limits, cuts) == outcome(data, plan, limits)


@settings(max_examples=600)
@given(data=FILES, limits=st.one_of(st.just(LIMITS), SMALL_LIMITS))
def test_any_bytes_end_in_rows_or_in_a_refusal(data: bytes, limits: ReaderLimits) -> None:
    try:
        rows = rows_of(read(data, plan_of(data, limits=limits), limits))
    except FileRefusedError:
        return
    shape = plan_of(data, limits=limits).options["shape"]
    whole = parsed(data)
    if whole is not None:
        assert len(rows) == records_in(whole, shape, data)


def parsed(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def records_in(whole: dict[str, list[object]] | list[object], shape: str, data: bytes) -> int:
    if shape == "lines":
        return len([line for line in data.decode().split("\n") if line.strip(" \t\r")])
    if shape.startswith("wrapped:") and isinstance(whole, dict):
        return len(whole[shape.removeprefix("wrapped:")])
    return len(whole) if shape == "array" else 1


@pytest.mark.parametrize(
    ("shape", "write"),
    [
        pytest.param("array", json.dumps, id="array"),
        pytest.param("array", lambda records: json.dumps(records, indent=1), id="array of many lines"),
        pytest.param("lines", lambda records: "\n".join(map(json.dumps, records)), id="lines"),
        pytest.param("objects", lambda records: "".join(json.dumps(each, indent=1) for each in records), id="objects"),
        pytest.param("wrapped:items", lambda records: json.dumps({"items": records, "n": 1}), id="wrapped"),
    ],
)
def test_no_row_is_lost_in_a_long_file(shape: str, write: Callable[[list[dict[str, Any]]], str]) -> None:
    records = [{"id": number, "name": "é" * (number % 50), "tags": ["]", "}"]} for number in range(12_000)]
    data = write(records).encode()
    plan = plan_of(data, template("id"))
    assert plan.options["shape"] == shape
    rows = rows_of(read(data, plan, cuts=tuple(range(0, len(data), 100_003))))
    assert rows == [(str(each["id"]), each["name"], '["]","}"]') for each in records]


def test_records_that_are_taken_together_and_alone_keep_their_order_and_numbers() -> None:
    records = [f'{{"id": {number}, "name": "}}{number}", "ok": true}}' for number in range(1, 8_001)]
    records[2_999] = '{"id": 3000, "name": {"first": "x"}, "ok": null}'
    records[3_499] = '{"id": 3500, "id": 3500, "ok": false}'
    records[6_999] = "7"
    data = f"[{','.join(records)}]".encode()
    plan = plan_of(data, template("id"))
    batches = read(data, plan)
    at = plan.columns.index("id")
    rows = rows_of(batches)
    assert [row if isinstance(row, str) else row[at] for row in rows] == [
        {3_500: "DUPLICATE_KEY_IN_RECORD", 7_000: "NOT_AN_OBJECT"}.get(number, str(number))
        for number in range(1, 8_001)
    ]
    assert [" ".join(issue.message.split()[:2]) for batch in batches for issue in batch.issues] == [
        "record 3500:",
        "record 7000:",
    ]
    assert outcome(data, plan) == outcome(data, plan, cuts=(17, 40_000, 40_001, 170_000))
