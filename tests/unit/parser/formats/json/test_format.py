"""Shapes, encodings, columns and hostile JSON files."""

import json

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.registry import file_format
from tests.unit.parser.formats.json.files import layout_of, plain_plan, plan_of, read, rows_in, rows_of, template

RECORD = '{"a": 1}'


def test_is_a_built_in_format() -> None:
    assert file_format("json").reader(plain_plan("array", ("a",)), ReaderLimits())


@pytest.mark.parametrize(
    ("text", "shape", "rows"),
    [
        pytest.param('[{"a": 1}, {"a": 2}]', "array", ["1", "2"], id="array"),
        pytest.param(' \r\n\t[ {"a":1}\n,\n{"a":2} ]\n\n', "array", ["1", "2"], id="array with blanks"),
        pytest.param("[]", "array", [], id="empty array"),
        pytest.param("[ \n ]\n", "array", [], id="empty array with blanks"),
        pytest.param('{"a": 1}', "object", ["1"], id="object"),
        pytest.param('\n{"a":\n1}\n', "object", ["1"], id="object of several lines"),
        *[
            pytest.param(f'{{"{key}": [{RECORD}]}}', f"wrapped:{key}", ["1"], id=f"in {key}")
            for key in ("data", "items", "rows", "records", "results")
        ],
        pytest.param(
            '{"n": {"data": [0]}, "items" :\n[ {"a":1} ] , "z":[1]}', "wrapped:items", ["1"], id="in the midst"
        ),
        pytest.param('{"data": 7, "rows": [{"a": 1}]}', "wrapped:rows", ["1"], id="first key without an array"),
        pytest.param('{"data": []}', "wrapped:data", [], id="nothing in data"),
        pytest.param('{"data": {"a": 1}, "a": 2}', "object", ["2"], id="data is no array"),
        pytest.param(
            '{"data": [{"a": 1}], "z": ' + "[" * 9_999 + "]" * 9_999 + "}", "wrapped:data", ["1"], id="deep behind data"
        ),
        pytest.param('{"a": 1}\n{"a": 2}', "lines", ["1", "2"], id="lines"),
        pytest.param('\n\n{"a": 1}\r\n\r\n{"a": 2}\r\n', "lines", ["1", "2"], id="lines with blank ones"),
        pytest.param('{"items":[],"a":1}\n{"items":[],"a":2}', "lines", ["1", "2"], id="lines with a key of wrappers"),
        pytest.param('{"a": 1,}\n{"a": 2}', "lines", ["MALFORMED_RECORD", "2"], id="first line malformed"),
        pytest.param('{"a": "1}\n{"a": 2}', "lines", ["MALFORMED_RECORD", "2"], id="first line never ends"),
        pytest.param('{"a": 1} x\n{"a": 2}', "lines", ["MALFORMED_RECORD", "2"], id="rubbish behind the first line"),
        pytest.param(
            '1\n{"a": 2}\n[3]\n{"a": 4}', "lines", ["NOT_AN_OBJECT", "2", "NOT_AN_OBJECT", "4"], id="lines mixed"
        ),
        pytest.param('{"a": 1}\nrubbish', "lines", ["1", "MALFORMED_RECORD"], id="last line malformed"),
        pytest.param('{"a": 1}{"a": 2} {"a": 3}', "objects", ["1", "2", "3"], id="objects in one line"),
        pytest.param('{\n"a": 1\n}\n{\n"a": 2\n}\n', "objects", ["1", "2"], id="objects of several lines"),
        pytest.param('[1, null, [{}], true, "x"]', "array", ["NOT_AN_OBJECT"] * 5, id="array of no objects"),
    ],
)
def test_shapes(text: str, shape: str, rows: list[str]) -> None:
    data = text.encode()
    wanted = template("a")
    plan = plan_of(data, wanted)
    assert plan.options["shape"] == shape
    at = plan.columns.index("a")
    assert [row if isinstance(row, str) else row[at] for row in rows_of(read(data, plan))] == rows


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        pytest.param("", "EMPTY_FILE", "empty", id="empty"),
        pytest.param(" \n\t\r\n", "EMPTY_FILE", "blanks", id="blank"),
        pytest.param("5", "NO_RECORDS", "a number", id="number"),
        pytest.param('"x"', "NO_RECORDS", "a text", id="text"),
        pytest.param("null\n", "NO_RECORDS", "null", id="null"),
        pytest.param("true", "NO_RECORDS", "true or false", id="boolean"),
        pytest.param("a,b\n1,2\n", "MALFORMED_JSON", "line 1, column 1: a value is needed", id="csv"),
        pytest.param("1 2", "MALFORMED_JSON", "line 1, column 3: the value has ended before", id="two numbers"),
        pytest.param("NaN", "MALFORMED_JSON", "NaN is no value of JSON", id="nan at the top"),
        pytest.param('[{"a": NaN}]', "MALFORMED_JSON", "record 1: NaN is no value of JSON", id="nan"),
        pytest.param('[{"a": 1}, {"a": -Infinity}]', "MALFORMED_JSON", "record 2: -Infinity", id="infinity"),
        pytest.param(
            '[{"a": 1},]', "MALFORMED_JSON", "line 1, column 11: record 2 should begin", id="comma at the end"
        ),
        pytest.param(
            '[\n{"a": 1},\n{"a": 2,}]', "MALFORMED_JSON", "line 3, column 9: record 2", id="comma in a record"
        ),
        pytest.param('[,{"a": 1}]', "MALFORMED_JSON", "record 1 should begin", id="comma first"),
        pytest.param('[{"a": 1} {"a": 2}]', "MALFORMED_JSON", "column 11: a ',' or the ']' of the list", id="no comma"),
        pytest.param('[{"a": 1]', "MALFORMED_JSON", "column 9: record 1: a ',' or the end", id="wrong bracket"),
        pytest.param("[1.]", "MALFORMED_JSON", "record 1: '.' stands behind", id="half a number"),
        pytest.param("[tru]", "MALFORMED_JSON", "record 1: a value is needed", id="half a word"),
        pytest.param("[01]", "MALFORMED_JSON", "record 1: '1' stands behind", id="leading zero"),
        pytest.param('[{"a": 1}', "MALFORMED_JSON", "column 10: the file ends in or after", id="array not closed"),
        pytest.param("[12", "MALFORMED_JSON", "column 4: the file ends in or after", id="number not ended"),
        pytest.param('[{"a": 1},', "MALFORMED_JSON", "ends in or after record 2", id="ends with a comma"),
        pytest.param(
            '[{"a": 1}, {"a": "x',
            "MALFORMED_JSON",
            "record 2 does not end: the text that begins here",
            id="text not closed",
        ),
        pytest.param('[{"a": 1}] x', "MALFORMED_JSON", "column 12: the list of records has ended", id="rubbish behind"),
        pytest.param('[{"a": 1}][]', "MALFORMED_JSON", "the list of records has ended", id="two arrays"),
        pytest.param('{"a": 1}]', "MALFORMED_JSON", "the value has ended before this", id="bracket too many"),
        pytest.param(
            '{\n"a": 1}\nx', "MALFORMED_JSON", "line 3, column 1: record 2 should begin", id="rubbish behind object"
        ),
        pytest.param(
            '{"a": 1', "MALFORMED_JSON", "line 1, column 8: a ',' or the end of the object", id="object not closed"
        ),
        pytest.param('{"a": [1}', "MALFORMED_JSON", "a ',' or the end of the object", id="object with a wrong bracket"),
        pytest.param('{"a" 1}', "MALFORMED_JSON", "a ':' is needed", id="no colon"),
        pytest.param('{"data" [1]}', "MALFORMED_JSON", "a ':' is needed", id="no colon before data"),
        pytest.param("{1: 2}", "MALFORMED_JSON", "a name in double quotes", id="key is a number"),
        pytest.param('{"data": [{"a": 1}]', "MALFORMED_JSON", "ends in or after record 2", id="wrapper not closed"),
        pytest.param(
            '{"data": [{"a": 1}], "n": ', "MALFORMED_JSON", "ends in or after record 2", id="ends behind the records"
        ),
        pytest.param(
            '{"data": [{"a": 1}] {"a": 2}}', "MALFORMED_JSON", "after the records: a ','", id="no comma behind"
        ),
        pytest.param(
            '{"data": [{"a": 1}], "data": []}', "MALFORMED_JSON", "'data' stands in the file twice", id="data twice"
        ),
        pytest.param(
            '{"data": [{"a": 1}]} x', "MALFORMED_JSON", "the list of records has ended", id="rubbish behind wrapper"
        ),
        pytest.param(
            '{"data": [{"a": 1}]}\nx\n{}\n{}',
            "MALFORMED_JSON",
            "the list of records has ended",
            id="lines behind wrapper",
        ),
        pytest.param('[{"a": "\t"}]', "MALFORMED_JSON", "control character in a text", id="tab in a text"),
        pytest.param("[" * 100_000, "MALFORMED_JSON", "ends in or after record 1", id="only brackets"),
        pytest.param('{"a":' * 100_000, "NO_RECORDS", "stand too deep", id="only braces"),
    ],
)
def test_files_that_are_refused(text: str, code: str, message: str) -> None:
    with pytest.raises(FileRefusedError, match=code) as refused:
        rows_in(text.encode())
    assert message in refused.value.detail


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param("1.50", "1.50", id="decimals"),
        pytest.param("12345678901234567890", "12345678901234567890", id="big integer"),
        pytest.param("0.1234567890123456789012345", "0.1234567890123456789012345", id="many decimals"),
        pytest.param("1e999", "1e999", id="beyond a double"),
        pytest.param("1E+2", "1E+2", id="exponent"),
        pytest.param("-0", "-0", id="minus zero"),
        pytest.param("-0.0", "-0.0", id="minus zero with decimals"),
        pytest.param("9" * 5_000, "9" * 5_000, id="5,000 digits"),
        pytest.param("true", "true", id="true"),
        pytest.param("false", "false", id="false"),
        pytest.param("null", None, id="null"),
        pytest.param('""', "", id="empty"),
        pytest.param('"007"', "007", id="leading zeros"),
        pytest.param('"\\u00e9\\ud83d\\ude00\\n\\/"', "é😀\n/", id="escapes"),
        pytest.param('"a\x7f\u2028"', "a\x7f\u2028", id="raw line separators"),
        pytest.param("[]", "[]", id="empty array"),
        pytest.param(
            '[1, "1", 1.0, null, true, {"b" : [ ], "b": 2}]', '[1,"1",1.0,null,true,{"b":[],"b":2}]', id="array"
        ),
        pytest.param('["\\u0000\\"é\\u00e9"]', '["\\u0000\\"éé"]', id="texts in an array"),
    ],
)
@pytest.mark.parametrize("other", ["", ', "z": false', ', "z": {"y": 1}'], ids=["flat", "with boolean", "nested"])
def test_values(value: str, cell: str | None, other: str) -> None:
    (row,) = rows_in(f'[{{"a": {value}{other}}}]'.encode())
    assert row[0] == cell


@pytest.mark.parametrize(
    ("record", "cells"),
    [
        pytest.param(
            '{"a": {"b": {"c": 1, "d": null}, "e": [2]}}', {"a.b.c": "1", "a.b.d": None, "a.e": "[2]"}, id="deep"
        ),
        pytest.param('{"a.b": 1, "a": {"c": 2}}', {"a.b": "1", "a.c": "2"}, id="a dot in a key"),
        pytest.param('{"a": {}, "b": 1}', {"b": "1"}, id="an empty object is no cell"),
        pytest.param('{"": 1, "x": {"": 2}}', {"column_1": "1", "x.": "2"}, id="empty keys"),
        pytest.param('{" a": 1, "a": 2, "a_2": 3}', {"a": "1", "a_3": "2", "a_2": "3"}, id="keys cleaned"),
        pytest.param(
            '{"a\\u0000\\tb": 1, "$where": 2, "__proto__": 3}', {"a b": "1", "$where": "2", "__proto__": "3"}, id="odd"
        ),
    ],
)
def test_columns_of_one_record(record: str, cells: dict[str, str | None]) -> None:
    data = f"[{record}]".encode()
    plan = plan_of(data, template({"name": "f", "column": next(iter(cells))}))
    assert dict(zip(plan.columns, *rows_of(read(data, plan)), strict=True)) == cells


@pytest.mark.parametrize(
    ("record", "code", "message"),
    [
        pytest.param(
            '{"a": 1, "a": 2}', "DUPLICATE_KEY_IN_RECORD", "record 2: the key 'a' stands twice", id="same key"
        ),
        pytest.param('{"a": 1, "a": 1}', "DUPLICATE_KEY_IN_RECORD", "'a'", id="same key and value"),
        pytest.param('{"a": null, "a": null}', "DUPLICATE_KEY_IN_RECORD", "'a'", id="nulls"),
        pytest.param('{"a": {"b": 1}, "a.b": 2}', "DUPLICATE_KEY_IN_RECORD", "'a.b'", id="dotted and nested"),
        pytest.param('{"a.b": 1, "a": {"b": 2}}', "DUPLICATE_KEY_IN_RECORD", "'a.b'", id="nested and dotted"),
        pytest.param('{"a": {"b": 1}, "a": {"c": 2}}', "DUPLICATE_KEY_IN_RECORD", "'a'", id="same object"),
        pytest.param('{"a": {"b": 1}, "a": 2}', "DUPLICATE_KEY_IN_RECORD", "'a'", id="object and value"),
        pytest.param('{"a": "\\ud800"}', "LONE_SURROGATE", "record 2, column 'a'", id="high surrogate"),
        pytest.param('{"a": "\\udc80x"}', "LONE_SURROGATE", "half of a character", id="low surrogate like a mark"),
        pytest.param('{"a": ["\\udfff"]}', "LONE_SURROGATE", "column 'a'", id="surrogate in an array"),
        pytest.param('{"a": "\\u0000"}', "NUL_CHARACTER", "record 2, column 'a'", id="nul"),
        pytest.param('{"a": "\xff"}', "UNDECODABLE_BYTES", "byte 0xFF is not utf-8", id="bad byte"),
        pytest.param('{"a": "\xff", "b": "\\ud800"}', "LONE_SURROGATE", "column 'b'", id="bad byte and surrogate"),
        pytest.param('{"\\ud800": 1}', "LONE_SURROGATE", "column '(other)'", id="surrogate in a key"),
        pytest.param('{"\xff": 1}', "UNDECODABLE_BYTES", "column '(other)'", id="bad byte in a key"),
        pytest.param('{"a": ' + "[" * 64 + "]" * 64 + "}", "NESTED_TOO_DEEP", "record 2: ", id="array of depth 65"),
        pytest.param('{"a": ' * 65 + "1" + "}" * 65, "NESTED_TOO_DEEP", "more than 64 deep", id="object of depth 65"),
        pytest.param(
            '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "NESTED_TOO_DEEP", "record 2: ", id="depth 100,000"
        ),
        pytest.param("7", "NOT_AN_OBJECT", "record 2: a number stands where", id="number"),
        pytest.param('{"a": "' + "x" * (MIB + 1) + '"}', "CELL_TOO_LARGE", "1,048,577 bytes", id="large cell"),
        pytest.param('{"a": ["' + "x" * 4 * MIB + '"]}', "ROW_TOO_LARGE", "4,194,315 bytes", id="large record"),
        pytest.param(
            '{"' + "k" * 2**20 + '": {' + ",".join(f'"{i}": 1' for i in range(20)) + "}}",
            "ROW_TOO_LARGE",
            "names of its nested keys",
            id="names",
        ),
    ],
)
def test_a_bad_record_costs_its_row_only(record: str, code: str, message: str) -> None:
    good = '{"a": "x", "b": "é"}'
    data = f"[{good},{record},{good}]".encode().replace("\xff".encode(), b"\xff")
    plan = plan_of(data)
    rows = rows_of(batches := read(data, plan))
    assert [row if isinstance(row, str) else row[:2] for row in rows] == [("x", "é"), code, ("x", "é")]
    (issue,) = [issue for batch in batches for issue in batch.issues]
    assert message in issue.message
    issue.model_dump_json().encode()


def test_depth_of_64_is_read() -> None:
    (row,) = rows_in(b'[{"a": ' + b"[" * 63 + b"]" * 63 + b"}]")
    assert row == ("[" * 63 + "]" * 63,)


@pytest.mark.parametrize(
    ("record", "code", "message"),
    [
        pytest.param(
            b'{"a": 1', "MALFORMED_RECORD", "line 3: column 8: a ',' or the end of the object", id="not closed"
        ),
        pytest.param(b'{"a": 1}, ', "MALFORMED_RECORD", "',' stands behind the value", id="comma behind"),
        pytest.param(b'{"a": 1}{"a": 2}', "MALFORMED_RECORD", "'{' stands behind", id="two objects"),
        pytest.param(b'{"a": Infinity}', "MALFORMED_RECORD", "Infinity is no value of JSON", id="infinity"),
        pytest.param(b"\xff", "MALFORMED_RECORD", "a value is needed", id="bad byte"),
        pytest.param(b'{"a": "\xff"}', "UNDECODABLE_BYTES", "line 3, column 'a'", id="bad byte in a text"),
        pytest.param(b'{"a": "\\ud800"}', "LONE_SURROGATE", "line 3, column 'a'", id="surrogate"),
        pytest.param(b"null", "NOT_AN_OBJECT", "line 3: null stands", id="null"),
        pytest.param(b'{"a": 1, "a": 2}', "DUPLICATE_KEY_IN_RECORD", "line 3", id="same key"),
        pytest.param(b"[" * 100_000, "NESTED_TOO_DEEP", "line 3", id="depth 100,000"),
        pytest.param(
            b'{"a": "' + b"x" * 4 * MIB, "ROW_TOO_LARGE", "line 3: the record has 4,194,311 bytes", id="large"
        ),
        pytest.param(b" " * 5 * MIB, "ROW_TOO_LARGE", "line 3: the record has 5,242,880 bytes", id="large and blank"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_bad_line_costs_its_row_only(record: bytes, code: str, message: str, end: bytes) -> None:
    good = '{"a": "é"}'.encode()
    data = end.join([good, b" ", record, good])
    batches = read(data, plain_plan("lines", ("a",)))
    assert rows_of(batches) == [("é",), code, ("é",)]
    (issue,) = [issue for batch in batches for issue in batch.issues]
    if end == b"\n":
        assert message in issue.message


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("shape", ["array", "lines"])
def test_encodings_are_detected(encoding: str, shape: str) -> None:
    records = [{"a": "é😀"}, {"a": "日本"}] * 3
    text = json.dumps(records, ensure_ascii=False) if shape == "array" else "\n".join(map(json.dumps, records))
    assert rows_in(text.encode(encoding)) == [("é😀",), ("日本",)] * 3


@pytest.mark.parametrize("encoding", ["cp1252", "shift_jis", "utf-16-le"])
def test_encoding_of_the_template(encoding: str) -> None:
    wanted = template("a", source={"encoding": encoding})
    assert rows_in('[{"a": "x"}]'.encode(encoding), wanted) == [("x",)]


def test_a_file_in_small_pieces_has_the_same_layout() -> None:
    data = '[{"a": 1}, {"b": 2}]'.encode("utf-32-le")
    assert layout_of(data, step=1) == layout_of(data)


def test_undecodable_bytes_outside_of_texts_refuse_the_file() -> None:
    with pytest.raises(FileRefusedError, match="0xFF there does not fit the file's encoding"):
        rows_in('[{"é": "é"}, '.encode() + b"\xff]")


def long_file(count: int = 20_000, **late: object) -> bytes:
    """6 MiB: more than the sample."""
    records: list[dict[str, object]] = [{"id": number, "text": "x" * 300} for number in range(count)]
    records[-1] |= late
    return json.dumps(records).encode()


def test_keys_that_appear_late() -> None:
    wanted = template(
        "id",
        "phone",
        {"name": "mail", "column": "E-Mail"},
        {"name": "text", "column": "TEXT"},
        {"name": "joined", "transforms": [{"type": "concat", "columns": ["id", "last name"]}]},
        {"name": "fixed", "transforms": [{"type": "constant", "value": "x"}]},
    )
    data = long_file(phone="1", **{"E-Mail": "2", "last name": "3", "new": {"x": 1.50, "y": None}, "b": True, "t": "é"})
    layout = layout_of(data, wanted)
    assert (layout.columns, layout.complete) == (("id", "text"), False)
    plan = plan_of(data, wanted)
    assert plan.columns == ("id", "text", "E-Mail", "last name", "phone", "(other)")
    assert plan.mapping == {"id": 0, "phone": 4, "mail": 2, "text": 1, "joined": None, "fixed": None}
    *others, last = rows_of(read(data, plan))
    assert {row[2:] for row in others} == {(None,) * 4}
    assert last[2:5] == ("2", "3", "1")
    assert json.loads(str(last[5])) == {"new.x": "1.5", "new.y": None, "b": "true", "t": "é"}


def test_a_late_surrogate_in_a_key_is_an_issue() -> None:
    data = long_file().replace(b'"id": 19999', b'"\\udfff": 1')
    assert rows_of(read(data, plan_of(data, template("id"))))[-1] == "LONE_SURROGATE"


def test_late_keys_that_make_too_large_a_cell() -> None:
    late = {"k" * 900: {str(number): 1 for number in range(2_000)}}
    data = long_file(**late)
    assert rows_of(read(data, plan_of(data, template("id"))))[-1] == "CELL_TOO_LARGE"


def test_the_column_of_other_keys_has_a_name_of_its_own() -> None:
    plan = plan_of(long_file().replace(b'"text"', b'"(other)"'), template("id"))
    assert plan.columns == ("id", "(other)", "(other)_2")
    assert plan.overflow == 2


def test_a_late_key_that_is_no_clean_name_still_feeds_its_column() -> None:
    data = long_file(**{" phone\t": "1", "phone": "2"})
    plan = plan_of(data, template("id", {"name": "a", "column": " phone\t"}, {"name": "b", "column": "phone"}))
    assert plan.columns == ("id", "text", "phone", "phone_2", "(other)")
    assert plan.options["keys"] == [[" phone\t", 2], ["phone", 3]]
    *_, last = rows_of(read(data, plan))
    assert last[2:4] == ("1", "2")


def test_a_long_key_goes_to_the_others() -> None:
    data = json.dumps([{"a": 1, "k" * 301: 2}]).encode()
    plan = plan_of(data)
    assert plan.columns == ("a", "(other)")
    assert rows_of(read(data, plan)) == [("1", json.dumps({"k" * 301: "2"}, separators=(",", ":")))]


def test_nothing_known_of_the_columns_is_no_reason_to_refuse() -> None:
    wanted = template({"name": "a", "rules": [{"type": "required"}]}, "b")
    assert rows_in(b"[]", wanted) == []
    assert rows_in(b"[{}, 1]", wanted) == [(None, None), "NOT_AN_OBJECT"]


def test_missing_columns_refuse_a_file_that_is_known() -> None:
    with pytest.raises(FileRefusedError, match="MISSING_COLUMNS"):
        plan_of(b'[{"b": 1}]', template({"name": "a", "rules": [{"type": "required"}]}))


def test_too_many_keys() -> None:
    data = json.dumps([{f"k{number}": 1 for number in range(20_000)}, {"z": 1}]).encode()
    with pytest.raises(FileRefusedError, match="TOO_MANY_COLUMNS"):
        plan_of(data)


def test_records_that_start_too_late() -> None:
    data = b'{"meta": "' + b"x" * 6 * MIB + b'", "data": [{"a": 1}]}'
    with pytest.raises(FileRefusedError, match="NO_RECORDS: the file starts with one very large object"):
        plan_of(data)


def test_a_wrapper_larger_than_the_sample() -> None:
    data = b'{"n": 1, "rows": ' + long_file() + b', "more": "' + b"]}" * 3 * MIB + b'"}\n'
    plan = plan_of(data, template("id", source={"record_path": "rows"}))
    assert plan.options["shape"] == "wrapped:rows"
    assert len(rows_of(read(data, plan))) == 20_000


@pytest.mark.parametrize("more", [b'"' + b"]}" * 3 * MIB + b'"', b'[{"id": 1}]'], ids=["much", "a list"])
def test_other_records_behind_a_list_that_nobody_named(more: bytes) -> None:
    data = b'{"n": 1, "rows": ' + long_file() + b', "more": ' + more + b"}\n"
    with pytest.raises(FileRefusedError, match="RECORDS_UNCLEAR"):
        read(data, plan_of(data, template("id")))


def test_lines_longer_than_the_sample() -> None:
    lines = b"\n".join([b'{"a": "' + b"x" * 200 + b'"}'] * 30_000)
    for start, first in ((b"", ("x" * 200, None)), (b"{rubbish}\n", "MALFORMED_RECORD"), (b'{"\n', "MALFORMED_RECORD")):
        rows = rows_in(start + lines)
        assert rows[0] == first
        assert len(rows) == 30_000 + bool(start)


def test_a_first_record_that_is_too_large() -> None:
    data = b'[{"b": "' + b"x" * 6 * MIB + b'"}, {"a": 1, "c": 2}]'
    plan = plan_of(data)
    assert plan.columns == ("a", "(other)")
    assert rows_of(read(data, plan)) == ["ROW_TOO_LARGE", ("1", '{"c":"2"}')]


def test_a_text_without_end_is_not_kept() -> None:
    reader = file_format("json").reader(plain_plan("array", ("a",)), ReaderLimits())
    assert list(reader.feed(b'[{"a": "')) == []
    for _ in range(64):
        assert list(reader.feed(b"x" * MIB)) == []
    with pytest.raises(FileRefusedError, match="ends in or after record 1"):
        reader.close()


def test_a_key_that_was_not_planned_is_not_lost() -> None:
    assert rows_of(read(b'[{"b": 1}]', plain_plan("array", ("a",)))) == ["UNKNOWN_KEY"]


def test_too_many_rows() -> None:
    with pytest.raises(FileRefusedError, match="TOO_MANY_ROWS"):
        read(b'[{"a": 1}, {"a": 1}, {"a": 1}]', plain_plan("array", ("a",)), ReaderLimits(max_rows=2))


def test_wide_records_are_taken_in_small_portions() -> None:
    record = {f"k{number}": number for number in range(2_000)}
    data = json.dumps([record] * 300).encode()
    plan = plan_of(data, template("k1"))
    assert [row[:2_000] for row in rows_of(read(data, plan))] == [tuple(map(str, range(2_000)))] * 300


def test_the_plan_can_be_stored() -> None:
    data = long_file(**{"\ud800": 1})
    plan = plan_of(data, template("id"))
    assert ParsePlan.model_validate_json(plan.model_dump_json()) == plan
