"""A batch as a whole: shape, conservation, policies for invalid rows, preview."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan, RowIssue
from libs.contracts.templates import (
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
from services.validator.domain.engine import check_batch, compile_template
from services.validator.domain.preview import preview
from services.validator.domain.rows import RejectedRow, RowError, issue_rejections
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


@settings(max_examples=60, deadline=None)
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
    field = TemplateField(name="f", type=FieldType.NUMBER, transforms=(Default(value="none"),))
    assert check(field, "", None, invalid_rows=InvalidRows.KEEP).valid["_raw_f"].to_pylist() == ["none", "none"]


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
        RejectedRow(3, ["a", "b", "c"], (RowError(None, None, "EXTRA_CELLS", "Too many.", ""),)),
        RejectedRow(5, ["a", "b" * 300], (RowError(None, "B", "CELL_TOO_LARGE", "Too large.", "b" * 200),)),
        RejectedRow(6, ["a"], (RowError(None, None, "NUL_CHARACTER", "NUL.", ""),)),
    ]


def test_preview_shows_values_as_json() -> None:
    fields = (*ALL_TYPES, TemplateField(name="raw", type=FieldType.DATE))
    engine = compiled(*fields, invalid_rows=InvalidRows.KEEP)
    first, second = ["a", "1.5", "2", "a@b.c", "2024-01-02T03:04:05.678Z", "ja", "soon"], ["", "7", *[""] * 5]
    valid = check_batch(engine, parsed_batch(*map(list, zip(first, second, strict=True)))).valid
    assert valid["date"].to_pylist()[0] == datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    shown = preview(valid, 10)
    assert shown == [
        {
            "text": "a",
            "number": 1.5,
            "integer": 2,
            "email": "a@b.c",
            "date": "2024-01-02T03:04:05.678000Z",
            "boolean": True,
            "raw": "soon",
        },
        {"text": None, "number": 7, "integer": None, "email": None, "date": None, "boolean": None, "raw": None},
    ]
    assert json.loads(json.dumps(shown)) == shown
    assert preview(valid, 1) == shown[:1]
    assert preview(valid.slice(0, 0), 5) == []
