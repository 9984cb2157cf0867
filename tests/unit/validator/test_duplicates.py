"""UniqueConstraints about the whole file, against a plain answer in Python."""

import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.templates import FieldType, ImportMode, InvalidRows, TemplateField, Unique
from services.validator.domain.checking import CheckedBatch, check_batch
from services.validator.domain.compilation import UniqueConstraint
from services.validator.domain.duplicates import (
    DuplicateResolution,
    _contest,
    _Hashed,
    apply_resolution,
    rejections,
    resolve_duplicates,
    shown_key,
)
from tests.unit.validator.batches import compiled, parsed_batch

Rules = tuple[Unique, ...]
UNIQUE: Rules = (Unique(),)
VALUES = st.sampled_from(["", "a", "b", "c", "d", "\u00e5", "a" * 40])


class File:
    """Batches of a file with two columns, checked."""

    def __init__(self, batches: list[list[tuple[str, str]]], a: Rules = (), b: Rules = (), **template: object) -> None:
        fields = TemplateField(name="a", column="A", rules=a), TemplateField(name="b", rules=b)
        self.template = compiled(*fields, **template)
        self.parsed: list[pa.Table] = []
        self.checked: list[CheckedBatch] = []
        row = 1
        for batch in batches:
            self.parsed.append(parsed_batch([a for a, _ in batch], [b for _, b in batch], first_row=row))
            self.checked.append(check_batch(self.template, self.parsed[-1]))
            row += len(batch)
        self.rows = row - 1

    def keys(self) -> Iterator[tuple[int, pa.Table]]:
        for seq, checked in enumerate(self.checked):
            assert checked.keys is not None
            yield seq, checked.keys

    def resolutions(self, rows_per_pass: int = 1_000) -> dict[int, DuplicateResolution]:
        return resolve_duplicates(self.template, self.keys, self.rows, rows_per_pass)

    def written(self, resolutions: dict[int, DuplicateResolution]) -> list[int]:
        rows: list[int] = []
        for seq, checked in enumerate(self.checked):
            resolution = resolutions.get(seq)
            rows += (apply_resolution(checked.valid, resolution) if resolution else checked.valid)["_row"].to_pylist()
        return rows


def one_column(*batches: list[str], a: Rules = (), **template: object) -> File:
    return File([[(value, "") for value in batch] for batch in batches], a=a, **template)


def told(resolutions: dict[int, DuplicateResolution]) -> dict[int, tuple[list[int], list[int]]]:
    return {seq: (each.rejected_rows.tolist(), each.superseded.tolist()) for seq, each in resolutions.items()}


@pytest.mark.parametrize(
    ("batches", "rejected"),
    [
        ([], {}),
        ([[]], {}),
        ([["x"]], {}),
        ([["x", "y"], ["z"]], {}),
        ([["x", "x"]], {0: [2]}),
        ([["x"], ["x"]], {1: [2]}),
        ([["x", "y"], [], ["y", "x"], ["x"]], {2: [3, 4], 3: [5]}),
        ([["x", "x", "x"]], {0: [2, 3]}),
        ([["", ""], [""]], {}),
        ([["", "x", ""], ["x"]], {1: [4]}),
        ([["X", "x", " x"]], {0: [3]}),
    ],
)
def test_the_first_row_keeps_a_unique_value(batches: list[list[str]], rejected: dict[int, list[int]]) -> None:
    file = one_column(*batches, a=UNIQUE)
    assert told(file.resolutions()) == {seq: (rows, []) for seq, rows in rejected.items()}


@pytest.mark.parametrize(
    ("batches", "superseded"),
    [
        ([["x"]], {}),
        ([["x", "y"], ["z"]], {}),
        ([["x", "x"]], {0: [1]}),
        ([["x"], ["x"]], {0: [1]}),
        ([["x", "y"], [], ["y", "x"], ["x"]], {0: [1, 2], 2: [4]}),
        ([["x", "x", "x"]], {0: [1, 2]}),
        ([["", "x", ""], ["x"]], {0: [2]}),
    ],
)
def test_the_last_row_keeps_an_upsert_key(batches: list[list[str]], superseded: dict[int, list[int]]) -> None:
    file = one_column(*batches, mode=ImportMode.UPSERT, upsert_key="a")
    assert told(file.resolutions()) == {seq: ([], rows) for seq, rows in superseded.items()}


def test_a_rejected_duplicate_comes_in_the_form_of_all_rejected_rows() -> None:
    long = "x" * 300
    file = File([[(long, "1"), ("y", "2")], [("z", "1"), (long, "1")]], a=(Unique(message="Once!"),), b=UNIQUE)
    resolutions = file.resolutions()
    assert list(resolutions) == [1]
    keys = file.checked[1].keys
    assert keys is not None
    first, second = rejections(resolutions[1], file.parsed[1], keys)
    assert (first.row, first.cells) == (3, ["z", "1"])
    assert (second.row, second.cells) == (4, [long, "1"])
    assert [(e.field, e.column, e.code, e.message, e.value) for e in second.errors] == [
        ("a", "A", "DUPLICATE_VALUE", "Once!", "x" * 200),
        (
            "b",
            "b",
            "DUPLICATE_VALUE",
            "Row 1 already holds this value, and no two rows may. Change or remove one of the two.",
            "1",
        ),
    ]
    assert file.written(resolutions) == [1, 2]


def test_rows_rejected_before_take_no_part() -> None:
    number = TemplateField(name="n", type=FieldType.NUMBER, rules=UNIQUE)
    checked = check_batch(compiled(number), parsed_batch(["x", "x", "1", "1.0"]))
    assert checked.keys is not None
    keys = checked.keys
    resolutions = resolve_duplicates(compiled(number), lambda: [(0, keys)], 4)
    assert told(resolutions) == {0: ([4], [])}


def test_a_row_rejected_as_duplicate_does_not_compete_for_the_key() -> None:
    file = File([[("k", "1"), ("k", "2"), ("k", "1")]], b=UNIQUE, mode=ImportMode.UPSERT, upsert_key="a")
    resolutions = file.resolutions()
    assert told(resolutions) == {0: ([3], [1])}
    assert file.written(resolutions) == [2]


def test_a_row_rejected_for_one_field_still_holds_its_values_in_the_others() -> None:
    file = File([[("1", "1"), ("1", "2"), ("3", "2")]], a=UNIQUE, b=UNIQUE)
    assert told(file.resolutions()) == {0: ([2, 3], [])}


def test_a_unique_key_rejects_instead_of_skipping() -> None:
    file = one_column(["x", "y"], ["x"], a=UNIQUE, mode=ImportMode.UPSERT, upsert_key="a")
    assert told(file.resolutions()) == {1: ([3], [])}


def test_keep_warns_about_duplicates_and_goes_on() -> None:
    batches = [[("x", "p"), ("y", "q")], [("x", "r"), ("z", "q"), ("x", "")]]
    file = File(batches, a=UNIQUE, b=UNIQUE, invalid_rows=InvalidRows.KEEP)
    resolutions = file.resolutions()
    assert told(resolutions) == {1: ([], [])}
    keys = file.checked[1].keys
    assert keys is not None
    assert len(rejections(resolutions[1], file.parsed[1], keys)) == 0
    after = apply_resolution(file.checked[1].valid, resolutions[1])
    assert after.schema == file.checked[1].valid.schema
    warnings = [json.loads(each) for each in after["_warnings"].to_pylist()]
    assert [[(w["field"], w["code"]) for w in each] for each in warnings] == [
        [("a", "DUPLICATE_VALUE")],
        [("b", "DUPLICATE_VALUE")],
        [("a", "DUPLICATE_VALUE")],
    ]
    assert "Row 1 " in warnings[0][0]["message"]


def test_keep_adds_to_the_warnings_of_a_row_and_still_skips_superseded_keys() -> None:
    number = TemplateField(name="n", type=FieldType.NUMBER)
    key, mail = TemplateField(name="k"), TemplateField(name="m", rules=UNIQUE)
    keep = {"invalid_rows": InvalidRows.KEEP, "mode": ImportMode.UPSERT, "upsert_key": "k"}
    engine = compiled(number, key, mail, **keep)
    checked = check_batch(engine, parsed_batch(["1", "x", "3"], ["k", "l", "k"], ["m", "m", "m"]))
    assert checked.keys is not None
    keys = checked.keys
    resolution = resolve_duplicates(engine, lambda: [(0, keys)], 3)[0]
    after = apply_resolution(checked.valid, resolution)
    assert after["_row"].to_pylist() == [2, 3]
    codes = [[each["code"] for each in json.loads(text)] for text in after["_warnings"].to_pylist()]
    assert codes == [["NOT_A_NUMBER", "DUPLICATE_VALUE"], ["DUPLICATE_VALUE"]]


def test_keep_without_duplicates_leaves_the_warnings_alone() -> None:
    file = one_column(["x", "x"], invalid_rows=InvalidRows.KEEP, mode=ImportMode.UPSERT, upsert_key="a")
    after = apply_resolution(file.checked[0].valid, file.resolutions()[0])
    assert after.to_pylist() == [{"_row": 2, "a": "x", "b": None, "_warnings": None}]


@pytest.mark.parametrize(("last_wins", "losers", "holders"), [(False, [3, 5], [1, 1]), (True, [1, 3], [5, 5])])
def test_values_are_the_same_only_if_both_halves_of_their_hash_are(
    last_wins: bool, losers: list[int], holders: list[int]
) -> None:
    low, high = np.array([7, 7, 7, 8, 7], np.uint64), np.array([1, 2, 1, 1, 1], np.uint64)
    hashed = _Hashed(low, high, np.arange(1, 6, dtype=np.uint32))
    kept, lost, holder = _contest([hashed], last_wins=last_wins)
    assert sorted(zip(lost.tolist(), holder.tolist(), strict=True)) == list(zip(losers, holders, strict=True))
    assert sorted([*kept.rows.tolist(), *losers]) == [1, 2, 3, 4, 5]


def test_values_that_repeat_without_end_do_not_pile_up() -> None:
    file = one_column(*[["x"] * 10] * 50, a=UNIQUE)
    resolutions = file.resolutions(rows_per_pass=20)
    assert sum(len(each.rejected_rows) for each in resolutions.values()) == 499
    assert {int(first) for each in resolutions.values() for first in each.repetitions[0].first} == {1}
    last = one_column(*[["x"] * 10] * 50, mode=ImportMode.UPSERT, upsert_key="a")
    assert last.written(last.resolutions(rows_per_pass=20)) == [500]


def test_a_combination_is_repeated_only_as_a_whole() -> None:
    pairs = [[("a", "1"), ("a", "2"), ("b", "1")], [("a", "1"), ("", "1"), ("", "1"), ("a", "")], [("a", "2")]]
    file = File(pairs, a=(Unique(fields=("b",)),))
    resolutions = file.resolutions()
    assert told(resolutions) == {1: ([4], []), 2: ([8], [])}
    keys = file.checked[1].keys
    assert keys is not None
    (error,) = next(iter(rejections(resolutions[1], file.parsed[1], keys))).errors
    assert (error.field, error.column, error.code, error.value) == ("a", "A", "DUPLICATE_VALUE", "a, 1")
    assert "Row 1 already holds this combination of 'A', 'b'" in error.message


@pytest.mark.parametrize(
    ("types", "key", "value"),
    [
        ((FieldType.TEXT,), "a", "a"),
        ((FieldType.TEXT,), "1:a", "1:a"),
        ((FieldType.NUMBER,), "1.5", "1.5"),
        ((FieldType.DATE,), "0", "1970-01-01"),
        ((FieldType.DATE,), "1711893900000", "2024-03-31T14:05:00Z"),
        ((FieldType.DATE,), "-62135596800000", "0001-01-01"),
        ((FieldType.TEXT, FieldType.TEXT), "1:a1:b", "a, b"),
        ((FieldType.TEXT, FieldType.TEXT), "3:1:a2:::", "1:a, ::"),
        ((FieldType.TEXT, FieldType.DATE), "2:\u65e5\u672c1:0", "\u65e5\u672c, 1970-01-01"),
        ((FieldType.TEXT, FieldType.TEXT, FieldType.NUMBER), "1:a1:b2:10", "a, b, 10"),
    ],
)
def test_keys_are_shown_as_people_know_the_values(types: tuple[FieldType, ...], key: str, value: str) -> None:
    names = tuple(f"f{at}" for at in range(len(types)))
    assert shown_key(UniqueConstraint("+".join(names), names, names, types, by_rule=True), key) == value


def in_target(**rows: list[int]) -> dict[str, npt.NDArray[np.uint32]]:
    return {name: np.array(some, np.uint32) for name, some in rows.items()}


TARGET: Rules = (Unique(against_target=True),)


def test_what_the_target_holds_is_rejected_and_still_holds_its_value_in_the_file() -> None:
    file = File([[("x", "1"), ("y", "2")], [("x", "3"), ("z", "4")]], a=TARGET)
    resolutions = resolve_duplicates(file.template, file.keys, file.rows, in_target=in_target(a=[1, 3]))
    assert told(resolutions) == {0: ([1], []), 1: ([3], [])}
    keys = file.checked[1].keys
    assert keys is not None
    (row,) = rejections(resolutions[1], file.parsed[1], keys)
    assert (row.row, row.cells) == (3, ["x", "3"])
    assert [(error.code, error.value) for error in row.errors] == [("DUPLICATE_VALUE", "x"), ("EXISTS_IN_TARGET", "x")]
    assert "A record with this value exists already" in row.errors[1].message
    assert file.written(resolutions) == [2, 4]


def test_a_row_that_the_target_rejects_does_not_compete_for_the_key() -> None:
    file = File([[("k", "1"), ("k", "2")]], b=TARGET, mode=ImportMode.UPSERT, upsert_key="a")
    resolutions = resolve_duplicates(file.template, file.keys, file.rows, in_target=in_target(b=[2]))
    assert told(resolutions) == {0: ([2], [])}
    assert file.written(resolutions) == [1]


def test_keep_warns_about_what_the_target_holds() -> None:
    file = File([[("x", "1"), ("y", "2")]], a=(Unique(against_target=True, message="Taken."),), invalid_rows="keep")
    resolutions = resolve_duplicates(file.template, file.keys, file.rows, in_target=in_target(a=[2]))
    after = apply_resolution(file.checked[0].valid, resolutions[0])
    assert after["_warnings"].to_pylist()[0] is None
    assert json.loads(after["_warnings"].to_pylist()[1]) == [
        {"field": "a", "code": "EXISTS_IN_TARGET", "message": "Taken."}
    ]


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.tuples(VALUES, VALUES), max_size=8), max_size=5),
    st.sampled_from(["unique", "key", "both", "unique key"]),
    st.booleans(),
    st.integers(1, 50),
)
def test_the_answer_is_that_of_a_plain_loop_in_any_number_of_passes(
    batches: list[list[tuple[str, str]]], questions: str, keep: bool, rows_per_pass: int
) -> None:
    upsert = {"mode": ImportMode.UPSERT, "upsert_key": "a"} if "key" in questions or questions == "both" else {}
    policy = InvalidRows.KEEP if keep else InvalidRows.SKIP
    on = "a" if questions == "unique key" else "b"
    rules: dict[str, Rules] = {} if questions == "key" else {on: UNIQUE}
    file = File(batches, invalid_rows=policy, **rules, **upsert)

    rows = [pair for batch in batches for pair in batch]
    present = [row for row, (a, _) in enumerate(rows, 1) if a or not upsert]
    duplicates: set[int] = set()
    if rules:
        seen: set[str] = set()
        for row in present:
            value = rows[row - 1]["ab".index(on)]
            if value and value in seen:
                duplicates.add(row)
            seen.add(value)
    competing = [row for row in present if keep or row not in duplicates]
    last = {rows[row - 1][0]: row for row in competing}
    written = [row for row in competing if not upsert or last[rows[row - 1][0]] == row]

    resolutions = file.resolutions(rows_per_pass)
    assert file.written(resolutions) == written
    assert {int(r) for each in resolutions.values() for found in each.repetitions for r in found.rows} == duplicates
    assert told(file.resolutions()) == told(resolutions)
