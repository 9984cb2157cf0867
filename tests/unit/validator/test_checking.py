"""A batch as a whole: shape, conservation, policies for invalid rows, preview."""

import json
from decimal import Decimal

import bson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan, RowIssue
from libs.contracts.rejections import RejectedRow, RowError
from libs.contracts.templates import (
    Constant,
    Default,
    FieldType,
    ImportMode,
    InvalidRows,
    MaxLength,
    Min,
    OneOf,
    Regex,
    Required,
    TemplateField,
    Trim,
    Unique,
)
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import UniqueConstraint, compile_template
from services.validator.domain.unreadable_rows import issue_rejections
from tests.unit.validator.batches import check, compiled, errors, parsed_batch, rejected, template

TEXT = TemplateField(name="text")
NUMBER = TemplateField(name="number", type=FieldType.NUMBER)
INTEGER = TemplateField(name="integer", type=FieldType.NUMBER, integer=True)
EMAIL = TemplateField(name="email", type=FieldType.EMAIL)
DATE = TemplateField(name="date", type=FieldType.DATE)
BOOLEAN = TemplateField(name="boolean", type=FieldType.BOOLEAN)
ALL_TYPES = (TEXT, NUMBER, INTEGER, EMAIL, DATE, BOOLEAN)
ALL_COLUMNS = {
    "_row": pa.uint32(),
    "text": pa.string(),
    "number": pa.float64(),
    "_int_number": pa.int64(),
    "integer": pa.int64(),
    "email": pa.string(),
    "date": pa.timestamp("ms", tz="UTC"),
    "boolean": pa.bool_(),
}
CELLS = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "1", "-2.5", "x", "a@b.c", "2024-01-02", "2024-01-02T03:04Z", "ja", "no", "1e999"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10),
)


@pytest.mark.parametrize("cells", [[], ["1"], ["x", "", "2024-01-01"]])
def test_the_columns_of_a_checked_batch(cells: list[str]) -> None:
    batch = check_batch(compiled(*ALL_TYPES), parsed_batch(*[cells] * len(ALL_TYPES)))
    assert dict(zip(batch.valid.schema.names, batch.valid.schema.types, strict=True)) == ALL_COLUMNS
    assert batch.keys is None
    assert batch.warnings == 0


def test_row_numbers_may_have_gaps() -> None:
    parsed = parsed_batch(["a", "b", "", "d"]).filter(pa.array([True, False, True, True]))
    batch = check_batch(compiled(TemplateField(name="f", rules=(Required(),))), parsed)
    assert batch.valid["_row"].to_pylist() == [1, 4]
    assert [row.row for row in batch.rejected] == [3]


def test_a_batch_of_several_chunks() -> None:
    parsed = pa.concat_tables([parsed_batch(["a", ""]), parsed_batch(["", "d"], first_row=3)])
    batch = check_batch(compiled(TemplateField(name="f", rules=(Required(),))), parsed)
    assert batch.valid["_row"].to_pylist() == [1, 4]
    assert [(row.row, row.cells) for row in batch.rejected] == [(2, [""]), (3, [""])]


def test_a_rejected_row_keeps_its_cells_and_tells_every_reason() -> None:
    fields = (
        TemplateField(name="name", label="Name", column="Full name", transforms=(Trim(),), rules=(Required(),)),
        TemplateField(name="age", type=FieldType.NUMBER, rules=(Min(value=0, message="No negative ages."),)),
    )
    mapping: dict[str, int | None] = {"name": 2, "age": 0}
    parsed = parsed_batch(["-1", "2"], ["unread", None], ["  ", "Ada"])
    batch = check_batch(compile_template(template(*fields), ParsePlan(mapping=mapping)), parsed)
    assert batch.valid.to_pylist() == [{"_row": 2, "name": "Ada", "age": None, "_int_age": 2}]
    message = "A value is required. Fill in this cell."
    assert rejected(batch) == [
        RejectedRow(
            1,
            ["-1", "unread", "  "],
            (
                RowError("name", "Full name", "REQUIRED", message, ""),
                RowError("age", "age", "BELOW_MINIMUM", "No negative ages.", "-1"),
            ),
        )
    ]
    named = compile_template(template(*fields), ParsePlan(mapping=mapping, columns=("AGE", "B", "NAME")))
    assert [error.column for error in errors(check_batch(named, parsed))] == ["NAME", "AGE"]


def test_long_values_are_cut_in_errors_only() -> None:
    row = rejected(check(TemplateField(name="f", rules=(MaxLength(value=5),)), "x" * 1000))[0]
    assert row.errors[0].value == "x" * 200
    assert row.cells == ["x" * 1000]


def test_fields_may_be_named_like_the_columns_of_the_parser() -> None:
    fields = [TemplateField(name=name) for name in ("c1", "c0")]
    batch = check_batch(compiled(*fields), parsed_batch(["a"], ["b"]))
    assert batch.valid.to_pylist() == [{"_row": 1, "c1": "a", "c0": "b"}]


def test_two_fields_may_read_the_same_column() -> None:
    both = compile_template(template(TEXT, NUMBER), ParsePlan(mapping={"text": 0, "number": 0}))
    assert check_batch(both, parsed_batch(["07"])).valid.to_pylist() == [
        {"_row": 1, "text": "07", "number": None, "_int_number": 7}
    ]


@pytest.mark.parametrize("mapping", [{"text": None}, {}])
def test_a_field_without_a_column_is_empty(mapping: dict[str, int | None]) -> None:
    required = TemplateField(name="text", rules=(Required(),))
    parsed = parsed_batch(["a", "b"])
    plan = ParsePlan(mapping=mapping)
    assert check_batch(compile_template(template(TEXT), plan), parsed).valid["text"].to_pylist() == [None, None]
    assert len(check_batch(compile_template(template(required), plan), parsed).rejected) == 2


def test_every_impossible_pattern_is_named_at_once() -> None:
    fields = [TemplateField(name=name, rules=(Regex(pattern="(?=a)"),)) for name in ("one", "two")]
    with pytest.raises(PermanentError, match="look-around") as refused:
        compiled(*fields)
    assert refused.value.code == "INVALID_PATTERN"
    assert "'one'" in refused.value.detail
    assert "'two'" in refused.value.detail


@settings(max_examples=60)
@given(
    st.lists(st.tuples(*[CELLS] * len(ALL_TYPES)), max_size=12),
    st.sampled_from(InvalidRows),
    st.sampled_from([None, *(field.name for field in ALL_TYPES)]),
)
def test_every_row_is_in_exactly_one_place(
    rows: list[tuple[str | None, ...]], policy: InvalidRows, key: str | None
) -> None:
    mode = ImportMode.UPSERT if key else ImportMode.APPEND
    engine = compiled(*ALL_TYPES, invalid_rows=policy, mode=mode, upsert_key=key)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * len(ALL_TYPES)
    batch = check_batch(engine, parsed_batch(*columns))
    valid = batch.valid["_row"].to_pylist()
    refused = [row.row for row in batch.rejected]
    assert valid == sorted(valid)
    assert refused == sorted(refused)
    assert sorted(valid + refused) == list(range(1, len(rows) + 1))
    assert all(row.errors for row in batch.rejected)
    assert all(row.cells == list(rows[row.row - 1]) for row in batch.rejected)
    if key:
        assert batch.keys is not None
        assert batch.keys["_row"].to_pylist() == valid
        assert None not in batch.keys[key].to_pylist()


def test_block_rejects_like_skip() -> None:
    skipped, blocked = (rejected(check(NUMBER, "1", "x", invalid_rows=policy)) for policy in ("skip", "block"))
    assert skipped == blocked
    assert len(skipped) == 1


def test_keep_writes_invalid_rows_with_their_text_and_warnings() -> None:
    engine = compiled(
        TemplateField(name="age", type=FieldType.NUMBER),
        TemplateField(name="size", type=FieldType.TEXT, rules=(OneOf(values=("S", "M")),)),
        TemplateField(name="mail", type=FieldType.EMAIL),
        TemplateField(name="born", type=FieldType.DATE),
        invalid_rows=InvalidRows.KEEP,
    )
    parsed = parsed_batch(["7", " old ", ""], ["S", "XL", "M"], ["a@b.c", "nobody", ""], ["2024-01-02"] * 3)
    batch = check_batch(engine, parsed)
    assert not batch.rejected
    assert batch.warnings == 1
    assert "_raw_born" not in batch.valid.column_names
    assert "_raw_mail" not in batch.valid.column_names
    assert batch.valid["_raw_age"].to_pylist() == [None, " old ", None]
    assert batch.valid["size"].to_pylist() == ["S", "XL", "M"]
    assert batch.valid["mail"].to_pylist() == ["a@b.c", "nobody", None]
    warnings = batch.valid["_warnings"].to_pylist()
    assert warnings[0] is None
    assert warnings[2] is None
    assert [(each["field"], each["code"]) for each in json.loads(warnings[1])] == [
        ("age", "NOT_A_NUMBER"),
        ("size", "NOT_ALLOWED"),
        ("mail", "INVALID_EMAIL"),
    ]
    assert batch.valid.schema.field("_raw_age").type == pa.string()
    assert batch.valid.schema.field("_warnings").type == pa.string()


def test_keep_without_anything_to_warn_about() -> None:
    batch = check(TEXT, "a", "", invalid_rows=InvalidRows.KEEP)
    assert batch.valid.to_pylist() == [
        {"_row": 1, "text": "a", "_warnings": None},
        {"_row": 2, "text": None, "_warnings": None},
    ]


def test_keep_shows_a_default_that_cannot_be_converted() -> None:
    field = TemplateField(name="f", type=FieldType.NUMBER, transforms=(Default(value="unknown"),))
    assert check(field, "", None, invalid_rows=InvalidRows.KEEP).valid["_raw_f"].to_pylist() == ["unknown", "unknown"]


@pytest.mark.parametrize("policy", InvalidRows)
@pytest.mark.parametrize("rules", [(), (Required(),)])
def test_a_row_without_its_upsert_key_is_always_rejected(policy: InvalidRows, rules: tuple[Required, ...]) -> None:
    field = TemplateField(name="number", type=FieldType.NUMBER, rules=rules)
    batch = check(field, "1", "", "x", invalid_rows=policy, mode=ImportMode.UPSERT, upsert_key="number")
    assert batch.valid["_row"].to_pylist() == [1]
    assert [[error.code for error in row.errors] for row in batch.rejected] == [["REQUIRED"], ["NOT_A_NUMBER"]]
    assert batch.warnings == 0


def test_keys_are_equal_exactly_where_values_are() -> None:
    unique = [field.model_copy(update={"rules": (Unique(),)}) for field in ALL_TYPES[1:]]
    parsed = parsed_batch(
        ["1", "1.0", "-0", "0.0", "1e9999", "0.5", "1e300", ""],
        ["1", "01", "", "2", "", "", "", ""],
        ["a@b.c", " a@b.c", "A@b.c", "", "", "", "", ""],
        ["2024-01-02", "2024-01-02T00:00Z", "2024-01-02T01:00+01:00", "2024-01-03", "", "", "", ""],
        ["ja", "1", "TRUE", "off", "", "", "", ""],
    )
    keys = check_batch(compiled(*unique), parsed).keys
    assert keys is not None
    assert keys["_row"].to_pylist() == [1, 2, 3, 4, 6, 7, 8]
    assert keys["number"].to_pylist() == ["1", "1", "0", "0", "0.5", "1e+300", None]
    assert keys["integer"].to_pylist()[:4] == ["1", "1", None, "2"]
    assert keys["email"].to_pylist()[:4] == ["a@b.c", "a@b.c", "A@b.c", None]
    dates = keys["date"].to_pylist()
    assert dates[0] == dates[1] == dates[2] != dates[3]
    assert keys["boolean"].to_pylist()[:4] == ["true", "true", "true", "false"]
    assert all(column_type == pa.string() for column_type in keys.schema.types[1:])


def test_issues_become_rejected_rows() -> None:
    issues = [
        RowIssue(row=3, code="EXTRA_CELLS", message="Too many.", cells=("a", "b", "c")),
        RowIssue(row=5, code="CELL_TOO_LARGE", message="Too large.", cells=("a", "b" * 300), column=1),
        RowIssue(row=6, code="NUL_CHARACTER", message="NUL.", cells=("a",), column=7),
    ]
    assert issue_rejections(issues, ["A", "B"]) == [
        RejectedRow(3, ["a", "b", "c"], (RowError(None, None, "EXTRA_CELLS", "Too many.", ""),), unread=True),
        RejectedRow(
            5, ["a", "b" * 300], (RowError(None, "B", "CELL_TOO_LARGE", "Too large.", "b" * 200),), unread=True
        ),
        RejectedRow(6, ["a"], (RowError(None, None, "NUL_CHARACTER", "NUL.", ""),), unread=True),
    ]


def test_exact_decimals_are_decimals_and_their_column_comes_only_where_it_is_needed() -> None:
    price = TemplateField(name="price", type=FieldType.NUMBER, decimals=2)
    engine = compiled(price, NUMBER)
    exact = check_batch(engine, parsed_batch(["1.005", ""], ["1.5", "12345678901234567890.5"])).valid
    assert exact.schema.field("price").type == pa.decimal128(38, 2)
    assert exact["price"].to_pylist() == [Decimal("1.01"), None]
    assert exact.schema.field("_dec_number").type == pa.string()
    assert exact["_dec_number"].to_pylist() == [None, "12345678901234567890.5"]
    assert check_batch(engine, parsed_batch(["1"], ["1.5"])).valid.column_names == [
        "_row",
        "price",
        "number",
        "_int_number",
    ]


def test_unmatched_columns_and_what_a_record_has_beyond_them() -> None:
    plan = ParsePlan(columns=("a", "text", "b", "more"), mapping={"text": 1}, unmatched=(0, 2), overflow=3)
    engine = compile_template(template(TEXT, include_unmatched_columns=True), plan)
    cells = [["1", ""], ["x", "y"], [None, "2"], ['{"k": "v"}', None]]
    assert check_batch(engine, parsed_batch(*cells)).valid.to_pylist() == [
        {"_row": 1, "text": "x", "_extra_0": "1", "_extra_2": None, "_more": '{"k": "v"}'},
        {"_row": 2, "text": "y", "_extra_0": None, "_extra_2": "2", "_more": None},
    ]
    cells[3] = [None, None]
    assert "_more" not in check_batch(engine, parsed_batch(*cells)).valid.column_names


def test_without_unmatched_columns_the_overflow_is_not_read() -> None:
    plan = ParsePlan(columns=("text", "more"), mapping={"text": 0}, overflow=1)
    batch = check_batch(compile_template(template(TEXT), plan), parsed_batch(["x"], ['{"k": "v"}']))
    assert batch.valid.column_names == ["_row", "text"]


@pytest.mark.parametrize(("wrong", "told"), [(1, 1), (99, 99), (100, 100), (101, 100), (250, 100)])
@pytest.mark.parametrize("policy", [InvalidRows.SKIP, InvalidRows.KEEP])
def test_a_row_has_at_most_a_hundred_errors(policy: InvalidRows, wrong: int, told: int) -> None:
    fields = [TemplateField(name=f"f{at}", type=FieldType.NUMBER) for at in range(250)]
    cells = [["x" if at < wrong else "1", "2"] for at in range(250)]
    batch = check_batch(compiled(*fields, invalid_rows=policy), parsed_batch(*cells))
    if policy is InvalidRows.KEEP:
        found = [(each["code"], each["message"]) for each in json.loads(batch.valid["_warnings"].to_pylist()[0])]
        assert batch.warnings == 1
    else:
        found = [(error.code, error.message) for error in rejected(batch)[0].errors]
    assert len(found) == told
    if wrong > told:
        assert found[-1][0] == "MORE_ERRORS"
        assert f"{wrong - 99} more errors" in found[-1][1]
    else:
        assert {code for code, _ in found} == {"NOT_A_NUMBER"}


def test_long_messages_leave_room_for_fewer_errors() -> None:
    fields = [TemplateField(name=f"f{at}", rules=(Required(message="m" * 2000),)) for at in range(30)]
    cells = [["", "x"] if at < 15 else ["", ""] for at in range(30)]
    first, second = rejected(check_batch(compiled(*fields), parsed_batch(*cells)))
    assert [error.field for error in first.errors] == [*(f"f{at}" for at in range(15)), None]
    assert "15 more errors" in first.errors[-1].message
    assert [error.field for error in second.errors] == [f"f{at}" for at in range(15, 30)]


def test_a_batch_of_many_cells_is_checked_in_parts_and_is_the_same() -> None:
    fields = [TemplateField(name=f"f{at}", type=FieldType.NUMBER) for at in range(100)]
    rows = 13_000
    cells = [[str(row) if row % 1000 else "x" for row in range(rows)]] + [["1.5"] * rows] * 99
    batch = check_batch(compiled(*fields), parsed_batch(*cells))
    refused = [row.row for row in batch.rejected]
    assert refused == list(range(1, rows, 1000))
    assert sorted([*refused, *batch.valid["_row"].to_pylist()]) == list(range(1, rows + 1))
    assert batch.valid["_int_f0"].to_pylist()[:3] == [1, 2, 3]
    assert all(row.cells == ["x", *["1.5"] * 99] for row in batch.rejected)


def test_transforms_cannot_make_a_batch_greater_than_memory() -> None:
    fields = [
        TemplateField(name=f"f{at}", transforms=(Constant(value="x" * 2000),), rules=(MaxLength(value=3000),))
        for at in range(25)
    ]
    engine = compile_template(template(*fields), ParsePlan())
    parsed = pa.table({"_row": pa.array(range(1, 5001), pa.uint32())})
    with pytest.raises(PermanentError, match="rows from 1 to 5000") as refused:
        check_batch(engine, parsed)
    assert refused.value.code == "BATCH_TOO_LARGE"


@pytest.mark.parametrize("policy", InvalidRows)
def test_a_row_whose_texts_no_record_can_hold_is_rejected(policy: InvalidRows) -> None:
    fields = [TemplateField(name=f"f{at}", column="c") for at in range(9)]
    plan = ParsePlan(columns=("c",), mapping={field.name: 0 for field in fields})
    engine = compile_template(template(*fields, invalid_rows=policy), plan)
    batch = check_batch(engine, parsed_batch(["x" * 1024 * 1024, "y"]))
    assert [(row.row, [error.code for error in row.errors]) for row in batch.rejected] == [(1, ["ROW_TOO_LARGE"])]
    assert batch.valid["_row"].to_pylist() == [2]


@pytest.mark.parametrize("mode", [ImportMode.UPSERT, ImportMode.UPDATE, ImportMode.SYNC])
def test_every_mode_with_a_key_has_the_question_of_the_key(mode: ImportMode) -> None:
    scope = {"scope_filter": {"source": "erp"}} if mode is ImportMode.SYNC else {}
    batch = check(TEXT, "a", "", mode=mode, upsert_key="text", **scope)
    assert batch.keys is not None
    assert batch.keys["text"].to_pylist() == ["a"]
    assert [error.code for error in errors(batch)] == ["REQUIRED"]


def test_constraints_are_named_after_their_fields() -> None:
    one = TemplateField(
        name="one",
        column="One",
        rules=(Unique(fields=("two",), message="Once."), Unique(fields=("two",), against_target=True), Unique()),
    )
    two = TemplateField(name="two", type=FieldType.DATE, rules=(Unique(),))
    constraints = compiled(one, two, mode=ImportMode.UPSERT, upsert_key="two").constraints
    assert constraints == (
        UniqueConstraint(
            "one+two",
            ("one", "two"),
            ("One", "two"),
            (FieldType.TEXT, FieldType.DATE),
            by_rule=True,
            against_target=True,
            message="Once.",
        ),
        UniqueConstraint("one", ("one",), ("One",), (FieldType.TEXT,), by_rule=True),
        UniqueConstraint("two", ("two",), ("two",), (FieldType.DATE,), by_rule=True),
    )


@settings(max_examples=100)
@given(st.lists(st.tuples(*[st.text("1:a,\u65e5", max_size=4)] * 2), min_size=1, max_size=12))
def test_joint_keys_are_equal_exactly_where_both_values_are(rows: list[tuple[str, str]]) -> None:
    fields = TemplateField(name="a", rules=(Unique(fields=("b",)),)), TemplateField(name="b")
    keys = check_batch(compiled(*fields), parsed_batch(*map(list, zip(*rows, strict=True)))).keys
    assert keys is not None
    joint = keys["a+b"].to_pylist()
    assert [key is None for key in joint] == [not (a and b) for a, b in rows]
    pairs = {pair for pair in rows if all(pair)}
    assert len({key for key in joint if key is not None}) == len(pairs)


def test_text_may_hold_every_character_that_utf8_can() -> None:
    odd = ["a\0b", "$where", '{"$gt": ""}', "<script>", "../../etc/passwd", "\r\n", "\uffff", "\U0010ffff"]
    batch = check(TemplateField(name="f", rules=(MaxLength(value=0),)), *odd)
    assert [row.cells for row in batch.rejected] == [[text] for text in odd]
    assert check(TEXT, *odd).valid["text"].to_pylist() == odd
    documents = [{"cells": row.cells, "value": row.errors[0].value} for row in batch.rejected]
    assert [bson.decode(bson.encode(each)) for each in documents] == documents


@pytest.mark.parametrize("policy", [InvalidRows.SKIP, InvalidRows.KEEP])
def test_a_sync_holds_the_keys_of_all_rows_and_counts_those_that_are_not_clear(policy: InvalidRows) -> None:
    key = TemplateField(name="sku", rules=(MaxLength(value=3),))
    number = TemplateField(name="n", type=FieldType.NUMBER)
    engine = compiled(key, number, mode=ImportMode.SYNC, upsert_key="sku", scope_filter={"n": 1}, invalid_rows=policy)
    batch = check_batch(engine, parsed_batch(["a", "b", "", "too long", "c"], ["1", "many", "1", "1", "x"]))
    assert batch.held is not None
    held = dict(zip(batch.held["_row"].to_pylist(), batch.held["sku"].to_pylist(), strict=True))
    assert held == {1: "a", 2: "b", 4: "too long", 5: "c"}
    assert batch.unclear_keys == 2
    assert batch.held.num_rows + len(batch.rejected) >= 5


def test_numbers_as_keys_of_a_sync() -> None:
    key = TemplateField(name="n", type=FieldType.NUMBER)
    engine = compiled(key, mode=ImportMode.SYNC, upsert_key="n", scope_filter={"n": 1})
    batch = check_batch(engine, parsed_batch(["1", "2.5", "many"]))
    assert batch.held is not None
    assert (batch.held.num_rows, batch.unclear_keys) == (2, 1)
    assert check(TEXT, "a", mode=ImportMode.UPSERT, upsert_key="text").held is None
